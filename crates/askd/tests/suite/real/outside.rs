//! The program with the real CLI, as a process of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use askd::settings::Settings;
use rustix::process::Signal;
use scripted_model::ScriptedModel;
use serde_json::Value;

use crate::harness::{
    Answer, Folders, Program, Stream, UNPRIVILEGED, launcher, marked_processes, place_program, real_cli, unprivileged,
};

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
            // As it comes: what runs get where nobody chooses.
            ("ASKD_ISOLATION", ""),
        ];
        all.extend_from_slice(variables);
        let program = match command {
            Some(command) => Program::start_by(command, folders, &all),
            None => Program::start(folders, &all),
        };
        let address = program.address().await;
        Self { program, address, client: reqwest::Client::new() }
    }

    /// Starts it as a user without rights, in folders that this user owns.
    pub(super) async fn unprivileged(folders: &Folders, model: &ScriptedModel, variables: &[(&str, &str)]) -> Self {
        if rustix::process::geteuid().is_root() {
            folders.give_to(UNPRIVILEGED);
        }
        let command = unprivileged(&reachable(&launcher(), folders));
        let cli = reachable(&real_cli(), folders).display().to_string();
        let usual = [("ASKD_CLAUDE_BIN", cli.as_str()), ("ASKD_ALLOW_ROOT", "")];
        Self::start(folders, model, Some(command), &[&usual, variables].concat()).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        let request = self.client.get(format!("http://{}{path}", self.address));
        Answer::by(request.header("x-api-key", Settings::TEST_API_KEY)).await
    }

    async fn post(&self, body: &Value) -> reqwest::Response {
        let url = format!("http://{}/ask", self.address);
        self.client.post(url).header("x-api-key", Settings::TEST_API_KEY).json(body).send().await.unwrap()
    }

    pub(super) async fn ask(&self, body: Value) -> Answer {
        Answer::to("POST", self.post(&body).await).await
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

/// A program that a user without rights can execute, wherever the checkout lies.
fn reachable(program: &Path, folders: &Folders) -> PathBuf {
    let there = folders.root().join("bin").join(program.file_name().unwrap());
    fs::create_dir_all(there.parent().unwrap()).unwrap();
    place_program(program, &there);
    there
}
