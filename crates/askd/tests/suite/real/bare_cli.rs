//! The CLI by itself, without askd: what it makes of a file that askd would refuse.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use scripted_model::ScriptedModel;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::harness::real_cli;

/// Each has 190 MB.
static TURNS: Semaphore = Semaphore::const_new(4);

const PATIENCE: Duration = Duration::from_mins(1);

/// A running CLI with a home of its own. Killed when dropped.
pub(super) struct BareCli {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    home: TempDir,
    _turn: SemaphorePermit<'static>,
}

impl BareCli {
    /// Starts it with files in its home and further arguments, in which `HOME/` stands for the home.
    pub(super) async fn start(files: &[(&str, &str)], args: &[&str], model: Option<&ScriptedModel>) -> Self {
        Self::start_of(real_cli(), files, args, model).await
    }

    /// The same with this CLI.
    pub(super) async fn start_of(
        cli: PathBuf,
        files: &[(&str, &str)],
        args: &[&str],
        model: Option<&ScriptedModel>,
    ) -> Self {
        let turn = TURNS.acquire().await.unwrap();
        let home = tempfile::tempdir().unwrap();
        for (name, text) in [("work/.keep", "")].iter().chain(files) {
            let path = home.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let root = home.path().display().to_string();
        let base_url = model.map_or_else(|| "http://127.0.0.1:9".to_owned(), ScriptedModel::base_url);
        #[expect(clippy::disallowed_methods, reason = "the CLI without the server")]
        let mut command = Command::new(cli);
        command
            .args(["-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"])
            .args(["--permission-prompts=none", "--setting-sources=user", "--strict-mcp-config"])
            .args(args.iter().map(|arg| arg.replace("HOME/", &format!("{root}/"))))
            .env_clear()
            .envs([("PATH", "/usr/local/bin:/usr/bin:/bin"), ("HOME", &root), ("CLAUDE_CONFIG_DIR", &root)])
            .envs([("ANTHROPIC_API_KEY", "sk-test"), ("ANTHROPIC_BASE_URL", &base_url)])
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .current_dir(home.path().join("work"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, stdin, stdout, home, _turn: turn }
    }

    /// Asks for something of the CLI's own; the reply.
    pub(super) async fn control(&mut self, request: Value) -> Value {
        self.send(json!({"type": "control_request", "request_id": "1", "request": request})).await;
        let mut reply = self.find(|message| message["type"] == "control_response").await.expect("a reply");
        reply["response"]["response"].take()
    }

    /// Sends a message. One to a CLI that has ended is lost.
    pub(super) async fn send(&mut self, message: Value) {
        let _ = self.stdin.write_all(format!("{message}\n").as_bytes()).await;
    }

    /// A question whose answer the prompt dictates.
    pub(super) async fn ask(&mut self, prompt: &str) {
        self.send(json!({"type": "user", "session_id": "", "message": {"role": "user", "content": prompt}})).await;
    }

    /// The next message like this; `None` when the CLI ends.
    pub(super) async fn find(&mut self, is_meant: impl Fn(&Value) -> bool) -> Option<Value> {
        let found = timeout(PATIENCE, async {
            let mut line = String::new();
            loop {
                line.clear();
                if self.stdout.read_line(&mut line).await.unwrap() == 0 {
                    return None;
                }
                let message: Value = serde_json::from_str(&line).unwrap();
                if is_meant(&message) {
                    return Some(message);
                }
            }
        });
        found.await.expect("the CLI says something")
    }

    /// What `HOME/` stands for.
    pub(super) fn home_path(&self) -> String {
        format!("{}/", self.home.path().display())
    }

    /// Ends it, and waits for its end.
    pub(super) async fn end(mut self) {
        self.child.kill().await.unwrap();
        drop(self.home);
    }
}

/// What the CLI has of a `settings.json`; `None` when it has dropped it. And what it says is wrong with it, by path.
pub(super) async fn settings_in_force(text: &str) -> (Option<Value>, Vec<String>) {
    let mut cli = BareCli::start(&[("settings.json", text)], &[], None).await;
    cli.control(json!({"subtype": "initialize"})).await;
    let mut said = cli.control(json!({"subtype": "get_settings"})).await;
    cli.end().await;
    let errors = said["errors"].as_array().into_iter().flatten();
    let errors = errors.filter_map(|error| error["path"].as_str().map(str::to_owned)).collect();
    let sources = said["sources"].as_array_mut().expect("the sources of settings");
    let user = sources.iter_mut().find(|source| source["source"] == "userSettings");
    (user.map(|source| source["settings"].take()), errors)
}
