//! The program with the real CLI, as a process of its own.

use std::net::SocketAddr;
use std::process::Command;

use askd::settings::Settings;
use rustix::process::Signal;
use scripted_model::ScriptedModel;
use serde_json::Value;

use crate::harness::{Answer, Folders, Program, Stream, marked_processes, real_cli};

/// The program, and how it is reached.
pub(super) struct Outside {
    pub(super) program: Program,
    address: SocketAddr,
    client: reqwest::Client,
}

impl Outside {
    /// Starts it over the folders; by `command`, if there is one.
    pub(super) async fn start(
        folders: &Folders,
        model: &ScriptedModel,
        command: Option<Command>,
        variables: &[(&str, &str)],
    ) -> Self {
        let (cli, base_url) = (real_cli().display().to_string(), model.base_url());
        let mut all = vec![
            ("ASKD_CLAUDE_BIN", cli.as_str()),
            ("ANTHROPIC_BASE_URL", base_url.as_str()),
            ("ANTHROPIC_API_KEY", "sk-test-key"),
        ];
        all.extend_from_slice(variables);
        let program = match command {
            Some(command) => Program::start_by(command, folders, &all),
            None => Program::start(folders, &all),
        };
        let address = program.address().await;
        Self { program, address, client: reqwest::Client::new() }
    }

    async fn post(&self, body: &Value) -> reqwest::Response {
        let url = format!("http://{}/ask", self.address);
        self.client.post(url).header("x-api-key", Settings::TEST_API_KEY).json(body).send().await.unwrap()
    }

    pub(super) async fn ask(&self, body: Value) -> Answer {
        Answer::of(self.post(&body).await).await
    }

    pub(super) async fn stream(&self, mut body: Value) -> Stream {
        body["stream"] = true.into();
        Stream::of(self.post(&body).await)
    }

    /// Ends it by its signal and checks that it leaves nothing.
    pub(super) async fn stop(mut self, folders: &Folders) {
        self.program.signal(Signal::TERM);
        assert!(self.program.ended().await.success(), "{}", self.program.log());
        assert_eq!(folders.list("data/homes"), [""; 0], "homes are left");
        assert_eq!(folders.list("data/records"), [""; 0], "records are left");
        assert_eq!(marked_processes(&folders.data()), [0; 0], "processes are left");
    }
}
