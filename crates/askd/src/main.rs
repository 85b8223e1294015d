//! The program: `serve`, `demo`, `settings`, and the hidden `__launch`.

use std::ffi::OsString;
use std::io::{Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use askd::ambient::Ambient;
use askd::settings::{Loaded, Settings, Sources, add_flags, render_json, render_text};
use askd::{demo, serve, telemetry};
use clap::{Arg, ArgAction, ArgMatches, Command};

/// Exit code for a wrong command line or wrong settings.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let hidden = args.by_ref().nth(1).is_some_and(|first| first == supervisor::guardian::SUBCOMMAND);
    if hidden {
        // Before any thread exists: the guardian forks.
        return supervisor::guardian::main(args);
    }
    let matches = command().get_matches();
    let done = match matches.subcommand() {
        Some(("serve", matches)) => load(matches).and_then(run_server),
        Some(("demo", matches)) => run_demo(matches),
        Some(("settings", matches)) => load(matches).and_then(|loaded| print_settings(&loaded, matches)),
        _ => Err(Failure::usage("no such command; see askd --help".into())),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            drop(writeln!(stderr(), "askd: {}", failure.message));
            ExitCode::from(failure.code)
        }
    }
}

struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    fn usage(message: String) -> Self {
        Self { message, code: USAGE }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { message: error.to_string(), code: 1 }
    }
}

fn command() -> Command {
    let json = Arg::new("json").long("json").action(ArgAction::SetTrue).help("Prints JSON");
    Command::new("askd")
        .about("An HTTP server that runs the Claude Code CLI")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(add_flags(Command::new("serve").about("Starts the server")))
        .subcommand(
            Command::new("demo")
                .about("Asks a question over HTTP, answered by the real CLI and a scripted model; needs no account")
                .arg(Arg::new("question").help("What to ask"))
                .arg(Arg::new("claude-bin").long("claude-bin").help("The CLI").default_value("claude")),
        )
        .subcommand(
            add_flags(Command::new("settings").about("Prints the effective settings and where they come from"))
                .arg(json),
        )
}

fn load(matches: &ArgMatches) -> Result<Loaded, Failure> {
    Settings::load(&Sources::of_process(matches)).map_err(|errors| Failure::usage(errors.to_string()))
}

fn run_server(loaded: Loaded) -> Result<(), Failure> {
    telemetry::start(&loaded.settings.logging);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    // What this process writes is its user's alone, and what its memory and environment hold is nobody's: an agent that
    // runs as the same user could read the server's keys in /proc otherwise.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    block_on(async {
        // From here on, whatever a guardian that was killed leaves behind becomes a child of this process.
        supervisor::orphans::become_subreaper().map_err(serve::StartError::Process)?;
        let server = serve::prepare(loaded.settings, Ambient::system(), launcher()).await?;
        let address = server.address()?;
        let version = server.app().runs().shared().cli.version;
        tracing::info!(%address, cli = %version, "askd listens on http://{address}");
        Ok(server.run_with_signals().await?)
    })
}

fn run_demo(matches: &ArgMatches) -> Result<(), Failure> {
    let question = matches.get_one::<String>("question").cloned();
    let claude_bin = matches.get_one::<String>("claude-bin").map(PathBuf::from).unwrap_or_default();
    block_on(async { Ok(demo::run(question, claude_bin, launcher(), &mut stdout()).await?) })
}

fn print_settings(loaded: &Loaded, matches: &ArgMatches) -> Result<(), Failure> {
    let text = if matches.get_flag("json") { format!("{:#}\n", render_json(loaded)) } else { render_text(loaded) };
    Ok(stdout().write_all(text.as_bytes())?)
}

/// This very executable, also after its file was replaced by a newer version.
fn launcher() -> PathBuf {
    PathBuf::from(OsString::from("/proc/self/exe"))
}

fn block_on<T>(task: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(task);
    // Blocking work that is left (a helper's file copy) must not hold up the exit.
    runtime.shutdown_background();
    result
}
