use proptest::prelude::*;

use super::{check, check_standing};

fn told(text: &str) -> String {
    let report = check(text);
    let standing = check_standing(text);
    let error = |problem| if standing.errors.contains(problem) { "ERROR" } else { "error" };
    let errors = report.errors.iter().map(|problem| format!("{} {problem}", error(problem)));
    let warnings = report.warnings.iter().map(|problem| format!("warning {problem}"));
    let lines: Vec<_> = errors.chain(warnings).collect();
    lines.join("\n")
}

#[test]
fn settings_that_the_cli_takes_are_taken() {
    let text = r#"{
        "$schema": "https://json.schemastore.org/claude-code-settings.json",
        "permissions": {"allow": ["Bash(npm run *)", "mcp__github__*"], "deny": ["Read(./.env)", "Bash(git push *)"],
            "ask": ["WebFetch(domain:example.com)"], "defaultMode": "acceptEdits", "additionalDirectories": ["../docs"]},
        "env": {"FOO": "bar"},
        "hooks": {
            "PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "guard.sh", "timeout": 5}]}],
            "Stop": [{"hooks": [{"type": "http", "url": "https://example.com/hook"}, {"type": "prompt", "prompt": "Done?"}]}]
        },
        "model": "opus", "cleanupPeriodDays": 30, "outputStyle": "Explanatory", "includeCoAuthoredBy": false,
        "enabledPlugins": {"formatter@tools": true}, "forceLoginOrgUUID": ["a", "b"],
        "sandbox": {"enabled": true, "network": {"allowedDomains": ["example.com"]}},
        "extraKnownMarketplaces": {"tools": {"source": {"source": "github", "repo": "a/b"}}}
    }"#;
    assert_eq!(told(text), "");
    assert_eq!(told("{}"), "");
    assert_eq!(check("{}").executes.len(), 1);
}

#[test]
fn what_the_cli_would_drop_is_told_with_line_and_field() {
    insta::assert_snapshot!(told(r#"{
"cleanupPeriodDays": "x",
"apiKeyHelper": 5,
"model": null,
"permissions": {"allow": "Bash", "defaultMode": "accept-edits",
  "deny": [5,
    "Bash(",
    "bash(rm *)"], "ask": {}},
"hooks": {"PreToolUse": "x",
  "PostToolUse": [{"matcher": "Bash", "hooks": [
    {"type": "nope", "command": "x"},
    {"type": "command"},
    {"command": "x"},
    {"type": "http", "url": "x y"}]}],
  "PreTolUse": [], "SomethingNew": []},
"sandbox": {"enabled": "yes"},
"forceLoginOrgUUID": 5,
"timeFormat": 5
}"#), @r#"
    ERROR line 2: `cleanupPeriodDays`: must be a whole number, not a text
    ERROR line 3: `apiKeyHelper`: must be a text, not a number
    ERROR line 4: `model`: must be a text, not null
    ERROR line 5: `permissions.allow`: must be a list, not a text
    ERROR line 5: `permissions.defaultMode`: must be `acceptEdits`, `auto`, `bypassPermissions`, `default`, `dontAsk` or `plan`; did you mean `acceptEdits`?
    ERROR line 6: `permissions.deny[0]`: must be a text, not a number
    ERROR line 7: `permissions.deny[1]`: must end with the `)` that belongs to its first `(`
    ERROR line 8: `permissions.ask`: must be a list, not an object
    ERROR line 8: `permissions.deny[2]`: never matches: the tool is called `Bash`
    ERROR line 9: `hooks.PreToolUse`: must be a list, not a text
    ERROR line 11: `hooks.PostToolUse[0].hooks[0].type`: must be `command`, `prompt`, `agent`, `http` or `mcp_tool`
    ERROR line 12: `hooks.PostToolUse[0].hooks[1].command`: is missing
    ERROR line 13: `hooks.PostToolUse[0].hooks[2].type`: is missing
    ERROR line 14: `hooks.PostToolUse[0].hooks[3].url`: must be a whole URL
    error line 15: `hooks.PreTolUse`: is no name that the CLI knows here; did you mean `PreToolUse`? (the CLI would silently ignore it)
    ERROR line 16: `sandbox.enabled`: must be true or false, not a text
    ERROR line 17: `forceLoginOrgUUID`: must be a text or a list, not a number
    ERROR line 18: `timeFormat`: must be a text, not a number
    warning line 15: `hooks.SomethingNew`: is no name that the CLI knows here
    "#);
}

#[test]
fn what_it_would_drop_alone_is_an_error_for_writers_and_a_warning_for_files_that_are_there() {
    insta::assert_snapshot!(told(r#"{
"permissions": {"allow": [5, "Bash("], "blockReadsExemptPaths": 5},
"env": {"A": 1, "B": true, "C": null, "7": []},
"theme": 5,
"statusLine": {"type": "command", "command": "x", "refreshInterval": 0},
"extraKnownMarketplaces": {"a": {"source": {"source": "github"}}, "b": {"source": {"source": "gihub"}}, "c": {"source": {}}}
}"#), @r#"
    error line 2: `permissions.allow[0]`: must be a text, not a number (the CLI would silently ignore it)
    error line 2: `permissions.blockReadsExemptPaths`: must be a list, not a number (the CLI would silently ignore it)
    error line 2: `permissions.allow[1]`: must end with the `)` that belongs to its first `(`
    error line 3: `env[7]`: must be a text, not a list (the CLI would silently ignore it)
    error line 3: `env.C`: must be a text, not null (the CLI would silently ignore it)
    error line 4: `theme`: must be a text, not a number (the CLI would silently ignore it)
    error line 5: `statusLine.refreshInterval`: must be at least 1 (the CLI would silently ignore it)
    error line 6: `extraKnownMarketplaces.a.source.repo`: is missing (the CLI would silently ignore it)
    error line 6: `extraKnownMarketplaces.b.source.source`: must be `url`, `github`, `git`, `npm`, `file`, `directory`, `skills-dir`, `hostPattern`, `pathPattern` or `settings`; did you mean `github`? (the CLI would silently ignore it)
    error line 6: `extraKnownMarketplaces.c.source.source`: is missing (the CLI would silently ignore it)
    warning line 3: `env.A`: must be a text, not a number (the CLI takes it nevertheless)
    warning line 3: `env.B`: must be a text, not true or false (the CLI takes it nevertheless)
    "#);
}

#[test]
fn unknown_keys_are_told_with_what_was_probably_meant_and_refused_where_something_is_lost() {
    insta::assert_snapshot!(told(r#"{
"permission": {},
"permissions": {"denied": [], "deny": []},
"hooks": {"Stop": [{"matchers": "x", "hooks": [{"type": "command", "command": "x", "timeuot": 5}]}]},
"sandbox": {"network": {"allowDomains": []}},
"env": {"anything": "x"},
"SOMETHING": {"deep": {"down": 1}}
}"#), @r#"
    ERROR line 2: `permission`: is no key that the CLI knows here; did you mean `permissions`?
    ERROR line 3: `permissions.denied`: is no key that the CLI knows here; did you mean `deny`?
    error line 4: `hooks.Stop[0].hooks[0].timeuot`: is no key that the CLI knows here; did you mean `timeout`?
    error line 4: `hooks.Stop[0].matchers`: is no key that the CLI knows here; did you mean `matcher`?
    ERROR line 5: `sandbox.network.allowDomains`: is no key that the CLI knows here; did you mean `allowedDomains`?
    warning line 7: `SOMETHING`: is no key that the CLI knows here
    "#);
}

#[test]
fn a_thousand_unknown_keys_hide_nothing() {
    let many: Vec<_> = (0..2_000).map(|number| format!("\"zzz{number}\": 1")).collect();
    let report = check_standing(&format!("{{{}, \"zzzz\": 1}}", many.join(",")));
    assert_eq!(report.errors.len(), 1, "{:?}", report.errors);
    assert!(report.errors[0].message.contains("comes after 1000 keys"), "{:?}", report.errors);
}

#[test]
fn a_misspelt_key_that_was_to_forbid_something_is_no_mere_oddity() {
    insta::assert_snapshot!(told(r#"{
"Permissions": {"deny": ["Bash"]},
"deny": [],
"ask": [],
"allow": [],
"permissions": {"denny": [],
  "alow": [],
  "defaultMode": "bypassPermissions"},
"sandboxx": {}
}"#), @r#"
    ERROR line 2: `Permissions`: is no key that the CLI knows here; did you mean `permissions`?
    ERROR line 3: `deny`: is no key that the CLI knows here; did you mean `permissions.deny`?
    ERROR line 4: `ask`: is no key that the CLI knows here; did you mean `permissions.ask`?
    error line 5: `allow`: is no key that the CLI knows here; did you mean `permissions.allow`?
    ERROR line 6: `permissions.denny`: is no key that the CLI knows here; did you mean `deny`?
    error line 7: `permissions.alow`: is no key that the CLI knows here; did you mean `allow`?
    ERROR line 9: `sandboxx`: is no key that the CLI knows here; did you mean `sandbox`?
    warning line 8: `permissions.defaultMode`: has no effect: each run is given a mode of its own
    "#);
}

#[test]
fn the_file_must_be_json_first() {
    insta::assert_snapshot!(told("{\n\"permissions\": {\"deny\": [\"Bash\"]}, // no\n}"), @r#"ERROR line 2: is not valid JSON: key must be a string (column 36); JSON has no comments, and its texts and keys stand in double quotes"#);
    insta::assert_snapshot!(told("{\"permissions\": {\"deny\": []},\n\"permissions\": {}}"), @r#"ERROR line 2: `permissions`: is given twice, and the CLI would forget the first; keep one"#);
}

#[test]
fn problems_are_bounded() {
    let text = format!("{{\"permissions\": {{\"deny\": [{}]}}}}", vec!["\"x(\""; 1000].join(","));
    assert_eq!(check(&text).errors.len(), 20);
    let text = format!("{{{}}}", (0..1000).map(|n| format!("\"k{n}\": 1")).collect::<Vec<_>>().join(","));
    assert_eq!(check(&text).warnings.len(), 20);
}

#[test]
fn what_is_odd_never_hides_what_opens_something() {
    let odd: Vec<_> = (0..21).map(|n| format!("\"V{n}\": {n}")).collect();
    let loses: Vec<_> = (0..21).map(|n| format!("\"W{n}\": null")).collect();
    let text =
        format!("{{\"env\": {{{}, {}}}, \"permissions\": \"oops\", \"model\": 5}}", odd.join(","), loses.join(","));
    let deny = |rules: &[&str]| format!("{{\"permissions\": {{\"deny\": {}}}}}", serde_json::json!(rules));
    for (text, opens) in [
        (text, 2),
        (deny(&[&["Edit"; 21][..], &["bash(rm *)"]].concat()), 1),
        (
            format!(
                "{{\"hooks\": {{{}, \"Stop\": 5}}}}",
                (0..30).map(|n| format!("\"Odd{n}\": []")).collect::<Vec<_>>().join(",")
            ),
            1,
        ),
        (format!("{{\"permissions\": {{\"allow\": [{}], \"deny\": [5]}}}}", ["5"; 30].join(",")), 1),
    ] {
        assert_eq!(check_standing(&text).errors.len(), opens, "{text}");
        assert!(!check(&text).is_valid(), "{text}");
    }
}

#[test]
fn of_thousands_of_mistakes_a_few_of_each_effect_are_told() {
    let filled = |one: &dyn Fn(usize) -> String| {
        let (mut text, mut n) = (String::new(), 0);
        while text.len() < 40_000 {
            if n > 0 {
                text.push(',');
            }
            text.push_str(&one(n));
            n += 1;
        }
        text
    };
    for (what, text) in [
        ("env", format!("{{\"env\": {{{}}}}}", filled(&|n| format!("\"{n}\":0")))),
        ("hooks", format!("{{\"hooks\": {{{}}}}}", filled(&|n| format!("\"PreToolU{n}\":0")))),
        ("long hooks", format!("{{\"hooks\": {{{}}}}}", filled(&|n| format!("\"{n:060}\":0")))),
        ("entries", format!("{{\"hooks\": {{\"Stop\": [{{\"hooks\":[{}]}}]}}}}", filled(&|_| "{}".to_owned()))),
        ("deny", format!("{{\"permissions\": {{\"deny\": [{}]}}}}", filled(&|_| "\"Edut\"".to_owned()))),
        ("numbers", format!("{{\"permissions\": {{\"deny\": [{}]}}}}", filled(&|_| "5".to_owned()))),
        (
            "sources",
            format!("{{\"extraKnownMarketplaces\": {{{}}}}}", filled(&|n| format!("\"{n}\":{{\"source\":{{}}}}"))),
        ),
        (
            "pairs",
            format!(
                "{{\"sandbox\":{{\"credentials\":{{\"awsPairs\": [{}]}}}}}}",
                filled(&|_| "{\"accessKeyIdVar\":\"A\"}".to_owned())
            ),
        ),
        ("unknown", format!("{{{}}}", filled(&|n| format!("\"{n:040}\":0")))),
    ] {
        let report = check(&text);
        assert!(report.errors.len() <= 20 && report.warnings.len() <= 20, "{what}");
        assert!(report.errors.len() + report.warnings.len() > 0, "{what}");
    }
}

/// JSON with the words of settings in it.
fn settings() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "permissions",
        "deny",
        "hooks",
        "PreToolUse",
        "type",
        "command",
        "source",
        "github",
        "sandbox",
        "env",
        "0",
        "x",
    ];
    let word = prop::sample::select(WORDS);
    let leaf = prop_oneof![
        word.clone().prop_map(|word| format!("\"{word}\"")),
        Just("5".to_owned()),
        Just("null".to_owned()),
        Just("true".to_owned())
    ];
    leaf.prop_recursive(6, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((word.clone(), inner), 0..4).prop_map(|members| {
                let members: Vec<_> =
                    members.into_iter().map(|(name, value)| format!("\"{name}\":\n{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_is_too_odd(text in ".*") {
        let _ = check(&text);
    }

    #[test]
    fn every_error_has_a_line_of_the_text(text in settings()) {
        let report = check(&text);
        let lines = u32::try_from(text.lines().count()).unwrap();
        for problem in report.errors.iter().chain(&report.warnings) {
            prop_assert!(problem.line.is_some_and(|line| (1..=lines).contains(&line)), "{problem} in {text}");
        }
        prop_assert!(check_standing(&text).errors.len() <= report.errors.len());
    }
}
