//! What works and is probably not meant, or has to be known: for the log, at every start.

use claude::version::Version;
use rustix::fs::Access;

use crate::cli::remark::{Remark, remark};
use crate::credentials::CredentialSource;
use crate::isolation::protection::Protection;
use crate::isolation::{Isolation, Layer};
use crate::privileges;
use crate::serve::places;
use crate::settings::{IsolationPolicy, Settings};
use crate::workspaces::Workspaces;

/// A socket's path has at most 107 bytes, and the CLI allows itself 103; `homes/` and the rest take 42.
const LONGEST_DATA_DIR: usize = 61;

/// Looks for all of it.
pub(super) fn give(
    settings: &Settings,
    credentials: &CredentialSource,
    workspaces: &Workspaces,
    isolation: &Isolation,
    cli: Version,
) {
    if let Some(Remark { message, hint }) = remark(cli) {
        tracing::warn!("{message}; {hint}");
    }
    about_encryption(settings);
    if rustix::process::geteuid().is_root() {
        let means = match isolation.layer() {
            Layer::None => "whatever a model decides to do, it may do",
            Layer::Bubblewrap | Layer::Landlock => "nothing but their isolation is between them and the machine",
        };
        tracing::warn!("agents run as root (ASKD_ALLOW_ROOT): {means}");
    }
    for folder in isolation.host().seen_elsewhere() {
        let folder = folder.display();
        tracing::warn!(
            "`{folder}` shows something that runs are not to see, and cannot be hidden: what they need lies there"
        );
    }
    let groups = privileges::powerful_groups();
    if !groups.is_empty() {
        let means = match isolation.layer() {
            Layer::None => "an agent may use them",
            Layer::Bubblewrap | Layer::Landlock => "what they open and the isolation does not hide, an agent may use",
        };
        let groups = groups.join(", ");
        tracing::warn!("the server's user is in groups that are as good as root on many machines ({groups}): {means}");
    }
    for file in &settings.paths.private_files {
        if file.canonicalize().is_ok_and(|file| file.starts_with(workspaces.path())) {
            let file = file.display();
            tracing::warn!("`{file}` holds secrets and lies in WORKSPACE_DIR: a run that works beside it can read it");
        }
    }
    if let Some(home) = places::home_in_workspaces(settings) {
        let home = home.display();
        tracing::warn!("the home `{home}` of the server's user lies in WORKSPACE_DIR: runs can read and change it");
    }
    if let Err(error) = privileges::may_work_in(workspaces.path()) {
        let path = workspaces.path().display();
        tracing::warn!("the server's user can write nothing in WORKSPACE_DIR `{path}` ({error}): agents can only read");
    }
    about_limits(settings, isolation);
    if settings.paths.data_dir.as_os_str().len() > LONGEST_DATA_DIR {
        tracing::warn!(
            "the path of ASKD_DATA_DIR is longer than {LONGEST_DATA_DIR} bytes: the CLI keeps a socket of each run in its \
             home, and in a shared folder below /tmp where that path would be too long"
        );
    }
    about_credentials(settings, credentials);
}

fn about_encryption(settings: &Settings) {
    let Some(tls) = &settings.server.tls else {
        if !settings.server.listen.ip().is_loopback() {
            tracing::warn!(
                "listening beyond this machine without TLS: keys, prompts and answers travel in the clear, unless a proxy in \
                 front encrypts them; set ASKD_TLS_CERT and ASKD_TLS_KEY, or put such a proxy in front"
            );
        }
        return;
    };
    for (name, path) in tls.files.named() {
        if let Err(error) = privileges::access(path, Access::READ_OK) {
            let path = path.display();
            tracing::warn!(
                %error,
                "the server's user cannot read `{path}` ({name}), which was read before it became this user: a new certificate \
                 will count only after a restart; let this user read the file"
            );
        }
    }
}

/// What was set and has no effect.
fn about_limits(settings: &Settings, isolation: &Isolation) {
    let in_force = &isolation.of_run().in_force;
    if settings.run_limits.cpu_percent.is_some() && !in_force.contains(&Protection::CgroupCpu) {
        tracing::warn!(
            "ASKD_MAX_CPU_PERCENT is not kept: only a cgroup with the controller `cpu` bounds it, and runs have none \
             (see ASKD_CGROUP)"
        );
    }
    let bwrap = &settings.isolation.bwrap_bin;
    if settings.isolation.policy != IsolationPolicy::Off
        && bwrap.is_absolute()
        && settings.child.find_program(bwrap).is_none()
    {
        let bwrap = bwrap.display();
        tracing::warn!("ASKD_BWRAP_BIN `{bwrap}` is no file that can be executed: runs are not isolated by bubblewrap");
    }
}

fn about_credentials(settings: &Settings, credentials: &CredentialSource) {
    if credentials.uses_login() {
        tracing::warn!(
            "using the CLI's stored login from CONFIG_DIR. It is meant for ordinary use by the one person it belongs \
             to: do not serve others with it. Project configuration is off, since it could send the login elsewhere"
        );
        // The CLI refreshes its token now and then, and the old one is worthless then.
        if let Err(error) = privileges::access(&settings.paths.config_dir, Access::WRITE_OK | Access::EXEC_OK) {
            tracing::warn!(
                %error,
                "the stored login cannot be replaced in CONFIG_DIR by the server's user: once the CLI refreshes it, it is lost"
            );
        }
    } else if settings.credentials.is_empty() && settings.child.get("ANTHROPIC_BASE_URL").is_none() {
        tracing::warn!("no credential for the model is set; set ANTHROPIC_API_KEY, or runs will fail");
    }
    if settings.credentials.claude_code_oauth_token.is_some() {
        tracing::warn!("CLAUDE_CODE_OAUTH_TOKEN is one person's token: do not serve others with it");
    }
}
