//! The variables of a run.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use claude::environment::{PROVIDER_MANAGED_BY_HOST, TRACEPARENT, TRACESTATE, of_home};
use secrecy::{ExposeSecret, SecretString};

use super::super::secrets::RunSecrets;
use super::super::shared::Shared;
use super::super::warning::{Warning, WarningCode};
use crate::config::validate::variable_flaw;
use crate::credentials::Granted;
use crate::programs::environment;
use crate::traces::place::Place;

/// All variables of the CLI and what it starts. Those of the request are the last to come and take the place of none.
pub(super) fn child_environment(
    shared: &Shared,
    home: &Path,
    granted: &Granted,
    trace: Option<&Place>,
    secrets: &RunSecrets,
    warnings: &mut Vec<Warning>,
) -> Vec<(OsString, OsString)> {
    let mut variables = environment(&shared.settings.now().child.environment);
    variables.extend(of_home(home).into_iter().map(|(name, value)| (name.into(), value.into())));
    if granted.login.is_none() {
        let (name, value) = PROVIDER_MANAGED_BY_HOST;
        variables.push((name.into(), value.into()));
    }
    variables.extend(environment(&granted.environment));
    variables.extend(trace.into_iter().flat_map(of_trace));
    for name in add(&mut variables, &secrets.env) {
        let message = format!("the variable `{name}` of the request was left out: it is the server's to set");
        warnings.push(Warning::new(WarningCode::Other, message));
    }
    variables
}

/// The run's place in its trace: the CLI, if it makes spans, and tools that do have theirs below the run's.
fn of_trace(place: &Place) -> impl Iterator<Item = (OsString, OsString)> {
    let state = place.tracestate().map(|state| (TRACESTATE.into(), state.into()));
    [(TRACEPARENT.into(), place.traceparent().into())].into_iter().chain(state)
}

/// Adds the variables of a request; gives the names that were left out. They were looked at when the run was submitted; a
/// server of another version may have done that, and by then the operator may have given a variable of that name.
fn add<'a>(variables: &mut Vec<(OsString, OsString)>, of_request: &'a BTreeMap<String, SecretString>) -> Vec<&'a str> {
    let mut left_out = Vec::new();
    for (name, value) in of_request {
        if variable_flaw(name).is_some() || variables.iter().any(|(there, _)| there == name.as_str()) {
            left_out.push(name.as_str());
        } else {
            variables.push((name.into(), value.expose_secret().into()));
        }
    }
    left_out
}

#[cfg(test)]
mod tests {
    use claude::environment::KEY_DESCRIPTOR;

    use super::*;
    use crate::settings::child_env::PASSED;

    fn asked(names: &[&str]) -> BTreeMap<String, SecretString> {
        names.iter().map(|name| ((*name).to_owned(), "of the request".to_owned().into())).collect()
    }

    #[test]
    fn a_variable_of_the_request_is_added() {
        let mut variables = vec![("PATH".into(), "/bin".into())];
        assert_eq!(add(&mut variables, &asked(&["DATABASE_URL"])), [""; 0]);
        assert_eq!(variables[1], ("DATABASE_URL".into(), "of the request".into()));
    }

    #[test]
    fn whatever_was_let_in_no_variable_takes_the_place_of_one_of_the_server_s_or_of_the_operator_s() {
        let mut variables: Vec<(OsString, OsString)> =
            of_home(Path::new("/home/run")).into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        variables.push(("GH_TOKEN".into(), "of the operator".into()));
        let before = variables.clone();
        let names: Vec<String> = before.iter().map(|(name, _)| name.to_str().unwrap().to_owned()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(add(&mut variables, &asked(&names)).len(), names.len());
        assert_eq!(variables, before);
    }

    #[test]
    fn no_name_gets_through_that_steers_the_cli_its_traffic_or_what_processes_load() {
        let names = [
            "ANTHROPIC_BASE_URL",
            "ANTHROPIC_API_KEY",
            "CLAUDE_CODE_SIMPLE",
            "CLAUDE_CODE_SHELL_PREFIX",
            "CLAUDE_CODE_RESTRICTED",
            "ASKD_RUN_MARKER",
            "BUN_OPTIONS",
            "NODE_OPTIONS",
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "DYLD_INSERT_LIBRARIES",
            "BASH_ENV",
            "ENV",
            "IFS",
            "HTTPS_PROXY",
            "https_proxy",
            "ALL_PROXY",
            "NO_PROXY",
            "PATH",
            "HOME",
            "TMPDIR",
            "API_TIMEOUT_MS",
            "MCP_TIMEOUT",
            "GIT_CONFIG_COUNT",
            "UV_INDEX_URL",
            "PIP_INDEX_URL",
            "PIPX_HOME",
            "POETRY_REPOSITORIES_X_URL",
            "YARN_RC_FILENAME",
            "COREPACK_NPM_REGISTRY",
            "PNPM_HOME",
            "DOTNET_STARTUP_HOOKS",
            "CORECLR_PROFILER",
            "COR_PROFILER",
            "GOPROXY",
            "GOTOOLCHAIN",
            "RUSTUP_TOOLCHAIN",
            "GEM_PATH",
            "BUNDLE_GEMFILE",
            "R_PROFILE",
            "JULIA_LOAD_PATH",
            "MISE_CONFIG_FILE",
            "ASDF_DIR",
            "GTK_PATH",
            "GIO_EXTRA_MODULES",
            "GCE_METADATA_HOST",
            "GRPC_PROXY_EXP",
            "RIPGREP_CONFIG_PATH",
            TRACEPARENT,
            TRACESTATE,
            PROVIDER_MANAGED_BY_HOST.0,
            KEY_DESCRIPTOR,
        ];
        let names: Vec<&str> = names.into_iter().chain(PASSED.iter().map(|passed| passed.name)).collect();
        let mut variables = Vec::new();
        add(&mut variables, &asked(&names));
        assert_eq!(variables, []);
    }
}
