//! What the script finds, and what it takes for expected.

use serde_json::{Value, json};

use super::{Old, World, can_run, compare};

const AGENT: &str = "---\nname: reviewer\ndescription: Reviews.\n---\nYou review.\n";

/// In the folders of both servers, so that they have the same to tell.
const FILES: [(&str, &str); 4] = [
    ("config/agents/reviewer.md", AGENT),
    ("config/rules/tabs.md", "Prefer tabs.\n"),
    ("config/rules/Not_Kebab.md", "x\n"),
    ("workspace/shop/a.txt", "a"),
];

/// Fields that only askd's results have: it speaks with the CLI otherwise.
const FURTHER: (&str, &str) = ("further fields", "another-cli");
/// The old server sends no id with a stream.
const NO_ID: (&str, &str) = ("x-request-id", "streams");

type Told<'a> = (Value, &'a str, &'a [(&'a str, &'a str)]);

fn ask(body: Value) -> Value {
    let mut request = json!({"path": "/ask"});
    request["body"] = body;
    request
}

async fn world() -> World {
    World::with(|server| FILES.iter().fold(server, |server, (path, text)| server.file(path, text))).await
}

/// Compares both, and expects of each request its verdict with these differences and no others.
async fn tells(world: &World, planted: &str, status: i32, told: &[Told<'_>]) {
    let old = Old::start(&world.model.base_url(), &FILES, planted);
    let requests: Vec<_> = told.iter().map(|(request, ..)| request.clone()).collect();
    let compared = compare(&old.folders, &requests, &["--ask", "--write"], &old.url, &world.server.url("")).await;
    let found = compared.differences();
    let expected = told.iter().map(|(_, verdict, differences)| {
        let differences = differences.iter().map(|(field, see)| ((*field).to_owned(), (*see).to_owned()));
        ((*verdict).to_owned(), differences.collect::<Vec<_>>())
    });
    for (at, expected) in expected.enumerate() {
        assert_eq!(found[at], expected, "{}\n{:#}", requests[at], compared.report()["requests"][at]);
    }
    assert_eq!((compared.status, found.len()), (status, told.len()), "{}", compared.errors);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_reads_differs_as_the_guide_says() {
    if !can_run("what_only_reads_differs_as_the_guide_says") {
        return;
    }
    let world = world().await;
    let told: [Told<'_>; 12] = [
        (json!({"path": "/health"}), "same", &[]),
        (json!({"path": "/config/agents"}), "same", &[]),
        (json!({"path": "/config/agents/reviewer"}), "same", &[]),
        (json!({"path": "/config/agents/nobody"}), "same", &[]),
        (json!({"path": "/config/agents", "headers": {"x-api-key": null}}), "same", &[]),
        (
            json!({"path": "/config/rules"}),
            "expected",
            &[
                (".items[tabs].description", "configuration"),
                (".items[Not_Kebab]", "configuration"),
                (".count", "configuration"),
                (".total", "configuration"),
            ],
        ),
        (json!({"path": "/config/agents?limit=500"}), "expected", &[("outcome", "fields-and-types")]),
        (json!({"path": "/config/claude-md"}), "expected", &[("outcome", "configuration")]),
        (json!({"path": "/nothing"}), "expected", &[("outcome", "errors")]),
        (
            json!({"method": "PUT", "path": "/config/claude-md", "body": {"content": "x"}}),
            "expected",
            &[("outcome", "configuration")],
        ),
        (
            json!({"method": "PUT", "path": "/config/agents/bad", "body": {"content": "x"}}),
            "expected",
            &[("outcome", "configuration")],
        ),
        (json!({"method": "DELETE", "path": "/config/rules/tabs"}), "same", &[]),
    ];
    tells(&world, "", 0, &told).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_to_questions_differ_as_the_guide_says() {
    if !can_run("answers_to_questions_differ_as_the_guide_says") {
        return;
    }
    let world = world().await;
    let unknown = "00000000-0000-4000-8000-000000000000";
    let command = r#"[[tool:Bash {"command":"sh -c 'echo hello'"}]][[then]][[text:done]]"#;
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    let turns = r#"[[tool:Read {"file_path":"x"}]][[then]][[text:done]]"#;
    let told: [Told<'_>; 14] = [
        (ask(json!({"prompt": "[[text:one]]", "agent": "reviewer"})), "expected", &[FURTHER]),
        (ask(json!({"prompt": "[[text:two]]", "resume": "$session", "cwd": "shop"})), "expected", &[FURTHER]),
        (ask(json!({"prompt": "[[text:x]]", "stream": true})), "expected", &[NO_ID, FURTHER]),
        (ask(json!({"prompt": ""})), "same", &[]),
        (ask(json!({"prompt": "x", "cwd": "../.."})), "same", &[]),
        (ask(json!({"prompt": "[[text:x]]", "colour": "red"})), "expected", &[("outcome", "fields-and-types")]),
        (ask(json!({"prompt": "[[text:x]]", "maxTurns": "5"})), "expected", &[("outcome", "fields-and-types")]),
        (ask(json!({"prompt": "x", "resume": unknown})), "expected", &[("outcome", "errors")]),
        (
            ask(json!({"prompt": turns, "maxTurns": 1, "stream": true})),
            "expected",
            &[NO_ID, ("event: error", "streams")],
        ),
        (ask(json!({"prompt": command})), "expected", &[("denied calls", "permissions"), FURTHER]),
        (ask(json!({"prompt": command, "allowedTools": ["Bash"]})), "expected", &[FURTHER]),
        (
            ask(json!({"prompt": "x", "jsonSchema": schema})),
            "expected",
            &[(".structured_output", "structured-answers"), FURTHER],
        ),
        (
            ask(json!({"prompt": "[[text:many]]", "jsonSchema": schema})),
            "expected",
            &[("outcome", "structured-answers")],
        ),
        (ask(json!({"prompt": turns, "maxTurns": 1})), "expected", &[("outcome", "turn-limit")]),
    ];
    tells(&world, "", 0, &told).await;
    // The old server took the path of a folder as well.
    let old = Old::start(&world.model.base_url(), &FILES, "");
    let request = ask(json!({"prompt": "[[text:x]]", "cwd": old.folders.root().join("workspace/shop")}));
    let compared = compare(&old.folders, &[request], &["--ask"], &old.url, &world.server.url("")).await;
    let expected = ("expected".to_owned(), vec![("outcome".to_owned(), "folders".to_owned())]);
    assert_eq!(compared.differences(), [expected], "{}", compared.said);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_expects_is_found() {
    if !can_run("what_nobody_expects_is_found") {
        return;
    }
    let world = world().await;
    let planted = "one more,a status with the key,no session,cost as text,a further event,stderr";
    let told: [Told<'_>; 4] = [
        (json!({"path": "/health"}), "different", &[(".status", "")]),
        (json!({"path": "/config/agents"}), "different", &[(".total", "")]),
        (ask(json!({"prompt": "[[text:one]]"})), "different", &[(".total_cost_usd", ""), (".session_id", ""), FURTHER]),
        (
            ask(json!({"prompt": "[[text:x]]", "stream": true})),
            "different",
            &[NO_ID, ("event: error", "streams"), ("message event usage", ""), FURTHER],
        ),
    ];
    tells(&world, planted, 1, &told).await;
    let told: [Told<'_>; 2] = [
        (json!({"path": "/config/agents"}), "different", &[("content-type", ""), ("x-request-id", "")]),
        (ask(json!({"prompt": "[[text:x]]", "stream": true})), "different", &[("outcome", "")]),
    ];
    tells(&world, "another type,its own ids,no end", 1, &told).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_worked_and_is_refused_now_is_not_expected() {
    if !can_run("what_worked_and_is_refused_now_is_not_expected") {
        return;
    }
    // The new server does not have what the old one has.
    let world = World::with(|server| server.file("config/rules/tabs.md", "Prefer spaces.\n")).await;
    let told: [Told<'_>; 5] = [
        (json!({"path": "/config/agents/reviewer"}), "different", &[("outcome", "")]),
        (json!({"path": "/config/rules/tabs"}), "different", &[(".content", "")]),
        (json!({"path": "/config/agents"}), "different", &[(".items[reviewer]", ""), (".count", ""), (".total", "")]),
        (ask(json!({"prompt": "[[text:x]]", "cwd": "shop"})), "different", &[("outcome", "")]),
        (ask(json!({"prompt": "[[text:x]]", "agent": "reviewer"})), "different", &[("outcome", "")]),
    ];
    tells(&world, "", 1, &told).await;
    world.stop().await;
}
