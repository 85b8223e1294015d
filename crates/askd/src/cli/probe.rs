//! What the documentation of the CLI does not say is tried: does it take its API key from a descriptor? It is started with
//! a made-up key in a pipe and asked, over its control protocol, where its key comes from.

use std::fs;
use std::path::Path;

use claude::command::{Invocation, Session, Sources, arguments};
use claude::environment::{CONFIG_FOLDER, KEY_DESCRIPTOR, STATE_FILE, of_home};
use claude::frame::Frame;
use claude::input::{Initialize, initialize};
use claude::permission_mode::PermissionMode;
use claude::reply::{Initialized, initialized};
use serde_json::{Map, Value};
use supervisor::confinement::Confinement;
use supervisor::input::Stdin;
use supervisor::ladder::Rung;
use supervisor::lines::Line;
use supervisor::output::Lines;
use supervisor::spawn::{Child, Launch, Limits, Secret, spawn};
use tokio::time::timeout;
use uuid::Uuid;

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
    let Child { mut stdin, mut lines, process, .. } = start(program, programs, home).await?;
    let asking = async {
        stdin.write_line(initialize(Initialize::default()).as_bytes()).await.ok()?;
        reply(&mut lines).await
    };
    let answered = timeout(programs.patience, asking).await.ok().flatten();
    // Afterwards nothing of it is left, and its home can go.
    process.stop(Rung::CloseStdin, async |_: &mut Stdin| {}, Some(stdin), lines.discard()).await;
    Some(Probed { reads_key_descriptor: answered?.api_key_source.is_some(), state: state(home) })
}

fn state(home: &Home) -> Map<String, Value> {
    let text = fs::read_to_string(home.path().join(CONFIG_FOLDER).join(STATE_FILE)).unwrap_or_default();
    let mut state: Map<String, Value> = serde_json::from_str(&text).unwrap_or_default();
    state.remove("projects");
    state
}

async fn start(program: &Path, programs: &Programs, home: &Home) -> Option<Child> {
    let settings_file = home.path().join(CONFIG_FOLDER).join("probe.json");
    fs::write(&settings_file, "{}").ok()?;
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
    let launch = Launch {
        launcher: programs.launcher.clone(),
        program: program.to_owned(),
        args: arguments(&invocation).into_iter().map(Into::into).collect(),
        env,
        cwd: open_folder(home.path()).ok()?,
        cwd_path: home.path().to_owned(),
        secret: Some(Secret { fd_variable: KEY_DESCRIPTOR.to_owned(), value: "sk-probe".to_owned().into() }),
        marker: programs.marker.of("probe"),
        confinement: Confinement::none(),
    };
    spawn(launch, Limits::default()).await.ok()
}

async fn reply(lines: &mut Lines) -> Option<Initialized> {
    while let Some(Ok(Line::Text(line))) = lines.next().await {
        if let Ok(frame) = Frame::parse(line)
            && let Some(reply) = initialized(&frame)
        {
            return reply.ok();
        }
    }
    None
}
