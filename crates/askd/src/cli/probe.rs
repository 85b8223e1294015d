//! Starts of the CLI with nothing of any run's in them: with a made-up key, which costs nothing.
//!
//! What the documentation of the CLI does not say is tried so: does it take its API key from a descriptor? The key is in a
//! pipe, and the CLI is asked, over its control protocol, where it comes from. And when runs do not start, such a start says
//! whether that is the CLI's fault ([`try_start`]).

use std::fs;
use std::io;
use std::path::Path;

use claude::command::{Invocation, Session, Sources, arguments};
use claude::environment::{CONFIG_FOLDER, KEY_DESCRIPTOR, STATE_FILE, of_home};
use claude::frame::Frame;
use claude::input::{Initialize, initialize};
use claude::permission_mode::PermissionMode;
use claude::progress::Progress;
use claude::reply::{Initialized, initialized};
use serde_json::{Map, Value};
use supervisor::confinement::Confinement;
use supervisor::input::Stdin;
use supervisor::ladder::Rung;
use supervisor::lines::Line;
use supervisor::output::Lines;
use supervisor::spawn::{Child, Launch, Limits, Secret, SpawnError, spawn};
use tokio::time::sleep;
use uuid::Uuid;

use super::health::Fault;
use crate::homes::Home;
use crate::programs::{Programs, environment, open_folder};

/// What was found out.
pub(super) struct Probed {
    pub(super) reads_key_descriptor: bool,
    /// What the CLI has written down of itself in a new home, without what it knows of folders.
    pub(super) state: Map<String, Value>,
}

/// `None` when the CLI gave no answer; then nothing is known, and another start may try again.
pub(super) async fn probe(program: &Path, programs: &Programs, home: &Home) -> Option<Probed> {
    let launch = launch(program, programs, home, "probe.json", Confinement::none()).ok()?;
    let answered = answer(launch, sleep(programs.patience)).await.ok()?;
    match answered? {
        Answer::Reply(initialized) => {
            Some(Probed { reads_key_descriptor: initialized?.api_key_source.is_some(), state: state(home) })
        }
        Answer::StartupFailure(_) => None,
    }
}

/// Starts it as a run would be started, and hears until then whether it answers. `home` is an empty one, and is not empty
/// afterwards. `Err`: it cannot be tried.
pub async fn try_start(
    program: &Path,
    programs: &Programs,
    home: &Home,
    confinement: Confinement,
    until: impl Future<Output = ()>,
) -> io::Result<Result<(), Fault>> {
    let launch = launch(program, programs, home, "start.json", confinement)?;
    Ok(match answer(launch, until).await {
        Err(error) => Fault::of_spawn(&error).map_or(Ok(()), Err),
        Ok(None) => Err(Fault::Silent),
        // A refusal is a word, too.
        Ok(Some(Answer::Reply(_))) => Ok(()),
        Ok(Some(Answer::StartupFailure(reason))) => Fault::of_startup(&reason).map_or(Ok(()), Err),
    })
}

/// What a CLI says first.
enum Answer {
    /// To the first question; `None`: it refuses.
    Reply(Option<Initialized>),
    /// Instead of an answer: why it cannot work.
    StartupFailure(String),
}

/// `None`: it said nothing in time. Afterwards nothing of it is left, and its home can go.
async fn answer(launch: Launch, until: impl Future<Output = ()>) -> Result<Option<Answer>, SpawnError> {
    let Child { mut stdin, mut lines, process, .. } = spawn(launch, Limits::default()).await?;
    let asking = async {
        // One that has ended has said why.
        drop(stdin.write_line(initialize(Initialize::default()).as_bytes()).await);
        first_word(&mut lines).await
    };
    let answered = tokio::select! {
        answered = asking => answered,
        () = until => None,
    };
    process.stop(Rung::CloseStdin, async |_: &mut Stdin| {}, Some(stdin), lines.discard()).await;
    Ok(answered)
}

fn state(home: &Home) -> Map<String, Value> {
    let text = fs::read_to_string(home.path().join(CONFIG_FOLDER).join(STATE_FILE)).unwrap_or_default();
    let mut state: Map<String, Value> = serde_json::from_str(&text).unwrap_or_default();
    state.remove("projects");
    state
}

fn launch(
    program: &Path,
    programs: &Programs,
    home: &Home,
    settings_file: &str,
    confinement: Confinement,
) -> io::Result<Launch> {
    let settings_file = home.path().join(CONFIG_FOLDER).join(settings_file);
    fs::write(&settings_file, "{}")?;
    let invocation = Invocation {
        session: Session::New(Uuid::nil()),
        permission_mode: PermissionMode::Plan,
        sources: Sources::Home,
        model: None,
        fallback_models: Vec::new(),
        effort: None,
        is_restricted: false,
        agent: None,
        tools: None,
        max_budget_usd: None,
        max_turns: None,
        deltas: false,
        has_mcp_servers: false,
        has_managed_settings: false,
        has_system_prompt: false,
        settings_file,
    };
    let mut env = environment(&programs.environment);
    // Nowhere: before it answers, the CLI would ask the provider for policies, and wait for a provider out of reach.
    env.retain(|(name, _)| name != "ANTHROPIC_BASE_URL");
    env.push(("ANTHROPIC_BASE_URL".into(), "http://127.0.0.1:9".into()));
    env.extend(of_home(home.path()).into_iter().map(|(name, value)| (name.into(), value.into())));
    Ok(Launch {
        launcher: programs.launcher.clone(),
        program: program.to_owned(),
        args: arguments(&invocation).into_iter().map(Into::into).collect(),
        env,
        cwd: open_folder(home.path())?,
        cwd_path: home.path().to_owned(),
        secret: Some(Secret { fd_variable: KEY_DESCRIPTOR.to_owned(), value: "sk-probe".to_owned().into() }),
        marker: programs.marker.of("probe"),
        confinement,
    })
}

async fn first_word(lines: &mut Lines) -> Option<Answer> {
    let mut progress = Progress::default();
    while let Some(Ok(line)) = lines.next().await {
        // What is no message is not looked at: programs print all sorts of things when they start.
        let Line::Text(line) = line else { continue };
        let Ok(frame) = Frame::parse(line) else { continue };
        if let Some(reply) = initialized(&frame) {
            return Some(Answer::Reply(reply.ok()));
        }
        progress.observe(&frame);
        let result = progress.result().or(progress.answer());
        if let Some(reason) = result.and_then(|result| result.startup_failure_reason.clone()) {
            return Some(Answer::StartupFailure(reason));
        }
    }
    None
}
