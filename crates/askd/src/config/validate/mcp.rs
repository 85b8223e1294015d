//! `.mcp.json`: the MCP servers that runs have.
//!
//! The CLI skips an entry that it cannot read and says so in `mcp_server_errors`, which nobody reads; a file that it cannot
//! read ends it (checked with 2.1.330).

use serde_json::{Map, Value};

use super::settings::did_you_mean;
use crate::config::json::{Json, MAX_PROBLEMS, Path, kind_of};
use crate::config::problem::{Problem, Report};

/// The key that holds the servers.
pub const SERVERS: &str = "mcpServers";

/// Servers in one file.
const MAX_SERVERS: usize = 100;
/// The model's API allows names of 64 characters to tools, and each begins with `mcp__NAME__`.
const MAX_NAME: usize = 40;
/// Names that the CLI keeps for itself (checked).
const RESERVED: [&str; 2] = ["claude-in-chrome", "workspace"];

/// What a key holds.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Text,
    Texts,
    TextsByName,
    Number,
    Flag,
    Object,
}

/// Keys of a server that is a program. `cwd` and `disabled` are none, whatever other programs make of them (checked).
const PROGRAM: [(&str, Shape); 6] = [
    ("type", Shape::Text),
    ("command", Shape::Text),
    ("args", Shape::Texts),
    ("env", Shape::TextsByName),
    ("timeout", Shape::Number),
    ("alwaysLoad", Shape::Flag),
];
/// Keys of a server that is reached over the network.
const REMOTE: [(&str, Shape); 7] = [
    ("type", Shape::Text),
    ("url", Shape::Text),
    ("headers", Shape::TextsByName),
    ("headersHelper", Shape::Text),
    ("oauth", Shape::Object),
    ("timeout", Shape::Number),
    ("alwaysLoad", Shape::Flag),
];

/// Checks the file.
pub fn check(text: &str) -> Report {
    let mut report =
        Report { executes: vec!["MCP servers are programs, or have tools".to_owned()], ..Report::default() };
    let json = match Json::object(text) {
        Ok(json) => json,
        Err(errors) => return Report { errors, ..report },
    };
    let root = Path::default();
    for name in json
        .value()
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name)
        .filter(|name| *name != SERVERS)
        .take(MAX_PROBLEMS)
    {
        report.warnings.push(json.problem(&root.key(name), "is no key that the CLI knows here"));
    }
    match entries(&json) {
        Ok(servers) => all(&json, servers, &mut report),
        Err(problem) => report.errors.push(problem),
    }
    for problems in [&mut report.errors, &mut report.warnings] {
        problems.sort_by_key(|problem| problem.line);
        problems.truncate(MAX_PROBLEMS);
    }
    report
}

/// The servers of a file, by name; else what is wrong with the file. An entry that is wrong is not looked for here.
pub fn servers(text: &str) -> Result<Map<String, Value>, Problem> {
    let json = Json::object(text)
        .map_err(|problems| problems.into_iter().next().unwrap_or_else(|| Problem::new("cannot be read")))?;
    entries(&json).cloned()
}

fn entries<'j>(json: &'j Json<'_>) -> Result<&'j Map<String, Value>, Problem> {
    let path = Path::from([SERVERS]);
    match json.value().get(SERVERS) {
        Some(Value::Object(servers)) => Ok(servers),
        Some(other) => {
            let message = format!("must be an object of servers by their names, not {}", kind_of(other));
            Err(json.problem(&path, message))
        }
        // Without it the servers that somebody wrote next to it would silently be none.
        None => {
            let message = "is missing: servers stand in it by their names, {\"mcpServers\": {\"NAME\": ...}}";
            Err(json.problem(&path, message))
        }
    }
}

fn all(json: &Json<'_>, servers: &Map<String, Value>, report: &mut Report) {
    let path = Path::from([SERVERS]);
    if servers.len() > MAX_SERVERS {
        report.errors.push(json.problem(&path, format!("has more than {MAX_SERVERS} servers")));
        return;
    }
    for (name, server) in servers {
        let path = path.key(name);
        match flaw_of_name(name) {
            Some((true, message)) => report.errors.push(json.problem(&path, message)),
            Some((false, message)) => report.warnings.push(json.problem(&path, message)),
            None => {}
        }
        match server {
            Value::Object(members) => one(json, members, &path, report),
            other => report.errors.push(json.problem(&path, format!("must be an object, not {}", kind_of(other)))),
        }
    }
}

/// Whether the CLI would skip the server for its name, and what is wrong with it.
fn flaw_of_name(name: &str) -> Option<(bool, String)> {
    if name.trim().is_empty() {
        return Some((true, "must have a name".to_owned()));
    }
    if RESERVED.contains(&name) {
        return Some((true, "is a name that the CLI keeps for itself".to_owned()));
    }
    if name.chars().count() > MAX_NAME {
        return Some((
            false,
            format!("has more than {MAX_NAME} characters: names of its tools become too long for the model"),
        ));
    }
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) && !name.contains("__");
    let message = "should consist of a-z, A-Z, 0-9, `-` and single `_`: rules name its tools `mcp__NAME__TOOL`";
    (!is_plain).then(|| (false, message.to_owned()))
}

fn one(json: &Json<'_>, server: &Map<String, Value>, path: &Path, report: &mut Report) {
    let mut error = |path: &Path, message: String| report.errors.push(json.problem(path, message));
    let (keys, required, schemes): (&[_], _, &[&str]) = match server.get("type") {
        None if server.contains_key("url") && !server.contains_key("command") => {
            return error(
                &path.key("type"),
                "is missing: a server with a `url` is of type `http`, `sse` or `ws`".to_owned(),
            );
        }
        None => (&PROGRAM, "command", &[]),
        Some(Value::String(kind)) => match kind.as_str() {
            "stdio" => (&PROGRAM, "command", &[]),
            "http" | "sse" | "streamable-http" => (&REMOTE, "url", &["http", "https"]),
            "ws" => (&REMOTE, "url", &["ws", "wss"]),
            other => {
                let meant = did_you_mean(other, ["stdio", "http", "sse", "ws"]);
                return error(&path.key("type"), format!("must be `stdio`, `http`, `sse` or `ws`{meant}"));
            }
        },
        Some(other) => return error(&path.key("type"), format!("must be a text, not {}", kind_of(other))),
    };
    match server.get(required).map(Value::as_str) {
        None => {
            let odd = server.keys().filter(|name| !keys.iter().any(|(key, _)| key == name));
            let meant = odd.map(|name| (name, did_you_mean(name, [required]))).find(|(_, meant)| !meant.is_empty());
            let meant = meant.map(|(name, meant)| format!(": there is `{name}`{meant}")).unwrap_or_default();
            error(&path.key(required), format!("is missing{meant}"));
        }
        Some(Some("")) => error(&path.key(required), "must not be empty".to_owned()),
        // What stands in `${…}` is put in by the CLI.
        Some(Some(url)) if required == "url" && !url.contains("${") => {
            if !reqwest::Url::parse(url).is_ok_and(|url| schemes.contains(&url.scheme())) {
                error(&path.key("url"), format!("must be a whole URL that begins with {}://", schemes.join(":// or ")));
            }
        }
        Some(_) => {}
    }
    for (name, value) in server {
        let path = path.key(name);
        if let Some((_, shape)) = keys.iter().find(|(key, _)| key == name) {
            for (path, message) in wrong(*shape, value, &path) {
                report.errors.push(json.problem(&path, message));
            }
        } else if report.warnings.len() < MAX_PROBLEMS {
            let meant = did_you_mean(name, keys.iter().map(|(key, _)| *key));
            let message = format!("is no key that the CLI knows for such a server{meant}");
            report.warnings.push(json.problem(&path, message));
        }
    }
}

/// What is not of its shape.
fn wrong(shape: Shape, value: &Value, path: &Path) -> Vec<(Path, String)> {
    let not =
        |what: &str, path: &Path, value: &Value| (path.clone(), format!("must be {what}, not {}", kind_of(value)));
    let one = |fits: bool, what: &str| if fits { Vec::new() } else { vec![not(what, path, value)] };
    match (shape, value) {
        (Shape::Text, value) => one(value.is_string(), "a text"),
        (Shape::Number, value) => one(value.is_number(), "a number"),
        (Shape::Flag, value) => one(value.is_boolean(), "true or false"),
        (Shape::Object, value) => one(value.is_object(), "an object"),
        (Shape::Texts, Value::Array(items)) => {
            let odd = items.iter().enumerate().filter(|(_, item)| !item.is_string()).take(MAX_PROBLEMS);
            odd.map(|(index, item)| not("a text", &path.index(index), item)).collect()
        }
        (Shape::Texts, _) => one(false, "a list of texts"),
        (Shape::TextsByName, Value::Object(members)) => {
            let odd = members.iter().filter(|(_, member)| !member.is_string()).take(MAX_PROBLEMS);
            odd.map(|(name, member)| not("a text", &path.key(name), member)).collect()
        }
        (Shape::TextsByName, _) => one(false, "an object of texts"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_of_a_server_is_taken() {
        let text = r#"{"mcpServers": {
            "a": {"command": "node", "args": ["x.js"], "env": {"A": "b"}, "timeout": 5},
            "b": {"type": "stdio", "command": "${HOME}/x"},
            "c": {"type": "http", "url": "https://example.com/mcp", "headers": {"A": "${TOKEN}"}},
            "d": {"type": "sse", "url": "http://127.0.0.1:1/"}, "e": {"type": "ws", "url": "${BASE}/x", "headersHelper": "x"}
        }}"#;
        let report = check(text);
        assert_eq!((report.errors, report.warnings, report.executes.len()), (vec![], vec![], 1));
        assert!(check(r#"{"mcpServers": {}}"#).is_valid());
    }

    #[test]
    fn what_the_cli_would_skip_is_told_with_line_and_field() {
        let report = check(
            r#"{
"mcpServers": {
"no-command": {"args": []},
"empty-command": {"command": ""},
"args": {"command": "x", "args": ["a", 1]},
"args-text": {"command": "x", "args": "a"},
"env": {"command": "x", "env": {"A": 1}},
"env-list": {"command": "x", "env": []},
"kind": {"type": "stdoi", "command": "x"},
"no-type": {"url": "http://127.0.0.1/"},
"no-url": {"type": "http", "command": "x"},
"half-url": {"type": "http", "url": "example.com/mcp"},
"headers": {"type": "http", "url": "http://127.0.0.1/", "headers": {"a": 1}, "oauth": 5},
"text": "x",
"workspace": {"command": "x"},
"": {"command": "x"},
"two words": {"command": "x"},
"unknown": {"command": "x", "arg": [], "disabled": true}
}, "x": 1}"#,
        );
        let told = |problems: &[Problem]| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        insta::assert_snapshot!(format!("{}\n--\n{}", told(&report.errors), told(&report.warnings)), @r#"
        line 3: `mcpServers.no-command.command`: is missing
        line 4: `mcpServers.empty-command.command`: must not be empty
        line 5: `mcpServers.args.args[1]`: must be a text, not a number
        line 6: `mcpServers.args-text.args`: must be a list of texts, not a text
        line 7: `mcpServers.env.env.A`: must be a text, not a number
        line 8: `mcpServers.env-list.env`: must be an object of texts, not a list
        line 9: `mcpServers.kind.type`: must be `stdio`, `http`, `sse` or `ws`; did you mean `stdio`?
        line 10: `mcpServers.no-type.type`: is missing: a server with a `url` is of type `http`, `sse` or `ws`
        line 11: `mcpServers.no-url.url`: is missing
        line 12: `mcpServers.half-url.url`: must be a whole URL that begins with http:// or https://
        line 13: `mcpServers.headers.headers.a`: must be a text, not a number
        line 13: `mcpServers.headers.oauth`: must be an object, not a number
        line 14: `mcpServers.text`: must be an object, not a text
        line 15: `mcpServers.workspace`: is a name that the CLI keeps for itself
        line 16: `mcpServers.`: must have a name
        --
        line 11: `mcpServers.no-url.command`: is no key that the CLI knows for such a server
        line 17: `mcpServers.two words`: should consist of a-z, A-Z, 0-9, `-` and single `_`: rules name its tools `mcp__NAME__TOOL`
        line 18: `mcpServers.unknown.arg`: is no key that the CLI knows for such a server; did you mean `args`?
        line 18: `mcpServers.unknown.disabled`: is no key that the CLI knows for such a server
        line 19: `x`: is no key that the CLI knows here
        "#);
    }

    #[test]
    fn the_file_itself_must_be_as_the_cli_wants_it() {
        let told = |text: &str| check(text).errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let texts = [
            "",
            "[]",
            "{}",
            r#"{"mcpServers": []}"#,
            r#"{"a": {"command": "x"}}"#,
            r#"{"mcpServers": {"a": {}, "a": {}}}"#,
        ];
        insta::assert_snapshot!(texts.map(|text| format!("{text:?}: {}", told(text))).join("\n"), @r#"
        "": line 1: is not valid JSON: EOF while parsing a value (column 0)
        "[]": line 1: must be an object in braces, not a list
        "{}": line 1: `mcpServers`: is missing: servers stand in it by their names, {"mcpServers": {"NAME": ...}}
        "{\"mcpServers\": []}": line 1: `mcpServers`: must be an object of servers by their names, not a list
        "{\"a\": {\"command\": \"x\"}}": line 1: `mcpServers`: is missing: servers stand in it by their names, {"mcpServers": {"NAME": ...}}
        "{\"mcpServers\": {\"a\": {}, \"a\": {}}}": line 1: `mcpServers.a`: is given twice, and the CLI would forget the first; keep one
        "#);
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in r#"\{"mcpServers": ?\{("[a_é -]{0,3}": ?(\{("(type|url|command|env|args)": ?("(http|stdio|\$\{)?"|1|\{\}|\[1?\]|null))?\}|5))?\}\}|.*"#) {
            let report = check(&text);
            for problem in report.errors {
                prop_assert!(problem.line.is_some());
            }
        }
    }
}
