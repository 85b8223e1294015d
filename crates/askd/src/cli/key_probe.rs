//! Does this CLI take its API key from a descriptor? It is started with a made-up key in a pipe and asked, over its
//! control protocol, where its key comes from. No request leaves the machine.

use std::fs;
use std::path::Path;

use claude::command::{Invocation, Session, arguments};
use claude::environment::{CONFIG_FOLDER, KEY_DESCRIPTOR, of_home};
use claude::frame::Frame;
use claude::input::{Initialize, initialize};
use claude::permission_mode::PermissionMode;
use claude::reply::initialized;
use supervisor::input::Stdin;
use supervisor::ladder::Rung;
use supervisor::lines::Line;
use supervisor::output::Lines;
use supervisor::spawn::{Child, Launch, Limits, Secret, spawn};
use tokio::time::timeout;
use uuid::Uuid;

use crate::homes::Home;
use crate::programs::{Programs, environment, open_folder};

/// Any failure means no: then the key goes by variable, which every version understands.
pub(super) async fn reads_key_descriptor(program: &Path, programs: &Programs, home: &Home) -> bool {
    let Some(child) = start(program, programs, home).await else { return false };
    let Child { mut stdin, mut lines, process, .. } = child;
    let asking = async {
        stdin.write_line(initialize(Initialize::default()).as_bytes()).await.ok()?;
        api_key_source(&mut lines).await
    };
    let found = timeout(programs.patience, asking).await;
    // Afterwards nothing of it is left, and its home can go.
    process.stop(Rung::CloseStdin, async |_: &mut Stdin| {}, Some(stdin), lines.discard()).await;
    found.is_ok_and(|source| source.is_some())
}

async fn start(program: &Path, programs: &Programs, home: &Home) -> Option<Child> {
    let settings_file = home.path().join(CONFIG_FOLDER).join("probe.json");
    fs::write(&settings_file, "{}").ok()?;
    let invocation = Invocation {
        session: Session::New(Uuid::nil()),
        permission_mode: PermissionMode::Plan,
        project_config: false,
        model: None,
        agent: None,
        max_turns: None,
        deltas: false,
        has_system_prompt: false,
        settings_file,
    };
    let mut env = environment(&programs.environment);
    env.extend(of_home(home.path()).into_iter().map(|(name, value)| (name.into(), value.into())));
    let launch = Launch {
        launcher: programs.launcher.clone(),
        program: program.to_owned(),
        args: arguments(&invocation).into_iter().map(Into::into).collect(),
        env,
        cwd: open_folder(home.path()).ok()?,
        secret: Some(Secret { fd_variable: KEY_DESCRIPTOR.to_owned(), value: "sk-probe".to_owned().into() }),
        marker: programs.marker.of("probe"),
    };
    spawn(launch, Limits::default()).await.ok()
}

async fn api_key_source(lines: &mut Lines) -> Option<String> {
    while let Some(Ok(Line::Text(line))) = lines.next().await {
        if let Ok(frame) = Frame::parse(line)
            && let Some(reply) = initialized(&frame)
        {
            return reply.ok()?.api_key_source;
        }
    }
    None
}
