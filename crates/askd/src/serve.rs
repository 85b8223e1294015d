//! From settings to a running server, and to its end.

use std::fs::{self, DirBuilder};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::fs::Access;
use supervisor::leftovers;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ambient::Ambient;
use crate::app::App;
use crate::audit::Audit;
use crate::cli::health::CliHealth;
use crate::cli::{Cli, CliError};
use crate::config::Config;
use crate::config::dir::ConfigDir;
use crate::config::limits::Limits;
use crate::config::manager::Parts;
use crate::credentials::{self, CredentialSource};
use crate::disk::free::FreeDisk;
use crate::homes::Homes;
use crate::http_server::tls::Certificates;
use crate::http_server::{self, Bounds, Counts, LongestRun};
use crate::isolation::place::short_name;
use crate::isolation::view::{HostView, ViewError};
use crate::isolation::{Ground, Isolation, Unisolated};
use crate::keys::Keys;
use crate::lifecycle::Lifecycle;
use crate::marker::{MARKER_VARIABLE, MarkerPrefix};
use crate::metrics::Metrics;
use crate::privileges::{self, PrivilegesError, Standing};
use crate::programs::Programs;
use crate::project_config::ProjectConfigPolicy;
use crate::runs::judge::{Judges, Means};
use crate::runs::limits::resources;
use crate::runs::queue::Occupancy;
use crate::runs::recover::{Recovered, Since};
use crate::runs::shared::Shared;
use crate::runs::watch::Watch;
use crate::sessions::Sessions;
use crate::settings::{InForce, ProjectConfig, Settings};
use crate::store::{OpenError, Store, StoreError};
use crate::traces::{Traces, TracesError};
use crate::workspaces::Workspaces;
use lock::{Attempt, DataLock};
use reload::{Reloader, Reloading};
use signals::Signals;
use systemd::Systemd;

mod certificates;
mod configuration;
mod drain;
mod duties;
pub mod janitor;
pub mod lock;
mod monitoring;
mod own_start;
pub mod places;
pub mod reload;
pub mod restored;
pub mod signals;
pub mod systemd;
mod warnings;

/// A server that has its address and takes requests once it [runs](Server::run).
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    /// Where monitoring is answered without a key.
    monitoring: Option<TcpListener>,
    /// `None`: connections are not encrypted.
    certificates: Option<Arc<Certificates>>,
    /// Somebody wants settings and certificates to be read again now.
    hangup: Arc<Notify>,
    /// `None`: the settings are from nowhere that could be read again.
    reloader: Option<Arc<Reloader>>,
    systemd: Systemd,
    /// Held as long as the server lives; the lock goes with it.
    _lock: DataLock,
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
    /// They are settled, and nobody would know: the next server would take new runs for old ones.
    #[error(
        "cannot remove `restored.json` in ASKD_DATA_DIR: {0}; remove it, or each start ends the runs that wait as lost"
    )]
    Restored(io::Error),
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
    /// The same of the address for the monitoring.
    #[error("cannot listen on {address}: {source}; choose another address with ASKD_METRICS_LISTEN")]
    ListenForMetrics {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// Traces cannot be sent.
    #[error(transparent)]
    Traces(#[from] TracesError),
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
#[expect(
    clippy::too_many_lines,
    reason = "every part of a server is made here, once, in the order in which they need each other"
)]
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
    let lock = lock(&data).await?;
    let in_data = |error| folder("ASKD_DATA_DIR", &data, error);
    let restored = restored::at_start(&data).map_err(in_data)?;
    // Before anything of a later askd's is touched.
    Store::refuse_newer_file(&settings.store, &data).await?;
    let marker = MarkerPrefix::of_data_dir(&data, ambient.uuid()).map_err(in_data)?;
    let config = config_dir(&settings).await?;
    let sessions = Sessions::open(&data, config.path(), settings.paths.max_session).map_err(in_data)?;
    let homes = Homes::open(&data).map_err(in_data)?;
    let records = data.join("records");
    fs::create_dir_all(&records).map_err(in_data)?;
    let workspaces = Workspaces::open(&settings.paths.workspace_dir)
        .map_err(|error| folder("WORKSPACE_DIR", &settings.paths.workspace_dir, error))?;

    let metrics = Metrics::new(settings.metrics.max_models, settings.metrics.max_keys);
    clear_leftovers(&records, &marker, &homes, &sessions).await.map_err(in_data)?;
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
    // After the CLI: a store that this server has brought up to date is of no use to the one that it cannot replace.
    let store = Store::open_measured(&settings.store, &data, metrics.clone()).await?;
    let isolation = isolate(&settings, &cli, &programs, short_name(ambient.uuid())).await?;
    let credentials = CredentialSource::new(&settings, config.login());
    warnings::give(&settings, &credentials, &workspaces, &isolation, cli.version);

    let (listener, certificates) = listen(&settings, &metrics)?;
    let monitoring = monitoring::listen(&settings)?;
    let project_policy = project_policy(&settings);
    let private_folders = places::private_folders(&settings);
    let private_files = places::private_files(&settings);
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
    let judges = Judges::new(Means::of_server(launcher.clone(), marker.clone(), data.clone()), metrics.clone());
    let free_disk = FreeDisk::new(data.clone(), settings.run_limits.min_free_disk);
    let audit = Audit::new(store.clone(), ambient.clone());
    let settings = InForce::new(settings);
    let traces =
        Traces::new(&settings.now().traces, credentials::provider(&settings.now()), ambient.clone(), &metrics)?;
    let keys = Keys::new(store.clone(), ambient.clone(), audit.clone(), settings.clone());
    let app = App::new(Shared {
        store,
        keys,
        audit,
        owner,
        settings,
        ambient,
        lifecycle,
        cli,
        cli_health: CliHealth::default(),
        launcher,
        marker,
        credentials,
        programs,
        judges,
        config,
        sessions,
        homes,
        traces,
        isolation,
        metrics,
        watch: Watch::default(),
        free_disk,
        records,
        workspaces,
        project_policy,
        private_folders,
        private_files,
    });
    settle_configuration(app.runs().shared()).await;
    recover(&app, restored).await?;
    let shared = app.runs().shared();
    let (dir, limits) = (shared.config.dir().clone(), *shared.config.limits());
    app.lifecycle().spawn(configuration::warn(dir, limits));
    Ok(Server {
        app: Arc::new(app),
        listener,
        monitoring,
        certificates,
        hangup: Arc::default(),
        reloader: None,
        systemd: Systemd::default(),
        _lock: lock,
    })
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

    /// As a program of its own, which a service manager has started and an operator sends signals to.
    #[must_use]
    pub fn as_program(self, reloader: Reloader, systemd: Systemd) -> Self {
        Self { reloader: Some(Arc::new(reloader)), systemd, ..self }
    }

    /// The address of the monitoring, if it has one.
    pub fn monitoring_address(&self) -> Option<SocketAddr> {
        self.monitoring.as_ref()?.local_addr().ok()
    }

    /// The application.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Serves until the lifecycle drains, and returns when nothing of any run is left.
    pub async fn run(self) {
        Box::pin(self.run_counted(&OnceLock::new())).await;
    }

    /// [`Self::run`]. `before`: what works and waits when it begins to drain, if somebody counts it.
    async fn run_counted(self, before: &OnceLock<Occupancy>) {
        let lifecycle = self.app.lifecycle().clone();
        let closing = CancellationToken::new();
        let settings = self.app.settings();
        let longest_run = LongestRun::new(settings.limits.run_queue_timeout + settings.deadlines.max_run_time);
        let bounds = Bounds {
            server: settings.server.clone(),
            longest_run: longest_run.clone(),
            leaving: lifecycle.leaving().clone(),
            counts: Counts::of(&self.app.runs().shared().metrics),
        };
        let (reloader, certificates, systemd) = (self.reloader, self.certificates.clone(), self.systemd);
        let reloading = Reloading { app: &self.app, reloader, certificates, longest_run, systemd: systemd.clone() };
        let routes = crate::api::router(Arc::clone(&self.app));
        // What is large is on the heap: it would be moved over the stack several times.
        let serving = Box::pin(http_server::serve(self.listener, routes, &bounds, self.certificates.clone(), &closing));
        self.app.runs().open();
        let living = async {
            tokio::select! {
                () = lifecycle.draining().cancelled() => {}
                () = duties::prune(&self.app) => {}
                () = duties::reap_orphans() => {}
                () = duties::settle_strays(&self.app) => {}
                () = duties::keep_uses(&self.app) => {}
                () = own_start::watch_cli(&self.app) => {}
            }
            // Without runs the drain may be over before `keep` has its turn.
            systemd.stopping();
            drain::drain(&self.app, before.get().copied()).await;
        };
        let ending = Box::pin(async {
            // To the very end: what still runs keeps its lease.
            tokio::select! {
                () = living => {}
                () = duties::renew_leases(&self.app) => {}
                () = duties::watch_runs(&self.app) => {}
                () = reloading.keep(&self.hangup) => {}
            }
            lifecycle.stop();
            closing.cancel();
        });
        let all_ended = CancellationToken::new();
        let to_the_end = async {
            tokio::join!(serving, Box::pin(monitoring::serve(self.monitoring, &self.app, &closing)), ending);
            duties::keep_last_uses(&self.app).await;
            all_ended.cancel();
        };
        let ended = async {
            // Longer than everything that has a span.
            tokio::join!(to_the_end, self.app.runs().shared().traces.export(&all_ended, lifecycle.killing()));
            // A database that does not answer is not waited for: all that is wanted of it is stored, or was given up.
            if timeout(settings.store.timeout, self.app.runs().shared().store.close()).await.is_err() {
                tracing::warn!("the store does not answer; it is left as it is");
            }
        };
        tokio::select! {
            biased;
            () = ended => {}
            // Longest of all: whoever hears nothing for a while kills it.
            () = systemd.keep(&self.app) => {}
        }
    }

    /// [`Self::run`], with the process's signals.
    pub async fn run_with_signals(self, signals: Signals) -> Stopped {
        let (lifecycle, hangup) = (self.app.lifecycle().clone(), Arc::clone(&self.hangup));
        let settings = self.app.runs().shared().settings.clone();
        let delay = move || settings.now().stopping.drain_delay;
        let (app, before) = (Arc::clone(&self.app), OnceLock::new());
        let drain = || {
            // Once; a moment later what waits has begun to go.
            before.get_or_init(|| app.runs().occupancy());
            lifecycle.drain();
        };
        tokio::select! {
            // On the heap: a future of this size is moved over the stack several times, which keeps what it once had.
            () = Box::pin(self.run_counted(&before)) => Stopped::Complete,
            () = signals.handle(&lifecycle, &hangup, delay, drain) => Stopped::Abandoned,
        }
    }
}

/// The address, and the certificates for who connects there.
fn listen(settings: &Settings, metrics: &Metrics) -> Result<(TcpListener, Option<Arc<Certificates>>), StartError> {
    let address = settings.server.listen;
    let listener = http_server::listen(address).map_err(|source| StartError::Listen { address, source })?;
    Ok((
        listener,
        settings.server.tls.as_ref().map(|tls| Arc::new(Certificates::new(tls, metrics.certificate_expiry.clone()))),
    ))
}

/// `restored`: the store is that of a backup, and what waited then may have been run since.
async fn recover(app: &App, restored: Option<restored::Note>) -> Result<(), StartError> {
    let since = restored.map_or(Since::Restart, |restored| Since::Backup(restored.created_at));
    let recovered = app.runs().recover(&since).await?;
    if let Since::Backup(created_at) = since {
        tracing::warn!(created_at, "the store is that of a backup: no run that had not ended then is run again");
        restored::settled(&app.settings().paths.data_dir).map_err(StartError::Restored)?;
    }
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

/// Held for the server's life. Two servers in one folder would take each other's runs for leftovers and kill them.
async fn lock(data: &Path) -> Result<DataLock, StartError> {
    let unusable = |source| StartError::Folder { what: "ASKD_DATA_DIR", path: data.to_owned(), source };
    let folder = data.to_owned();
    let taken = spawn_blocking(move || lock::take(&folder)).await.map_err(io::Error::other).flatten();
    match taken.map_err(unusable)? {
        Attempt::Taken(lock) => Ok(lock),
        Attempt::Held(holder) => Err(StartError::Locked { folder: data.to_owned(), holder }),
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
