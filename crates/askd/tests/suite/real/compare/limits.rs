//! What the script sends and shows, and when it gives up.

use std::collections::BTreeSet;

use askd::settings::Settings;
use serde_json::{Value, json};

use super::{Compared, OLD_KEY, Old, World, can_run, compare, ended, node, root};
use crate::harness::{Folders, TestServerBuilder};

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:1";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_costs_or_changes_is_sent_unasked() {
    if !can_run("nothing_that_costs_or_changes_is_sent_unasked") {
        return;
    }
    let world = World::with(|server| server.file("config/rules/a.md", "x")).await;
    let old = Old::start(&world.model.base_url(), &[("config/rules/a.md", "x")], "");
    let requests = [
        json!({"path": "/ask", "body": {"prompt": "hello"}}),
        json!({"method": "DELETE", "path": "/config/rules/a"}),
        json!({"path": "/config/rules/a"}),
        json!({"path": "/ASK/", "body": {"prompt": "hello"}}),
        json!({"path": "/v1/runs", "body": {"prompt": "hello"}}),
        json!({"path": "/v1/messages", "body": {"prompt": "hello"}}),
    ];
    let url = world.server.url("");
    let compared = compare(&old.folders, &requests, &[], &old.url, &url).await;
    let verdicts: Vec<_> = compared.differences().into_iter().map(|(verdict, _)| verdict).collect();
    let expected = ["not_sent", "not_sent", "same", "not_sent", "not_sent", "not_sent"].map(str::to_owned);
    assert_eq!((compared.status, verdicts), (0, expected.to_vec()));
    assert!(world.model.recorded().is_empty());
    // Only that much of it was asked for.
    let unasked = [&requests[..2], &requests[3..]].concat();
    let compared = compare(&old.folders, &unasked, &["--write"], &old.url, &url).await;
    let verdicts: Vec<_> = compared.differences().into_iter().map(|(verdict, _)| verdict).collect();
    assert_eq!(verdicts, ["not_sent", "same", "not_sent", "not_sent", "not_sent"], "{}", compared.said);
    assert!(world.model.recorded().is_empty() && world.server.folders.list("config/rules").is_empty());
    // What it may do nobody knows.
    let compared = compare(&old.folders, &requests[4..], &["--ask"], &old.url, &url).await;
    assert_eq!(compared.report()["summary"]["not_sent"], json!(2), "{}", compared.said);
    assert!(world.model.recorded().is_empty());
    // That there is nothing to compare is no success.
    assert_eq!(compare(&old.folders, &requests[..2], &[], &old.url, &url).await.status, 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_does_not_differ_from_itself() {
    if !can_run("a_server_does_not_differ_from_itself") {
        return;
    }
    let world = World::new().await;
    let page = std::fs::read_to_string(root().join("docs/install/compare-requests.jsonl")).unwrap();
    let requests: Vec<Value> =
        page.lines().filter(|line| !line.starts_with('#')).map(|line| serde_json::from_str(line).unwrap()).collect();
    let url = world.server.url("");
    // Twice the same URL is refused.
    let other = url.replace("127.0.0.1", "localhost");
    let asked = ["--ask", "--exact", "result", "--exact", ".error.message"];
    // Both keys are the same one here.
    let variables = [("API_KEY", Settings::TEST_API_KEY), ("OLD_API_KEY", ""), ("NEW_API_KEY", "")];
    let mut command = node(root().join("scripts/compare"));
    command.args(["--json", "--requests"]).arg(root().join("docs/install/compare-requests.jsonl"));
    command.args(asked).args([&url, &other]).envs(variables);
    let compared = ended(command).await;
    let report = compared.report();
    assert_eq!(
        (compared.status, report["summary"]["same"].as_u64()),
        (0, Some(requests.len() as u64)),
        "{}",
        compared.said
    );
    assert!(compared.errors.contains("up to 9 questions"), "{}", compared.errors);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_both_servers_refuse_for_their_own_reasons_is_not_compared() {
    if !can_run("what_both_servers_refuse_for_their_own_reasons_is_not_compared") {
        return;
    }
    let world = World::new().await;
    let old = Old::start(&world.model.base_url(), &[], "");
    let url = world.server.url("");
    let verdicts = |compared: &Compared| -> Vec<String> {
        compared.differences().into_iter().map(|(verdict, _)| verdict).collect()
    };
    // The provider refuses some, and the others are compared all the same.
    let ask = |body: Value| json!({"path": "/ask", "body": body});
    let refused = "[[error:401,type=authentication_error]]";
    let requests =
        [ask(json!({"prompt": refused})), ask(json!({"prompt": refused, "stream": true})), ask(json!({"prompt": ""}))];
    let compared = compare(&old.folders, &requests, &["--ask"], &old.url, &url).await;
    assert_eq!((compared.status, verdicts(&compared)), (2, ["failed", "failed", "same"].map(str::to_owned).to_vec()));
    let report = compared.report();
    let because = |at: usize| report["requests"][at]["because"].as_str().unwrap();
    assert!(because(0).contains("500 INTERNAL_ERROR") && because(0).contains("502 UPSTREAM_ERROR"), "{report:#}");
    assert!(because(1).contains("a stream with code 1"), "{report:#}");
    // Both keys are wrong, which a request that takes them away does not show.
    let requests = [
        json!({"path": "/health"}),
        json!({"path": "/config/agents", "headers": {"X-API-Key": null}}),
        json!({"path": "/config/agents"}),
        json!({"path": "/config/rules"}),
    ];
    let lines: Vec<_> = requests.iter().map(Value::to_string).collect();
    old.folders.write("requests.jsonl", &lines.join("\n"));
    let mut command = node(root().join("scripts/compare"));
    command.args(["--json", "--requests"]).arg(old.folders.root().join("requests.jsonl")).args([&old.url, &url]);
    command.env("API_KEY", "wrong");
    let compared = ended(command).await;
    let expected = ["same", "same", "failed", "not_sent"].map(str::to_owned);
    assert_eq!((compared.status, verdicts(&compared)), (2, expected.to_vec()));
    assert!(compared.said.contains("401 UNAUTHORIZED"), "{}", compared.said);
    assert_eq!(compared.report()["requests"][3]["because"], "line 3 failed", "{}", compared.said);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_rest_gets_it() {
    if !can_run("a_server_that_asks_for_rest_gets_it") {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    let old = Old::start(NOWHERE, &[], "asks for rest");
    let requests = [json!({"path": "/config/agents"})];
    let compared = compare(&old.folders, &requests, &[], &old.url, &server.url("")).await;
    assert_eq!((compared.status, compared.report()["summary"]["same"].as_u64()), (0, Some(1)), "{}", compared.said);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_not_shown_and_values_only_if_asked_for() {
    if !can_run("keys_are_not_shown_and_values_only_if_asked_for") {
        return;
    }
    let world = World::new().await;
    let old = Old::start(&world.model.base_url(), &[], "a status with the key");
    let requests = [json!({"path": "/health"}), json!({"path": "/ask", "body": {"prompt": "", "cwd": "a"}})];
    let url = world.server.url("");
    let compared = compare(&old.folders, &requests, &["--ask", "--exact=error.message"], &old.url, &url).await;
    let report = compared.report();
    assert_eq!(report["requests"][0]["differences"][0]["old"], json!(r#""[key]\u009b2J""#), "{report:#}");
    assert_eq!(report["requests"][1]["differences"][0]["field"], ".error.message", "{report:#}");
    for key in [OLD_KEY, Settings::TEST_API_KEY, "\u{9b}"] {
        assert!(!compared.said.contains(key) && !compared.errors.contains(key), "{report:#}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_sent_after_a_failure_is_in_the_report() {
    if !can_run("what_was_not_sent_after_a_failure_is_in_the_report") {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    let old = Old::start(NOWHERE, &[], "silence on rules");
    let requests = [
        json!({"path": "/config/agents"}),
        json!({"path": "/config/rules"}),
        json!({"path": "/config/agents"}),
        json!({"method": "DELETE", "path": "/config/agents/a"}),
    ];
    let compared = compare(&old.folders, &requests, &["--timeout=2"], &old.url, &server.url("")).await;
    let report = compared.report();
    let told: Vec<_> =
        report["requests"].as_array().unwrap().iter().map(|it| (&it["verdict"], &it["because"])).collect();
    assert_eq!((compared.status, told[0]), (2, (&json!("same"), &Value::Null)), "{report:#}");
    assert!(told[1].0 == "failed" && told[1].1.as_str().unwrap().contains("did not end within 2 s"), "{report:#}");
    assert_eq!(told[2], (&json!("not_sent"), &json!("line 2 failed")), "{report:#}");
    assert_eq!(told[3], (&json!("not_sent"), &json!("--write sends it")), "{report:#}");
    let counted = json!({"same": 1, "expected": 0, "different": 0, "not_sent": 2, "failed": 1});
    assert_eq!(report["summary"], counted, "{report:#}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_compared_ends_with_a_status_of_its_own() {
    if !can_run("what_cannot_be_compared_ends_with_a_status_of_its_own") {
        return;
    }
    let server = TestServerBuilder::fake().start().await;
    let (folders, url) = (Folders::new(), server.url(""));
    let health = json!({"path": "/health"});
    let [silent, deep, deep_code] =
        ["silence", "depth", "a deep code"].map(|planted| Old::start(NOWHERE, &[], planted));
    for (old, new, timeout, why) in [
        (&*url, NOWHERE, "--timeout=60", "ECONNREFUSED"),
        (&*silent.url, &*url, "--timeout=0.2", "did not end within 0.2 s"),
        (&*deep.url, &*url, "--timeout=60", "nested more than 200 deep"),
        (&*deep_code.url, &*url, "--timeout=60", "call stack"),
    ] {
        let compared = compare(&folders, &[health.clone(), health.clone()], &[timeout], old, new).await;
        let report = compared.report();
        let told = report["requests"].as_array().unwrap();
        // The second one would fail as well, and take as long.
        assert_eq!((compared.status, &told[0]["verdict"], told.len()), (2, &json!("failed"), 2), "{report:#}");
        assert!(told[0]["because"].as_str().unwrap().contains(why), "{report:#}");
        assert_eq!(
            (&told[1]["verdict"], &told[1]["because"]),
            (&json!("not_sent"), &json!("line 1 failed")),
            "{report:#}"
        );
    }
    let refused: [(Value, &[&str], &str, &str); 11] = [
        (json!({"path": "health"}), &[], &url, "line 1 of the requests: the path"),
        (json!({"path": "//elsewhere.example/"}), &[], &url, "line 1 of the requests: the path"),
        (json!({"path": "/config/../ask", "body": {}}), &[], &url, "no part that is . or .."),
        (json!({"path": "/config/%2E./ask?a=b"}), &[], &url, "no part that is . or .."),
        (json!({"path": "/config/..%2fask"}), &[], &url, "no part that is . or .."),
        (json!({"path": "/health", "url": "x"}), &[], &url, "\"url\" is none of"),
        (json!({"path": "/health", "method": "PATCH"}), &[], &url, "the method is none of"),
        (health.clone(), &[], "http://me:secret@127.0.0.1:1", "keys come from variables"),
        (health.clone(), &[], &format!("{url}/"), "both URLs are the same"),
        (health.clone(), &["--timeout=0"], &url, "--timeout takes"),
        (health.clone(), &["--key=x"], &url, "Unknown option '--key'"),
    ];
    for (request, arguments, old, why) in refused {
        let compared = compare(&folders, &[request], arguments, old, &url).await;
        assert_eq!((compared.status, &*compared.said), (2, ""), "{why}: {}", compared.errors);
        assert!(compared.errors.contains(why) && !compared.errors.contains("secret"), "{why}: {}", compared.errors);
    }
    let mut keyless = node(root().join("scripts/compare"));
    keyless.arg("--requests").arg(folders.root().join("requests.jsonl")).args([&url, &url]);
    let compared = ended(keyless).await;
    assert!(compared.status == 2 && compared.errors.contains("set OLD_API_KEY (or API_KEY)"), "{}", compared.errors);
    server.stop().await;
}

#[test]
fn what_the_script_expects_stands_in_the_guide() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let (script, guide) = (read("scripts/compare"), read("docs/install/migrate.md"));
    let words = |line: &str| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    let headings: BTreeSet<_> = guide.lines().filter(|line| line.starts_with('#')).map(words).collect();
    let tables = script.lines().filter_map(|line| line.strip_prefix("  ['")?.split_once("', ("));
    let named: BTreeSet<_> = tables.map(|(anchor, _)| anchor.to_owned()).chain(["another-cli".to_owned()]).collect();
    assert!(named.len() > 7, "{named:?}");
    let missing: Vec<_> = named.difference(&headings).collect();
    assert!(missing.is_empty(), "the guide has no {missing:?}");
}
