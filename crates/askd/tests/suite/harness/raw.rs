//! A client below HTTP's good manners: it sends what it likes, when it likes, and reads as little as it likes.

use std::time::Duration;

use askd::settings::Settings;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const LIMIT: Duration = Duration::from_mins(1);

/// One connection.
pub(crate) struct RawClient(TcpStream);

impl RawClient {
    pub(crate) async fn connect(address: std::net::SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // A small buffer, so that a client that does not read is noticed soon.
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        Self(socket.connect(address).await.unwrap())
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Says that nothing more comes, and goes on to read.
    pub(crate) async fn end(&mut self) {
        self.0.shutdown().await.unwrap();
    }

    /// The head of `POST /ask`, with the right key.
    pub(crate) async fn head(&mut self, length: usize) {
        let key = Settings::TEST_API_KEY;
        let head = format!(
            "POST /ask HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n"
        );
        self.send(&head).await;
    }

    /// `POST /ask`; what is answered stays unread.
    pub(crate) async fn ask(&mut self, body: &Value) {
        let body = body.to_string();
        self.head(body.len()).await;
        self.send(&body).await;
    }

    /// Reads at most so many bytes at once; 0 at the end, which may also be a reset.
    pub(crate) async fn read(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; most];
        let count = tokio::time::timeout(LIMIT, self.0.read(&mut bytes)).await.expect("an answer").unwrap_or(0);
        bytes.truncate(count);
        bytes
    }

    /// Whether nothing comes for so long.
    pub(crate) async fn is_silent_for(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.0.readable()).await.is_err()
    }

    /// Everything up to the end of the connection.
    pub(crate) async fn rest(&mut self) -> String {
        let mut all = Vec::new();
        loop {
            let bytes = self.read(64 * 1024).await;
            if bytes.is_empty() {
                return String::from_utf8_lossy(&all).into_owned();
            }
            all.extend(bytes);
        }
    }

    /// Reads until what has come holds `text`; gives all of it.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        let mut all = String::new();
        while !all.contains(text) {
            let bytes = self.read(64 * 1024).await;
            assert!(!bytes.is_empty(), "the connection ended before {text:?}: {all}");
            all.push_str(&String::from_utf8_lossy(&bytes));
        }
        all
    }
}
