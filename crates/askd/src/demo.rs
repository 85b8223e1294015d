//! `askd demo`: what a newcomer sees in the first minute, without an account.
//!
//! A scripted model on loopback, the real CLI, askd in between: a question goes over HTTP to `POST /ask`, and the answer
//! is streamed to the terminal.

pub mod model;

use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use scripted_model::ScriptedModel;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::ambient::Ambient;
use crate::serve;
use crate::serve::signals::Signals;
use crate::settings::{Settings, Sources};

const QUESTION: &str = "What is askd?";

/// The scripted model's part, when the question is the default one.
const ANSWER: &str = "[[think:The user wants to know what they just started.]]\
    [[text:askd is an HTTP server that runs the Claude Code CLI. ]]\
    [[tool:Bash {\"command\":\"ls\"}]][[then]][[pause_ms:200]]\
    [[text:Your question went over HTTP to POST /ask; askd started the real CLI for it, in a private home, under a \
    guardian process; the CLI asked a model, which today is a script on this machine; and every line that it wrote came \
    back to you as it was written. With ANTHROPIC_API_KEY set, the same request is answered by the real model.]]";

/// Everything that can go wrong, for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Files, sockets, the terminal.
    #[error("the demo cannot go on: {0}")]
    Io(#[from] io::Error),
    /// The server did not start.
    #[error(transparent)]
    Start(#[from] serve::StartError),
    /// The settings were refused.
    #[error("the demo's settings are not valid: {0}")]
    Settings(String),
    /// The request failed.
    #[error("the request failed: {0}")]
    Request(#[from] reqwest::Error),
    /// SIGINT or SIGTERM.
    #[error("the demo was interrupted")]
    Interrupted,
    /// The answer was an error.
    #[error("the server answered {0}")]
    Answer(String),
}

/// Runs the demo and writes what happens to `terminal`.
pub async fn run(
    question: Option<String>,
    claude_bin: PathBuf,
    launcher: PathBuf,
    signals: &mut Signals,
    terminal: &mut impl Write,
) -> Result<(), DemoError> {
    let folder = Folder::create()?;
    let model = ScriptedModel::start().await?;
    let settings = settings(&folder.0, &claude_bin, &model.base_url())?;
    let key = settings.auth.api_key.clone();
    let prepared = serve::prepare_unless(signals, settings, Ambient::system(), launcher).await?;
    let server = prepared.ok_or(DemoError::Interrupted)?;
    let address = server.address()?;
    let lifecycle = server.app().lifecycle().clone();
    let shared = server.app().runs().shared();
    writeln!(terminal, "askd listens on http://{address}, with the CLI {}", shared.cli.version)?;
    let user =
        if rustix::process::geteuid().is_root() { ", and works as root, which `askd serve` refuses" } else { "" };
    writeln!(terminal, "the run's layer of isolation: {}{user}", shared.isolation.layer())?;

    let prompt = match &question {
        Some(question) => question.clone(),
        None => format!("{QUESTION}\n{ANSWER}"),
    };
    writeln!(terminal, "POST /ask {{\"prompt\": {:?}, \"stream\": true}}\n", question.as_deref().unwrap_or(QUESTION))?;
    let url = format!("http://{address}/ask");
    let asking = async {
        tokio::select! {
            asked = ask(&url, key.expose_secret(), &prompt, terminal) => {
                lifecycle.stop();
                asked
            }
            () = signals.next() => {
                lifecycle.kill();
                Err(DemoError::Interrupted)
            }
        }
    };
    let ((), asked) = tokio::join!(server.run(), asking);
    model.shutdown().await;
    asked
}

fn settings(folder: &std::path::Path, claude_bin: &std::path::Path, model: &str) -> Result<Settings, DemoError> {
    let mut env: Vec<(String, String)> = [
        ("API_KEY", "a-key-for-the-demo".to_owned()),
        ("ASKD_LISTEN", "127.0.0.1:0".to_owned()),
        // What the model does is scripted here, and the CLI may lie where root alone can reach it.
        ("ASKD_ALLOW_ROOT", "1".to_owned()),
        ("ASKD_LOG", "warn".to_owned()),
        ("ANTHROPIC_BASE_URL", model.to_owned()),
        ("ANTHROPIC_API_KEY", "sk-scripted-model".to_owned()),
        ("ASKD_CLAUDE_BIN", claude_bin.display().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    for (name, path) in [("CONFIG_DIR", "config"), ("WORKSPACE_DIR", "workspace"), ("ASKD_DATA_DIR", "data")] {
        let path = folder.join(path);
        std::fs::create_dir(&path)?;
        env.push((name.to_owned(), path.display().to_string()));
    }
    std::fs::write(folder.join("workspace/hello.txt"), "hello\n")?;
    // Nothing else of this terminal's environment reaches the CLI.
    let path = crate::settings::process_environment().into_iter().find(|(name, _)| name == "PATH");
    env.extend(path);
    let sources = Sources { env, current_dir: std::env::current_dir()?, ..Sources::default() };
    Settings::load(&sources).map(|loaded| loaded.settings).map_err(|errors| DemoError::Settings(errors.to_string()))
}

async fn ask(url: &str, key: &str, prompt: &str, terminal: &mut impl Write) -> Result<(), DemoError> {
    let request = reqwest::Client::new().post(url).header("x-api-key", key);
    let response = request.json(&json!({ "prompt": prompt, "stream": true })).send().await?;
    if !response.status().is_success() {
        return Err(DemoError::Answer(format!("{}: {}", response.status(), response.text().await?)));
    }
    let mut stream = response.bytes_stream();
    let mut pending = Vec::new();
    while let Some(chunk) = stream.next().await {
        pending.extend_from_slice(&chunk?);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            show(&String::from_utf8_lossy(&line), terminal)?;
        }
    }
    Ok(())
}

/// One line of the stream, for people.
fn show(line: &str, terminal: &mut impl Write) -> Result<(), DemoError> {
    if let Some(event) = line.strip_prefix("event: error") {
        return Err(DemoError::Answer(format!("an error{event}")));
    }
    let Some(data) = line.strip_prefix("data: ") else { return Ok(()) };
    let Ok(message) = serde_json::from_str::<Value>(data) else { return Ok(()) };
    for block in message["message"]["content"].as_array().into_iter().flatten() {
        match block["type"].as_str() {
            Some("thinking") => writeln!(terminal, "[thinks] {}", block["thinking"].as_str().unwrap_or_default())?,
            Some("text") if message["type"] == "assistant" => {
                writeln!(terminal, "{}", block["text"].as_str().unwrap_or_default())?;
            }
            Some("tool_use") => {
                let name = block["name"].as_str().unwrap_or_default();
                writeln!(terminal, "[uses {name}] {}", block["input"])?;
            }
            _ => {}
        }
    }
    if message["type"] == "result" {
        let (turns, ms) = (&message["num_turns"], &message["duration_ms"]);
        writeln!(terminal, "\n[done] {turns} turns in {ms} ms")?;
    }
    terminal.flush()?;
    Ok(())
}

/// How long, and how often, the demo's folder is tried to be removed.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(3);
const REMOVAL_PAUSE: Duration = Duration::from_millis(50);

/// A folder for the demo's files, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn create() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("askd-demo-{}", uuid::Uuid::new_v4().simple()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // After an interrupted start a guardian may still be ending what lived in there.
        let until = Instant::now() + REMOVAL_PATIENCE;
        while std::fs::remove_dir_all(&self.0).is_err_and(|error| error.kind() != io::ErrorKind::NotFound)
            && Instant::now() < until
        {
            std::thread::sleep(REMOVAL_PAUSE);
        }
    }
}
