//! From settings to a server that has its address.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Access;
use supervisor::leftovers;
use tokio::net::TcpListener;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::lock::{self, Attempt, DataLock};
use super::signals::Signals;
use super::systemd::Systemd;
use super::{Server, StartError, configuration, monitoring, places, restored, warnings};
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
use crate::http_server;
use crate::http_server::tls::Certificates;
use crate::isolation::place::short_name;
use crate::isolation::view::HostView;
use crate::isolation::{Ground, Isolation};
use crate::keys::Keys;
use crate::lifecycle::Lifecycle;
use crate::marker::{MARKER_VARIABLE, MarkerPrefix};
use crate::metrics::Metrics;
use crate::privileges::{self, Standing};
use crate::programs::Programs;
use crate::project_config::ProjectConfigPolicy;
use crate::runs::judge::{Judges, Means};
use crate::runs::limits::resources;
use crate::runs::recover::{Recovered, Since};
use crate::runs::shared::Shared;
use crate::runs::watch::Watch;
use crate::sessions::Sessions;
use crate::settings::{InForce, ProjectConfig, Settings};
use crate::store::Store;
use crate::traces::Traces;
use crate::workspaces::Workspaces;

/// How long the CLI may take to say its version.
const PROBE_PATIENCE: Duration = Duration::from_secs(30);

/// How long a preparation that is not wanted any more may take to end.
const ABORT_PATIENCE: Duration = Duration::from_secs(3);

/// [`prepare`]; `None` when a signal comes before it is done.
pub async fn prepare_unless(
    signals: &mut Signals,
    settings: Settings,
    ambient: Ambient,
    launcher: PathBuf,
) -> Result<Option<Server>, StartError> {
    match unless(signals.next(), prepare(settings, ambient, launcher)).await {
        Ok(prepared) => prepared.transpose(),
        Err(error) => Err(StartError::Process(io::Error::other(error))),
    }
}

/// What comes of the work; `None` if it is to stop before.
///
/// In a task of its own: parts of it block, and whoever stops it is not to wait for them.
async fn unless<T: Send + 'static>(
    stop: impl Future<Output = ()>,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<Option<T>, JoinError> {
    let mut working = TaskTracker::new().spawn(work);
    tokio::select! {
        done = &mut working => done.map(Some),
        () = stop => {
            working.abort();
            // It ends what it is in the middle of, beside whoever clears up after it. What hangs is not waited for.
            let _ = timeout(ABORT_PATIENCE, working).await;
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
    // A drain does not wait for it.
    let draining = app.lifecycle().draining().clone();
    app.lifecycle().spawn(async move {
        draining.run_until_cancelled(configuration::warn(dir, limits)).await;
    });
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_stopped_in_the_middle_ends_that_before_anybody_clears_up() {
        static IS_MADE: AtomicBool = AtomicBool::new(false);
        let (first, has_begun) = oneshot::channel();
        let (stop, stopped) = mpsc::channel::<()>();
        let work = async move {
            first.send(()).unwrap();
            stopped.recv().unwrap_err();
            IS_MADE.store(true, Ordering::SeqCst);
            std::future::pending::<()>().await;
        };
        let stop = async move {
            has_begun.await.unwrap();
            drop(stop);
        };
        assert!(unless(stop, work).await.unwrap().is_none());
        assert!(IS_MADE.load(Ordering::SeqCst));
    }
}
