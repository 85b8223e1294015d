//! `askd healthcheck`, as an image runs it beside the server.

use std::process::{Command, Output};

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Authority, Folders, Program, eventually_async, launcher};

/// The command with these variables and no others: above all without a key.
fn healthcheck(args: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let mut command = Command::new(launcher());
    let output: Output = command.arg("healthcheck").args(args).env_clear().envs(variables.to_vec()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_by_its_exit_code_whether_the_server_is_ready_and_in_words_why_not() {
    let folders = Folders::new();
    let mut program = Program::start(&folders, &[("ASKD_SHUTDOWN_GRACE", "1m")]);
    let address = program.address().await;
    let listen = address.to_string();
    let everywhere = format!("0.0.0.0:{}", address.port());
    let here = [("ASKD_LISTEN", listen.as_str()), ("API_KEY_FILE", "/nowhere/not-read")];
    assert_eq!(healthcheck(&[], &here), (Some(0), String::new()), "nothing to say");
    assert_eq!(healthcheck(&["--live"], &[("ASKD_LISTEN", &*everywhere)]), (Some(0), String::new()));
    // `localhost` may be an IPv6 address first, where nobody listens.
    for host in ["127.0.0.1", "localhost"] {
        assert_eq!(healthcheck(&["--url", &format!("http://{host}:{}", address.port())], &[]).0, Some(0), "{host}");
    }
    assert_eq!(healthcheck(&["--listen", &listen], &[]).0, Some(0));
    let (code, text) = healthcheck(&["--verbose"], &here);
    assert!(code == Some(0) && text.contains("[+]store ok\n") && text.ends_with("readyz check passed\n"), "{text}");

    let held = program.ask_beside(&json!({"prompt": "!touch there\n!await go"})).await;
    let there = folders.workspace().join("there");
    eventually_async("the run", async || there.exists().then_some(())).await;
    program.signal(Signal::TERM);
    let (code, text) =
        eventually_async("the drain", async || Some(healthcheck(&[], &here)).filter(|(code, _)| *code != Some(0)))
            .await;
    assert!(code == Some(1) && text.contains("[-]draining failed"), "{text}");
    assert_eq!(healthcheck(&["--live"], &here).0, Some(0));
    folders.write("workspace/go", "");
    assert_eq!(held.await.unwrap().status, 200);
    program.ended().await;
    let (code, text) = healthcheck(&[], &here);
    assert_eq!((code, text.as_str()), (Some(1), &*format!("nothing listens on {listen}\n")));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_reaches_a_server_that_encrypts_by_the_settings_alone() {
    let folders = Folders::new();
    let pair = Authority::new().issue();
    folders.write("cert.pem", &pair.certificate);
    folders.write("key.pem", &pair.key);
    let path = |name: &str| folders.root().join(name).display().to_string();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let program = Program::start(&folders, &[("ASKD_TLS_CERT", &certificate), ("ASKD_TLS_KEY", &key)]);
    let listen = program.address().await.to_string();
    // The key is not read, and the certificate that counts is the one that the server shows.
    let settings =
        [("ASKD_LISTEN", &*listen), ("ASKD_TLS_CERT", "/nowhere/cert.pem"), ("ASKD_TLS_KEY", "/nowhere/key.pem")];
    assert_eq!(healthcheck(&[], &settings), (Some(0), String::new()));
    let (code, text) = healthcheck(&[], &[("ASKD_LISTEN", &listen)]);
    assert!(code == Some(1) && text.contains("https"), "{text}");
}

#[test]
fn what_a_foreign_program_on_the_port_says_reaches_the_terminal_without_what_moves_or_turns_it() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let says = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert_ne!(stream.read(&mut [0; 1024]).unwrap(), 0);
        let body = "\u{1b}]0;owned\u{7}\u{9b}2J[-]\u{202e}store\r\nfailed";
        write!(stream, "HTTP/1.1 503 x\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    });
    let (code, text) = healthcheck(&["--url", &url], &[]);
    says.join().unwrap();
    assert_eq!((code, &*text), (Some(1), "\u{fffd}]0;owned\u{fffd}\u{fffd}2J[-]\u{fffd}store\u{fffd}\nfailed\n"));
}

#[test]
fn what_cannot_be_asked_is_no_health() {
    for (args, told) in [
        (["--url", "here"], "is no URL"),
        (["--url", "http://nowhere.invalid"], "nowhere.invalid:80 cannot be connected to"),
        (["--listen", "here"], "listen"),
    ] {
        let (code, text) = healthcheck(&args, &[]);
        assert!(code == Some(1) && text.contains(told), "{text}");
    }
}
