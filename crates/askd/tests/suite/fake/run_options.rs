//! The options of `POST /v1/runs`, through HTTP: what is wrong is refused before anything is stored, what is right is shown
//! as it was asked, and reaches the CLI.

use serde_json::{Value, json};

use crate::harness::{Holder, TestServer, TestServerBuilder};

const GIF: &str = "R0lGODlhAQABAAAAACw=";

async fn server() -> TestServer {
    TestServerBuilder::fake().start().await
}

fn with(fields: &Value) -> Value {
    let mut body = json!({"prompt": "!report"});
    if fields.get("content").is_some() {
        body = json!({});
    }
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

/// The run, and what its CLI saw.
async fn report(server: &TestServer, fields: Value) -> (Value, Value) {
    let run = server.run(with(&fields)).await;
    assert_eq!(run["state"], "completed", "{run}");
    let report = serde_json::from_str(run["result"].as_str().unwrap()).unwrap();
    (run, report)
}

fn has_argument(report: &Value, argument: &str) -> bool {
    report["args"].as_array().unwrap().iter().any(|given| given == argument)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_a_400_that_names_the_field_and_nothing_is_stored() {
    let server = server().await;
    let png_that_is_none = json!([{"type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": GIF}}]);
    let upload = json!([{"type": "image", "source": {"type": "upload", "upload_id": "last"}}]);
    for (fields, field, part) in [
        (json!({"content": "x"}), "content", "content must be a list"),
        (json!({"content": [{"type": "video"}]}), "content", "content[0].type must be one of text, image, document"),
        (json!({"content": png_that_is_none}), "content", "content[0].source.data does not begin as image/png does"),
        (json!({"content": upload}), "content", "content[0].source.upload_id `last` is not the id of an upload"),
        (json!({"content": [{"type": "text", "text": "x"}], "prompt": "x"}), "content", "together with prompt"),
        (json!({"append_system_prompt": 5}), "append_system_prompt", "must be a string"),
        (json!({"tools": ["bash"]}), "tools[0]", "did you mean `Bash`?"),
        (json!({"allowed_tools": ["Read", "Bash("]}), "allowed_tools[1]", "must end with the `)`"),
        (json!({"allowed_tools": ["bash"]}), "allowed_tools[0]", "the tool is called `Bash`"),
        (json!({"disallowed_tools": ["Bsah"]}), "disallowed_tools[0]", "did you mean `Bash`?"),
        (
            json!({"profile": "restricted", "allowed_tools": ["Bash(ls:*)"]}),
            "allowed_tools[0]",
            "has `Bash(ls:*)`, and",
        ),
        (json!({"maxTurns": 5}), "maxTurns", "it is called `max_turns` here"),
        (json!({"tools": [], "allowed_tools": ["Read"]}), "allowed_tools", "for a tool that tools does not have"),
        (json!({"disallowed_tools": ["Bash()"]}), "disallowed_tools", "is dropped"),
        (json!({"effort": "huge"}), "effort", "must be one of low, medium"),
        (json!({"fallback_model": "gpt"}), "fallback_model", "`gpt` is not allowed; use sonnet"),
        (
            json!({"model": "opus", "fallback_model": ["opus"]}),
            "fallback_model",
            "is the model that the run has already",
        ),
        (json!({"add_dirs": ["../x"]}), "add_dirs", "add_dirs[0] must not contain `..`"),
        (json!({"agents": {"a": {"description": "d"}}}), "agents", "agents.a.prompt is missing"),
        (json!({"agents": {"a": {"description": "d", "prompt": "p", "hooks": {}}}}), "agents", "has no field `hooks`"),
        (
            json!({"agents": {"a": {"description": "d", "prompt": "p", "model": "gpt"}}}),
            "agents",
            "agents.a.model `gpt` is not allowed",
        ),
        (
            json!({"agents": {"a": {"description": "d", "prompt": "p", "permission_mode": "bypassPermissions"}}}),
            "agents",
            "agents.a.permission_mode bypassPermissions is not allowed on this server",
        ),
        (json!({"mcp_servers": {"s": {"args": []}}}), "mcp_servers", "mcp_servers.s.command is missing"),
        (json!({"mcp_servers": {"s": {"command": "${X}"}}}), "mcp_servers", "mcp_servers.s.command has `${`"),
        (json!({"env": {"PATH": "/tmp"}}), "env", "env.PATH cannot be set by a request"),
        (json!({"profile": "safe"}), "profile", "must be one of default, bare, restricted"),
        (json!({"profile": "restricted", "tools": ["Bash"]}), "tools", "has `Bash`, which runs with the profile"),
        (json!({"profile": "bare", "agent": "reviewer"}), "profile", "leaves out the agents of the configuration"),
        (json!({"timeout_seconds": 100_000_000}), "timeout_seconds", "ASKD_MAX_RUN_TIME"),
        (json!({"idle_timeout_seconds": 100_000_000}), "idle_timeout_seconds", "ASKD_MAX_RUN_TIME"),
        (json!({"queue_timeout_seconds": 100_000_000}), "queue_timeout_seconds", "ASKD_RUN_QUEUE_TIMEOUT"),
        (json!({"labels": {"a b": ""}}), "labels", "labels.a b must have a name"),
        (json!({"labels": {}, "metadata": {}}), "labels", "is another name of metadata"),
        (json!({"fork_session": true}), "fork_session", "needs session_id"),
        (json!({"effort_level": "low"}), "effort_level", "there is no field `effort_level`"),
    ] {
        let both = fields.get("prompt").is_some();
        let body = if both { fields.clone() } else { with(&fields) };
        let answer = server.post("/v1/runs", &body).await;
        assert_eq!((answer.status, answer.kind()), (400, "invalid_request_error"), "{fields}: {answer:?}");
        assert!(answer.param().starts_with(field), "{fields}: {answer:?}");
        assert!(answer.message().contains(part), "{fields}: {answer:?}");
    }
    assert_eq!(server.get("/v1/runs").await.body["data"], json!([]));
    assert_eq!(server.occupancy().await, (0, 0));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_policy_of_a_key_does_not_have_is_a_403_that_names_the_field_and_nothing_is_stored() {
    let server = server().await;
    let agent = |field: &str, value: Value| json!({"agents": {"a": {"description": "d", "prompt": "p", field: value}}});
    let program = json!({"mcp_servers": {"tracker": {"command": "node"}}});
    let remote = json!({"mcp_servers": {"tracker": {"type": "http", "url": "http://127.0.0.1:1/"}}});
    for (policy, fields, field) in [
        (json!({"tools": ["Read"]}), json!({"tools": ["Read", "Bash"]}), "tools"),
        (json!({"models": ["haiku"]}), json!({"fallback_model": "opus"}), "fallback_model"),
        (json!({"models": ["haiku"]}), agent("model", json!("opus")), "agents.a.model"),
        (json!({"tools": ["Read"]}), agent("tools", json!(["Bash"])), "agents.a.tools"),
        (json!({"permission_modes": ["plan"]}), agent("permission_mode", json!("auto")), "agents.a.permission_mode"),
        (json!({"tools": ["Bash"]}), program.clone(), "mcp_servers"),
        (json!({"tools": ["mcp__tracker"]}), program.clone(), "mcp_servers"),
        (json!({"denied_tools": ["Bash(curl:*)"]}), program.clone(), "mcp_servers"),
        (json!({"allowed_tools": ["Read"]}), program, "mcp_servers"),
        (json!({"env": ["A"]}), json!({"env": {"B": "x"}}), "env"),
        (json!({"env": []}), json!({"env": {"A": "x"}}), "env"),
        (json!({"tools": ["Read", "mcp__github"]}), json!({"env": {"GITHUB_HOST": "x"}}), "env"),
        (json!({"denied_tools": ["Bash", "WebFetch", "WebSearch"]}), remote, "mcp_servers"),
        (json!({"profiles": ["restricted"]}), json!({"profile": "bare"}), "profile"),
        (json!({"profiles": ["restricted"]}), json!({"env": {"A": "x"}}), "env"),
        (json!({"allowed_tools": ["Read"]}), json!({"env": {"A": "x"}}), "env"),
        (json!({"permission_modes": ["plan"]}), json!({"permission_mode": "plan", "env": {"A": "x"}}), "env"),
    ] {
        let held: Holder = server.user(policy.clone()).await;
        let answer = held.post("/v1/runs", &with(&fields)).await;
        assert_eq!(
            (answer.status, answer.kind(), answer.param()),
            (403, "permission_error", field),
            "{policy} {fields}: {answer:?}"
        );
        assert!(answer.message().contains("the policy of this key"), "{policy} {fields}: {answer:?}");
    }
    assert_eq!(server.get("/v1/runs").await.body["data"], json!([]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_no_tool_is_known_by_is_a_warning_of_the_run() {
    let server = server().await;
    let told = |run: &Value| {
        let all = run["warnings"].as_array().unwrap().iter();
        all.filter(|warning| warning["code"] == "unknown_tool")
            .map(|warning| warning["message"].clone())
            .collect::<Vec<_>>()
    };
    let foo = json!("no tool of the CLI is known to be called `Foo`");
    for fields in
        [json!({"tools": ["Read", "Foo"]}), json!({"disallowed_tools": ["Foo(x)"]}), json!({"allowed_tools": "Foo"})]
    {
        let (run, _) = report(&server, fields.clone()).await;
        assert_eq!((&run["state"], told(&run)), (&json!("completed"), vec![foo.clone()]), "{fields}: {run}");
    }
    let (run, _) = report(&server, json!({"allowed_tools": ["Read", "mcp__s__Foo"]})).await;
    assert_eq!(told(&run), [""; 0], "{run}");
    // Clients of the Node server never learned of it: theirs pass, and the header tells.
    for (rule, part) in [("bash", "did you mean `Bash`?"), ("Write(a)", "write `Edit(a)`")] {
        let answer = server.ask(json!({"prompt": "x", "allowedTools": [rule]})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.header("x-askd-warning").unwrap().contains(part), "{answer:?}");
    }
    let refused = server.ask(json!({"prompt": "x", "allowedTools": "Read Bash(x"})).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.message().contains("allowedTools[1] `Bash(x` must end with"), "{refused:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_the_server_does_not_have_is_named_with_the_way_to_it() {
    let server = server().await;
    let agent =
        |field: &str, value: Value| json!({"agents": {"rev": {"description": "d", "prompt": "p", field: value}}});
    for (fields, param, part) in [
        (agent("model", json!("gpt")), "agents.rev.model", "agents.rev.model `gpt` is not allowed; use"),
        (agent("permission_mode", json!("bypassPermissions")), "agents.rev.permission_mode", "ASKD_ALLOW_BYPASS"),
        (agent("maxTurns", json!(5)), "agents.rev.maxTurns", "it is called `max_turns` here"),
        (json!({"metadata": {"a": 5}}), "metadata.a", "metadata.a must be a string"),
        (
            json!({"content": [{"type": "text", "text": "x", "cache_control": {}}]}),
            "content[0].cache_control",
            "no field",
        ),
    ] {
        let body = if fields.get("content").is_some() { fields.clone() } else { with(&fields) };
        let answer = server.post("/v1/runs", &body).await;
        assert_eq!((answer.status, answer.param()), (400, param), "{answer:?}");
        assert!(answer.message().contains(part), "{answer:?}");
    }
    let mut beyond = agent("tools", json!(["Bash"]));
    beyond["tools"] = json!(["Read"]);
    let answer = server.post("/v1/runs", &with(&beyond)).await;
    assert_eq!((answer.status, answer.param()), (400, "agents.rev.tools"), "{answer:?}");
    let deep = (0..130).fold(json!({}), |inner, _| json!({ "a": inner }));
    let answer = server.post("/v1/runs", &json!({"prompt": "x", "output_schema": deep})).await;
    assert_eq!((answer.status, answer.param()), (400, "output_schema"), "{answer:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_of_v1_runs_are_refused_by_ask() {
    let server = server().await;
    for name in ["fail_http", "wait", "deltas"] {
        let answer = server.post(&format!("/ask?{name}=true"), &json!({"prompt": "x"})).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.message().contains(&format!("{name} is a parameter of POST /v1/runs")), "{answer:?}");
    }
    assert_eq!(
        server.post("/ask?other=1", &json!({"prompt": "x"})).await.status,
        200,
        "the Node server looked at none"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_and_numbers_reach_the_cli_and_are_shown_as_they_were_asked() {
    let server = server().await;
    let (run, report) = report(
        &server,
        json!({
            "model": "opus", "fallback_model": ["sonnet", "haiku"], "effort": "xhigh", "append_system_prompt": "Be kind.",
            "tools": ["Read", "Task"], "disallowed_tools": "Read(//etc/**)", "timeout_seconds": 60,
            "idle_timeout_seconds": 50, "queue_timeout_seconds": 40, "labels": {"team": "a"}, "max_turns": 3,
            "profile": "default",
        }),
    )
    .await;
    for argument in ["--fallback-model=sonnet,haiku", "--effort=xhigh", "--tools=Read,Agent", "--max-turns=3"] {
        assert!(has_argument(&report, argument), "{argument}: {}", report["args"]);
    }
    let initialize = &report["initialize"];
    assert_eq!(initialize["appendSystemPrompt"], "Be kind.");
    assert_eq!(initialize["managedSettings"]["permissions"]["deny"], json!(["Read(//etc/**)"]));
    let options = &run["options"];
    for (field, value) in [
        ("fallback_model", json!(["sonnet", "haiku"])),
        ("effort", json!("xhigh")),
        ("append_system_prompt", json!("Be kind.")),
        ("tools", json!(["Read", "Task"])),
        ("disallowed_tools", json!(["Read(//etc/**)"])),
        ("profile", json!("default")),
        ("idle_timeout_seconds", json!(50)),
        ("queue_timeout_seconds", json!(40)),
        ("fork_session", json!(false)),
    ] {
        assert_eq!(options[field], value, "{field}");
    }
    assert_eq!(run["metadata"], json!({"team": "a"}));
    assert!(options.get("labels").is_none() && options.get("fallback_models").is_none(), "{options}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_come_with_the_request_and_one_of_them_may_answer() {
    let server = server().await;
    let agents = json!({"reviewer": {"description": "Reviews.", "prompt": "You review.", "max_turns": 3}});
    let (run, report) = report(&server, json!({"agents": agents})).await;
    assert_eq!(
        report["initialize"]["agents"],
        json!({"reviewer": {"description": "Reviews.", "prompt": "You review.", "maxTurns": 3}})
    );
    assert_eq!(run["options"]["agents"], agents);
    // Neither in `agents` nor in the configuration.
    let answer = server.post("/v1/runs", &with(&json!({"agents": agents, "agent": "other"}))).await;
    assert_eq!((answer.status, answer.param()), (400, "agent"), "{answer:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_in_blocks_reaches_the_cli_and_its_bytes_are_not_shown() {
    let server = server().await;
    let content = json!([
        {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": GIF}},
        {"type": "document", "title": "Notes", "source": {"type": "text", "media_type": "text/plain", "data": "a note"}},
        {"type": "text", "text": "!report"},
    ]);
    let (run, report) = report(&server, json!({ "content": content })).await;
    assert_eq!(report["message"]["message"]["content"], content);
    let shown = &run["options"]["content"];
    assert_eq!(shown[0]["source"], json!({"type": "base64", "media_type": "image/gif", "bytes": 14}));
    assert_eq!((&shown[1], &shown[2]), (&content[1], &content[2]));
    assert_eq!(run["options"]["prompt"], "");
    let listed = &server.get("/v1/runs").await.body["data"][0]["options"];
    assert!(listed.get("content").is_none() && listed["effort"].is_null(), "{listed}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_variables_and_servers_only_the_names_are_shown() {
    let server = server().await;
    let body = json!({
        "prompt": "x", "on_disconnect": "cancel", "env": {"DATABASE_URL": "postgres://top-secret-1"},
        "mcp_servers": {"tracker": {"command": "true", "env": {"TOKEN": "top-secret-2"}}},
    });
    let answer = server.post("/v1/runs?wait=60", &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let options = &answer.body["options"];
    assert_eq!((&options["env"], &options["mcp_servers"]), (&json!(["DATABASE_URL"]), &json!(["tracker"])));
    let id = answer.run_id();
    for path in ["/v1/runs".to_owned(), format!("/v1/runs/{id}"), format!("/v1/runs/{id}/events")] {
        assert!(!server.get(&path).await.body.to_string().contains("top-secret"), "{path}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_message_may_have_a_picture_and_no_document() {
    let server = server().await;
    let run = server.submit(json!({"prompt": "!touch there\n!await go"})).await;
    server.reached("there").await;
    let path = format!("/v1/runs/{run}/input");
    let picture = json!({"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": GIF}});
    let document = json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}});
    let refused = server.post(&path, &json!({"content": [document]})).await;
    assert_eq!((refused.status, refused.param()), (400, "content[0].type"), "{refused:?}");
    assert!(refused.message().contains("the CLI loses documents"), "{refused:?}");
    let taken = server.post(&path, &json!({"content": [picture, {"type": "text", "text": "and this?"}]})).await;
    assert_eq!(taken.status, 202, "{taken:?}");
    server.release("go");
    assert_eq!(server.ended(&run).await["state"], "completed");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_waits_no_longer_for_its_turn_than_it_asks_for() {
    let server = TestServerBuilder::fake().set(|settings| settings.limits.max_concurrent = 1).start().await;
    let first = server.submit(json!({"prompt": "!touch there\n!await go"})).await;
    server.reached("there").await;
    let second = server.submit(json!({"prompt": "x", "queue_timeout_seconds": 1})).await;
    let ended = server.ended(&second).await;
    assert_eq!((&ended["state"], &ended["error"]["type"]), (&json!("failed"), &json!("busy")), "{ended}");
    assert_eq!(ended["error"]["message"], "the run waited for 1s and got no turn (queue_timeout_seconds)");
    server.release("go");
    server.ended(&first).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_asks_for_more_than_the_server_allows_is_told_which_setting_ended_it() {
    let server = TestServerBuilder::fake();
    let server = server.set(|settings| {
        settings.limits.max_concurrent = 1;
        settings.limits.queue_timeout = std::time::Duration::from_millis(200);
    });
    let server = server.start().await;
    let first = server.submit(json!({"prompt": "!touch there\n!await go"})).await;
    server.reached("there").await;
    let body = json!({"prompt": "x", "queue_timeout_seconds": 60, "on_disconnect": "cancel"});
    let ended = server.run(body).await;
    assert_eq!(ended["error"]["message"], "the run waited for 200ms and got no turn (QUEUE_TIMEOUT)", "{ended}");
    server.release("go");
    server.ended(&first).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_run_is_ended_after_the_time_that_it_asks_for() {
    let server = server().await;
    let run = server.run(json!({"prompt": "!hang", "idle_timeout_seconds": 1})).await;
    assert_eq!((&run["state"], &run["error"]["type"]), (&json!("failed"), &json!("idle_timeout")), "{run}");
    let message = "the CLI wrote nothing for 1s (idle_timeout_seconds, or else ASKD_IDLE_TIMEOUT)";
    assert_eq!(run["error"]["message"], message);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ask_has_none_of_these_options() {
    let server = server().await;
    for field in
        ["content", "tools", "effort", "env", "agents", "mcpServers", "profile", "labels", "appendSystemPrompt"]
    {
        let answer = server.ask(json!({"prompt": "x", field: "x"})).await;
        assert_eq!((answer.status, answer.code()), (400, "REQUEST_ERROR"), "{field}: {answer:?}");
        assert!(answer.message().contains(&format!("there is no field `{field}`")), "{answer:?}");
    }
    server.stop().await;
}
