//! The settings file of a run, as far as it follows from its request and this server.

use std::path::Path;

use claude::managed::Disable;
use claude::permission_mode::PermissionMode;
use claude::profile::Profile;
use claude::run_settings::RunSettings;
use claude::tools::not_of_restricted;
use supervisor::confinement::Access;

use super::super::RunSpec;
use super::super::ground::Ground;
use super::super::shared::Shared;
use crate::homes::Home;

/// The rules that every run has, those that it asked for, and those of the policy of its key.
pub(super) fn run_settings(shared: &Shared, spec: &RunSpec, home: &Home) -> RunSettings {
    let mut settings = RunSettings::default();
    settings.permissions.allow.extend(spec.allowed_tools.iter().cloned());
    settings.allow_own_files(home.path(), spec.session.id());
    // Never a parent of this home: a deny beats an allow, and the run could not read its own files.
    for folder in &shared.private_folders {
        settings.deny_folder(folder);
    }
    for file in &shared.private_files {
        settings.deny_file(file);
    }
    settings.deny_siblings(shared.homes.folder(), home.name());
    // So that the CLI says no by itself, rather than meet an error of the file system.
    for (folder, _) in spec.ground.additional.iter().filter(|(_, access)| *access == Access::ReadOnly) {
        if !has_writable_part(&spec.ground, folder.path()) {
            settings.deny_changes(folder.path());
        }
    }
    settings.permissions.additional_directories.clone_from(&spec.additional_directories);
    spec.terms.write_into(&mut settings);
    if spec.profile == Profile::Restricted {
        settings.permissions.deny.extend(not_of_restricted().map(str::to_owned));
    }
    if spec.permission_mode != PermissionMode::BypassPermissions {
        // An agent whose frontmatter says `bypassPermissions` would else work in that mode, with CLI 2.1.261 in `manual` and
        // `dontAsk` (checked).
        settings.permissions.disable_bypass_permissions_mode = Some(Disable::Disable);
    }
    settings
}

/// Whether a folder that is to be read has a part that may be changed: a deny beats an allow, and would cover it.
fn has_writable_part(reach: &Ground, folder: &Path) -> bool {
    let additional =
        reach.additional.iter().filter(|(_, access)| *access == Access::ReadWrite).map(|(folder, _)| folder);
    additional.chain([&reach.write_root]).any(|writable| writable.path().starts_with(folder))
}
