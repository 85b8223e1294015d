//! Rules that concern more than one setting. Each is skipped when a value it needs is itself wrong.

use std::collections::BTreeMap;

use secrecy::ExposeSecret as _;

use super::network::network;
use super::otlp::headers;
use super::problem::{Origin, Problem};
use super::secret_key::SecretKey;
use super::units::show_duration;
use super::value::Value;
use super::values::Values;

/// Models that may always be named: the CLI's aliases.
pub(super) const ALIASES: [&str; 3] = ["sonnet", "opus", "haiku"];

/// The operator's key.
const API_KEY: &str = "api_key";

/// A key shorter than this is accepted at a start, with a warning.
const SHORT_KEY: usize = 8;

/// All that keeps a server from starting.
pub(super) fn all(values: &Values, origins: &BTreeMap<&'static str, Origin>, problems: &mut Vec<Problem>) {
    contradictions(values, origins, problems);
    secret_key(values, origins, problems);
    otlp_headers(values, origins, problems);
}

/// Contradictions.
fn contradictions(values: &Values, origins: &BTreeMap<&'static str, Origin>, problems: &mut Vec<Problem>) {
    let mut report = |key: &'static str, value: String, what: &str, hint: &str| {
        problems.push(Problem {
            setting: key.to_owned(),
            value: Some(value),
            origin: origins.get(key).cloned(),
            what: what.to_owned(),
            hint: hint.to_owned(),
        });
    };

    if let (Some(Value::Text(mode)), Some(Value::Bool(false))) =
        (values.get("default_permission_mode"), values.get("allow_bypass"))
        && mode == "bypassPermissions"
    {
        let hint = "set ASKD_ALLOW_BYPASS=1 if agents may do everything, or choose another mode";
        report("default_permission_mode", mode.clone(), "is not allowed", hint);
    }

    if let (Some(Value::Text(model)), Some(Value::List(models))) = (values.get("default_model"), values.get("models"))
        && !ALIASES.contains(&model.as_str())
        && !models.contains(model)
    {
        let hint = "add it to ASKD_MODELS, or use `sonnet`, `opus` or `haiku`";
        report("default_model", model.clone(), "is not one of the allowed models", hint);
    }

    if let (Some(Value::Duration(events)), Some(Value::Duration(runs))) =
        (values.get("event_retention"), values.get("run_retention"))
        && events > runs
        // The default follows `ASKD_RUN_RETENTION`.
        && origins.get("event_retention") != Some(&Origin::Default)
    {
        let what = format!("is above ASKD_RUN_RETENTION, {}", show_duration(*runs));
        let hint = "lower it, or raise ASKD_RUN_RETENTION: a run's events go with the run";
        report("event_retention", show_duration(*events), &what, hint);
    }

    if let (Some(Value::Duration(usual)), Some(Value::Duration(most))) =
        (values.get("process_timeout"), values.get("max_run_time"))
        && usual > most
    {
        // The one that somebody has written is the one to talk about.
        if origins.get("process_timeout") == Some(&Origin::Default) {
            let what = format!("is below PROCESS_TIMEOUT, {}", show_duration(*usual));
            let hint = "raise it, or lower PROCESS_TIMEOUT (a bare number is in milliseconds)";
            report("max_run_time", show_duration(*most), &what, hint);
        } else {
            let what = format!("is above ASKD_MAX_RUN_TIME, {}", show_duration(*most));
            report("process_timeout", show_duration(*usual), &what, "lower it, or raise ASKD_MAX_RUN_TIME");
        }
    }
}

/// A key that seals nothing. Its value is not shown.
fn secret_key(values: &Values, origins: &BTreeMap<&'static str, Origin>, problems: &mut Vec<Problem>) {
    const KEY: &str = "secret_key";
    if let Some(Value::Secret(written)) = values.get(KEY)
        && let Err(why) = SecretKey::read(written)
    {
        problems.push(Problem {
            setting: KEY.to_owned(),
            value: None,
            origin: origins.get(KEY).cloned(),
            what: why.to_string(),
            hint:
                "give 32 random bytes as 64 hexadecimal digits or in base64, such as `openssl rand -base64 32` prints"
                    .to_owned(),
        });
    }
}

/// Headers that cannot be sent. They are not shown.
fn otlp_headers(values: &Values, origins: &BTreeMap<&'static str, Origin>, problems: &mut Vec<Problem>) {
    const HEADERS: &str = "otlp_headers";
    if let Some(Value::Secret(written)) = values.get(HEADERS)
        && let Err(what) = headers(written)
    {
        problems.push(Problem {
            setting: HEADERS.to_owned(),
            value: None,
            origin: origins.get(HEADERS).cloned(),
            what: what.to_owned(),
            hint: "write `name=value,…`; encode commas, percent signs and spaces, as `authorization=Bearer%20…`"
                .to_owned(),
        });
    }
}

/// An `API_KEY` that takes the place of another while the server works, and is perhaps a part of one: its file is read while
/// somebody writes it. Neither is shown.
pub(super) fn new_key(
    before: Option<&Value>,
    values: &Values,
    origins: &BTreeMap<&'static str, Origin>,
    problems: &mut Vec<Problem>,
) {
    let (Some(Value::Secret(before)), Some(Value::Secret(now))) = (before, values.get(API_KEY)) else { return };
    let (before, now) = (before.expose_secret(), now.expose_secret());
    let what = if now == before {
        return;
    } else if before.starts_with(now) {
        "is the beginning of the one in force: perhaps it was still being written"
    } else if has_blank_ends(now) {
        "begins or ends with a blank, which no client can show"
    } else if is_short(now) {
        "has fewer than 8 characters: perhaps it was still being written"
    } else {
        return;
    };
    problems.push(Problem {
        setting: API_KEY.to_owned(),
        value: None,
        origin: origins.get(API_KEY).cloned(),
        what: what.to_owned(),
        hint: "write the new key into a file beside it and rename that, then send SIGHUP again".to_owned(),
    });
}

/// Blanks around the value of a header do not belong to it.
fn has_blank_ends(key: &str) -> bool {
    key.starts_with(' ') || key.ends_with(' ')
}

fn is_short(key: &str) -> bool {
    key.chars().count() < SHORT_KEY
}

/// What works and is probably not meant.
pub(super) fn warnings(values: &Values) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(Value::Secret(key)) = values.get(API_KEY) {
        if is_short(key.expose_secret()) {
            warnings.push(format!("`API_KEY` has fewer than {SHORT_KEY} characters and can be guessed"));
        }
        if has_blank_ends(key.expose_secret()) {
            warnings.push("`API_KEY` begins or ends with a blank, which no client can show".to_owned());
        }
    }
    if let (Some(Value::Text(mode)), Some(Value::List(folders))) =
        (values.get("project_config"), values.get("trusted_projects"))
    {
        if mode == "trusted" && folders.is_empty() {
            warnings.push("`ASKD_PROJECT_CONFIG` is `trusted` and `ASKD_TRUSTED_PROJECTS` is empty: no project's configuration is loaded".to_owned());
        }
        if mode != "trusted" && !folders.is_empty() {
            warnings.push(format!("`ASKD_TRUSTED_PROJECTS` has no effect while `ASKD_PROJECT_CONFIG` is `{mode}`"));
        }
    }
    if let (Some(Value::Address(listen)), Some(Value::List(hosts))) =
        (values.get("listen"), values.get("allowed_hosts"))
        && !listen.ip().to_canonical().is_loopback()
        && hosts.is_empty()
    {
        warnings.push("`ASKD_ALLOWED_HOSTS` is empty: a server that listens beyond this machine answers under any name, also under that of a web page which has it lead here; name the hosts that it is called by".to_owned());
    }
    if let Some(Value::List(proxies)) = values.get("trusted_proxies")
        && proxies.iter().any(|proxy| network(proxy).is_ok_and(|network| network.prefix_len() == 0))
    {
        warnings.push("`ASKD_TRUSTED_PROXIES` holds everybody: whoever calls may say from which address".to_owned());
    }
    if let (Some(Value::Path(data)), Some(Value::Path(workspace))) =
        (values.get("data_dir"), values.get("workspace_dir"))
        && data.starts_with(workspace)
    {
        warnings.push("`ASKD_DATA_DIR` is inside `WORKSPACE_DIR`, where agents work".to_owned());
    }
    warnings
}
