//! Through the real CLI, against the scripted model.
//!
//! A test says in the prompt what the model answers, and looks at three places: what reached the model, what the CLI
//! said of itself (`system/init`), and what the client got.

use std::path::PathBuf;
use std::time::Duration;

use scripted_model::{Ending, RecordedRequest, ScriptedModel};
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::harness::{Answer, Block, TestServer, TestServerBuilder, real_cli};

mod agents;
mod background;
mod backup;
mod bare;
mod bare_cli;
mod budgets;
mod bypass;
mod compare;
mod config;
mod config_left_out;
mod config_skips;
mod config_skips_json;
mod credentials;
mod ends;
mod environment;
mod fields;
mod first;
mod fork;
mod fresh;
mod guard;
mod guard_switch;
mod guides;
mod keys_ownership;
mod killed;
mod many;
mod mcp;
mod metrics;
mod options;
mod outcomes;
mod outside;
mod permissions;
mod policies;
mod privacy;
mod prompts;
mod reach;
mod repository;
mod resume;
mod sandbox;
mod schema;
mod settings_schema;
mod traces;
mod tutorial;
mod upstream;
mod usage;
mod v1;
mod versions;
mod warnings;

/// Each has a few processes of the real CLI, of 190 MB: on a machine of many cores not all tests go at once.
static WORLDS: Semaphore = Semaphore::const_new(8);

/// A server with the real CLI, and the model that it asks.
struct World {
    model: ScriptedModel,
    server: TestServer,
    _turn: SemaphorePermit<'static>,
}

/// No request takes longer to reach the model, unless something is broken.
const PATIENCE: Duration = Duration::from_mins(1);

impl World {
    async fn new() -> Self {
        Self::with(|server| server).await
    }

    /// With a server of its own kind.
    async fn with(change: impl FnOnce(TestServerBuilder) -> TestServerBuilder) -> Self {
        Self::of(real_cli(), change).await
    }

    /// With a CLI and a server of its own kind.
    async fn of(cli: PathBuf, change: impl FnOnce(TestServerBuilder) -> TestServerBuilder) -> Self {
        let turn = WORLDS.acquire().await.unwrap();
        let model = ScriptedModel::start().await.unwrap();
        // One try: a test of an upstream error need not wait for ten.
        let server = TestServerBuilder::real_of(cli, &model.base_url()).child_variable("CLAUDE_CODE_MAX_RETRIES", "0");
        let server = change(server).start().await;
        Self { model, server, _turn: turn }
    }

    async fn ask(&self, body: Value) -> Answer {
        self.server.ask(body).await
    }

    /// The same question in both forms: the answer in one piece, and the stream.
    async fn ask_both_ways(&self, body: Value) -> (Answer, Told) {
        tokio::join!(self.ask(body.clone()), self.told(body))
    }

    /// The question as a stream, read to its end.
    async fn told(&self, body: Value) -> Told {
        Told(self.server.stream(body).await.rest().await)
    }

    /// The newest request for a message.
    fn last_message(&self) -> RecordedRequest {
        self.model.messages().pop().expect("a message reached the model")
    }

    /// Everything that was sent to the model, to look for a text in it.
    fn sent(&self) -> String {
        let bodies = self.model.recorded().into_iter();
        bodies.map(|request| String::from_utf8_lossy(request.raw_body()).into_owned()).collect()
    }

    /// Waits until the model has been asked.
    async fn model_is_asked(&self) -> RecordedRequest {
        let asked = self.model.wait_for(RecordedRequest::is_message, PATIENCE).await;
        asked.expect("a message reaches the model")
    }

    /// Waits until the model's client has left it in the middle of an answer.
    async fn model_is_left(&self) {
        let left = self.model.wait_for(|request| request.ending() == Some(Ending::ClientLeft), PATIENCE).await;
        left.expect("the CLI leaves the model");
    }

    async fn stop(self) {
        self.server.stop().await;
        self.model.shutdown().await;
    }
}

/// A whole stream.
#[derive(Debug)]
struct Told(Vec<Block>);

impl Told {
    /// The CLI's messages.
    fn messages(&self) -> impl Iterator<Item = Value> {
        self.0.iter().filter(|block| block.event.is_none() && block.data.is_some()).map(Block::json)
    }

    /// What the CLI says of itself at the start.
    fn init(&self) -> Value {
        self.messages().find(|message| message["subtype"] == "init").expect("an init message")
    }

    /// The last result.
    fn result(&self) -> Value {
        self.messages().filter(|message| message["type"] == "result").last().unwrap_or_default()
    }

    /// The data of the event `error`.
    fn error(&self) -> Option<String> {
        let error = self.0.iter().find(|block| block.event.as_deref() == Some("error"))?;
        Some(error.json()["error"].as_str().unwrap().to_owned())
    }

    fn warnings(&self) -> Vec<&str> {
        self.0.iter().filter_map(|block| block.comment.as_deref()?.strip_prefix("warning: ")).collect()
    }

    /// The code of the event `done`, which must be the last block.
    fn code(&self) -> i64 {
        let last = self.0.last().expect("a stream that is not empty");
        assert_eq!(last.event.as_deref(), Some("done"), "{last:?}");
        last.json()["code"].as_i64().unwrap()
    }

    /// The text of a successful answer.
    fn text(&self) -> String {
        assert_eq!((self.code(), self.error()), (0, None), "{self:?}");
        self.result()["result"].as_str().unwrap().to_owned()
    }
}
