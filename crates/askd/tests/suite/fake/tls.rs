//! Encrypted connections.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use askd::settings::network::AllowedHost;
use rustix::process::Signal;
use rustls::version::{TLS12, TLS13};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;

use crate::harness::{
    Authority, Folders, Pair, Program, RawClient, TlsClient, UNPRIVILEGED, beside, encrypted, eventually,
    eventually_async, fake_cli, give, launcher, living_pids, place_program,
};

const HEALTH: &str = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// The certificate that a new connection is shown.
async fn shown(address: SocketAddr, client: &TlsConnector) -> Vec<u8> {
    TlsClient::connect(address, client).await.shown()
}

/// As it stands in a PEM file.
fn der(pair: &Pair) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject as _;
    rustls::pki_types::CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_streams_go_over_tls_of_both_versions() {
    let authority = Authority::new();
    let server = encrypted(&authority.issue(), None).start().await;
    for version in [&TLS12, &TLS13] {
        let connector = authority.connector(&[version], &[b"h2", b"http/1.1"], None);
        let mut client = TlsClient::connect(server.address, &connector).await;
        assert_eq!(client.0.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        client.health().await;
        client.ask(&json!({"prompt": "hello"})).await;
        client.until("echo: hello").await;
        client.ask(&json!({"prompt": "!big 2m\n!result done", "stream": true})).await;
        let stream = client.until("event: done").await;
        assert!(stream.len() > 2 << 20, "{} bytes", stream.len());
    }
    let expiry = server.app.runs().shared().metrics.certificate_expiry.get();
    assert!(expiry > server.app.runs().shared().ambient.now().as_second(), "{expiry}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_answer_is_said_so_that_nobody_can_cut_it_unseen() {
    let authority = Authority::new();
    let server = encrypted(&authority.issue(), None).start().await;
    let mut client = TlsClient::connect(server.address, &authority.client()).await;
    client.send("GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    let (answer, end_was_said) = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200") && end_was_said, "{answer}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_are_told_to_come_back_encrypted() {
    let authority = Authority::new();
    let name = AllowedHost::read("askd.example.com").ok().unwrap();
    let builder = encrypted(&authority.issue(), None).set(|settings| settings.network.allowed_hosts = vec![name]);
    let server = builder.start().await;
    let mut client = TlsClient::connect(server.address, &authority.client()).await;
    client.send("GET /health HTTP/1.1\r\nhost: askd.example.com\r\n\r\n").await;
    assert!(client.until("\"ok\"").await.contains("strict-transport-security: max-age="));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_plain_http_or_another_protocol_is_told_so() {
    let authority = Authority::new();
    let server = encrypted(&authority.issue(), None).start().await;
    let mut plain = RawClient::connect(server.address).await;
    plain.send(HEALTH).await;
    let answer = plain.rest().await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("use https://"), "{answer}");
    let mut nonsense = RawClient::connect(server.address).await;
    nonsense.send("\u{1}\u{2}\u{3}").await;
    assert_eq!(nonsense.rest().await, "");
    let only_h2 = authority.connector(rustls::ALL_VERSIONS, &[b"h2"], None);
    let error = TlsClient::try_connect(server.address, &only_h2).await.err().unwrap().to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    let stranger = TlsClient::try_connect(server.address, &Authority::new().client()).await;
    assert!(stranger.err().unwrap().to_string().contains("invalid peer certificate"));
    TlsClient::connect(server.address, &authority.client()).await.health().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_an_authority_of_clients_is_set_only_its_clients_are_served() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let server = encrypted(&servers.issue(), Some(&clients)).start().await;
    for version in [&TLS12, &TLS13] {
        let connector = |own: Option<&Pair>| servers.connector(&[version], &[b"http/1.1"], own);
        let known = connector(Some(&clients.issue()));
        TlsClient::connect(server.address, &known).await.health().await;
        for stranger in [connector(None), connector(Some(&Authority::new().issue()))] {
            // With TLS 1.3 the client is done before the server has seen its certificate.
            let refused = match TlsClient::try_connect(server.address, &stranger).await {
                Err(_) => true,
                Ok(mut client) => {
                    drop(client.0.write_all(HEALTH.as_bytes()).await);
                    let (answer, end_was_said) = client.rest().await;
                    answer.is_empty() && !end_was_said
                }
            };
            assert!(refused, "{version:?}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_handshake_is_a_line_in_the_log_and_a_flood_of_them_does_not_fill_it() {
    let (servers, clients, folders) = (Authority::new(), Authority::new(), Folders::new());
    servers.issue().put(&folders);
    folders.write("tls/clients.pem", &clients.pem());
    let at = |name: &str| folders.root().join("tls").join(name).display().to_string();
    let (cert, key, ca) = (at("cert.pem"), at("key.pem"), at("clients.pem"));
    let files = [("ASKD_TLS_CERT", cert.as_str()), ("ASKD_TLS_KEY", &key), ("ASKD_TLS_CLIENT_CA", &ca)];
    let mut program = Program::start(&folders, &files);
    let address = program.address().await;
    // With TLS 1.3 the word about it comes after the greeting.
    let refused = async |own: Option<&Pair>| {
        let connector = servers.connector(rustls::ALL_VERSIONS, &[b"http/1.1"], own);
        if let Ok(mut client) = TlsClient::try_connect(address, &connector).await {
            drop(client.0.write_all(HEALTH.as_bytes()).await);
            assert_eq!(client.rest().await, (String::new(), false));
        }
    };
    refused(None).await;
    refused(Some(&Authority::new().issue())).await;
    for why in ["shows no certificate, and ASKD_TLS_CLIENT_CA asks for one", "is of no authority in ASKD_TLS_CLIENT_CA"]
    {
        let find = || program.log().lines().find(|line| line.contains(why)).map(str::to_owned);
        let line = eventually(why, find).await;
        assert!(line.contains("127.0.0.1") && line.contains("a handshake was refused"), "{line}");
    }
    for _ in 0..40 {
        refused(None).await;
    }
    let lines = program.log().matches("a handshake was refused").count();
    assert!(lines <= 40, "{lines} lines of 42 in one minute, or in two");
    program.signal(Signal::TERM);
    assert!(program.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_counts_for_new_connections_and_fails_nobody() {
    let authority = Authority::new();
    let first = authority.issue();
    let server = encrypted(&first, None).start().await;
    let (address, client, done) = (server.address, authority.client(), Arc::new(AtomicBool::new(false)));
    let mut old = TlsClient::connect(address, &client).await;
    old.ask(&json!({"prompt": "!say begun\n!await go\n!result late", "stream": true})).await;
    old.until("begun").await;
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (client, done) = (client.clone(), Arc::clone(&done));
            beside(async move {
                let mut count = 0;
                while !done.load(Ordering::Relaxed) {
                    TlsClient::connect(address, &client).await.health().await;
                    count += 1;
                }
                count
            })
        })
        .collect();
    for _ in 0..5 {
        let next = authority.issue();
        next.put(&server.folders);
        let wanted = der(&next);
        eventually_async("the new certificate", async || (shown(address, &client).await == wanted).then_some(())).await;
    }
    done.store(true, Ordering::Relaxed);
    for task in load {
        assert!(task.await.unwrap() > 0);
    }
    server.release("go");
    assert!(old.until("event: done").await.contains("late"));
    assert_eq!(old.shown(), der(&first));
    old.health().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_brings_a_new_pair_and_a_wrong_one_changes_nothing() {
    let (authority, folders) = (Authority::new(), Folders::new());
    let (first, second) = (authority.issue(), authority.issue());
    first.put(&folders);
    let at = |name: &str| folders.root().join("tls").join(name).display().to_string();
    let (cert, key) = (at("cert.pem"), at("key.pem"));
    let files = [("ASKD_TLS_CERT", cert.as_str()), ("ASKD_TLS_KEY", key.as_str()), ("ASKD_TLS_RELOAD", "24h")];
    let mut program = Program::start(&folders, &files);
    let (address, client) = (program.address().await, authority.client());
    assert!(program.log().contains("https://127.0.0.1"), "{}", program.log());
    // A look at the files says one of these at its end, whatever the settings have said of them before.
    let ends = ["those in use stay: ", "the certificates are what they were", "new certificates: they count"];
    let said = |looks: usize, what: &'static str| {
        let program = &program;
        async move {
            let line = eventually(what, || {
                let log = program.log();
                let mut said = log.lines().filter(|line| ends.iter().any(|end| line.contains(end)));
                said.nth(looks - 1).map(str::to_owned)
            })
            .await;
            assert!(line.contains(what), "{what}: {line}");
        }
    };
    // Half of a new pair, as whoever writes one file after the other leaves it for a moment.
    let wrong = Pair { certificate: second.certificate.clone(), key: first.key.clone() };
    wrong.put(&folders);
    program.signal(Signal::HUP);
    said(1, "does not belong to the first certificate").await;
    folders.write("tls/cert.pem", "nonsense");
    program.signal(Signal::HUP);
    said(2, "holds no certificate").await;
    std::fs::remove_file(&key).unwrap();
    program.signal(Signal::HUP);
    said(3, "the file of ASKD_TLS_KEY cannot be read").await;
    assert_eq!(shown(address, &client).await, der(&first));
    first.put(&folders);
    program.signal(Signal::HUP);
    said(4, "the certificates are what they were").await;
    second.put(&folders);
    program.signal(Signal::HUP);
    said(5, "new certificates: they count").await;
    assert_eq!(shown(address, &client).await, der(&second));
    assert!(!program.log().contains("PRIVATE KEY"));
    program.signal(Signal::TERM);
    assert!(program.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_without_certificates_ends_nothing() {
    let folders = Folders::new();
    let mut program = Program::start(&folders, &[]);
    program.address().await;
    program.signal(Signal::HUP);
    eventually("the word about it", || program.log().contains("there are no certificates").then_some(())).await;
    program.signal(Signal::TERM);
    assert!(program.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_stalls_is_cut_off_and_the_first_head_counts_with_it() {
    let authority = Authority::new();
    let short = Duration::from_secs(3);
    let server = encrypted(&authority.issue(), None).set(|settings| settings.server.header_timeout = short);
    let server = server.start().await;
    // All at once, so that their times pass together. A client that has asked in time is none of those that stall.
    let mut in_time = TlsClient::connect(server.address, &authority.client()).await;
    in_time.ask(&json!({"prompt": "!sleep 3500\n!result late"})).await;
    // Nothing; the beginning of a handshake; a whole one and half a head.
    let mut silent = RawClient::connect(server.address).await;
    let mut half = RawClient::connect(server.address).await;
    half.send("\u{16}\u{3}\u{1}\u{2}").await;
    let mut client = TlsClient::connect(server.address, &authority.client()).await;
    client.send("GET /health HTTP/1.1\r\nhost:").await;
    assert_eq!(silent.rest().await, "");
    assert_eq!(half.rest().await, "");
    let (answer, _) = client.rest().await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    in_time.until("late").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_only_root_may_read_serves_and_a_new_one_needs_a_restart() {
    if !rustix::process::geteuid().is_root() {
        let line = b"NOT RUN: a_key_that_only_root_may_read: only root becomes another user\n";
        drop(std::io::Write::write_all(&mut std::io::stderr(), line));
        return;
    }
    let (authority, folders) = (Authority::new(), Folders::new());
    let first = authority.issue();
    first.put(&folders);
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let tls = folders.root().join("tls");
    open(folders.root(), 0o755);
    open(&tls.join("key.pem"), 0o600);
    give(&folders.workspace(), UNPRIVILEGED);
    fs::remove_dir(folders.data()).unwrap();
    // Where everybody can execute them.
    let bin = folders.root().join("bin");
    fs::create_dir(&bin).unwrap();
    for program in [launcher(), fake_cli()] {
        place_program(&program, &bin.join(program.file_name().unwrap()));
    }
    let text = |path: PathBuf| path.display().to_string();
    let (cert, key, cli) = (text(tls.join("cert.pem")), text(tls.join("key.pem")), text(bin.join("fake-claude")));
    let variables =
        [("ASKD_TLS_CERT", cert.as_str()), ("ASKD_TLS_KEY", &key), ("ASKD_CLAUDE_BIN", &cli), ("ASKD_ALLOW_ROOT", "")];
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let command = std::process::Command::new(bin.join("askd"));
    let mut program = Program::start_by(command, &folders, &variables);
    let (address, client) = (program.address().await, authority.client());
    assert!(program.log().contains("will count only after a restart"), "{}", program.log());
    // Nothing is new, so nothing is wrong.
    program.signal(Signal::HUP);
    let unchanged = "the certificates are what they were";
    eventually("the word about it", || program.log().contains(unchanged).then_some(())).await;
    assert!(!program.log().contains("cannot be used"), "{}", program.log());
    let second = authority.issue();
    second.put(&folders);
    open(&tls.join("key.pem"), 0o600);
    program.signal(Signal::HUP);
    let refused = "the file of ASKD_TLS_KEY cannot be read";
    eventually("the word about it", || program.log().contains(refused).then_some(())).await;
    assert_eq!(shown(address, &client).await, der(&first));
    program.signal(Signal::TERM);
    assert!(program.ended().await.success());
}

/// How a client may leave in the middle of a run.
#[derive(Debug, Clone, Copy)]
enum Leaving {
    /// It closes its socket without a word of TLS.
    Cut,
    /// It says that it sends no more, and reads on.
    HalfClosed,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_takes_its_run_with_it() {
    let authority = Authority::new();
    let server = encrypted(&authority.issue(), None).start().await;
    for (leaving, one_too_many) in [
        (Leaving::Cut, false),
        (Leaving::HalfClosed, false),
        // hyper does not read while bytes of a further request wait.
        (Leaving::Cut, true),
        (Leaving::HalfClosed, true),
    ] {
        let mut client = TlsClient::connect(server.address, &authority.client()).await;
        client.ask(&json!({"prompt": "!spawn setsid\n!say begun\n!hang", "stream": true})).await;
        client.until("begun").await;
        if one_too_many {
            client.send("G").await;
        }
        match leaving {
            Leaving::Cut => drop(client.0.into_inner()),
            Leaving::HalfClosed => {
                client.0.shutdown().await.unwrap();
                let (rest, _) = client.rest().await;
                assert!(!rest.contains("event: done"), "{rest}");
            }
        }
        server.at_rest().await;
        assert_eq!(living_pids(&server.folders.workspace()), [0; 0], "{leaving:?} {one_too_many}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_for_too_long_is_dropped_with_its_run() {
    let authority = Authority::new();
    let builder = encrypted(&authority.issue(), None).set(|settings| {
        settings.server.write_timeout = Duration::from_millis(300);
        settings.output.ring_bytes = 1 << 20;
    });
    let server = builder.start().await;
    let mut client = TlsClient::connect(server.address, &authority.client()).await;
    client.ask(&json!({"prompt": "!spawn setsid\n!flood 300m", "stream": true})).await;
    server.reached("pids").await;
    server.at_rest().await;
    assert_eq!(living_pids(&server.folders.workspace()), [0; 0]);
    let (rest, end_was_said) = client.rest().await;
    assert!(!rest.contains("event: done") && !end_was_said, "the stream was cut off, and does not look complete");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_run_is_no_slow_reader_and_a_slow_one_gets_everything() {
    let authority = Authority::new();
    let builder = encrypted(&authority.issue(), None);
    let server = builder.set(|settings| settings.server.write_timeout = Duration::from_secs(4)).start().await;
    let mut client = TlsClient::connect(server.address, &authority.client()).await;
    client.ask(&json!({"prompt": "!sleep 4500\n!flood 2m\n!result late", "stream": true})).await;
    let mut length = 0;
    loop {
        let piece = client.until("\n").await;
        length += piece.len();
        if piece.contains("event: done") {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(length > 2 << 20, "{length}");
    server.stop().await;
}
