//! A folder of its own in which the doctor starts programs, far from the server's.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use claude::version::{MINIMUM, TESTED, Version};

use super::{Check, Status};
use super::{layers, path};
use crate::ambient::Ambient;
use crate::cli::remark::{Remark, remark};
use crate::isolation::place::{PREFIX, short_name};
use crate::isolation::report::Report;
use crate::isolation::view::HostView;
use crate::isolation::{self};
use crate::marker::MarkerPrefix;
use crate::privileges::shut_on_the_way;
use crate::programs::Programs;
use crate::runs::limits::resources;
use crate::serve::places;
use crate::settings::Settings;

/// How long a program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(30);

/// The folder is removed when this is dropped.
pub(super) struct Ground {
    settings: Settings,
    folder: PathBuf,
    name: String,
    marker: MarkerPrefix,
    programs: Programs,
    launcher: PathBuf,
}

impl Ground {
    /// In `/tmp`, or else beside the server's data, by a name that its janitor knows.
    pub(super) fn make(mut settings: Settings, ambient: &Ambient, launcher: PathBuf) -> io::Result<Self> {
        places::resolve(&mut settings);
        let name = short_name(ambient.uuid());
        let make = |folder: PathBuf| DirBuilder::new().mode(0o700).create(&folder).and_then(|()| folder.canonicalize());
        let folder = make(Path::new("/tmp").join(format!("askd-doctor-{name}")))
            .or_else(|_| make(settings.paths.data_dir.join(format!("{PREFIX}doctor-{name}"))))?;
        let marker = MarkerPrefix::of_data_dir(&folder, ambient.uuid()).inspect_err(|_| remove(&folder))?;
        let programs = Programs {
            launcher: launcher.clone(),
            marker: marker.clone(),
            environment: settings.child.environment.clone(),
            folder: folder.clone(),
            patience: PATIENCE,
        };
        Ok(Self { settings, folder, name, marker, programs, launcher })
    }

    /// Looks for the CLI; where it is.
    pub(super) async fn cli(&self, checks: &mut Vec<Check>) -> Option<PathBuf> {
        let name = &self.settings.paths.claude_bin;
        let Some(program) = self.settings.child.find_program(name) else {
            if let Some(shut) = name.is_absolute().then(|| shut_on_the_way(name)).flatten() {
                let (name, shut) = (name.display(), shut.display());
                let message = format!("the Claude Code CLI `{name}` is behind `{shut}`, which the user cannot enter");
                checks.push(Check::fail("cli", message, "install it where this user may read it"));
                return None;
            }
            let message = format!("the Claude Code CLI `{}` was not found", name.display());
            let hint = format!(
                "install it (npm install -g @anthropic-ai/claude-code@{TESTED}), mount it there if this is a container, or set \
                 ASKD_CLAUDE_BIN to its path"
            );
            checks.push(Check::fail("cli", message, hint));
            return None;
        };
        let shown = program.display();
        let output = self.programs.output(&program, &["--version"]).await;
        checks.push(match output.as_deref().map(Version::parse) {
            Ok(Some(version)) if version < MINIMUM => {
                Check::fail("cli", format!("`{shown}` is {version}, and {MINIMUM} is needed"), "update it")
            }
            Ok(Some(version)) => match remark(version) {
                None => Check::ok("cli", format!("`{shown}` is {version}")),
                Some(Remark { message, hint }) => Check::warn("cli", format!("`{shown}`: {message}"), hint),
            },
            Ok(None) => Check::fail(
                "cli",
                format!("`{shown} --version` printed no version"),
                "set ASKD_CLAUDE_BIN to the Claude Code CLI",
            ),
            Err(error) => Check::fail(
                "cli",
                format!("`{shown} --version` failed: {error}"),
                "see whether the user can start it; it needs its interpreter and the folders on the way",
            ),
        });
        Some(program)
    }

    /// Tries every layer. `gives_cgroup`: the server would still be root when it comes to its cgroup.
    pub(super) async fn isolation(
        &self,
        program: Option<PathBuf>,
        gives_cgroup: bool,
        checks: &mut Vec<Check>,
    ) -> Option<Report> {
        let settings = &self.settings;
        checks.push(self.bubblewrap().await);
        // Without the CLI the layers can be tried all the same.
        let cli = program.unwrap_or_else(|| PathBuf::from("/bin/sh"));
        let host = match HostView::new(settings, &places::private_files(settings), &cli, &self.launcher) {
            Ok(host) => host,
            Err(error) => {
                checks.push(Check::fail("view", error.to_string(), "the server does not start before that is solved"));
                return None;
            }
        };
        checks.push(path::path(settings, &host));
        checks.extend(host.masked_alone().iter().map(|file| {
            let message = format!("`{}` may hold secrets and lies in a folder which runs need", file.display());
            let hint = "keep secret files in a folder of their own: once this one is replaced by renaming, runs that are under \
                        way may read it";
            Check::warn("secret_files", message, hint)
        }));
        checks.extend(host.seen_elsewhere().iter().map(|folder| {
            let message = format!("`{}` shows something that is hidden, and holds what runs need", folder.display());
            Check::warn("second_mounts", message, "mount it where nothing else is, or not at all")
        }));
        let ground = isolation::Ground {
            settings,
            programs: host.programs().to_vec(),
            host,
            launcher: &self.launcher,
            marker: &self.marker,
            resources: resources(settings),
            folder: &self.folder,
            name: self.name.clone(),
        };
        let report = isolation::survey(&ground).await;
        checks.extend(layers::judge(settings.isolation.policy, &report));
        checks.push(layers::cgroup(&settings.isolation.cgroup, gives_cgroup));
        Some(report)
    }

    async fn bubblewrap(&self) -> Check {
        let name = "bubblewrap";
        let wanted = &self.settings.isolation.bwrap_bin;
        let Some(program) = self.settings.child.find_program(wanted) else {
            let is_there = wanted.is_absolute() && wanted.exists();
            let what = if is_there { "is no executable file" } else { "is not there" };
            let message = format!("the program `{}` {what}", wanted.display());
            return Check::warn(name, message, "install bubblewrap, or set ASKD_BWRAP_BIN to its path");
        };
        match self.programs.output(&program, &["--version"]).await {
            Ok(version) => Check::ok(name, format!("`{}` is {}", program.display(), version.trim())),
            Err(error) => {
                let message = format!("`{} --version` failed: {error}", program.display());
                Check { status: Status::Warn, ..Check::warn(name, message, "install bubblewrap 0.8.0 or newer") }
            }
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        tracing::warn!(folder = %folder.display(), %error, "cannot remove a temporary folder");
    }
}
