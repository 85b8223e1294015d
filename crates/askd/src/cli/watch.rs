//! Looks after the CLI while the server works: its file may be gone, or another one, and it may not start any more.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::health::{CliHealth, Fault};
use super::{Cli, CliError, accepted};
use crate::aside::Gate;
use crate::programs::Programs;

/// On a thread of its own: a mount that hangs is to cost that one thread.
static FILE: Gate = Gate::new(1, Duration::from_secs(10), 1 << 20);

/// What tells one file from another, also when it comes back under its name.
pub(super) type Identity = (u64, u64, u64, i64, i64);

/// Starts that runs have given reason for, each half a second of a processor, are at least so far apart: clients can give it.
const APART: Duration = Duration::from_secs(5);

/// Looks at the file for ever, every so often. When it is another one, when runs have given reason to doubt it, and as long as
/// it does not start, the CLI is started by `start`, with nothing of any run's in it; `None`: that could not be tried. Another
/// file is asked for its version before.
pub async fn watch<S: Future<Output = Option<Result<(), Fault>>>>(
    cli: &Cli,
    health: &CliHealth,
    programs: &Programs,
    every: impl Fn() -> Duration,
    start: impl Fn() -> S,
) {
    let (mut known, mut has_version, mut started) = (cli.file, true, None::<Instant>);
    loop {
        let every = every();
        let is_doubted = tokio::select! {
            () = sleep(every) => false,
            () = health.doubted() => true,
        };
        if let Some(started) = started.filter(|_| is_doubted) {
            sleep_until(started + APART.min(every)).await;
        }
        let program = cli.program.clone();
        let Ok(seen) = FILE.run(move || identity(&program)).await else {
            // A mount that hangs: the next run's start will say what that means.
            tracing::warn!("the file of the CLI could not be looked at; if it is on a mount, does that answer?");
            continue;
        };
        let has_changed = seen != known;
        if !has_changed && !is_doubted && !health.is_broken() {
            continue;
        }
        known = seen;
        // What has said its version need not say it again.
        let version = match seen {
            None => Err(Fault::Missing),
            Some(_) if has_version && !has_changed => Ok(()),
            Some(_) => ask(cli, programs).await,
        };
        has_version = version.is_ok();
        let found = match version {
            Ok(()) => match start().await {
                // Twice: an update may have been in the middle the first time.
                Some(Err(Fault::Missing | Fault::NotExecutable)) if answers(cli, programs).await => match start().await
                {
                    Some(Err(Fault::Missing | Fault::NotExecutable)) => Some(Err(Fault::OutOfView)),
                    again => again,
                },
                found => found,
            },
            Err(fault) => Some(Err(fault)),
        };
        started = Some(Instant::now());
        let Some(found) = found else {
            // The next row of failures gives reason again.
            tracing::warn!("whether the CLI starts could not be tried");
            continue;
        };
        if is_doubted && found.is_ok() {
            tracing::warn!("the server's own start of the CLI works: what is wrong is in the runs that do not start");
        }
        health.was_looked_at(found);
    }
}

pub(super) fn identity(program: &Path) -> Option<Identity> {
    let of = |meta: fs::Metadata| (meta.dev(), meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec());
    fs::metadata(program).ok().map(of)
}

/// Whether it can be started with nothing around it.
async fn answers(cli: &Cli, programs: &Programs) -> bool {
    programs.output(&cli.program, &["--version"]).await.is_ok()
}

/// Whether it says a version that this askd works with.
async fn ask(cli: &Cli, programs: &Programs) -> Result<(), Fault> {
    let answer = programs.output(&cli.program, &["--version"]).await;
    let answer = answer.map_err(|reason| {
        tracing::warn!(reason, "the CLI does not say its version");
        Fault::NoVersion
    })?;
    match accepted(&cli.program, &answer) {
        Ok(version) => {
            if version != cli.version {
                tracing::warn!(
                    from = %cli.version, to = %version,
                    "the CLI was replaced while the server works; restart the server, which treats it as the old one"
                );
            }
            Ok(())
        }
        Err(error) => {
            tracing::warn!(%error, "the CLI was replaced by one that cannot be used");
            Err(if matches!(error, CliError::TooOld { .. }) { Fault::TooOld } else { Fault::NoVersion })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_away_and_one_in_its_place_are_others() {
        let folder = tempfile::tempdir().unwrap();
        let (program, aside) = (folder.path().join("claude"), folder.path().join("aside"));
        fs::write(&program, "one").unwrap();
        let first = identity(&program);
        assert!(first.is_some() && first == identity(&program));
        fs::rename(&program, &aside).unwrap();
        assert_eq!(identity(&program), None);
        fs::write(&program, "two").unwrap();
        assert_ne!(identity(&program), first, "as long, and another file");
    }
}
