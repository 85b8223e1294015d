//! The running service and its handle.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use crate::bill::Bill;
use crate::record::RecordedRequest;
use crate::recorder::Recorder;
use crate::server::router;

/// How long [`ScriptedModel::shutdown`] waits for its threads.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Where a model listens and what it keeps.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address to bind; port 0 picks a free one.
    pub listen: SocketAddr,
    /// How many requests are kept.
    pub keep_requests: usize,
    /// How many bytes of request bodies are kept.
    pub keep_bytes: usize,
    /// How many threads serve.
    pub threads: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            keep_requests: 1000,
            keep_bytes: 128 * 1024 * 1024,
            threads: 1,
        }
    }
}

/// A running scripted model; dropping it ends it and every connection.
#[derive(Debug)]
pub struct ScriptedModel {
    address: SocketAddr,
    recorder: Arc<Recorder>,
    /// Its own runtime, because dropping one is what ends connections for certain.
    runtime: Option<Runtime>,
}

impl ScriptedModel {
    /// Starts on a free port of the loopback interface.
    pub async fn start() -> io::Result<Self> {
        Self::start_with(Settings::default()).await
    }

    /// Starts with `settings`.
    pub async fn start_with(settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await?.into_std()?;
        let address = listener.local_addr()?;
        let recorder = Arc::new(Recorder::new(settings.keep_requests, settings.keep_bytes));
        let service = router(Arc::clone(&recorder));
        let runtime = Builder::new_multi_thread()
            .worker_threads(settings.threads.max(1))
            .thread_name("scripted-model")
            .enable_all()
            .build()?;
        let model = Self { address, recorder, runtime: Some(runtime) };
        if let Some(runtime) = &model.runtime {
            let inside = runtime.enter();
            let listener = TcpListener::from_std(listener)?;
            drop(inside);
            // Small frames must leave at once, or pauses between them disappear.
            let listener = listener.tap_io(|connection| {
                let _ = connection.set_nodelay(true);
            });
            runtime.spawn(async move { axum::serve(listener, service).await });
        }
        Ok(model)
    }

    /// The bound address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The value for `ANTHROPIC_BASE_URL`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The newest requests, oldest first; side requests and probes included.
    pub fn recorded(&self) -> Vec<RecordedRequest> {
        self.recorder.requests()
    }

    /// The newest requests for a message, oldest first.
    pub fn messages(&self) -> Vec<RecordedRequest> {
        let mut requests = self.recorded();
        requests.retain(RecordedRequest::is_message);
        requests
    }

    /// What was billed for each model, by the name that it was asked for: the tokens of all answers that were given in full.
    pub fn bill(&self) -> BTreeMap<String, Bill> {
        self.recorder.bills()
    }

    /// Forgets the recorded requests, how often faults have struck, and the bill.
    pub fn clear(&self) {
        self.recorder.clear();
    }

    /// Waits until a recorded request matches, also by its [`RecordedRequest::ending`].
    /// Returns the oldest match, or `None` after `timeout`.
    pub async fn wait_for(
        &self,
        matches: impl Fn(&RecordedRequest) -> bool,
        timeout: Duration,
    ) -> Option<RecordedRequest> {
        self.recorder.wait_for(matches, timeout).await
    }

    /// Ends the service and every connection, and waits for that.
    pub async fn shutdown(mut self) {
        if let Some(runtime) = self.runtime.take() {
            let ended = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(SHUTDOWN));
            // It fails only when the caller's runtime ends, which ends this too.
            let _ = ended.await;
        }
    }
}

impl Drop for ScriptedModel {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A plain drop would block, and panics inside an async context.
            runtime.shutdown_background();
        }
    }
}
