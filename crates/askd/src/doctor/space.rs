//! How much disk is free where the server and its runs write.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::statvfs;

use super::Check;
use crate::aside::Gate;
use crate::settings::{Settings, show_size};

const NAME: &str = "disk";

/// On threads of their own: a mount that hangs is to be told, and not to keep the doctor.
static LOOK: Gate = Gate::new(3, Duration::from_secs(5), 1 << 20);

/// Where agents work and programs put what is temporary, less than this is a warning, in bytes.
const LITTLE: u64 = 1 << 30;

/// One finding for the three places.
pub(super) async fn disk(settings: &Settings) -> Check {
    let (data, workspaces) = (settings.paths.data_dir.clone(), settings.paths.workspace_dir.clone());
    let look = |path: PathBuf| LOOK.run(move || free(&path));
    let (of_data, of_workspaces, of_temporary) =
        tokio::join!(look(data), look(workspaces), look(PathBuf::from("/tmp")));
    let minimum = settings.run_limits.min_free_disk;
    let places =
        [("ASKD_DATA_DIR", of_data, minimum), ("WORKSPACE_DIR", of_workspaces, LITTLE), ("/tmp", of_temporary, 0)];
    let mut told = Vec::new();
    for (name, free, least) in places {
        let Ok(free) = free else {
            let message = format!("the disk of {name} does not answer");
            return Check::fail(NAME, message, "if it is a mount of a network, see whether its server does");
        };
        // What is not there is said by another check.
        let Some(free) = free else { continue };
        if free < least {
            return low(name, free, least);
        }
        told.push(format!("{name} {}", show_free(free)));
    }
    Check::ok(
        NAME,
        format!("free: {}; runs are refused below {} (ASKD_MIN_FREE_DISK)", told.join(", "), show_size(minimum)),
    )
}

fn low(name: &str, free: u64, least: u64) -> Check {
    let message = format!("{} are free on the disk of {name}", show_free(free));
    if name == "ASKD_DATA_DIR" {
        let message = format!("{message}, and ASKD_MIN_FREE_DISK is {}: runs are refused", show_size(least));
        return Check::fail(NAME, message, "free some space, or lower ASKD_MIN_FREE_DISK");
    }
    Check::warn(NAME, format!("{message}: agents soon cannot write"), "free some space")
}

/// For people: whole units.
fn show_free(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.into_iter().find(|(shift, _)| bytes >> shift > 0);
    unit.map_or_else(|| format!("{bytes} bytes"), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

/// What an ordinary user may still write on the disk of a path, or of the folder in which it would be made.
fn free(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|path| path.exists())?;
    let found = statvfs(there).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[tokio::test]
    async fn less_than_must_be_free_is_a_failure_with_the_setting() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::for_testing(folder.path());
        settings.run_limits.min_free_disk = 0;
        assert_ne!(disk(&settings).await.status, Status::Fail);
        settings.run_limits.min_free_disk = u64::MAX;
        let full = disk(&settings).await;
        assert!(full.status == Status::Fail && full.message.contains("ASKD_MIN_FREE_DISK"), "{full:?}");
    }

    #[test]
    fn little_space_for_agents_is_a_warning() {
        let little = low("WORKSPACE_DIR", 5 << 20, LITTLE);
        assert!(little.status == Status::Warn && little.message.starts_with("5MiB are free"), "{little:?}");
    }
}
