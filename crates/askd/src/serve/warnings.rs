//! What works and is probably not meant, or has to be known: for the log, at every start.

use rustix::fs::Access;

use crate::credentials::CredentialSource;
use crate::isolation::{Isolation, Layer};
use crate::privileges;
use crate::settings::Settings;
use crate::workspaces::Workspaces;

/// A socket's path has at most 107 bytes, and the CLI allows itself 103; `homes/` and the rest take 42.
const LONGEST_DATA_DIR: usize = 61;

/// Looks for all of it.
pub(super) fn give(
    settings: &Settings,
    credentials: &CredentialSource,
    workspaces: &Workspaces,
    isolation: &Isolation,
) {
    if !settings.server.listen.ip().is_loopback() {
        tracing::warn!("listening beyond this machine, and without TLS: put a proxy with TLS in front");
    }
    if rustix::process::geteuid().is_root() {
        let means = match isolation.layer() {
            Layer::None => "whatever a model decides to do, it may do",
            Layer::Bubblewrap | Layer::Landlock => "nothing but their isolation is between them and the machine",
        };
        tracing::warn!("agents run as root (ASKD_ALLOW_ROOT): {means}");
    }
    for file in &settings.paths.private_files {
        if file.canonicalize().is_ok_and(|file| file.starts_with(workspaces.path())) {
            let file = file.display();
            tracing::warn!("`{file}` holds secrets and lies in WORKSPACE_DIR: a run that works beside it can read it");
        }
    }
    if settings.paths.data_dir.as_os_str().len() > LONGEST_DATA_DIR {
        tracing::warn!(
            "the path of ASKD_DATA_DIR is longer than {LONGEST_DATA_DIR} bytes: the CLI keeps a socket of each run in its \
             home, and in a shared folder below /tmp where that path would be too long"
        );
    }
    about_credentials(settings, credentials);
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
