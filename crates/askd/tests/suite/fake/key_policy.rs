//! The policy of a key where the CLI does not keep to it, or is not what it should be.

use serde_json::{Value, json};

use crate::harness::{Holder, TestServer, TestServerBuilder};

async fn server() -> TestServer {
    TestServerBuilder::fake().start().await
}

/// A run whose script is this.
async fn run(holder: &Holder, script: &str) -> Value {
    holder.run(json!({"prompt": script})).await
}

fn line(message: &Value) -> String {
    format!("!line {message}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_uses_more_than_its_policy_has_is_ended_by_its_own_words() {
    let server = server().await;
    let haiku = json!({"models": ["haiku"]});
    let message = |model: &str| json!({"type": "assistant", "message": {"model": model, "content": []}});
    let result = |model: &str| format!("!result {}", json!({"modelUsage": {model: {}}}));
    let init = |tools: &[&str], mode: &str| {
        let init = json!({"type": "system", "subtype": "init", "model": "m", "permissionMode": mode, "tools": tools});
        format!("!bare\n{}", line(&init))
    };
    for (policy, script, what) in [
        (&haiku, line(&message("claude-opus-5-5")), "the model `claude-opus-5-5`"),
        (&haiku, result("claude-sonnet-5-5"), "the model `claude-sonnet-5-5`"),
        (&json!({"tools": ["Read"]}), init(&["Read", "Bash"], "acceptEdits"), "the tool `Bash`"),
        (&json!({"tools": []}), init(&["mcp__x__y"], "acceptEdits"), "the tool `mcp__x__y`"),
        (&json!({"permission_modes": ["plan"]}), init(&[], "default"), "the permission mode `default`"),
    ] {
        let (free, held) = (server.user(json!({})).await, server.user(policy.clone()).await);
        // It would go on for ever.
        let script = format!("{script}\n!hang");
        let stays = free.submit(json!({"prompt": script})).await;
        let ended = run(&held, &script).await;
        assert_eq!((&ended["state"], &ended["error"]["type"]), (&json!("failed"), &json!("policy")), "{ended}");
        assert!(ended["error"]["message"].as_str().unwrap().contains(what), "{ended}");
        assert!(free.get(&format!("/v1/runs/{stays}")).await.body["finished_at"].is_null(), "{policy}");
        free.post(&format!("/v1/runs/{stays}/cancel"), &json!({})).await;
        assert_eq!(run(&held, "!say hello").await["state"], "completed", "{policy}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_the_policy_does_not_have_are_refused_also_where_the_guard_would_not_look() {
    let server = TestServerBuilder::fake().file("config/askd-policy.json", r#"{"version": 1}"#).start().await;
    let (free, read) = (server.user(json!({})).await, server.user(json!({"tools": ["Read"]})).await);
    let (bash, plan) =
        (server.user(json!({"tools": ["Bash"]})).await, server.user(json!({"permission_modes": ["plan"]})).await);
    for (holder, answers) in [
        // Without a guard and without a policy the CLI is not told to ask.
        (&free, r#"{"error":1}"#),
        (&read, r#"{"deny":1}"#),
        (&bash, r#"{"pass":1}"#),
        // The scripted CLI does not tell the mode of its calls.
        (&plan, r#"{"deny":1}"#),
    ] {
        let id = holder.submit(json!({"prompt": "!hook 1 right ls"})).await;
        let events = holder.follow(&id).await.envelopes().await;
        let said =
            events.iter().find(|event| event["type"] == "agent.assistant").unwrap().to_string().replace("\\\"", "\"");
        assert!(said.contains(answers), "{said}");
        let warnings = events.iter().filter(|event| event["type"] == "run.warning").count();
        assert_eq!(warnings, usize::from(answers.contains("deny")), "{events:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_routes_refuse_with_the_names_that_they_have_for_the_fields() {
    let server = server().await;
    let held = server.user(json!({"tools": ["Read"], "models": ["haiku"], "permission_modes": ["plan"]})).await;
    for (v1, ask, value) in [
        ("allowed_tools", "allowedTools", json!(["Bash"])),
        ("model", "model", json!("opus")),
        ("permission_mode", "permissionMode", json!("acceptEdits")),
    ] {
        let answer = held.post("/v1/runs", &json!({"prompt": "!hang", v1: value.clone()})).await;
        assert_eq!((answer.status, answer.kind(), answer.param()), (403, "permission_error", v1), "{answer:?}");
        let answer = held.post("/ask", &json!({"prompt": "!hang", ask: value})).await;
        assert_eq!((answer.status, answer.code()), (403, "FORBIDDEN"), "{answer:?}");
        assert!(answer.message().starts_with(&format!("{ask}: `")), "{answer:?}");
    }
    assert_eq!(server.occupancy().await, (0, 0));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cli_is_given_the_policy_and_a_run_without_one_is_given_nothing_of_it() {
    let server = server().await;
    let policy = json!({"models": ["opus"], "tools": ["Read", "mcp__x"], "denied_tools": ["Read(//etc/**)"]});
    let (free, held) = (server.user(json!({})).await, server.user(policy).await);
    let report = async |holder: &Holder| -> Value {
        let ended = run(holder, "!report").await;
        serde_json::from_str(ended["result"].as_str().unwrap()).unwrap()
    };
    let of_policy = |report: &Value| {
        let args = report["args"].as_array().unwrap().iter().filter_map(Value::as_str);
        let flags = ["--model", "--tools", "--await", "--managed"];
        args.filter(|arg| flags.iter().any(|flag| arg.starts_with(flag))).map(str::to_owned).collect::<Vec<_>>()
    };
    let (free, held) = (report(&free).await, report(&held).await);
    assert_eq!(of_policy(&free), [""; 0]);
    assert_eq!(
        of_policy(&held),
        ["--model=opus", "--tools=Read", "--await-initialize", "--managed-settings-in-initialize"]
    );
    assert!(free["initialize"]["managedSettings"].is_null());
    let managed = &held["initialize"]["managedSettings"];
    assert_eq!(
        (&managed["availableModels"], &managed["permissions"]["deny"]),
        (&json!(["opus"]), &json!(["Read(//etc/**)"]))
    );
    assert_eq!(held["initialize"]["hooks"]["PreToolUse"][0]["matcher"], "");
    assert_eq!(held["settings"]["availableModels"], json!(["opus"]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cli_that_does_not_take_the_policy_gets_no_run_of_it() {
    for (option, what) in
        [("no-managed", "does not take the settings"), ("not-held", "\"parentSettingsBehavior\": \"merge\"")]
    {
        let server = TestServerBuilder::fake_that(option).start().await;
        let (free, held) = (server.user(json!({})).await, server.user(json!({"models": ["haiku"]})).await);
        assert_eq!(run(&free, "!say hello").await["state"], "completed");
        // It never gets its prompt.
        let ended = run(&held, "!touch begun").await;
        assert_eq!((&ended["state"], &ended["error"]["type"]), (&json!("failed"), &json!("policy")), "{ended}");
        assert!(ended["error"]["message"].as_str().unwrap().contains(what), "{ended}");
        assert_eq!(server.folders.list("workspace"), [""; 0]);
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_priority_above_the_keys_own_is_refused_and_without_one_it_has_what_it_may() {
    let server = server().await;
    let low = server.user(json!({"max_priority": "low"})).await;
    for asked in ["normal", "high"] {
        let refused = low.post("/v1/runs", &json!({"prompt": "x", "priority": asked})).await;
        assert_eq!((refused.status, refused.param()), (403, "priority"), "{refused:?}");
    }
    for body in [json!({"prompt": "x"}), json!({"prompt": "x", "priority": "low"})] {
        assert_eq!(low.run(body).await["state"], "completed");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_no_other_profiles_than_those_of_its_policy_and_the_first_of_them_by_itself() {
    let server =
        TestServerBuilder::fake().file("config/agents/a.md", "---\nname: a\ndescription: d\n---\nx").start().await;
    let held = server.user(json!({"profiles": ["restricted", "bare"]})).await;
    let is_restricted = |result: &str| result.contains("--restricted") && result.contains("--setting-sources=\"");
    for (fields, expected) in [(json!({}), true), (json!({"profile": "bare"}), false)] {
        let mut body = json!({"prompt": "!report"});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let run = held.run(body).await;
        assert_eq!(is_restricted(run["result"].as_str().unwrap()), expected, "{fields}: {run}");
    }
    // The route that has no such field.
    let answer = held.post("/ask", &json!({"prompt": "!report"})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(is_restricted(answer.body["result"].as_str().unwrap()), "{answer:?}");
    for (fields, param) in [(json!({"profile": "default"}), "profile"), (json!({"agent": "a"}), "agent")] {
        let mut body = json!({"prompt": "!hang"});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let refused = held.post("/v1/runs", &body).await;
        assert_eq!((refused.status, refused.param()), (403, param), "{refused:?}");
    }
    let names_it = server.user(json!({"tools": ["Read"], "env": ["TRACKER_TEAM"]})).await;
    let body = json!({"prompt": "!report", "env": {"TRACKER_TEAM": "blue"}, "on_disconnect": "cancel"});
    assert_eq!(names_it.run(body).await["state"], "completed", "a variable that the policy names may be set");
    server.stop().await;
}
