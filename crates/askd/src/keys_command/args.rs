//! The command line of `askd keys`, and the request that it stands for.

use std::path::Path;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use hyper::Method;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::KeysError;
use crate::keys::{KeyId, Scope};
use crate::small_file;

/// The largest file with a policy, in bytes.
const MAX_POLICY: u64 = 1 << 20;

/// What is asked of the server.
#[derive(Debug, PartialEq)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Option<Value>,
}

/// `askd keys` with everything that it can do.
pub fn command() -> Command {
    let create =
        with_parts(Command::new("create").about("Makes a key, and prints its secret, which is shown only once"));
    let create = create.mut_arg("name", |arg| arg.required(true)).mut_arg("scopes", |arg| arg.required(true));
    let update = with_parts(Command::new("update").about("Changes what is named of a key; the rest stays")).arg(id());
    let update = update
        .mut_arg("scopes", |arg| arg.help(format!("What it may do, all of it anew: a list of {}", all_scopes())))
        .mut_arg("policy", |arg| {
            arg.help("What its runs are held to, all of it anew: a file with a JSON object. What it does not name binds no more")
        });
    let overlap =
        option("overlap", "DURATION", "How long the secret that is replaced counts on, e.g. 24h [default: 0]");
    let keep_runs = flag("keep-runs", "Lets its running runs go on; what waits does not begin");
    Command::new("keys")
        .about("Makes, shows, changes and revokes API keys of a running server")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([
            with_server(create),
            with_server(Command::new("list").about("Lists all keys, the newest first")),
            with_server(Command::new("show").about("Shows a key").arg(id())),
            with_server(update),
            with_server(Command::new("rotate").about("Gives a key a new secret, and prints it").arg(id()).arg(overlap)),
            with_server(Command::new("revoke").about("Revokes a key, at once and for good").arg(id()).arg(keep_runs)),
        ])
}

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn id() -> Arg {
    Arg::new("id").value_name("ID").required(true).help("The key's id, key_…")
}

fn with_parts(command: Command) -> Command {
    command.args([
        option("name", "TEXT", "What people call it"),
        option("scopes", "WORDS", "").help(format!("What it may do: a list of {}", all_scopes())),
        option("policy", "FILE", "What its runs are held to: a file with a JSON object"),
        option("policy-json", "JSON", "The same as text").conflicts_with("policy"),
        option("expires", "WHEN", "When it ends: 90d, 12h, 2027-01-31T00:00:00Z, or never"),
    ])
}

fn with_server(command: Command) -> Command {
    command.args([
        option("url", "URL", "Where the server is [default: ASKD_LISTEN of the settings]").help_heading("Server"),
        option("key-file", "FILE", "A file with a key that has the scope admin [default: API_KEY of the settings]")
            .help_heading("Server"),
        option("ca", "FILE", "Certificates that the server's must come from [default: ASKD_TLS_CERT of the settings]")
            .help_heading("Server"),
        option("client-cert", "FILE", "A certificate with its private key, where the server asks for one")
            .help_heading("Server"),
        option("config", "FILE", "The settings file [env: ASKD_CONFIG]").help_heading("Server"),
        flag("json", "Prints the server's answer, JSON"),
    ])
}

/// What the command line asks for, at this time.
pub(super) fn request(act: &str, matches: &ArgMatches, now: Timestamp) -> Result<Request, KeysError> {
    let id = || matches.try_get_one::<String>("id").ok().flatten().map_or("", String::as_str);
    let of = |method, tail: &str, body| Request { method, path: format!("/v1/keys/{}{tail}", id()), body };
    let is_id = |id: &str| id.is_empty() || id == KeyId::ADMIN || id.starts_with(KeyId::PREFIX);
    if !is_id(id()) || !id().chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) {
        let (id, prefix) = (id().escape_default(), KeyId::PREFIX);
        return Err(usage(format!(
            "`{id}` is no key's id: they begin with {prefix}, and askd keys list shows that of each name"
        )));
    }
    Ok(match act {
        "create" => Request { method: Method::POST, path: "/v1/keys".into(), body: Some(parts(matches, now)?.into()) },
        "update" => match parts(matches, now)? {
            none if none.is_empty() => return Err(usage("name what is to change: see askd keys update --help")),
            parts => of(Method::PATCH, "", Some(parts.into())),
        },
        "rotate" => {
            let overlap = matches.get_one::<String>("overlap").map(|text| duration("overlap", text)).transpose()?;
            let seconds = overlap.unwrap_or_default().as_secs();
            of(Method::POST, "/rotate", Some(json!({"overlap_seconds": seconds})))
        }
        "revoke" => {
            let runs = if matches.get_flag("keep-runs") { "keep" } else { "cancel" };
            of(Method::POST, "/revoke", Some(json!({"runs": runs})))
        }
        // The list comes page by page.
        _ => of(Method::GET, "", None),
    })
}

fn usage(message: impl Into<String>) -> KeysError {
    KeysError::Usage(message.into())
}

/// The parts of a key that are named.
fn parts(matches: &ArgMatches, now: Timestamp) -> Result<Map<String, Value>, KeysError> {
    let given = |name: &str| matches.get_one::<String>(name);
    let mut parts = Map::new();
    if let Some(name) = given("name") {
        parts.insert("name".into(), name.as_str().into());
    }
    if let Some(words) = given("scopes") {
        parts.insert("scopes".into(), scopes(words)?.into());
    }
    let policy = match (given("policy"), given("policy-json")) {
        (Some(text), _) if text.trim_start().starts_with('{') => {
            return Err(usage("--policy takes the name of a file; the policy itself is given with --policy-json"));
        }
        (Some(path), _) => {
            let text = small_file::read_text(Path::new(path), MAX_POLICY);
            Some(text.map_err(|error| usage(format!("the file of --policy cannot be read: {error}")))?)
        }
        (None, text) => text.cloned(),
    };
    if let Some(text) = policy {
        let policy: Value =
            serde_json::from_str(&text).map_err(|error| usage(format!("the policy is no JSON: {error}")))?;
        parts.insert("policy".into(), policy);
    }
    if let Some(when) = given("expires") {
        parts.insert("expires_at".into(), expires(when, now)?);
    }
    Ok(parts)
}

fn all_scopes() -> String {
    Scope::ALL.map(Scope::as_str).join(", ")
}

fn scopes(words: &str) -> Result<Vec<Value>, KeysError> {
    let words = words.split([',', ' ']).filter(|word| !word.is_empty());
    let unknown = |word: &str| usage(format!("`{word}` is no scope; the scopes are {}", all_scopes()));
    words.map(|word| Scope::from_word(word).map(|scope| scope.as_str().into()).ok_or_else(|| unknown(word))).collect()
}

/// `null` for a key that does not end.
fn expires(when: &str, now: Timestamp) -> Result<Value, KeysError> {
    if when == "never" {
        return Ok(Value::Null);
    }
    if let Ok(at) = when.parse::<Timestamp>() {
        return Ok(at.to_string().into());
    }
    let at = now.checked_add(duration("expires", when)?);
    let at = at.map_err(|_| usage("--expires lies too far in the future; write never"))?;
    Ok(at.to_string().into())
}

/// A number with a unit. Keys live for days, so there is one more than settings have.
fn duration(flag: &str, text: &str) -> Result<Duration, KeysError> {
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let found = units.into_iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
    let (digits, seconds) = found.unwrap_or((text, u64::from(text == "0")));
    let number = digits.parse::<u64>().ok().filter(|_| seconds > 0 && digits.bytes().all(|byte| byte.is_ascii_digit()));
    let length = number.and_then(|number| number.checked_mul(seconds)).map(Duration::from_secs);
    length.ok_or_else(|| {
        let or_time = if flag == "expires" { ", a time such as 2027-01-31T00:00:00Z, or never" } else { "" };
        usage(format!("--{flag} takes a number of days, hours, minutes or seconds such as 90d or 12h{or_time}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<Request, String> {
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        let words = std::iter::once("keys").chain(line.split('|'));
        let matches = command().try_get_matches_from(words).map_err(|error| error.to_string())?;
        let (act, matches) = matches.subcommand().unwrap();
        request(act, matches, now).map_err(|error| error.to_string())
    }

    #[test]
    fn a_command_line_is_the_request_that_it_stands_for() {
        for (line, method, path, body) in [
            (
                r#"create|--name|ci|--scopes|ask,runs:read|--expires|90d|--policy-json|{"models":["haiku"]}"#,
                Method::POST,
                "/v1/keys",
                json!({"name": "ci", "scopes": ["ask", "runs:read"], "policy": {"models": ["haiku"]},
                    "expires_at": "2027-02-21T12:00:00Z"}),
            ),
            ("update|key_1|--expires|never", Method::PATCH, "/v1/keys/key_1", json!({"expires_at": null})),
            (
                "update|key_1|--scopes|ask runs:write",
                Method::PATCH,
                "/v1/keys/key_1",
                json!({"scopes": ["ask", "runs:write"]}),
            ),
            ("rotate|key_1|--overlap|36h", Method::POST, "/v1/keys/key_1/rotate", json!({"overlap_seconds": 129_600})),
            ("rotate|key_1", Method::POST, "/v1/keys/key_1/rotate", json!({"overlap_seconds": 0})),
            ("revoke|key_1", Method::POST, "/v1/keys/key_1/revoke", json!({"runs": "cancel"})),
            ("revoke|key_1|--keep-runs", Method::POST, "/v1/keys/key_1/revoke", json!({"runs": "keep"})),
        ] {
            assert_eq!(asked(line), Ok(Request { method, path: path.into(), body: Some(body) }), "{line}");
        }
        assert_eq!(asked("show|key_1"), Ok(Request { method: Method::GET, path: "/v1/keys/key_1".into(), body: None }));
    }

    #[test]
    fn what_cannot_be_is_refused_before_anybody_is_asked() {
        for (line, told) in [
            ("create|--name|ci", "--scopes"),
            ("create|--name|ci|--scopes|fly", "`fly` is no scope; the scopes are ask, runs:read"),
            ("create|--name|ci|--scopes|ask|--expires|90", "90d"),
            ("create|--name|ci|--scopes|ask|--expires|1.5d", "90d"),
            ("create|--name|ci|--scopes|ask|--expires|99999999999d", "too far"),
            ("create|--name|ci|--scopes|ask|--policy-json|{", "no JSON"),
            ("create|--name|ci|--scopes|ask|--policy|/nowhere/p.json", "cannot be read"),
            (r#"create|--name|ci|--scopes|ask|--policy|{"models":["haiku"]}"#, "with --policy-json"),
            ("update|key_1", "name what is to change"),
            ("rotate|key_1|--overlap=-1h", "--overlap takes a number of days"),
            ("show|../runs", "is no key's id"),
            ("revoke|qa", "`qa` is no key's id: they begin with key_, and askd keys list shows"),
        ] {
            let refused = asked(line).unwrap_err();
            assert!(refused.contains(told), "{line}: {refused}");
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn the_help_names_all_scopes_and_says_that_a_policy_is_replaced() {
        let help = |act: &str| command().find_subcommand_mut(act).unwrap().render_help().to_string();
        for act in ["create", "update"] {
            let told = help(act);
            assert!(Scope::ALL.iter().all(|scope| told.contains(scope.as_str())), "{told}");
        }
        assert!(help("update").contains("all of it anew: a file"), "{}", help("update"));
    }
}
