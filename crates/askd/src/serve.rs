//! From settings to a running server, and to its end.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Access;
use supervisor::leftovers;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ambient::Ambient;
use crate::app::App;
use crate::audit::Audit;
use crate::cli::{Cli, CliError};
use crate::config::Config;
use crate::config::dir::ConfigDir;
use crate::config::limits::Limits;
use crate::config::manager::Parts;
use crate::credentials::CredentialSource;
use crate::disk::free::FreeDisk;
use crate::homes::Homes;
use crate::http_server::tls::Certificates;
use crate::http_server::{self, Bounds};
use crate::isolation::place::short_name;
use crate::isolation::view::{HostView, ViewError};
use crate::isolation::{Ground, Isolation, Unisolated};
use crate::keys::Keys;
use crate::lifecycle::Lifecycle;
use crate::marker::{MARKER_VARIABLE, MarkerPrefix};
use crate::privileges::{self, PrivilegesError, Standing};
use crate::programs::Programs;
use crate::project_config::ProjectConfigPolicy;
use crate::runs::judge::{Judges, Means};
use crate::runs::limits::resources;
use crate::runs::recover::Recovered;
use crate::runs::shared::Shared;
use crate::runs::watch::Watch;
use crate::sessions::Sessions;
use crate::settings::{ProjectConfig, Settings};
use crate::small_file;
use crate::store::{OpenError, Store, StoreError};
use crate::workspaces::Workspaces;
use signals::Signals;

mod certificates;
mod configuration;
mod duties;
pub mod janitor;
pub mod places;
pub mod signals;
mod warnings;

/// A server that has its address and takes requests once it [runs](Server::run).
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    /// `None`: connections are not encrypted.
    certificates: Option<Arc<Certificates>>,
    /// Somebody wants the certificates to be looked at now.
    hangup: Arc<Notify>,
    /// Held as long as the server lives; the lock goes with it.
    _lock: File,
}

/// Why a server does not start. The texts say what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Agents would run as root: nobody has called [`privileges::settle`], or allowed it.
    #[error(
        "askd runs agents with its own rights, which are root's. Start it as an unprivileged user, set ASKD_RUN_AS to one, or \
         set ASKD_ALLOW_ROOT=1 if this machine is the agent's alone"
    )]
    Root,
    /// The server is not to work as the user that it is.
    #[error(transparent)]
    Privileges(#[from] PrivilegesError),
    /// The folders do not fit together.
    #[error("{0}")]
    Places(String),
    /// A folder cannot be used.
    #[error("cannot use {what} `{path}`: {source}; create it, or set {what} to a folder that this user may use")]
    Folder {
        /// Which one.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another server works there.
    #[error(
        "another askd (process {holder}) works in ASKD_DATA_DIR `{folder}`; use or stop that one, or give this one a \
         folder of its own"
    )]
    Locked {
        /// The folder.
        folder: PathBuf,
        /// The other's process id, as far as it is known.
        holder: String,
    },
    /// Runs would have less rules than the operator gave, or none could start.
    #[error("the configuration in CONFIG_DIR cannot be used: {0}; mend it, or move the file away")]
    Config(String),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The runs of an earlier server cannot be settled.
    #[error("cannot settle the runs of an earlier server: {0}")]
    Recover(#[from] StoreError),
    /// The CLI cannot be used.
    #[error(transparent)]
    Cli(#[from] CliError),
    /// It is there, perhaps, and nobody can say.
    #[error(
        "the Claude Code CLI `{program}` is behind `{folder}`, which the server's user cannot enter; install it where this \
         user may read it"
    )]
    ShutCli {
        /// The CLI.
        program: PathBuf,
        /// The folder that is in the way.
        folder: PathBuf,
    },
    /// Runs could not have the view that they need.
    #[error(transparent)]
    View(#[from] ViewError),
    /// Isolation is required, and there is none, or a part of it was asked for and cannot be had.
    #[error(transparent)]
    Isolation(#[from] Unisolated),
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}; choose another address with ASKD_LISTEN")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The system refuses something basic.
    #[error("cannot prepare the process: {0}")]
    Process(io::Error),
}

/// How a server came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Nothing of any run is left.
    Complete,
    /// Somebody was too impatient for that. The process is to end now; the guardians end the rest.
    Abandoned,
}

/// How long the CLI may take to say its version.
const PROBE_PATIENCE: Duration = Duration::from_secs(30);

/// [`prepare`]; `None` when a signal comes before it is done.
///
/// In a task of its own: parts of it block, and the signal is not to wait for them.
pub async fn prepare_unless(
    signals: &mut Signals,
    settings: Settings,
    ambient: Ambient,
    launcher: PathBuf,
) -> Result<Option<Server>, StartError> {
    let mut preparing = TaskTracker::new().spawn(prepare(settings, ambient, launcher));
    tokio::select! {
        prepared = &mut preparing => match prepared {
            Ok(prepared) => prepared.map(Some),
            Err(error) => Err(StartError::Process(io::Error::other(error))),
        },
        () = signals.next() => {
            preparing.abort();
            Ok(None)
        }
    }
}

/// Prepares everything and binds the address. `launcher` is the executable that answers to `__launch`.
pub async fn prepare(mut settings: Settings, ambient: Ambient, launcher: PathBuf) -> Result<Server, StartError> {
    // What can be done about it is done before there are threads, in `main`.
    if !matches!(privileges::choose(&settings)?, Standing::AsStarted | Standing::Root) {
        return Err(StartError::Root);
    }
    let data = settings.paths.data_dir.clone();
    places::check(&settings).map_err(StartError::Places)?;
    let folder = |what, path: &Path, source| StartError::Folder { what, path: path.to_owned(), source };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&data)
        .map_err(|error| folder("ASKD_DATA_DIR", &data, error))?;
    places::resolve(&mut settings);
    let data = settings.paths.data_dir.clone();
    let lock = lock(&data)?;
    let in_data = |error| folder("ASKD_DATA_DIR", &data, error);
    let marker = MarkerPrefix::of_data_dir(&data, ambient.uuid()).map_err(in_data)?;
    let config = config_dir(&settings).await?;
    let sessions = Sessions::open(&data, config.path(), settings.paths.max_session).map_err(in_data)?;
    let homes = Homes::open(&data).map_err(in_data)?;
    let records = data.join("records");
    fs::create_dir_all(&records).map_err(in_data)?;
    let workspaces = Workspaces::open(&settings.paths.workspace_dir)
        .map_err(|error| folder("WORKSPACE_DIR", &settings.paths.workspace_dir, error))?;

    // Beside each other: both wait more than they work.
    let (cleared, store) =
        tokio::join!(clear_leftovers(&records, &marker, &homes, &sessions), Store::open(&settings.store, &data));
    cleared.map_err(in_data)?;
    let store = store?;
    let programs = Programs {
        launcher: launcher.clone(),
        marker: marker.clone(),
        environment: settings.child.environment.clone(),
        folder: data.clone(),
        patience: PROBE_PATIENCE,
    };
    let home = homes.create(|| ambient.uuid()).map_err(in_data)?;
    let cli = Cli::discover(&settings, &programs, &home, &data.join("cli.json")).await;
    home.remove().map_err(in_data)?;
    let cli = cli.map_err(unusable_cli)?;
    let isolation = isolate(&settings, &cli, &programs, short_name(ambient.uuid())).await?;
    let credentials = CredentialSource::new(&settings, config.login());
    warnings::give(&settings, &credentials, &workspaces, &isolation, cli.version);

    let (listener, certificates) = listen(&settings)?;
    let project_policy = project_policy(&settings);
    let private_folders = places::private_folders(&settings);
    let private_files = places::private_files(&settings);
    let secrets = settings.secrets();
    let owner = marker.instance().to_owned();
    let (lifecycle, workspaces) = (Lifecycle::default(), Arc::new(workspaces));
    // A run has the model's credentials anyway, but clients that may read the configuration have not.
    let upstream = settings.credentials.variables().into_iter().map(|(_, value)| value);
    let credentials_and_secrets = settings.secrets().into_iter().chain(upstream).collect();
    let config = Config::new(Parts {
        dir: config,
        workspaces: Arc::clone(&workspaces),
        store: store.clone(),
        ambient: ambient.clone(),
        lifecycle: lifecycle.clone(),
        owner: owner.clone(),
        limits: Limits::new(settings.paths.max_config),
        secrets: credentials_and_secrets,
    });
    let judges = Judges::new(Means::of_server(launcher.clone(), marker.clone(), data.clone()));
    let free_disk = FreeDisk::new(data.clone(), settings.run_limits.min_free_disk);
    let audit = Audit::new(store.clone(), ambient.clone());
    let margin = settings.limits.budget_margin;
    let keys = Keys::new(store.clone(), ambient.clone(), audit.clone(), settings.models.clone(), margin);
    let app = App::new(Shared {
        store,
        keys,
        audit,
        owner,
        settings,
        ambient,
        lifecycle,
        cli,
        launcher,
        marker,
        credentials,
        secrets,
        programs,
        judges,
        config,
        sessions,
        homes,
        isolation,
        watch: Watch::default(),
        free_disk,
        records,
        workspaces,
        project_policy,
        private_folders,
        private_files,
    });
    settle_configuration(app.runs().shared()).await;
    recover(&app).await?;
    let shared = app.runs().shared();
    let (dir, limits) = (shared.config.dir().clone(), *shared.config.limits());
    app.lifecycle().spawn(configuration::warn(dir, limits));
    Ok(Server { app: Arc::new(app), listener, certificates, hangup: Arc::default(), _lock: lock })
}

impl Server {
    /// The address, with the port that was chosen.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The address as a client writes it.
    pub fn url(&self) -> io::Result<String> {
        let scheme = if self.certificates.is_some() { "https" } else { "http" };
        Ok(format!("{scheme}://{}", self.address()?))
    }

    /// The application.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Serves until the lifecycle drains, and returns when nothing of any run is left.
    pub async fn run(self) {
        let lifecycle = self.app.lifecycle().clone();
        let closing = CancellationToken::new();
        let settings = self.app.settings();
        let longest_run = settings.limits.run_queue_timeout + settings.deadlines.max_run_time;
        let bounds = Bounds { server: settings.server.clone(), longest_run };
        let routes = crate::api::router(Arc::clone(&self.app));
        let serving = http_server::serve(self.listener, routes, &bounds, self.certificates.clone(), &closing);
        self.app.runs().open();
        let living = async {
            tokio::select! {
                () = lifecycle.draining().cancelled() => {}
                () = duties::prune(&self.app) => {}
                () = duties::reap_orphans() => {}
                () = duties::settle_strays(&self.app) => {}
                () = duties::keep_uses(&self.app) => {}
            }
            duties::drain(&self.app).await;
        };
        let ending = async {
            // To the very end: what still runs keeps its lease.
            tokio::select! {
                () = living => {}
                () = duties::renew_leases(&self.app) => {}
                () = duties::watch_runs(&self.app) => {}
                () = certificates::keep(self.certificates.as_ref(), &self.hangup) => {}
            }
            lifecycle.stop();
            closing.cancel();
        };
        tokio::join!(serving, ending);
        duties::keep_last_uses(&self.app).await;
        // A database that does not answer is not waited for: all that is wanted of it is stored, or was given up.
        if timeout(settings.store.timeout, self.app.runs().shared().store.close()).await.is_err() {
            tracing::warn!("the store does not answer; it is left as it is");
        }
    }

    /// [`Self::run`], with the process's signals.
    pub async fn run_with_signals(self, signals: Signals) -> Stopped {
        let (lifecycle, hangup) = (self.app.lifecycle().clone(), Arc::clone(&self.hangup));
        tokio::select! {
            () = self.run() => Stopped::Complete,
            () = signals.handle(&lifecycle, &hangup) => Stopped::Abandoned,
        }
    }
}

/// The address, and the certificates for who connects there.
fn listen(settings: &Settings) -> Result<(TcpListener, Option<Arc<Certificates>>), StartError> {
    let address = settings.server.listen;
    let listener = http_server::listen(address).map_err(|source| StartError::Listen { address, source })?;
    Ok((listener, settings.server.tls.as_ref().map(|tls| Arc::new(Certificates::new(tls)))))
}

async fn recover(app: &App) -> Result<(), StartError> {
    let recovered = app.runs().recover().await?;
    if recovered != Recovered::default() {
        let Recovered { lost, queued, ended } = recovered;
        tracing::warn!(lost, queued, ended, "settled the runs of an earlier server");
    }
    Ok(())
}

fn project_policy(settings: &Settings) -> ProjectConfigPolicy {
    match settings.permissions.project_config {
        ProjectConfig::Auto => ProjectConfigPolicy::Auto,
        ProjectConfig::Trusted => ProjectConfigPolicy::Trusted(settings.permissions.trusted_projects.clone()),
        ProjectConfig::Off => ProjectConfigPolicy::Off,
    }
}

fn unusable_cli(error: CliError) -> StartError {
    match error {
        CliError::NotFound(program) if program.is_absolute() => match privileges::shut_on_the_way(&program) {
            Some(folder) => StartError::ShutCli { program, folder },
            None => CliError::NotFound(program).into(),
        },
        error => error.into(),
    }
}

/// The configuration of the CLI, if it can be used. It need not be there.
async fn config_dir(settings: &Settings) -> Result<ConfigDir, StartError> {
    let unusable = |path: &Path, source| StartError::Folder { what: "CONFIG_DIR", path: path.to_owned(), source };
    let config = ConfigDir::new(&settings.paths.config_dir, settings.paths.max_config);
    if !config.was_there() {
        if config.path().exists() {
            return Err(unusable(config.path(), io::ErrorKind::NotADirectory.into()));
        }
        if let Err(error) = config.path().metadata()
            && error.kind() == io::ErrorKind::PermissionDenied
        {
            return Err(unusable(&privileges::obstacle(config.path()), error));
        }
        let path = config.path().display();
        tracing::warn!("CONFIG_DIR `{path}` does not exist: runs have no agents, skills, rules or settings of yours");
    }
    if config.was_there() {
        let may = privileges::access(config.path(), Access::READ_OK | Access::EXEC_OK);
        may.map_err(|error| unusable(config.path(), error))?;
        configuration::check(&config).await?;
    }
    Ok(config)
}

/// Before anybody reads or changes it. What cannot be settled now is settled before the next change.
async fn settle_configuration(shared: &Shared) {
    match shared.config.settle().await {
        Ok(0) => {}
        Ok(changes) => tracing::warn!(changes, "settled changes of the configuration that an earlier server had begun"),
        Err(error) => tracing::error!(%error, "cannot settle changes of the configuration by an earlier server"),
    }
}

/// Finds out what can confine runs here, by trying it with what a run would be given.
async fn isolate(settings: &Settings, cli: &Cli, programs: &Programs, name: String) -> Result<Isolation, StartError> {
    let host = HostView::new(settings, &places::private_files(settings), &cli.program, &programs.launcher)?;
    let ground = Ground {
        settings,
        programs: host.programs().to_vec(),
        host,
        launcher: &programs.launcher,
        marker: &programs.marker,
        resources: resources(settings),
        folder: &programs.folder,
        name,
    };
    Ok(Box::pin(Isolation::choose(ground)).await?)
}

/// A process id is shorter.
const MAX_PID: u64 = 20;

/// Held for the server's life. Two servers in one folder would take each other's runs for leftovers and kill them.
fn lock(data: &Path) -> Result<File, StartError> {
    let unusable = |source| StartError::Folder { what: "ASKD_DATA_DIR", path: data.to_owned(), source };
    let path = data.join("lock");
    let mut file = File::options().create(true).truncate(false).write(true).open(&path).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {
            // For people: who is it?
            let noted = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
            noted.map(|()| file).map_err(unusable)
        }
        Err(fs::TryLockError::WouldBlock) => {
            let holder = small_file::read_text(&path, MAX_PID).unwrap_or_default();
            let holder = if holder.is_empty() { "unknown".to_owned() } else { holder };
            Err(StartError::Locked { folder: data.to_owned(), holder })
        }
        Err(fs::TryLockError::Error(error)) => Err(unusable(error)),
    }
}

/// Ends what an earlier server left running, then takes its transcripts back.
async fn clear_leftovers(records: &Path, marker: &MarkerPrefix, homes: &Homes, sessions: &Sessions) -> io::Result<()> {
    let swept = leftovers::sweep(records, MARKER_VARIABLE, marker.as_str()).await?;
    if swept.killed > 0 || swept.remaining > 0 {
        tracing::warn!(
            killed = swept.killed,
            remaining = swept.remaining,
            "ended what an earlier server had left running"
        );
    }
    if swept.remaining > 0 {
        return Ok(());
    }
    let cleared = homes.recover(sessions)?;
    if cleared > 0 {
        tracing::warn!(homes = cleared, "cleared away homes of runs that an earlier server had not finished");
    }
    Ok(())
}
