//! What is looked at without starting anything: the user, folders, credentials, the address.

use std::io;
use std::path::Path;

use rustix::fs::Access;

use super::{Check, Patient};
use crate::config::dir::ConfigDir;
use crate::config::limits::Limits;
use crate::config::standing;
use crate::credentials::CredentialSource;
use crate::privileges::{self, BEHIND_A_SHUT_FOLDER, Standing, access, shut_on_the_way};
use crate::serve::places;
use crate::settings::Settings;

/// Everything that needs no process.
pub(super) fn before(patient: &Patient) -> Vec<Check> {
    let settings = &patient.settings;
    let mut checks = vec![user(patient)];
    checks.extend(groups(&privileges::powerful_groups()));
    checks.push(key(patient));
    checks.extend(patient.warnings.iter().map(|warning| Check::warn("settings", warning, remedy(warning))));
    if let Err(wrong) = places::check(settings) {
        checks.push(Check::fail("folders", wrong, "the server does not start with folders that lie like this"));
    }
    checks.push(workspace_dir(settings));
    checks.extend(places::home_in_workspaces(settings).map(|home| {
        let message = format!("the home `{}` lies in WORKSPACE_DIR: runs can read and change it", home.display());
        Check::warn("home", message, "let WORKSPACE_DIR be a folder for the agents alone")
    }));
    checks.push(config_dir(settings));
    checks.extend(configuration(settings));
    checks.push(data_dir(patient));
    checks.push(credential(settings));
    checks.push(secret_key(settings));
    checks.push(listen(settings));
    checks.extend(metrics(settings));
    checks
}

/// What to do about a setting that is probably not meant.
fn remedy(warning: &str) -> &'static str {
    if warning.starts_with("`ASKD_ALLOWED_HOSTS`") {
        "e.g. ASKD_ALLOWED_HOSTS=askd.example.com"
    } else if warning.starts_with("`API_KEY`") {
        "take a long random one, e.g. that of `openssl rand -hex 24`"
    } else {
        "docs/reference/settings.md says what it means, `askd settings` where its value comes from"
    }
}

fn user(patient: &Patient) -> Check {
    let uid = rustix::process::geteuid().as_raw();
    match &patient.standing {
        Ok(Standing::Dropped(user)) => {
            Check::ok("user", format!("started as root, the server and its agents become {user}"))
        }
        Ok(Standing::AsStarted) => {
            Check::ok("user", format!("the server and its agents are uid {uid}, who started it"))
        }
        Ok(Standing::Root) => Check::warn(
            "user",
            "agents run as root (ASKD_ALLOW_ROOT): whatever a layer does not hold back, a model may do",
            "set ASKD_RUN_AS to an unprivileged user and remove ASKD_ALLOW_ROOT",
        ),
        Err(error) => Check::fail("user", error, "what follows was tried by the user who started this"),
    }
}

fn groups(powerful: &[String]) -> Option<Check> {
    if powerful.is_empty() {
        return None;
    }
    let message = format!("the user is in groups that are as good as root on many machines: {}", powerful.join(", "));
    let hint = "let the server work as a user of its own that is in none of them; with ASKD_RUN_AS=USER it has the user's \
                primary group alone";
    Some(Check::warn("groups", message, hint))
}

fn key(patient: &Patient) -> Check {
    if patient.has_key {
        return Check::ok("api_key", "API_KEY is set");
    }
    Check::fail("api_key", "API_KEY is not set", "set API_KEY or API_KEY_FILE; the server needs it to start")
}

fn workspace_dir(settings: &Settings) -> Check {
    let (name, path) = ("workspace_dir", &settings.paths.workspace_dir);
    let shown = path.display();
    if let Err(error) = access(path, Access::READ_OK | Access::EXEC_OK) {
        let hint = "create it, or set WORKSPACE_DIR to a folder that the user may read";
        return Check::fail(name, format!("WORKSPACE_DIR `{shown}` cannot be used: {error}"), hint);
    }
    if privileges::may_work_in(path).is_ok() {
        return Check::ok(name, format!("WORKSPACE_DIR `{shown}` can be worked in"));
    }
    let hint = "give it, or folders in it, to the user";
    Check::warn(name, format!("the user can write nothing in WORKSPACE_DIR `{shown}`: agents can only read"), hint)
}

fn config_dir(settings: &Settings) -> Check {
    let (name, path) = ("config_dir", &settings.paths.config_dir);
    let shown = path.display();
    match access(path, Access::READ_OK | Access::EXEC_OK) {
        _ if path.is_file() => Check::fail(name, format!("CONFIG_DIR `{shown}` is no folder"), "name a folder"),
        Ok(()) => Check::ok(name, format!("CONFIG_DIR `{shown}` can be read")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Check::warn(
            name,
            format!("CONFIG_DIR `{shown}` does not exist: runs have no agents, skills, rules or settings of yours"),
            "create it, or set CONFIG_DIR",
        ),
        Err(error) => {
            Check::fail(name, format!("CONFIG_DIR `{shown}` cannot be read: {error}"), "let the user read it")
        }
    }
}

/// What lies in `CONFIG_DIR`, in one line; `None` when that cannot be entered.
fn configuration(settings: &Settings) -> Option<Check> {
    let (name, path) = ("configuration", &settings.paths.config_dir);
    access(path, Access::READ_OK | Access::EXEC_OK).ok().filter(|()| path.is_dir())?;
    let max = settings.paths.max_config;
    let found = standing::examine(&ConfigDir::new(path, max), &Limits::new(max));
    if let Some(refusal) = found.refusal() {
        return Some(Check::fail(name, refusal, "mend it, or move the file away: the server does not start with it"));
    }
    if let Some(problem) = found.uncopied {
        return Some(Check::fail(name, problem.to_string(), standing::TO_BE_COPIED));
    }
    let Some(first) = found.warnings.first() else {
        return Some(Check::ok(name, format!("the CLI takes all of the {} documents in CONFIG_DIR", found.documents)));
    };
    let more = found.warnings.len() - 1;
    let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
    Some(Check::warn(
        name,
        format!("{first}{more}"),
        "mend it: the CLI skips or ignores such things without a word; `POST /v1/config/validate` with `{}` names all",
    ))
}

fn data_dir(patient: &Patient) -> Check {
    let (name, path) = ("data_dir", &patient.settings.paths.data_dir);
    let shown = path.display();
    if let Some(shut) = shut_on_the_way(path) {
        let message = format!("ASKD_DATA_DIR `{shown}` is behind `{}`, which the user cannot enter", shut.display());
        return Check::fail(name, message, BEHIND_A_SHUT_FOLDER);
    }
    if patient.data_is_handed_over {
        return Check::ok(name, format!("ASKD_DATA_DIR `{shown}` is made by root at the start and given to the user"));
    }
    let all = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    match access(path, all) {
        Ok(()) => Check::ok(name, format!("ASKD_DATA_DIR `{shown}` can be written")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let existing = path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
            match access(existing, Access::WRITE_OK | Access::EXEC_OK) {
                Ok(()) => Check::ok(name, format!("ASKD_DATA_DIR `{shown}` is made at the start")),
                Err(error) => Check::fail(
                    name,
                    format!("ASKD_DATA_DIR `{shown}` cannot be made: `{}`: {error}", existing.display()),
                    "create it for the user, or name another folder",
                ),
            }
        }
        Err(error) => Check::fail(
            name,
            format!("ASKD_DATA_DIR `{shown}` cannot be used: {error}"),
            "give it with everything in it to the user (chown -R), or name another folder",
        ),
    }
}

/// Which kind of credential there is, and never which one.
fn credential(settings: &Settings) -> Check {
    let name = "credential";
    let config = ConfigDir::new(&settings.paths.config_dir, settings.paths.max_config);
    if CredentialSource::new(settings, config.login()).uses_login() {
        return Check::warn(
            name,
            "the CLI's stored login in CONFIG_DIR. It is meant for ordinary use by the one person it belongs to: do not \
             serve others with it. Project configuration is off, since it could send the login elsewhere",
            "set ANTHROPIC_API_KEY, or the variables of a cloud provider",
        );
    }
    let given = &settings.credentials;
    if given.claude_code_oauth_token.is_some() {
        return Check::warn(
            name,
            "CLAUDE_CODE_OAUTH_TOKEN, which is one person's token: do not serve others with it",
            "set ANTHROPIC_API_KEY, or the variables of a cloud provider",
        );
    }
    if let Some((variable, _)) = given.variables().first() {
        return Check::ok(name, format!("{variable} is set"));
    }
    if given.api_key_helper.is_some() {
        return Check::ok(name, "ASKD_API_KEY_HELPER is set; it was not run");
    }
    if CredentialSource::names_cloud(settings) {
        return Check::ok(name, "a cloud provider is chosen; its own credentials were not looked at");
    }
    if settings.child.get("ANTHROPIC_BASE_URL").is_some() {
        return Check::ok(name, "none, and ANTHROPIC_BASE_URL names a service of its own");
    }
    Check::warn(
        name,
        "no credential for the model is set: runs will fail",
        "set ANTHROPIC_API_KEY or ANTHROPIC_API_KEY_FILE",
    )
}

/// No fault either way: many servers are never sent a secret.
fn secret_key(settings: &Settings) -> Check {
    let name = "secret_key";
    if settings.store.secret_key.is_some() {
        return Check::ok(name, "ASKD_SECRET_KEY is set: runs with secrets may wait without their client");
    }
    let message = "ASKD_SECRET_KEY is not set: requests with `env` or `mcp_servers` are refused, unless they end with their \
                   client (on_disconnect: cancel)";
    let hint = "to take them, set ASKD_SECRET_KEY or ASKD_SECRET_KEY_FILE; `openssl rand -base64 32` makes one";
    Check { hint: Some(hint.to_owned()), ..Check::ok(name, message) }
}

fn listen(settings: &Settings) -> Check {
    let address = settings.server.listen;
    if let Some(tls) = &settings.server.tls {
        let unreadable = |(_, path): &(_, &Path)| access(path, Access::READ_OK).is_err();
        let Some((name, path)) = tls.files.named().find(unreadable) else {
            return Check::ok("listen", format!("{address} takes encrypted connections only"));
        };
        let message = format!(
            "the user cannot read `{}` ({name}): it is read at the start, and a new certificate counts only after a restart",
            path.display()
        );
        return Check::warn("listen", message, "let the user read the file");
    }
    if address.ip().is_loopback() {
        return Check::ok("listen", format!("{address} is for this machine alone"));
    }
    let message = format!(
        "{address} is reached from other machines without TLS: keys, prompts and answers travel in the clear, unless a proxy in \
         front encrypts them"
    );
    Check::warn(
        "listen",
        message,
        "set ASKD_TLS_CERT and ASKD_TLS_KEY, put a proxy with TLS in front, or listen on 127.0.0.1",
    )
}

/// What is said of the address for monitoring, if there is one.
fn metrics(settings: &Settings) -> Option<Check> {
    let address = settings.metrics.listen?;
    if address.ip().to_canonical().is_loopback() {
        return Some(Check::ok("metrics", format!("{address} (ASKD_METRICS_LISTEN) is for this machine alone")));
    }
    let message = format!("{address} (ASKD_METRICS_LISTEN) shows metrics without a key to whoever reaches it");
    Some(Check::warn("metrics", message, "let only the monitoring reach it, or leave it unset and give that a key"))
}
