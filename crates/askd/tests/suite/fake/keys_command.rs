//! `askd keys`, as a process that talks to a running server.

use std::process::{Command, Output, Stdio};

use askd::settings::Settings;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Answer, Authority, Folders, Pair, Program, TestServer, TestServerBuilder, encrypted, launcher};

/// The program with these arguments and variables, to its end.
async fn keys(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let mut command = Command::new(launcher());
    command.arg("keys").args(arguments).env_clear().env("HOME", "/nonexistent").envs(variables.iter().copied());
    command.stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// A server, its URL and a file with its key.
async fn server() -> (TestServer, String, String) {
    let server = TestServerBuilder::fake().file("admin.key", &format!("{}\n", Settings::TEST_API_KEY)).start().await;
    let (url, file) = (server.url(""), server.folders.root().join("admin.key").to_str().unwrap().to_owned());
    (server, url, file)
}

fn told(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// What it prints, if it succeeds.
fn printed(output: &Output) -> String {
    let (out, error) = told(output);
    assert_eq!(output.status.code(), Some(0), "{out}{error}");
    out
}

async fn status(server: &TestServer, path: &str, key: &str) -> u16 {
    Answer::by(server.client.get(server.url(path)).header("x-api-key", key)).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_shown_replaced_and_revoked() {
    let (server, url, file) = server().await;
    let at = ["--url", &url, "--key-file", &file];
    let run = async |arguments: &[&str]| keys(&[arguments, &at].concat(), &[]).await;

    let made = run(&["create", "--name", "ci", "--scopes", "runs:read,runs:write", "--expires", "90d"]).await;
    let (out, people) = told(&made);
    let token = out.strip_suffix('\n').unwrap();
    assert!(token.starts_with("askd_") && !token.contains(char::is_whitespace), "the secret alone: {out}");
    assert!(people.contains("ci") && people.contains("shown this once") && !people.contains(token), "{people}");
    assert_eq!(status(&server, "/v1/runs", token).await, 200);
    let id = people.lines().next().unwrap();

    let list = printed(&run(&["list"]).await);
    let line = list.lines().find(|line| line.starts_with(id)).unwrap();
    assert!(line.contains("runs:read,runs:write") && line.contains("valid until 20"), "{line}");
    let shown: Value = serde_json::from_str(&printed(&run(&["show", id, "--json"]).await)).unwrap();
    assert_eq!((shown["id"].as_str(), shown["name"].as_str()), (Some(id), Some("ci")));
    assert_eq!(shown["key"], Value::Null, "no secret is shown twice");

    server.folders.write("policy.json", r#"{"models": ["haiku"]}"#);
    let policy = server.folders.root().join("policy.json");
    let updated = printed(&run(&["update", id, "--policy", policy.to_str().unwrap(), "--expires", "never"]).await);
    assert!(updated.contains(r#"{"models":["haiku"]}"#) && updated.contains("valid\n"), "{updated}");

    let rotated = printed(&run(&["rotate", id, "--overlap", "1h"]).await);
    assert_eq!(status(&server, "/v1/runs", rotated.trim_end()).await, 200);
    assert_eq!(status(&server, "/v1/runs", token).await, 200, "for an hour yet");
    let alone: Value = serde_json::from_str(&printed(&run(&["rotate", id, "--json"]).await)).unwrap();
    let newest = alone["key"].as_str().unwrap();
    assert_eq!(status(&server, "/v1/runs", newest).await, 200);
    assert_eq!(status(&server, "/v1/runs", rotated.trim_end()).await, 401);

    let revoked = printed(&run(&["revoke", id]).await);
    assert!(revoked.contains("revoked 20") && revoked.contains("ended runs0\n"), "{revoked}");
    assert_eq!(status(&server, "/v1/runs", newest).await, 401);
    let audit = server.get("/v1/audit").await;
    let actions: Vec<_> = audit.body["data"].as_array().unwrap().iter().map(|row| row["action"].clone()).collect();
    for action in ["key.created", "key.updated", "key.rotated", "key.revoked"] {
        assert!(actions.contains(&json!(action)), "{action}: {actions:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_settings_of_the_server_say_where_it_is_and_what_its_key_is() {
    let (server, ..) = server().await;
    let listen = server.address.to_string();
    let variables = [("ASKD_LISTEN", &*listen), ("API_KEY", Settings::TEST_API_KEY)];
    assert!(printed(&keys(&["list"], &variables).await).starts_with("ID "));
    server.folders.write("askd.toml", &format!("listen = \"{listen}\"\n"));
    let file = server.folders.root().join("askd.toml");
    let by_file = keys(&["list", "--config", file.to_str().unwrap()], &variables[1..]).await;
    assert!(printed(&by_file).starts_with("ID "));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_whole_however_many_pages_it_has() {
    let (server, url, file) = server().await;
    let mut ids = Vec::new();
    for number in 0..205 {
        let body = json!({"name": format!("{number}"), "scopes": ["ask"]});
        ids.push(server.post("/v1/keys", &body).await.body["id"].as_str().unwrap().to_owned());
    }
    let list = printed(&keys(&["list", "--url", &url, "--key-file", &file], &[]).await);
    assert_eq!(list.lines().count(), 206);
    assert!(ids.iter().all(|id| list.contains(id)));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_told_with_what_to_do_and_without_any_key() {
    let (server, url, file) = server().await;
    server.folders.write("wrong.key", "not-the-right-key");
    let wrong_key = server.folders.root().join("wrong.key").to_str().unwrap().to_owned();
    let nowhere = "http://127.0.0.1:1";
    for (arguments, code, message) in [
        (vec!["list", "--url", &url, "--key-file", &wrong_key], 1, "the server answers 401"),
        (vec!["list", "--url", nowhere, "--key-file", &file], 1, "is the server running?"),
        (vec!["list", "--url", &url], 2, "API_KEY"),
        (vec!["list", "--url", &url, "--key-file", "/nonexistent"], 2, "--key-file cannot be read"),
        (vec!["list", "--url", "https://127.0.0.1:1", "--key-file", &file], 2, "--ca"),
        (vec!["show", "key_1", "--url", &url, "--key-file", &file], 1, "the server answers 404"),
        (vec!["create", "--name", "x", "--scopes", "fly", "--url", &url, "--key-file", &file], 2, "is no scope"),
        (
            vec![
                "create",
                "--name",
                "x",
                "--scopes",
                "ask",
                "--policy-json",
                r#"{"models":[]}"#,
                "--url",
                &url,
                "--key-file",
                &file,
            ],
            1,
            "policy.models must not be empty",
        ),
    ] {
        let output = keys(&arguments, &[]).await;
        let (out, error) = told(&output);
        assert_eq!((output.status.code(), out.as_str()), (Some(code), ""), "{arguments:?}: {error}");
        assert!(error.starts_with("askd: ") && error.contains(message), "{arguments:?}: {error}");
        assert!(!error.contains("not-the-right-key") && !error.contains(Settings::TEST_API_KEY), "{error}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_server_is_known_by_its_certificate_or_by_its_authority() {
    let (authority, folders) = (Authority::new(), Folders::new());
    let server = encrypted(&authority.issue(), None).start().await;
    folders.write("admin.key", Settings::TEST_API_KEY);
    folders.write("ca.pem", &authority.pem());
    folders.write("other.pem", &Authority::new().pem());
    let path = |name: &str| folders.root().join(name).to_str().unwrap().to_owned();
    let own = |name: &str| server.folders.root().join("tls").join(name).to_str().unwrap().to_owned();
    let (listen, url) = (server.address.to_string(), format!("https://{}", server.address));
    let (certificate, key, admin) = (own("cert.pem"), own("key.pem"), path("admin.key"));

    let variables = [
        ("ASKD_LISTEN", &*listen),
        ("API_KEY", Settings::TEST_API_KEY),
        ("ASKD_TLS_CERT", &*certificate),
        ("ASKD_TLS_KEY", &*key),
    ];
    assert!(printed(&keys(&["list"], &variables).await).starts_with("ID "), "by the settings of the server");
    let by_ca = ["list", "--url", &url, "--key-file", &admin, "--ca", &path("ca.pem")];
    assert!(printed(&keys(&by_ca, &[]).await).starts_with("ID "));

    let by_other = ["list", "--url", &url, "--key-file", &admin, "--ca", &path("other.pem")];
    let (_, error) = told(&keys(&by_other, &[]).await);
    assert!(error.contains("neither in the file of --ca nor from an authority there"), "{error}");
    let stranger = authority.issue();
    folders.write("cert.pem", &stranger.certificate);
    folders.write("key.pem", &stranger.key);
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let variables = [
        ("ASKD_LISTEN", &*listen),
        ("API_KEY", Settings::TEST_API_KEY),
        ("ASKD_TLS_CERT", &*certificate),
        ("ASKD_TLS_KEY", &*key),
    ];
    let (_, error) = told(&keys(&["list"], &variables).await);
    assert!(error.contains("another certificate than that of ASKD_TLS_CERT"), "{error}");
    let plain = format!("http://{}", server.address);
    let (_, error) = told(&keys(&["list", "--url", &plain, "--key-file", &admin], &[]).await);
    assert!(error.contains("400") && error.contains("use https://"), "{error}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_ones_own_is_known_by_itself_and_its_names_and_dates_count() {
    for (names, last_year, told_instead) in [
        (&["localhost", "127.0.0.1"][..], 2999, None),
        (&["askd.example"], 2999, Some("is for other names (askd.example)")),
        (&["127.0.0.1"], 2001, Some("its certificate has expired")),
    ] {
        let pair = Pair::of_its_own(names, last_year);
        let server = encrypted(&pair, None).start().await;
        server.folders.write("admin.key", Settings::TEST_API_KEY);
        let path = |name: &str| server.folders.root().join(name).to_str().unwrap().to_owned();
        let (url, admin, ca) = (format!("https://{}", server.address), path("admin.key"), path("tls/cert.pem"));
        let output = keys(&["list", "--url", &url, "--key-file", &admin, "--ca", &ca], &[]).await;
        match told_instead {
            None => assert!(printed(&output).starts_with("ID ")),
            Some(message) => assert!(told(&output).1.contains(message), "{}", told(&output).1),
        }
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_only_the_beginning_of_a_list_is_told_of_no_error() {
    let (server, url, file) = server().await;
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let mut command = Command::new(launcher());
    command.args(["keys", "list", "--url", &url, "--key-file", &file]).env_clear().stdin(Stdio::null()).stdout(writer);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert_eq!((output.status.code(), told(&output).1.as_str()), (Some(0), ""));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_certificates_is_shown_one() {
    let (authority, clients, folders) = (Authority::new(), Authority::new(), Folders::new());
    let server = encrypted(&authority.issue(), Some(&clients)).start().await;
    let own = clients.issue();
    folders.write("own.pem", &format!("{}{}", own.certificate, own.key));
    folders.write("ca.pem", &authority.pem());
    folders.write("admin.key", Settings::TEST_API_KEY);
    let path = |name: &str| folders.root().join(name).to_str().unwrap().to_owned();
    let url = format!("https://{}", server.address);
    let (ca, admin, own) = (path("ca.pem"), path("admin.key"), path("own.pem"));
    let list = ["list", "--url", &url, "--key-file", &admin, "--ca", &ca];
    let without = keys(&list, &[]).await;
    assert_eq!(without.status.code(), Some(1));
    assert!(told(&without).1.contains("wants a client certificate") && told(&without).1.contains("--client-cert"));
    let stranger = Authority::new().issue();
    folders.write("stranger.pem", &format!("{}{}", stranger.certificate, stranger.key));
    let with_stranger = keys(&[&list[..], &["--client-cert", &path("stranger.pem")]].concat(), &[]).await;
    assert!(told(&with_stranger).1.contains("does not take the certificate of --client-cert"), "{with_stranger:?}");
    let with_certificate = [&list[..], &["--client-cert", &own]].concat();
    assert!(printed(&keys(&with_certificate, &[]).await).starts_with("ID "));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_key_was_last_used_is_known_after_the_end_of_the_server() {
    let folders = Folders::new();
    folders.write("admin.key", Settings::TEST_API_KEY);
    let file = folders.root().join("admin.key").to_str().unwrap().to_owned();
    let run = async |program: &Program, arguments: &[&str]| {
        let url = format!("http://{}", program.address().await);
        printed(&keys(&[arguments, &["--url", &url, "--key-file", &file, "--json"]].concat(), &[]).await)
    };
    let mut program = Program::start(&folders, &[]);
    let made: Value =
        serde_json::from_str(&run(&program, &["create", "--name", "ci", "--scopes", "ask"]).await).unwrap();
    let id = made["id"].as_str().unwrap();
    let url = format!("http://{}/v1/keys/self", program.address().await);
    let key = made["key"].as_str().unwrap();
    let own = Answer::by(reqwest::Client::new().get(url).header("x-api-key", key)).await;
    assert_eq!((own.status, &own.body["last_used_at"]), (200, &Value::Null), "{own:?}");
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());

    let mut program = Program::start(&folders, &[]);
    let shown: Value = serde_json::from_str(&run(&program, &["show", id]).await).unwrap();
    assert!(shown["last_used_at"].is_string() && shown["last_used_address"] == "127.0.0.1", "{shown}");
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
}
