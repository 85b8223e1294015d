//! Clients that take their answer as slowly as they can without ever stopping.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::routing::get;
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::task::JoinHandle;

use super::socket::closed;
use super::*;
use crate::settings::Settings;

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_mins(10);

fn bounds_of(server: Server, longest_run: Duration) -> Bounds {
    Bounds {
        server,
        longest_run: LongestRun::new(longest_run),
        leaving: CancellationToken::new(),
        counts: Counts::of(&Metrics::default()),
    }
}

/// Serves one connection at a time.
async fn start(longest_run: Duration, last_byte_timeout: Duration) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
    let mut server = Settings::for_testing(std::path::Path::new("/nonexistent")).server;
    (server.max_connections, server.write_timeout, server.last_byte_timeout) = (1, LONG, last_byte_timeout);
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    let endless = move || async move { Body::from_stream(stream::repeat(Ok::<_, Infallible>(piece))) };
    let whole = async || Body::from(vec![b'x'; 64 << 20]);
    let routes = Router::new().route("/endless", get(endless)).route("/whole", get(whole)).route("/", get("hello"));
    let (listener, closing) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), CancellationToken::new());
    let (address, bounds, token) = (listener.local_addr().unwrap(), bounds_of(server, longest_run), closing.clone());
    let serving = TaskTracker::new().spawn(async move { serve(listener, routes, &bounds, None, &token).await });
    (address, closing, serving)
}

async fn asked(address: SocketAddr, path: &str) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    client
}

/// Takes a little again and again; the next client is served all the same.
async fn is_dropped(path: &str, longest_run: Duration, last_byte_timeout: Duration) {
    let (address, closing, serving) = start(longest_run, last_byte_timeout).await;
    let mut trickling = asked(address, path).await;
    let trickle = async {
        let mut bytes = [0; 64];
        while trickling.read(&mut bytes).await.is_ok_and(|count| count > 0) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let next = async {
        let mut answer = [0; 15];
        asked(address, "/").await.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
    };
    tokio::select! {
        () = trickle => panic!("the end must come while much is still unread"),
        served = timeout(Duration::from_secs(20), next) => served.expect("a place for the next client"),
    }
    closing.cancel();
    serving.await.unwrap();
}

#[tokio::test]
async fn a_complete_answer_must_be_taken_in_time_however_steadily_it_is_read() {
    is_dropped("/whole", LONG, SHORT).await;
}

#[tokio::test]
async fn no_answer_lasts_for_ever() {
    is_dropped("/endless", SHORT, SHORT).await;
}

#[tokio::test]
async fn a_large_answer_that_is_taken_in_time_is_complete() {
    let (address, closing, serving) = start(LONG, LONG).await;
    let mut client = asked(address, "/whole").await;
    let (mut all, mut bytes) = (0, vec![0; 1 << 20]);
    while all < 64 << 20 {
        all += timeout(LONG, client.read(&mut bytes)).await.unwrap().unwrap();
    }
    drop(client);
    closing.cancel();
    serving.await.unwrap();
}

#[tokio::test]
async fn what_goes_with_a_request_lasts_until_its_answer_is_taken_or_its_client_leaves() {
    let server = Settings::for_testing(std::path::Path::new("/nonexistent")).server;
    let (sender, mut requests) = tokio::sync::mpsc::unbounded_channel();
    let whole = async move |Extension(until): Extension<Until>| {
        let (held, dropped) = tokio::sync::oneshot::channel::<()>();
        until.answered(held);
        sender.send(dropped).unwrap();
        // All of it is there at once, so that only the socket is waited for.
        Body::from(vec![b'x'; 64 << 20])
    };
    let routes = Router::new().route("/", get(whole));
    let (listener, closing) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), CancellationToken::new());
    let (address, bounds, token) = (listener.local_addr().unwrap(), bounds_of(server, LONG), closing.clone());
    let serving = TaskTracker::new().spawn(async move { serve(listener, routes, &bounds, None, &token).await });
    let mut bytes = vec![0; 1 << 20];
    for takes_all in [true, false] {
        let mut client = asked(address, "/").await;
        let mut received = client.read(&mut bytes).await.unwrap();
        let mut dropped = requests.recv().await.unwrap();
        assert!(dropped.try_recv().is_err_and(|error| error == TryRecvError::Empty));
        while takes_all && received < 64 << 20 {
            received += client.read(&mut bytes).await.unwrap();
        }
        // Who has received all of it may stay.
        let kept = takes_all.then_some(client);
        assert!(timeout(LONG, dropped).await.unwrap().is_err(), "received: {takes_all}");
        drop(kept);
    }
    closing.cancel();
    serving.await.unwrap();
}

#[tokio::test]
async fn only_the_end_is_taken_for_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let mut left = std::pin::pin!(closed(&stream));
    let soon = Duration::from_millis(50);
    // Unread bytes and urgent ones are no end, and waiting beside them does not spin: the clock goes on.
    client.write_all(b"unread").await.unwrap();
    assert!(timeout(soon, &mut left).await.is_err());
    rustix::net::send(&client, b"!", rustix::net::SendFlags::OOB).unwrap();
    assert!(timeout(soon, &mut left).await.is_err());
    client.shutdown().await.unwrap();
    timeout(LONG, left).await.unwrap();
}
