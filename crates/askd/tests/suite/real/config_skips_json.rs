//! What the CLI silently drops of settings and MCP servers, askd refuses with line and field; and what the CLI takes, askd
//! takes. Each time the real CLI is asked what it has.

use std::collections::BTreeSet;

use askd::config::document::Content;
use askd::config::kind::Kind;
use askd::config::name::DocumentId;
use askd::config::problem::Report;
use askd::config::validate;
use askd::config::validate::settings::{check, check_standing};
use futures_util::future::join_all;
use scripted_model::ScriptedModel;
use serde_json::{Map, Value, json};

use super::bare_cli::{BareCli, settings_in_force};

/// Stands beside every mistake: while it is there, the file is in force.
const RULE: &str = "Bash(echo *)";

fn with_rule(mut settings: Map<String, Value>) -> String {
    settings.insert("permissions".into(), json!({"deny": [RULE]}));
    Value::Object(settings).to_string()
}

async fn keeps_rule(text: &str) -> bool {
    let (settings, _) = settings_in_force(text).await;
    settings.is_some_and(|settings| {
        settings["permissions"]["deny"].as_array().is_some_and(|deny| deny.contains(&json!(RULE)))
    })
}

fn keys() -> Vec<(String, Value)> {
    let schema: Value = serde_json::from_str(include_str!("../../../src/config/settings.schema.json")).unwrap();
    let keys = schema["properties"].as_object().unwrap().clone().into_iter();
    keys.filter(|(name, _)| name != "permissions").collect()
}

/// A value of another type than the key has.
fn wrong(schema: &Value) -> Value {
    let fits = |kind: &str| schema.to_string().contains(&format!("\"type\":\"{kind}\""));
    if fits("number") || fits("integer") && schema["type"] != "object" { json!("zz") } else { json!(5) }
}

/// Keys whose wrong values the CLI drops alone, which opens something: a wrong list of what is denied denies nothing.
const RESTRICT: [&str; 9] = [
    "allowedMarketplaces",
    "allowedMcpServers",
    "allowedProviders",
    "deniedMcpServers",
    "deniedModels",
    "gatewayInternalNetworks",
    "hooks",
    "strictPluginOnlyCustomization",
    "subagentStatusLine",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_key_of_a_wrong_type_for_which_the_cli_drops_the_file_is_refused_at_the_start() {
    let one = |name: &str, value: &Value| json!({ name: value }).to_string();
    let all: Map<_, _> = keys().into_iter().map(|(name, schema)| (name, wrong(&schema))).collect();
    let (in_force, errors) = settings_in_force(&with_rule(all.clone())).await;
    assert_eq!(in_force, None);
    let dropping: BTreeSet<_> = errors.iter().map(|path| path.split(['.', '[']).next().unwrap()).collect();
    assert!(dropping.len() > 100, "{dropping:?}");
    for (name, value) in &all {
        assert!(!check(&one(name, value)).is_valid(), "{name}: a writer is told of {value}");
    }
    let (refused, taken): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|(name, value)| !check_standing(&one(name, value)).is_valid());
    let refused: BTreeSet<_> = refused.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        dropping.difference(&refused).collect::<Vec<_>>(),
        [&""; 0],
        "the CLI would drop the file, and askd would not say so"
    );
    let more: Vec<_> = refused.difference(&dropping).copied().filter(|name| !RESTRICT.contains(name)).collect();
    assert_eq!(more, [""; 0], "the CLI takes the file, and askd would not start");
    assert!(keeps_rule(&with_rule(taken.into_iter().collect())).await, "what the CLI drops alone");

    let null = keys().into_iter().map(|(name, _)| (name, Value::Null));
    let null: Map<_, _> = null.filter(|(name, value)| check_standing(&one(name, value)).is_valid()).collect();
    assert!(null.len() > 30 && keeps_rule(&with_rule(null)).await, "what the CLI takes for nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_the_cli_drop_the_file_is_refused_with_line_and_field() {
    let cases = [
        ("not closed", "\"permissions\": {\"deny\": [\"Bash(echo *)\"]}, \"a\": {", 3, None),
        ("a comment", "\"permissions\": {\"deny\": [\"Bash(echo *)\"]} // why", 2, None),
        ("a trailing comma", "\"permissions\": {\"deny\": [\"Bash(echo *)\"]},", 3, None),
        (
            "the rules are forgotten",
            "\"permissions\": {\"deny\": [\"Bash(echo *)\"]},\n\"permissions\": {}",
            3,
            Some("permissions"),
        ),
        ("rules as one text", "\"permissions\": {\"deny\": \"Bash(echo *)\"}", 2, Some("permissions.deny")),
        (
            "another list",
            "\"permissions\": {\"deny\": [\"Bash(echo *)\"],\n\"allow\": \"Bash\"}",
            3,
            Some("permissions.allow"),
        ),
        (
            "a mode",
            "\"permissions\": {\"deny\": [\"Bash(echo *)\"],\n\"defaultMode\": \"nope\"}",
            3,
            Some("permissions.defaultMode"),
        ),
        (
            "a hook's event",
            "\"permissions\": {\"deny\": [\"Bash(echo *)\"]},\n\"hooks\": {\"PreToolUse\": \"x\"}",
            3,
            Some("hooks.PreToolUse"),
        ),
        (
            "a hook's type",
            "\"permissions\": {\"deny\": [\"Bash(echo *)\"]},\n\"hooks\": {\"PreToolUse\": [{\"hooks\": [{\"type\": \"no\"}]}]}",
            3,
            Some("hooks.PreToolUse[0].hooks[0].type"),
        ),
        (
            "a hook's address",
            "\"permissions\": {\"deny\": [\"Bash(echo *)\"]},\n\"hooks\": {\"PreToolUse\": [{\"hooks\": [{\"type\": \"http\", \"url\": \"x\"}]}]}",
            3,
            Some("hooks.PreToolUse[0].hooks[0].url"),
        ),
        (
            "the sandbox",
            "\"permissions\": {\"deny\": [\"Bash(echo *)\"]},\n\"sandbox\": {\"enabled\": \"yes\"}",
            3,
            Some("sandbox.enabled"),
        ),
        (
            "a masked credential",
            "\"permissions\": {\"deny\": [\"Bash(echo *)\"]},\n\"sandbox\": {\"credentials\": {\"files\": [{\"path\": \"/x\", \"mode\": \"mask\", \"extract\": \"a\"}]}}",
            3,
            Some("sandbox.credentials.files[0].extract"),
        ),
        (
            "a pair of variables",
            "\"permissions\": {\"deny\": [\"Bash(echo *)\"]},\n\"sandbox\": {\"credentials\": {\"awsPairs\": [{\"accessKeyIdVar\": \"A\", \"secretAccessKeyVar\": \"A\"}]}}",
            3,
            Some("sandbox.credentials.awsPairs[0].secretAccessKeyVar"),
        ),
    ];
    join_all(cases.map(async |(what, inner, line, field)| {
        let text = format!("{{\n{inner}\n}}");
        assert!(!keeps_rule(&text).await, "{what}: the CLI takes {text}");
        let errors = check_standing(&text).errors;
        let found = errors.iter().any(|error| (error.line, error.field.as_deref()) == (Some(line), field));
        assert!(found, "{what}: {errors:?}");
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cli_takes_is_taken() {
    let cases = [
        "\u{feff}{\"permissions\": {\"deny\": [\"Bash(echo *)\"]}}",
        "{\"permissions\": {\"deny\": [\"Bash(echo *)\"], \"unknown\": 1}, \"unknown\": {\"a\": 1}}",
        "{\"permissions\": {\"deny\": [\"Bash(echo *)\"]}, \"hooks\": {\"SomethingNew\": []}, \"env\": {\"A\": 1, \"B\": true}}",
        "{\"permissions\": {\"deny\": [\"Bash(echo *)\"]}, \"enabledMcpjsonServers\": \"one\", \"timeFormat\": \"auto\", \"effortLevel\": \"high\"}",
        "{\"permissions\": {\"deny\": [\"Bash(echo *)\"]}, \"hooks\": {\"PreToolUse\": [{\"matcher\": \"Bash\", \"hooks\": \
         [{\"type\": \"command\", \"command\": \"true\", \"timeout\": 5}]}]}, \"enabledPlugins\": {\"a@b\": true}}",
    ];
    join_all(cases.map(async |text| {
        assert!(keeps_rule(text).await, "the CLI drops {text}");
        assert_eq!(check(text).errors, [], "{text}");
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_the_cli_drops_are_errors_and_those_that_it_keeps_are_none() {
    let dropped = [
        "",
        " ",
        "Bash(",
        "Bash()",
        "Bash)",
        "Bash(x",
        "Bash(x)y",
        "Bash(a\\)",
        "bash",
        "bash(x)",
        "nope",
        "Bash(:*)",
        "Read()",
        "Read(a:*)",
        "WebFetch(example.com)",
        "WebSearch(x*)",
        "mcp__s__t(x)",
        "mcp__s(x)",
    ];
    let kept = [
        "Bash",
        "Bash(*)",
        "Bash(git push *)",
        "Bash(git push:*)",
        "Bash(x(y))",
        "Edit(//etc/**)",
        "Read(~/x)",
        "WebFetch(domain:example.com)",
        "WebSearch(x)",
        "mcp__s",
        "mcp__s__t",
        "mcp__s__*",
        "Task(x)",
        "Skill(x)",
        "SomethingNew",
    ];
    let only_where_denied = ["*", "Ba*", "mcp__*", "mcp__a*__b"];
    for (list, gone, there) in [
        ("deny", dropped.to_vec(), [&kept[..], &only_where_denied].concat()),
        ("ask", dropped.to_vec(), [&kept[..], &only_where_denied].concat()),
        ("allow", [&dropped[..], &only_where_denied].concat(), kept.to_vec()),
    ] {
        let all = [&gone[..], &there[..]].concat();
        let text = json!({"permissions": {list: all}}).to_string();
        let (settings, _) = settings_in_force(&text).await;
        assert_eq!(settings.unwrap()["permissions"][list], json!(there), "{list}: what the CLI keeps");
        for rule in gone {
            let text = json!({"permissions": {list: [rule]}}).to_string();
            let field = check(&text).errors.first().and_then(|error| error.field.clone());
            assert_eq!(field, Some(format!("permissions.{list}[0]")), "{rule:?}");
            assert_eq!(check_standing(&text).is_valid(), list == "allow", "{rule:?}");
        }
        assert_eq!(check(&json!({"permissions": {list: there}}).to_string()).errors, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_the_cli_keeps_and_never_applies_are_errors() {
    let model = ScriptedModel::start().await.unwrap();
    let (bash, write) =
        (json!({"command": "echo hi", "description": "d"}), json!({"file_path": "HOME/work/new", "content": "x"}));
    let cases = [
        ("Bash", &bash, "Bash(echo *)", true),
        ("Write", &write, "Edit(//**)", true),
        ("Bash", &bash, "Bash (echo *)", false),
        ("Bash", &bash, "Bash\n", false),
        ("Bash", &bash, "Bash,Read", false),
        ("Bash", &bash, "BASH", false),
        ("Bash", &bash, "Bash(echo :*)", false),
        ("Write", &write, "Write(//**)", false),
        ("Write", &write, "NotebookEdit(//**)", false),
    ];
    join_all(cases.map(async |(tool, input, rule, works)| {
        let settings = json!({"permissions": {"deny": [rule], "allow": ["Bash", "Write"]}}).to_string();
        let mut cli = BareCli::start(&[("settings.json", &settings)], &["--add-dir", "HOME/work"], Some(&model)).await;
        cli.control(json!({"subtype": "initialize"})).await;
        let input: Value = serde_json::from_str(&input.to_string().replace("HOME/", &cli.home_path())).unwrap();
        cli.ask(&format!("{} [[then]] [[text:end]]", scripted_model::prompt::tool(tool, &input))).await;
        let result = cli.find(|message| message["type"] == "result").await.unwrap();
        let denials = result["permission_denials"].as_array().map_or(0, Vec::len);
        cli.end().await;
        assert_eq!(denials > 0, works, "{rule}: {result}");
        assert_eq!(check_standing(&json!({"permissions": {"deny": [rule]}}).to_string()).is_valid(), works, "{rule}");
    }))
    .await;
    model.shutdown().await;
}

fn check_servers(text: &str) -> Report {
    validate::check(&DocumentId::new(Kind::McpServers, None).unwrap(), &Content::Text(text.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_the_cli_skips_are_errors_and_those_that_it_has_are_none() {
    let skipped = json!({
        "no-command": {"args": []}, "empty-command": {"command": ""}, "args": {"command": "true", "args": "x"},
        "arg": {"command": "true", "args": [1]}, "env": {"command": "true", "env": {"A": 1}}, "env-list": {"command": "true", "env": ["A"]},
        "type": {"type": "nope", "command": "true"}, "no-url": {"type": "http"}, "no-type": {"url": "http://127.0.0.1:9/"},
        "header": {"type": "http", "url": "http://127.0.0.1:9/", "headers": {"a": 1}}, "text": "x", "nothing": null,
        "timeout": {"command": "true", "timeout": "x"}, "oauth": {"type": "http", "url": "http://127.0.0.1:9/", "oauth": 5},
        "workspace": {"command": "true"}, "claude-in-chrome": {"command": "true"}
    });
    let taken = json!({
        "one": {"command": "true"}, "two": {"type": "stdio", "command": "true", "args": ["x"], "env": {"A": "b"}, "timeout": 5},
        "three": {"type": "http", "url": "http://127.0.0.1:9/"}, "four": {"type": "sse", "url": "http://127.0.0.1:9/", "headers": {"a": "b"}},
        "five": {"command": "true", "unknown": 1}, "two words": {"command": "true"}
    });
    let (skipped, taken) = (skipped.as_object().unwrap(), taken.as_object().unwrap());
    let all: Map<_, _> = skipped.clone().into_iter().chain(taken.clone()).collect();
    let text = format!("{:#}", json!({"mcpServers": all}));
    let model = ScriptedModel::start().await.unwrap();
    let mut cli =
        BareCli::start(&[("servers.json", &text)], &["--mcp-config", "HOME/servers.json"], Some(&model)).await;
    cli.control(json!({"subtype": "initialize"})).await;
    cli.ask("[[text:x]]").await;
    let init = cli.find(|message| message["subtype"] == "init").await.unwrap();
    cli.end().await;
    model.shutdown().await;
    let names = |list: &Value| {
        list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!(names(&init["mcp_servers"]), taken.keys().cloned().collect(), "what the CLI has");
    assert_eq!(names(&init["mcp_server_errors"]), skipped.keys().cloned().collect(), "what it has not");

    let report = check_servers(&text);
    for problem in &report.errors {
        assert!(problem.line.is_some_and(|line| line > 1), "{problem}");
    }
    let told: BTreeSet<_> =
        report.errors.iter().filter_map(|error| error.field.as_deref()?.split('.').nth(1)).collect();
    assert_eq!(told, skipped.keys().map(String::as_str).collect(), "{:#?}", report.errors);
    assert_eq!(check_servers(&json!({"mcpServers": taken}).to_string()).errors, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_servers_with_which_the_cli_does_not_start_is_refused() {
    let texts =
        ["", "{", "[]", "{}", "{\"mcpServers\": []}", "{\"a\": {\"command\": \"true\"}}", "{\"mcpServers\": {},}"];
    join_all(texts.map(async |text| {
        let mut cli = BareCli::start(&[("servers.json", text)], &["--mcp-config", "HOME/servers.json"], None).await;
        cli.send(json!({"type": "control_request", "request_id": "1", "request": {"subtype": "initialize"}})).await;
        assert_eq!(cli.find(|message| message["type"] == "control_response").await, None, "{text:?}");
        cli.end().await;
        assert!(!check_servers(text).is_valid(), "{text:?}");
    }))
    .await;
}
