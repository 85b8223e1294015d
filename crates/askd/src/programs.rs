//! Short programs that askd runs for itself: `claude --version`, the API key helper.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use supervisor::confinement::Confinement;
use supervisor::input::Stdin;
use supervisor::ladder::Rung;
use supervisor::lines::Line;
use supervisor::output::Lines;
use supervisor::process::{Exit, Process};
use supervisor::spawn::{Child, Graces, Launch, Limits, spawn};
use tokio::time::timeout;

use crate::credentials::RunHelper;
use crate::marker::MarkerPrefix;

/// Output beyond this is an error: these programs print a line.
const MAX_OUTPUT: usize = 64 * 1024;

/// How to start programs.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The executable that answers to `__launch`.
    pub launcher: PathBuf,
    /// How processes of this server are recognised.
    pub marker: MarkerPrefix,
    /// The environment they get; nothing is inherited.
    pub environment: Vec<(String, SecretString)>,
    /// The folder they run in.
    pub folder: PathBuf,
    /// How long they may take.
    pub patience: Duration,
}

impl Programs {
    /// Runs a program to its end; gives what it printed, or what went wrong for a person.
    pub async fn output(&self, program: &Path, args: &[&str]) -> Result<String, String> {
        let launch = Launch {
            launcher: self.launcher.clone(),
            program: program.to_owned(),
            args: args.iter().map(OsString::from).collect(),
            env: environment(&self.environment),
            cwd: open_folder(&self.folder)
                .map_err(|error| format!("cannot enter `{}`: {error}", self.folder.display()))?,
            cwd_path: self.folder.clone(),
            secret: None,
            marker: self.marker.of("program"),
            confinement: Confinement::none(),
        };
        let graces = Graces { term: Duration::from_secs(1), kill: Duration::from_secs(1), ..Graces::default() };
        let limits = Limits { max_line_bytes: MAX_OUTPUT, graces, ..Limits::default() };
        let child = spawn(launch, limits).await.map_err(|error| error.to_string())?;
        let Child { stdin, mut lines, process, .. } = child;
        drop(stdin);
        let collected = timeout(self.patience, collect(&mut lines, &process)).await;
        // Also what it has started, and also when it was too slow: afterwards nothing of it is left.
        process.stop(Rung::Term, async |_: &mut Stdin| {}, None, lines.discard()).await;
        collected.unwrap_or_else(|_| Err(format!("did not end within {:?}", self.patience)))
    }
}

async fn collect(lines: &mut Lines, process: &Process) -> Result<String, String> {
    let mut output = String::new();
    while let Some(line) = lines.next().await {
        match line.map_err(|error| error.to_string())? {
            Line::Text(text) => output.push_str(&text),
            Line::NotUtf8 { .. } => return Err("printed something that is not UTF-8".into()),
        }
        output.push('\n');
        if output.len() > MAX_OUTPUT {
            return Err(format!("printed more than {MAX_OUTPUT} bytes"));
        }
    }
    match process.wait_exit().await {
        Exit::Code(0) => Ok(output),
        exit => Err(format!("ended with {}", describe(exit))),
    }
}

impl RunHelper for Programs {
    async fn run(&self, command: &str) -> Result<String, String> {
        self.output(Path::new("/bin/sh"), &["-c", command]).await
    }
}

/// An exit in words.
pub fn describe(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit code {code}"),
        Exit::Signal(signal) => format!("signal {signal}"),
        Exit::Unknown => "an unknown exit status".into(),
    }
}

/// The form that the supervisor takes.
pub fn environment(variables: &[(String, SecretString)]) -> Vec<(OsString, OsString)> {
    variables.iter().map(|(name, value)| (name.into(), value.expose_secret().into())).collect()
}

/// Opens a folder to run in.
pub fn open_folder(path: &Path) -> std::io::Result<OwnedFd> {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, rustix::fs::Mode::empty())?)
}
