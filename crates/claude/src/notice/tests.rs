use super::*;

fn hear(notices: &mut Notices, line: &str) -> Vec<(Kind, String)> {
    let told = notices.hear(&Frame::parse(line.to_owned()).unwrap());
    told.into_iter().map(|notice| (notice.kind, notice.message)).collect()
}

fn said(line: &str) -> Vec<(Kind, String)> {
    hear(&mut Notices::default(), line)
}

fn rest(notices: &mut Notices) -> Vec<String> {
    notices.rest().into_iter().map(|notice| notice.message).collect()
}

/// Messages as the CLI wrote them, and what is made of them.
#[test]
fn what_the_cli_says_is_put_into_words() {
    let table = [
        (
            r#"{"type":"system","subtype":"model_fallback","trigger":"model_not_found","original_model":"claude-opus-4-8","fallback_model":"claude-haiku-4-5","content":"Switched to Haiku 4.5"}"#,
            Kind::ModelFallback,
            "`claude-haiku-4-5` answers instead of `claude-opus-4-8`, which the provider does not have",
        ),
        (
            r#"{"type":"system","subtype":"model_refusal_fallback","trigger":"refusal","direction":"retry","scope":"session","original_model":"claude-fable-5","fallback_model":"claude-opus-4-8","content":"Fable 5's safeguards flagged this message."}"#,
            Kind::ModelFallback,
            "`claude-opus-4-8` answers instead of `claude-fable-5`, whose safeguards stopped the answer",
        ),
        (
            r#"{"type":"system","subtype":"compact_boundary","uuid":"b8ad","compact_metadata":{"trigger":"auto","pre_tokens":190014,"post_tokens":2662,"duration_ms":194}}"#,
            Kind::Compacted,
            "the conversation was summed up to make room, from 190014 tokens to 2662; details of what came before are lost to the model",
        ),
        (
            r#"{"type":"system","subtype":"status","status":null,"compact_result":"failed","compact_error":"too_few_groups"}"#,
            Kind::Compacted,
            "the conversation could not be summed up to make room (too_few_groups)",
        ),
        (
            r#"{"type":"system","subtype":"session_writes_lost","error_code":"ENOSPC","lost":["transcript"]}"#,
            Kind::TranscriptLost,
            "the CLI could not save all of the conversation (ENOSPC): continued, the session lacks its end, or cannot be continued",
        ),
        (
            r#"{"type":"system","subtype":"hook_response","hook_name":"SessionStart:startup","hook_event":"SessionStart","stderr":"/bin/sh: 1: /no/such/program: not found\n","exit_code":127,"outcome":"error"}"#,
            Kind::Hook,
            "a hook of SessionStart:startup failed with exit code 127: /bin/sh: 1: /no/such/program: not found",
        ),
        (
            r#"{"type":"system","subtype":"informational","content":"A hook blocked the turn from ending 9 consecutive times","level":"warning"}"#,
            Kind::Other,
            "the CLI warns: A hook blocked the turn from ending 9 consecutive times",
        ),
        (
            r#"{"type":"rate_limit_event","rate_limit_info":{"status":"allowed_warning","resetsAt":1795428198,"rateLimitType":"five_hour","utilization":0.95}}"#,
            Kind::RateLimit,
            "the provider's limit `five_hour` is used up to 95 %",
        ),
        (
            r#"{"type":"system","subtype":"api_retry","attempt":1,"max_retries":4,"retry_delay_ms":571,"error_status":529,"error":"overloaded"}"#,
            Kind::Retried,
            "the provider did not answer as it should (529 overloaded); the CLI asks it again after 0.5 s, for time 1 of at most 4",
        ),
    ];
    for (line, kind, message) in table {
        assert_eq!(said(line), [(kind, message.to_owned())], "{line}");
    }
}

#[test]
fn servers_and_plugins_that_are_missing_are_each_named_once() {
    let init = r#"{"type":"system","subtype":"init","mcp_servers":[{"name":"gone","status":"failed"},{"name":"slow","status":"pending"},{"name":"fine","status":"connected"}],"mcp_server_errors":[{"name":"badform","type":"invalid_config","message":"Skipped: url"}],"plugin_errors":[{"plugin":"inline[0]","type":"path-not-found","message":"Path not found: /x"}]}"#;
    let mut notices = Notices::default();
    let told = hear(&mut notices, init);
    let expected = [
        (Kind::McpServer, "the MCP server `badform` was left out: Skipped: url"),
        (Kind::McpServer, "the MCP server `gone` could not be started or reached, and its tools are missing"),
        (Kind::McpServer, "the MCP server `slow` had not answered when the turn began, and its tools are missing"),
        (Kind::LeftOut, "the plugin `inline[0]` was left out: Path not found: /x"),
    ];
    assert_eq!(told, expected.map(|(kind, message)| (kind, message.to_owned())));
    assert_eq!(hear(&mut notices, init), [], "the next turn begins with the same message");
    assert_eq!(said(&init.replace("null", "{}").replace("mcp_servers", "x")).len(), 2);
}

#[test]
fn denied_calls_are_counted_once_each_however_often_they_are_told() {
    let mut notices = Notices::default();
    let call = |tool: &str, id: &str| {
        format!(
            r#"{{"type":"system","subtype":"permission_denied","tool_name":"{tool}","tool_use_id":"{id}","message":"x"}}"#
        )
    };
    for (tool, id) in [("WebFetch", "1"), ("Bash", "2"), ("Bash", "3")] {
        assert_eq!(hear(&mut notices, &call(tool, id)), []);
    }
    let result = r#"{"type":"result","subtype":"success","permission_denials":[{"tool_name":"Bash","tool_use_id":"3","tool_input":{}},{"tool_name":"Write","tool_use_id":"4","tool_input":{}}]}"#;
    assert_eq!(hear(&mut notices, result), []);
    assert_eq!(rest(&mut notices), ["4 tool calls were denied: Bash (2), WebFetch, Write"]);
    assert_eq!(rest(&mut notices), [""; 0], "it is told once");
    hear(&mut notices, &call("Bash", "1"));
    assert_eq!(rest(&mut notices), ["1 tool call was denied: Bash"]);
}

#[test]
fn the_first_retry_is_told_at_once_and_all_of_them_at_the_end() {
    let mut notices = Notices::default();
    let retry = |status: &str| {
        format!(
            r#"{{"type":"system","subtype":"api_retry","attempt":1,"max_retries":9,"retry_delay_ms":1500,"error_status":{status},"error":"unknown"}}"#
        )
    };
    assert_eq!(hear(&mut notices, &retry("500")).len(), 1);
    assert_eq!(hear(&mut notices, &retry("500")), []);
    assert_eq!(hear(&mut notices, &retry("null")), []);
    assert_eq!(
        rest(&mut notices),
        ["the provider was asked again 3 times, after 4.5 s in all: 500 (2), no answer (1)"]
    );
}

#[test]
fn what_repeats_itself_in_ever_new_words_is_cut_off_and_counted() {
    let mut notices = Notices::default();
    let line = |n: u32| format!(r#"{{"type":"system","subtype":"informational","content":"w{n}","level":"warning"}}"#);
    let told: usize = (0..25).map(|n| hear(&mut notices, &line(n)).len()).sum();
    assert_eq!(told, 10);
    assert_eq!(rest(&mut notices), ["15 more warnings of this kind were left out"]);
}

#[test]
fn a_lost_transcript_is_told_from_a_text_about_one() {
    let line = r#"{"type":"system","subtype":"session_writes_lost","error_code":"ENOSPC"}"#;
    assert!(says_transcript_lost(line));
    assert!(!says_transcript_lost(&line.replace("system", "user")) && !says_transcript_lost("session_writes_lost"));
}

#[test]
fn what_is_no_warning_or_is_the_end_of_the_run_anyway_is_not_told() {
    for line in [
        r#"{"type":"system","subtype":"init","mcp_servers":[{"name":"a","status":"disabled"}]}"#,
        r#"{"type":"system","subtype":"status","status":"compacting"}"#,
        r#"{"type":"system","subtype":"status","status":null,"compact_result":"success"}"#,
        r#"{"type":"system","subtype":"compact_boundary","compact_metadata":{"trigger":"manual"}}"#,
        r#"{"type":"system","subtype":"informational","content":"stopped by hook","level":"warning","prevent_continuation":true}"#,
        r#"{"type":"system","subtype":"informational","content":"continuing once","level":"notice"}"#,
        r#"{"type":"system","subtype":"informational","content":"We're changing auto mode to no longer charge","level":"warning"}"#,
        r#"{"type":"system","subtype":"notification","key":"stop-hook-block-cap","text":"x","priority":"high"}"#,
        r#"{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":1}}"#,
        r#"{"type":"system","subtype":"hook_response","hook_name":"x","outcome":"success"}"#,
        r#"{"type":"assistant","message":{}}"#,
        r#"{"type":"system","subtype":"model_fallback"}"#,
        r#"{"type":"system","subtype":"from_the_future","level":"warning","content":"x"}"#,
    ] {
        assert_eq!(said(line), [], "{line}");
    }
}
