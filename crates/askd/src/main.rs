//! The program: `serve`, `backup`, `restore`, `migrate`, `healthcheck`, `keys`, `doctor`, `demo`, `settings`, `openapi`, and
//! the hidden `__launch`, `__enter`, `__probe` and `__judge`.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use askd::ambient::Ambient;
use askd::api::openapi;
use askd::backup::{BackupError, BackupOptions, RestoreOptions};
use askd::demo::DemoError;
use askd::doctor::{self, Diagnosis, Patient};
use askd::isolation::attempts;
use askd::keys_command::KeysError;
use askd::privileges::{Settled, Standing};
use askd::runs::judge;
use askd::serve::reload::Reloader;
use askd::serve::signals::Signals;
use askd::serve::systemd::Systemd;
use askd::serve::{StartError, Stopped};
use askd::settings::{Loaded, Settings, Sources, add_flags, render_json, render_text};
use askd::store::OpenError;
use askd::{backup, demo, healthcheck, keys_command, migrate, privileges, serve, telemetry};
use clap::{Arg, ArgAction, ArgMatches, Command};
use tokio::signal::unix::{SignalKind, signal};

/// Exit code for a wrong command line, wrong settings, or the store of a later askd: what another start would not mend.
const USAGE: u8 = 2;
/// Exit code of `askd migrate --check` where there is something to do.
const DUE: u8 = 3;
/// Exit code of `askd backup` where the archive is whole but for sessions that could not be read.
const INCOMPLETE: u8 = 3;
/// Exit code of a demo that was interrupted, as shells know it.
const INTERRUPTED: u8 = 130;

/// The variables that hold the server's key.
const KEY: [&str; 2] = ["API_KEY", "API_KEY_FILE"];

fn main() -> ExitCode {
    // Before any thread exists: the guardian forks.
    if let Some(code) = supervisor::hidden_main(std::env::args_os().skip(1)) {
        return code;
    }
    if let Some(code) = attempts::hidden_main(std::env::args_os().skip(1)) {
        return code;
    }
    if let Some(code) = judge::child::hidden_main(std::env::args_os().skip(1)) {
        return code;
    }
    let matches = command().get_matches();
    let done = match matches.subcommand() {
        Some(("serve", matches)) => run_server(&Sources::of_process(matches)),
        Some(("doctor", matches)) => run_doctor(matches),
        Some(("backup", matches)) => run_backup(matches),
        Some(("restore", matches)) => run_restore(matches),
        Some(("migrate", matches)) => run_migrate(matches),
        Some(("demo", matches)) => run_demo(matches),
        Some(("healthcheck", matches)) => run_healthcheck(matches),
        Some(("keys", matches)) => run_keys(matches),
        Some(("openapi", _)) => print_openapi(),
        Some(("settings", matches)) => load(matches).and_then(|loaded| print_settings(&loaded, matches)),
        _ => Err(Failure::usage("no such command; see askd --help".into())),
    };
    match done {
        Ok(code) => code,
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
        .subcommand(backup::backup_command())
        .subcommand(backup::restore_command())
        .subcommand(migrate::command())
        .subcommand(healthcheck::command())
        .subcommand(keys_command::command())
        .subcommand(
            add_flags(Command::new("doctor").about("Says what works here, what does not, and what to do"))
                .arg(json.clone())
                .arg(
                    Arg::new("offline")
                        .long("offline")
                        .action(ArgAction::SetTrue)
                        .help("Does not try to reach the model's provider"),
                ),
        )
        .subcommand(
            Command::new("demo")
                .about("Asks a question over HTTP, answered by the real CLI and a scripted model; needs no account")
                .arg(Arg::new("question").help("What to ask"))
                .arg(Arg::new("claude-bin").long("claude-bin").help("The CLI").default_value("claude"))
                .arg(
                    Arg::new("only-model")
                        .long("only-model")
                        .action(ArgAction::SetTrue)
                        .conflicts_with("question")
                        .help("Serves the scripted model alone, writes its address, and ends with its standard input"),
                ),
        )
        .subcommand(Command::new("openapi").about("Prints the OpenAPI file of the HTTP API"))
        .subcommand(
            add_flags(Command::new("settings").about("Prints the effective settings and where they come from"))
                .arg(json),
        )
}

fn print_openapi() -> Result<ExitCode, Failure> {
    stdout().write_all(openapi::text().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn load(matches: &ArgMatches) -> Result<Loaded, Failure> {
    Settings::load(&Sources::of_process(matches)).map_err(|errors| Failure::usage(errors.to_string()))
}

fn run_server(sources: &Sources) -> Result<ExitCode, Failure> {
    let loaded = Settings::load(sources).map_err(|errors| Failure::usage(errors.to_string()))?;
    // Before the first thread: the kernel counts the user as a thread's. What only root may read has been read.
    let Settled { standing, cgroup } = privileges::settle(&loaded.settings)?;
    let (log, log_filter) = telemetry::start(&loaded.settings.logging)?;
    if let Standing::Dropped(user) = &standing {
        tracing::info!("started as root, and works as {user} from now on");
    }
    if let Some(reason) = cgroup {
        tracing::debug!("no cgroup was given to that user: {reason}");
    }
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    own_process()?;
    block_on(async {
        // First of all: from the moment that the server is announced, and before, no signal may be lost.
        let mut signals = Signals::listen()?;
        let systemd = Systemd::of(&sources.env, std::process::id());
        let preparing = serve::prepare_unless(&mut signals, loaded.settings.clone(), Ambient::system(), launcher());
        let prepared = tokio::select! {
            prepared = preparing => prepared.map_err(of_start)?,
            () = systemd.starting() => None,
        };
        let Some(server) = prepared else {
            tracing::info!("ended by a signal before the start was complete");
            return Ok(ExitCode::SUCCESS);
        };
        let (address, url) = (server.address()?, server.url()?);
        let version = server.app().runs().shared().cli.version;
        tracing::info!(%address, cli = %version, "askd listens on {url}");
        if let Some(address) = server.monitoring_address() {
            tracing::info!(%address, "metrics and health are told at {address} without a key");
        }
        server.app().runs().shared().metrics.tell_dropped_lines(log.dropped());
        let reloader = Reloader::new(sources.clone(), loaded, Box::new(move |filter| log_filter.set(filter)));
        let server = server.as_program(reloader, systemd);
        // On the heap, for its size.
        Ok(match Box::pin(server.run_with_signals(signals)).await {
            Stopped::Complete => ExitCode::SUCCESS,
            Stopped::Abandoned => ExitCode::FAILURE,
        })
    })
}

fn of_start(error: StartError) -> Failure {
    match error {
        StartError::Store(OpenError::Newer { .. } | OpenError::Url(_)) => Failure::usage(error.to_string()),
        error => error.into(),
    }
}

fn run_doctor(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let sources = Sources::of_process(matches);
    // A server's key is not needed to look at a machine, and often not at hand.
    let in_variables = sources.env.iter().any(|(name, value)| KEY.contains(&name.as_str()) && !value.is_empty());
    let as_given = Settings::load(&sources);
    let has_key = in_variables || as_given.is_ok();
    let loaded = if has_key { as_given } else { Settings::load(&sources.without_api_key()) };
    let loaded = match loaded {
        Err(errors) if matches.get_flag("json") => {
            print_diagnosis(&Diagnosis::of_settings(&errors), true)?;
            return Ok(ExitCode::from(USAGE));
        }
        loaded => loaded.map_err(|errors| Failure::usage(errors.to_string()))?,
    };
    let (patient, is_offline) = (Patient::admit(loaded, has_key), matches.get_flag("offline"));
    own_process()?;
    block_on(async {
        let diagnosis = Box::pin(doctor::examine(patient, &Ambient::system(), launcher(), is_offline)).await;
        print_diagnosis(&diagnosis, matches.get_flag("json"))?;
        Ok(if diagnosis.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

fn run_backup(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let (options, as_json) = (BackupOptions::of(matches), matches.get_flag("json"));
    if options.to.is_none() && stdout().is_terminal() {
        return Err(Failure::usage("the archive is no text for a terminal; name a file with --to, or a pipe".into()));
    }
    let settings = backup::settings(Sources::of_process(matches)).map_err(of_backup)?;
    backup::as_owner(&settings, false).map_err(of_backup)?;
    own_process()?;
    block_on(async {
        let mut signals = Signals::listen()?;
        let now = Ambient::system().now();
        let mut say = |line: &str| drop(writeln!(stderr(), "askd: {line}"));
        let backing_up = Box::pin(backup::backup(&settings, &options, now, stdout(), &mut say));
        let taken = tokio::select! {
            taken = backing_up => taken.map_err(of_backup)?,
            () = signals.next() => return Ok(ExitCode::from(INTERRUPTED)),
        };
        for warning in &taken.warnings {
            writeln!(stderr(), "askd: warning: {warning}")?;
        }
        let text = if as_json { serde_json::to_string_pretty(&taken)? } else { taken.to_string() };
        // With `--to -` the archive is what standard output has.
        if as_json && options.to.is_some() {
            writeln!(stdout(), "{text}")?;
        } else {
            writeln!(stderr(), "{text}")?;
        }
        Ok(if taken.missing_sessions > 0 { ExitCode::from(INCOMPLETE) } else { ExitCode::SUCCESS })
    })
}

fn run_restore(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let (options, as_json) = (RestoreOptions::of(matches), matches.get_flag("json"));
    let settings = backup::settings(Sources::of_process(matches)).map_err(of_backup)?;
    let archive = options.open().map_err(of_backup)?;
    backup::as_owner(&settings, true).map_err(of_backup)?;
    own_process()?;
    block_on(async {
        outlast_hangup()?;
        let restored = Box::pin(backup::restore(&settings, &options, archive, Ambient::system().now())).await;
        let restored = restored.map_err(of_backup)?;
        if as_json {
            writeln!(stdout(), "{}", serde_json::to_string_pretty(&restored)?)?;
        } else {
            writeln!(stderr(), "{restored}")?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn run_migrate(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let settings = backup::settings(Sources::of_process(matches)).map_err(of_backup)?;
    backup::as_owner(&settings, false).map_err(of_backup)?;
    own_process()?;
    block_on(async {
        outlast_hangup()?;
        let migration = migrate::migrate(&settings, matches.get_flag("check")).await.map_err(of_backup)?;
        let as_json = matches.get_flag("json");
        let text = if as_json { serde_json::to_string_pretty(&migration)? } else { migration.to_string() };
        writeln!(stdout(), "{text}")?;
        Ok(if migration.is_due() { ExitCode::from(DUE) } else { ExitCode::SUCCESS })
    })
}

/// Lets SIGHUP change nothing from here on: who has a server read its settings again sends it to the process that is named in the
/// lock of the data folder, which may be this one.
fn outlast_hangup() -> io::Result<()> {
    // It stays taken over when nobody hears it.
    signal(SignalKind::hangup()).map(drop)
}

fn of_backup(error: BackupError) -> Failure {
    match error {
        BackupError::Settings(errors) => Failure::usage(errors.to_string()),
        error => error.into(),
    }
}

/// Ends with 0 or 1, as images want it; with 2 only where clap does not take the command line.
fn run_healthcheck(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    // It asks one question: the threads of a server would cost more than that.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let is_well = runtime.block_on(healthcheck::run(matches, &mut stdout()));
    // A name that is still being looked up must not hold up the answer.
    runtime.shutdown_background();
    Ok(if is_well? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_diagnosis(diagnosis: &Diagnosis, as_json: bool) -> Result<(), Failure> {
    let text = if as_json { format!("{}\n", serde_json::to_string_pretty(diagnosis)?) } else { diagnosis.to_text() };
    Ok(stdout().write_all(text.as_bytes())?)
}

fn run_demo(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let question = matches.get_one::<String>("question").cloned();
    let claude_bin = matches.get_one::<String>("claude-bin").map(PathBuf::from).unwrap_or_default();
    own_process()?;
    block_on(async {
        let mut signals = Signals::listen()?;
        if matches.get_flag("only-model") {
            demo::model::serve(&mut signals, &mut stdout()).await?;
            return Ok(ExitCode::SUCCESS);
        }
        // On the heap: a whole server is in it.
        match Box::pin(demo::run(question, claude_bin, launcher(), &mut signals, &mut stdout())).await {
            Err(DemoError::Interrupted) => Ok(ExitCode::from(INTERRUPTED)),
            done => Ok(done.map(|()| ExitCode::SUCCESS)?),
        }
    })
}

fn run_keys(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    own_process()?;
    block_on(async {
        let done = keys_command::run(matches, &Ambient::system(), &mut stdout(), &mut stderr()).await;
        match done {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error @ (KeysError::Usage(_) | KeysError::Settings(_))) => Err(Failure::usage(error.to_string())),
            Err(error) => Err(error.into()),
        }
    })
}

/// Shuts the process off from others: before it reads a secret into a file or starts anything.
fn own_process() -> Result<(), Failure> {
    // What this process writes is its user's alone, and what its memory and environment hold is nobody's: an agent that
    // runs as the same user could read the server's keys in /proc otherwise.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    // A run may open fewer than the server, and is to have enough.
    supervisor::open_files::raise().map_err(StartError::Process)?;
    // From here on, whatever a guardian that was killed leaves behind becomes a child of this process.
    Ok(supervisor::orphans::become_subreaper().map_err(StartError::Process)?)
}

fn print_settings(loaded: &Loaded, matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let text = if matches.get_flag("json") { format!("{:#}\n", render_json(loaded)) } else { render_text(loaded) };
    stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
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
