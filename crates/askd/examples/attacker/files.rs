//! Files and folders of others.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat};

use crate::Outcome;

/// The deepest tree that is made.
const MOST_LEVELS: usize = 10_000;
/// So much of a file is shown.
const SHOWN: u64 = 400;

pub(crate) fn read(file: &str) -> Outcome {
    let mut start = Vec::new();
    File::open(file)?.take(SHOWN).read_to_end(&mut start)?;
    Ok(String::from_utf8_lossy(&start).into_owned())
}

pub(crate) fn list(folder: &str) -> Outcome {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    // An empty folder is what a mask looks like.
    if names.is_empty() { Err("there is nothing in it".into()) } else { Ok(names.join(" ")) }
}

pub(crate) fn write(file: &str) -> Outcome {
    let mut file = File::options().append(true).create(true).open(file)?;
    file.write_all(b"attacked\n")?;
    Ok("written".into())
}

/// A second name keeps the file's rights, and may lie where more is allowed.
pub(crate) fn link(file: &str, name: &str) -> Outcome {
    fs::hard_link(file, name)?;
    let found = read(name);
    fs::remove_file(name)?;
    found
}

/// For whoever follows it later with other rights.
pub(crate) fn symlink(file: &str, name: &str) -> Outcome {
    fs::create_dir_all(Path::new(name).parent().ok_or("no folder")?)?;
    std::os::unix::fs::symlink(file, name)?;
    Ok("planted".into())
}

/// Writes what is there already, so that the host is not changed where nothing stops it.
pub(crate) fn rewrite(file: &str) -> Outcome {
    let text = fs::read(file)?;
    File::options().write(true).open(file)?.write_all(&text)?;
    Ok("written".into())
}

/// By its path: no right to open it is asked for.
pub(crate) fn truncate(file: &str) -> Outcome {
    let length = fs::metadata(file)?.len();
    nix::unistd::truncate(file, i64::try_from(length)?)?;
    Ok(format!("{length} bytes"))
}

pub(crate) fn remove(file: &str) -> Outcome {
    fs::remove_file(file)?;
    Ok("removed".into())
}

pub(crate) fn take_away(file: &str, name: &str) -> Outcome {
    fs::rename(file, name)?;
    read(name)
}

pub(crate) fn make(folder: &str) -> Outcome {
    fs::create_dir(folder)?;
    Ok("made".into())
}

/// So that it never gets old.
pub(crate) fn date(file: &str) -> Outcome {
    let far = UNIX_EPOCH + Duration::from_hours(24 * 365 * 100);
    File::options().append(true).open(file)?.set_modified(far)?;
    Ok("dated".into())
}

/// For whoever walks through it by recursion, by paths, or with a descriptor open for each level.
pub(crate) fn deep(folder: &str, levels: usize) -> Outcome {
    fs::create_dir_all(folder)?;
    let open = |place: &OwnedFd, name: &str| openat(place, name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty());
    let mut place = rustix::fs::open(folder, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    for _ in 0..levels.min(MOST_LEVELS) {
        mkdirat(&place, "folder", Mode::RWXU)?;
        place = open(&place, "folder")?;
    }
    mkdirat(&place, "locked", Mode::RWXU)?;
    mkdirat(open(&place, "locked")?, "inside", Mode::empty())?;
    rustix::fs::chmodat(&place, "locked", Mode::empty(), AtFlags::empty())?;
    Ok(format!("{levels} levels"))
}

pub(crate) fn mode(file: &str) -> Outcome {
    let mode = fs::metadata(file)?.permissions();
    fs::set_permissions(file, mode)?;
    Ok("changed".into())
}

/// Folders are what counts: the kernel resolves `..` of one from outside of the view as if there were no view.
pub(crate) fn descriptors() -> Outcome {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")?.flatten() {
        let Ok(number) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let target = fs::read_link(entry.path()).unwrap_or_default().to_string_lossy().into_owned();
        // The one that lists the others, and the standard ones.
        if number <= 2 || target.starts_with("/proc/") {
            continue;
        }
        let path = format!("/proc/self/fd/{number}");
        let escaped = fs::metadata(&path).is_ok_and(|it| it.is_dir()) && leave(&path).is_ok();
        found.push(format!("{number} {target}{}", if escaped { " left by .." } else { "" }));
    }
    if found.is_empty() { Err("there are none".into()) } else { Ok(found.join(", ")) }
}

/// Enters a folder by its descriptor, goes up, and makes a file there.
fn leave(descriptor: &str) -> Result<(), Box<dyn std::error::Error>> {
    let folder = rustix::fs::open(descriptor, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    rustix::process::fchdir(&folder)?;
    File::create("../attacked")?;
    Ok(())
}
