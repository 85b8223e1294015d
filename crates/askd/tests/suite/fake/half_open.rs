//! Clients that take places and ask nothing, in numbers, while others want to be served.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::{Authority, Folders, Program, RawClient, TestServerBuilder, TlsClient, beside, encrypted};

const HEALTH: &str = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Half-open connections of a flood, where the machine lets a process have so many.
const FLOOD: u64 = 10_000;

/// Descriptors for everything else in this process.
const SPARE: u64 = 2_000;

/// Who opens them, all at the same time.
const WORKERS: u16 = 16;

/// What most healthy clients wait at most for an answer that takes a millisecond otherwise: on a slow machine, too.
const USUAL: Duration = Duration::from_secs(10);

/// What any waits at most: the kernel may drop the first packet of one several times, which then comes again after one
/// second, two, four.
const PATIENCE: Duration = Duration::from_mins(1);

/// Files that a server has open besides its connections.
const OTHER_FILES: usize = 100;

/// How many a test may open: 10,000 if the machine allows.
fn flood() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).saturating_sub(SPARE);
    if most < FLOOD {
        let said = format!("half_open: only {most} connections instead of {FLOOD}: a process may open no more here\n");
        drop(std::io::Write::write_all(&mut std::io::stderr(), said.as_bytes()));
    }
    most.min(FLOOD)
}

/// A connection from one of many addresses of this machine, so that their ports suffice, on which only this is sent.
async fn half_open(to: SocketAddr, number: u64, sent: &[u8]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let last = 2 + u8::try_from(number % 200).unwrap();
    socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into()).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    // The server may have closed it already.
    drop(stream.write_all(sent).await);
    stream
}

/// Opens many such connections, and keeps them.
async fn open_many(to: SocketAddr, count: u64, sent: &'static [u8]) -> Vec<TcpStream> {
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            beside(async move {
                let mut all = Vec::new();
                for number in (u64::from(worker)..count).step_by(usize::from(WORKERS)) {
                    all.push(half_open(to, number, sent).await);
                }
                all
            })
        })
        .collect();
    let mut all = Vec::new();
    for worker in workers {
        all.extend(worker.await.unwrap());
    }
    all
}

/// Healthy clients come one after the other until `flood` is complete, and none of them waits for long.
async fn served_during<T: Send + 'static>(
    flood: impl Future<Output = T> + Send + 'static,
    client: impl AsyncFn(),
) -> T {
    let flood = beside(flood);
    let mut waits = Vec::new();
    while !flood.is_finished() || waits.len() < 20 {
        let start = Instant::now();
        tokio::time::timeout(PATIENCE, client()).await.expect("a healthy client is served");
        waits.push(start.elapsed());
    }
    waits.sort();
    assert!(waits[waits.len() / 2] < USUAL, "{waits:?}");
    flood.await.unwrap()
}

/// A client of its own that asks and is answered. Whose place is taken before its request has come asks again, as clients do.
async fn ask_health(address: SocketAddr) {
    use tokio::io::AsyncReadExt as _;
    loop {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut answer = Vec::new();
        if stream.write_all(HEALTH.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n").as_bytes()).await.is_ok()
            && stream.read_to_end(&mut answer).await.is_ok()
            && answer.starts_with(b"HTTP/1.1 200")
        {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_silent_connections_keep_no_healthy_client_out_and_cost_little() {
    let folders = Folders::new();
    let program = Program::start(&folders, &[("ASKD_HEADER_TIMEOUT", "10m")]);
    let (address, count) = (program.address().await, flood());
    ask_health(address).await;
    // A run that is under way stays so.
    let mut stream = RawClient::connect(address).await;
    stream.ask(&json!({"prompt": "!say begun\n!await go\n!result late", "stream": true})).await;
    stream.until("begun").await;
    let before = program.resident();
    for sent in [&b""[..], b"GET /health HTTP/1.1\r\nhost: localhost\r\nlong: "] {
        let held = served_during(open_many(address, count, sent), async || ask_health(address).await).await;
        assert_eq!(held.len() as u64, count);
        // And while they are all there.
        for _ in 0..100 {
            tokio::time::timeout(PATIENCE, ask_health(address)).await.expect("a healthy client is served");
        }
    }
    let open = std::fs::read_dir(format!("/proc/{}/fd", program.pid())).unwrap().count();
    assert!(open <= 1024 + OTHER_FILES, "{open} open files");
    let growth = program.resident().saturating_sub(before);
    assert!(growth < 48 << 20, "{growth} bytes for 1024 connections and no more");
    folders.write("workspace/go", "");
    assert!(stream.until("event: done").await.contains("late"));
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_keep_nobody_out_of_an_encrypted_server_either() {
    let (authority, folders) = (Authority::new(), Folders::new());
    authority.issue().put(&folders);
    let at = |name: &str| folders.root().join("tls").join(name).display().to_string();
    let (cert, key) = (at("cert.pem"), at("key.pem"));
    let variables = [("ASKD_TLS_CERT", cert.as_str()), ("ASKD_TLS_KEY", &key), ("ASKD_HEADER_TIMEOUT", "10m")];
    let program = Program::start(&folders, &variables);
    let (address, client) = (program.address().await, authority.client());
    let healthy = async || loop {
        let Ok(mut one) = TlsClient::try_connect(address, &client).await else { continue };
        if one.0.write_all(HEALTH.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n").as_bytes()).await.is_ok()
            && one.rest().await.0.starts_with("HTTP/1.1 200")
        {
            return;
        }
    };
    healthy().await;
    let before = program.resident();
    // Nothing at all, and the beginning of a handshake.
    for sent in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let held = served_during(open_many(address, flood() / 4, sent), &healthy).await;
        healthy().await;
        drop(held);
    }
    let growth = program.resident().saturating_sub(before);
    assert!(growth < 64 << 20, "{growth} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_healthy_clients_is_served_in_turn_and_none_is_sent_away() {
    let server = TestServerBuilder::fake().set(|settings| settings.server.max_connections = 8).start().await;
    let address = server.address;
    let clients: Vec<_> = (0..100)
        .map(|_| {
            beside(async move {
                let mut client = RawClient::connect(address).await;
                client.send(HEALTH).await;
                client.until("\"ok\"").await;
                // It does not leave, and makes place all the same.
                client
            })
        })
        .collect();
    let mut all = Vec::new();
    for client in clients {
        all.push(client.await.unwrap());
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_connection_takes_the_place_of_the_one_that_has_waited_longest() {
    let server = TestServerBuilder::fake().set(|settings| settings.server.max_connections = 3).start().await;
    let mut first = RawClient::connect(server.address).await;
    let mut second = RawClient::connect(server.address).await;
    let mut third = RawClient::connect(server.address).await;
    for client in [&mut first, &mut second, &mut third] {
        client.send(HEALTH).await;
        client.until("\"ok\"").await;
    }
    // Whoever has asked again has not waited as long as the others.
    first.send(HEALTH).await;
    first.until("\"ok\"").await;
    let mut fourth = RawClient::connect(server.address).await;
    fourth.send(HEALTH).await;
    fourth.until("\"ok\"").await;
    // That of two that a busy server has seen answered last may be the first as well: their order is tested beside the places.
    let (rest, stays) = tokio::select! {
        rest = second.rest() => (rest, &mut third),
        rest = third.rest() => (rest, &mut second),
    };
    assert_eq!(rest, "");
    for client in [&mut first, stays, &mut fourth] {
        client.send(HEALTH).await;
        client.until("\"ok\"").await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_at_work_keeps_its_place_however_slowly_it_is_sent_or_read() {
    let server = TestServerBuilder::fake().set(|settings| settings.server.max_connections = 2).start().await;
    let mut sending = RawClient::connect(server.address).await;
    sending.head(30).await;
    let mut reading = RawClient::connect(server.address).await;
    reading.ask(&json!({"prompt": "!flood 30m", "stream": true})).await;
    reading.until("assistant").await;
    // Nobody gets a place now, so the third waits.
    let mut third = RawClient::connect(server.address).await;
    third.send(HEALTH).await;
    assert!(third.is_silent_for(Duration::from_millis(300)).await);
    sending.send("{\"prompt\":            \"hello\"}").await;
    sending.until("echo: hello").await;
    // It is idle from now on.
    third.until("\"ok\"").await;
    assert_eq!(sending.rest().await, "");
    let mut tail = String::new();
    while !tail.contains("event: done") {
        let bytes = reading.read(64 * 1024).await;
        assert!(!bytes.is_empty(), "it ended with {tail}");
        tail = String::from_utf8_lossy(&bytes).into_owned();
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_never_come_hold_places_no_longer_than_the_body_timeout() {
    let server = TestServerBuilder::fake()
        .set(|settings| {
            settings.server.max_connections = 4;
            settings.server.body_timeout = Duration::from_millis(500);
        })
        .start()
        .await;
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut client = RawClient::connect(server.address).await;
        client.head(100).await;
        slow.push(client);
    }
    ask_health(server.address).await;
    // Without a key a body is not waited for.
    for _ in 0..8 {
        let mut client = RawClient::connect(server.address).await;
        client.send("POST /ask HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{").await;
        slow.push(client);
    }
    let start = Instant::now();
    ask_health(server.address).await;
    assert!(start.elapsed() < Duration::from_secs(20), "less than a body may take without the setting");
    drop(slow);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_connection_that_idles_makes_place_as_well() {
    let authority = Authority::new();
    let builder = encrypted(&authority.issue(), None).set(|settings| settings.server.max_connections = 1);
    let server = builder.start().await;
    let mut idle = TlsClient::connect(server.address, &authority.client()).await;
    idle.health().await;
    TlsClient::connect(server.address, &authority.client()).await.health().await;
    // One that lingers after its last answer, too. So many that a slow machine is not mistaken for it.
    let (start, mut all) = (Instant::now(), Vec::new());
    for _ in 0..10 {
        let mut lingering = TlsClient::connect(server.address, &authority.client()).await;
        lingering.send("GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
        lingering.until("\"ok\"").await;
        all.push(lingering);
    }
    TlsClient::connect(server.address, &authority.client()).await.health().await;
    assert!(start.elapsed() < Duration::from_secs(40), "less than the 5 s for which each would linger");
    let (rest, _) = idle.rest().await;
    assert_eq!(rest, "");
    server.stop().await;
}
