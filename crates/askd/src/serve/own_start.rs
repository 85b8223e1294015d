//! The server's own start of the CLI: as a run would be started, with nothing of any run's in it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::app::App;
use crate::cli::health::Fault;
use crate::cli::{probe, watch};
use crate::homes::Home;
use crate::isolation::Layer;
use crate::isolation::view::{Reach, RunView};
use crate::runs::limits::resources;
use crate::runs::shared::Shared;
use crate::workspaces::Workspaces;
use claude::environment::TEMP_FOLDER;
use supervisor::confinement::Confinement;

/// Looks after the CLI, for ever.
pub(super) async fn watch_cli(app: &Arc<App>) {
    let shared = app.runs().shared();
    let every = || shared.settings.now().health.cli_check_every;
    watch::watch(&shared.cli, &shared.cli_health, &shared.programs, every, || start(Arc::clone(app))).await;
}

/// `None`: it could not be tried.
async fn start(app: Arc<App>) -> Option<Result<(), Fault>> {
    let (tell, told) = oneshot::channel();
    let there = Arc::clone(&app);
    // A task that the end waits for: whoever drops a start does not see the end of what was started.
    app.lifecycle().spawn(async move {
        let found = try_start(there.runs().shared()).await;
        // Nobody wants it when the server drains.
        drop(tell.send(found));
    });
    match told.await.ok()? {
        Ok(found) => Some(found),
        Err(error) => {
            tracing::warn!(%error, "cannot prepare a start of the CLI");
            None
        }
    }
}

async fn try_start(shared: &Shared) -> io::Result<Result<(), Fault>> {
    let (homes, ambient) = (shared.homes.clone(), shared.ambient.clone());
    let home = spawn_blocking(move || homes.create(|| ambient.uuid())).await.map_err(io::Error::other)??;
    let found = match confinement(shared, &home) {
        Ok((program, confinement)) => {
            // As long as a run has. On a machine that is too busy for that, no run would begin either.
            let (patience, draining) = (shared.settings.now().deadlines.first_output, shared.lifecycle.draining());
            let until = async {
                tokio::select! {
                    () = sleep(patience) => {}
                    () = draining.cancelled() => {}
                }
            };
            probe::try_start(&program, &shared.programs, &home, confinement, until).await
        }
        Err(error) => {
            tracing::warn!(%error, "the view of a run cannot be put together");
            Ok(Err(Fault::View))
        }
    };
    let removed = spawn_blocking(move || home.remove()).await.map_err(io::Error::other)?;
    if let Err(error) = removed {
        // The janitor tries again.
        tracing::warn!(%error, "cannot remove the home of the server's own start of the CLI");
    }
    found
}

/// The confinement of a run that has no folder but its home.
fn confinement(shared: &Shared, home: &Home) -> io::Result<(PathBuf, Confinement)> {
    let own = || Workspaces::open(home.path()).and_then(|own| own.folder("").map_err(io::Error::other));
    let reach = Reach { workspace: own()?, write_root: own()?, additional: Vec::new() };
    let view = RunView { home: home.path(), temporary: &home.path().join(TEMP_FOLDER), reach: &reach, login: None };
    let mut confinement = shared.isolation.confinement(&view)?;
    confinement.resources = resources(&shared.settings.now());
    let program = match shared.isolation.layer() {
        Layer::None => shared.cli.program.clone(),
        Layer::Bubblewrap | Layer::Landlock => shared.cli.program.canonicalize()?,
    };
    Ok((program, confinement))
}
