//! A collector of traces on loopback: keeps what is sent to it, and answers as it is told.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use askd::settings::groups::Traces;
use askd::settings::otlp;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::wait::{beside, eventually};

/// Reads batches with the reference definitions.
const READER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/harness/spans.py");

/// What it does with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Take,
    /// Answers with this status and keeps nothing.
    Refuse(u16),
    /// Never answers.
    Hang,
}

/// What was sent with a batch.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// See the module. Gone with its value.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
    scheme: &'static str,
}

struct State {
    manner: Manner,
    asked: usize,
    batches: Vec<Batch>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        Self::with(None).await
    }

    /// One that is spoken to in private only.
    pub(crate) async fn encrypted(config: Arc<ServerConfig>) -> Self {
        Self::with(Some(TlsAcceptor::from(config))).await
    }

    async fn with(encryption: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { manner: Manner::Take, asked: 0, batches: Vec::new() }));
        let scheme = if encryption.is_some() { "https" } else { "http" };
        let task = beside(accept(listener, encryption, Arc::clone(&state)));
        Self { address, state, task, scheme }
    }

    /// What it answers from now on.
    pub(crate) fn be(&self, manner: Manner) {
        self.state.lock().unwrap().manner = manner;
    }

    /// Its address, as a setting.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Has a server send its traces here.
    pub(crate) fn gets(&self, traces: &mut Traces) {
        traces.collector = otlp::Collector::read(&self.url()).ok();
    }

    /// How many batches were sent, whatever became of them.
    pub(crate) fn asked(&self) -> usize {
        self.state.lock().unwrap().asked
    }

    pub(crate) fn batches(&self) -> Vec<Batch> {
        self.state.lock().unwrap().batches.clone()
    }

    /// Waits until somebody has tried to send something.
    pub(crate) async fn is_asked(&self) {
        eventually("a batch of spans", || (self.asked() > 0).then_some(())).await;
    }

    /// All that was taken, with its texts as they are in it.
    pub(crate) fn bytes(&self) -> String {
        self.batches().iter().map(|batch| String::from_utf8_lossy(&batch.body).into_owned()).collect()
    }

    /// All spans that were taken, read by the other project's definitions and well-formed.
    pub(crate) fn spans(&self, python: &Path) -> Spans {
        let folder = tempfile::tempdir().unwrap();
        let files = self.batches().into_iter().enumerate().map(|(number, batch)| {
            let path = folder.path().join(number.to_string());
            std::fs::write(&path, batch.body).unwrap();
            path
        });
        let files: Vec<_> = files.collect();
        #[expect(clippy::disallowed_methods, reason = "another project's reader")]
        let read = std::process::Command::new(python).arg(READER).args(files).output().unwrap();
        assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
        let spans = Spans(serde_json::from_slice(&read.stdout).unwrap());
        spans.are_well_formed();
        spans
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, encryption: Option<TlsAcceptor>, state: Arc<Mutex<State>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = Arc::clone(&state);
        let service = service_fn(move |request| answer(request, Arc::clone(&state)));
        let http = http1::Builder::new();
        // A client may leave as it likes.
        drop(match encryption.clone() {
            None => beside(async move { drop(http.serve_connection(TokioIo::new(stream), service).await) }),
            Some(encryption) => beside(async move {
                if let Ok(stream) = encryption.accept(stream).await {
                    drop(http.serve_connection(TokioIo::new(stream), service).await);
                }
            }),
        });
    }
}

async fn answer(request: Request<Incoming>, state: Arc<Mutex<State>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let manner = {
        let mut state = state.lock().unwrap();
        state.asked += 1;
        if state.manner == Manner::Take {
            state.batches.push(Batch { path: head.uri.path().to_owned(), headers: head.headers, body });
        }
        state.manner
    };
    let mut response = Response::new(Full::default());
    match manner {
        Manner::Take => {}
        Manner::Refuse(status) => *response.status_mut() = status.try_into().unwrap(),
        Manner::Hang => std::future::pending().await,
    }
    Ok(response)
}

/// Spans, as JSON.
#[derive(Debug)]
pub(crate) struct Spans(pub(crate) Vec<Value>);

impl Spans {
    fn are_well_formed(&self) {
        let mut ids = BTreeMap::new();
        for span in &self.0 {
            let text = |name: &str| span[name].as_str().unwrap();
            let nothing = |id: &str| id.bytes().all(|digit| digit == b'0');
            assert!(text("trace_id").len() == 32 && !nothing(text("trace_id")), "{span}");
            assert!(text("span_id").len() == 16 && !nothing(text("span_id")), "{span}");
            assert!(matches!(text("parent_id").len(), 0 | 16), "{span}");
            assert!(!text("name").is_empty() && span["kind"] != 0, "{span}");
            assert!(span["start"].as_u64().unwrap() > 0, "{span}");
            assert!(span["start"].as_u64() <= span["end"].as_u64(), "{span}");
            assert_eq!(ids.insert((text("trace_id"), text("span_id")), text("name")), None, "two spans with one id");
        }
    }

    /// The one span whose name begins so.
    pub(crate) fn one(&self, name: &str) -> &Value {
        let found = self.all(name);
        assert_eq!(found.len(), 1, "spans `{name}` in {:?}", self.names());
        found[0]
    }

    /// All whose names begin so, in the order of their beginnings.
    pub(crate) fn all(&self, name: &str) -> Vec<&Value> {
        let mut found: Vec<_> = self.0.iter().filter(|span| span["name"].as_str().unwrap().starts_with(name)).collect();
        found.sort_by_key(|span| span["start"].as_u64());
        found
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.0.iter().map(|span| span["name"].as_str().unwrap()).collect();
        names.sort_unstable();
        names
    }

    /// Whether `span` is directly below `parent`.
    pub(crate) fn is_below(span: &Value, parent: &Value) -> bool {
        span["trace_id"] == parent["trace_id"] && span["parent_id"] == parent["span_id"]
    }
}
