//! Clears away what was left in the data folder: homes of runs that could not be cleared up, and files and folders of
//! ours that were needed for a moment only.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use supervisor::identity::ProcessId;
use supervisor::leftovers;
use supervisor::records::RunRecord;

use crate::app::App;
use crate::disk::{removal, scratch};
use crate::marker::MARKER_VARIABLE;
use crate::runs::RunId;

/// What is needed for a moment only is left over when it is older.
const LEFT_OVER_AFTER: Duration = Duration::from_hours(1);

/// What the names of such files end with: written beside, and then renamed.
const UNFINISHED: &str = ".new";

/// What the names of such folders begin with: where isolation is tried out.
const PROBE: &str = "probe-";

/// Clears away once. The server does it at its start and every hour.
pub async fn clear(app: &Arc<App>) {
    let there = Arc::clone(app);
    match tokio::task::spawn_blocking(move || (clear_homes(&there), clear_temporary(&there), clear_cgroups(&there)))
        .await
    {
        Ok((homes, temporary, cgroups)) => {
            report(homes, "homes that earlier runs had left");
            report(temporary, "temporary files that were left");
            report(cgroups, "cgroups that earlier runs had left");
        }
        Err(error) => tracing::error!(%error, "clearing away what was left failed"),
    }
}

fn report(cleared: io::Result<usize>, what: &str) {
    match cleared {
        Ok(0) => {}
        Ok(count) => tracing::warn!(count, "cleared away {what}"),
        Err(error) => tracing::warn!(%error, "cannot clear away {what}"),
    }
}

/// Homes without a run, if no process of a run that has ended is alive: it might write there.
fn clear_homes(app: &App) -> io::Result<usize> {
    let (runs, shared) = (app.runs(), app.runs().shared());
    let running: BTreeSet<String> = shared.watch.runs().into_iter().map(|run| run.to_string()).collect();
    let mut records = RunRecord::list(&shared.records)?;
    records.retain(|record| !running.contains(&record.id));
    let processes = records.iter().flat_map(|record| [record.identity.guardian, record.identity.child]);
    if processes.into_iter().any(ProcessId::exists) {
        return Ok(0);
    }
    let prefix = shared.marker.as_str();
    let of_ended = |marker: &String| !marker.strip_prefix(prefix).is_some_and(|run| running.contains(run));
    if leftovers::alive(MARKER_VARIABLE, prefix)?.iter().any(of_ended) {
        return Ok(0);
    }
    for record in records {
        RunRecord::remove(&shared.records, &record.id)?;
    }
    shared.homes.clear(&shared.sessions, |session| runs.hold_session(session))
}

/// Cgroups that could not be removed at the end of their runs: a process that the kernel did not let go was in them.
fn clear_cgroups(app: &App) -> io::Result<usize> {
    let (runs, shared) = (app.runs(), app.runs().shared());
    shared.isolation.clear_cgroups(|name| {
        // Asked after the cgroup was seen: it is made for a run that lives, and a run is watched until its cgroup goes.
        RunId::parse(name).is_some_and(|run| runs.live(run).is_some() || shared.watch.runs().contains(&run))
    })
}

fn clear_temporary(app: &App) -> io::Result<usize> {
    let (data, now) = (&app.settings().paths.data_dir, SystemTime::from(app.runs().shared().ambient.now()));
    let mut cleared = clear_folder(data, now, |name| name.ends_with(UNFINISHED) || name.starts_with(PROBE))?;
    for folder in ["owners", "records"] {
        cleared += clear_folder(&data.join(folder), now, |name| name.ends_with(UNFINISHED))?;
    }
    // Of backups to a pipe that were killed.
    Ok(cleared + scratch::sweep(data))
}

fn clear_folder(folder: &Path, now: SystemTime, is_temporary: impl Fn(&str) -> bool) -> io::Result<usize> {
    let mut cleared = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // It may be renamed at this moment.
        let Ok(metadata) = fs::symlink_metadata(entry.path()) else { continue };
        // One that is younger than the look itself is in use.
        let age = metadata.modified().and_then(|at| now.duration_since(at).map_err(io::Error::other));
        let is_old = age.is_ok_and(|age| age >= LEFT_OVER_AFTER);
        if !is_old || !entry.file_name().to_str().is_some_and(&is_temporary) {
            continue;
        }
        let path = entry.path();
        match if metadata.is_dir() { removal::remove(&path) } else { fs::remove_file(&path) } {
            Ok(()) => cleared += 1,
            // It must not keep all others.
            Err(error) => tracing::warn!(path = %path.display(), %error, "cannot clear away what was left"),
        }
    }
    Ok(cleared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_cleared_away_does_not_keep_the_rest() {
        let data = tempfile::tempdir().unwrap();
        for number in 0..20 {
            fs::write(data.path().join(format!("{number}.new")), "").unwrap();
        }
        let modified = fs::metadata(data.path().join("7.new")).unwrap().modified().unwrap();
        // Gone between the look and the removal, which fails.
        let is_ours = |name: &str| name != "7.new" || fs::remove_file(data.path().join(name)).is_ok();
        assert_eq!(clear_folder(data.path(), modified + LEFT_OVER_AFTER * 2, is_ours).unwrap(), 19);
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_was_needed_for_a_moment_goes_when_it_is_old() {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir_all(data.path().join("probe-1/home")).unwrap();
        for file in ["probe-1/home/canary", "instance-id.new", "instance-id", "renewed"] {
            fs::write(data.path().join(file), "").unwrap();
        }
        let is_ours = |name: &str| name.ends_with(UNFINISHED) || name.starts_with(PROBE);
        let modified = fs::metadata(data.path().join("renewed")).unwrap().modified().unwrap();
        // Before: the clock was read first.
        for now in [modified - Duration::from_secs(1), modified, modified + LEFT_OVER_AFTER / 2] {
            assert_eq!(clear_folder(data.path(), now, is_ours).unwrap(), 0);
        }
        assert_eq!(clear_folder(data.path(), modified + LEFT_OVER_AFTER * 2, is_ours).unwrap(), 2);
        let mut left: Vec<_> = fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["instance-id", "renewed"]);
    }
}
