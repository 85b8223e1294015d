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
            r#"{"type":"system","subtype":"informational","content":"A hook gave no usable answer, so it didn't check this action.","level":"warning","tag":"hook_no_verdict","hook_no_verdict":{"hook_event":"PreToolUse","tool_use_id":"toolu_1","timed_out":false}}"#,
            Kind::Hook,
            "a hook of PreToolUse gave no usable answer, and the CLI went on without it",
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
        (Kind::McpServer, "the MCP server `slow` had not answered when the turn began, and its tools are missing"),
        (Kind::LeftOut, "the plugin `inline[0]` was left out: Path not found: /x"),
    ];
    assert_eq!(told, expected.map(|(kind, message)| (kind, message.to_owned())));
    assert_eq!(hear(&mut notices, init), [], "the next turn begins with the same message");
    assert_eq!(rest(&mut notices).len(), 1, "the one that failed, of which nobody has said why");
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
    assert_eq!(notices.unanswered(), 3);
    assert_eq!(rest(&mut notices), ["the provider did not answer as it should 3 times: 500 (2), no answer (1)"]);
    hear(&mut notices, &retry("500"));
    hear(&mut notices, r#"{"type":"assistant","message":{"content":[]}}"#);
    assert_eq!(notices.unanswered(), 0, "the model has spoken since");
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

fn missing(names: &[&str]) -> String {
    let servers: Vec<_> = names.iter().map(|name| format!(r#"{{"name":"{name}","status":"failed"}}"#)).collect();
    format!(r#"{{"type":"system","subtype":"init","mcp_servers":[{}]}}"#, servers.join(","))
}

/// Errors as the three versions of the CLI worded them.
#[test]
fn the_cli_is_asked_why_a_server_failed_and_its_words_are_not_passed_on() {
    let mut notices = Notices::default();
    assert_eq!(notices.question(), None);
    assert_eq!(hear(&mut notices, &missing(&["exits", "gone", "old", "dead", "elsewhere", "odd"])), []);
    let question = notices.question().unwrap();
    assert!(question.contains(r#""request_id":"askd-mcp-status","request":{"subtype":"mcp_status"}"#), "{question}");
    assert_eq!(notices.question(), None, "it is asked once");
    let other = r#"{"type":"control_response","response":{"subtype":"success","request_id":"x","response":{"a":"askd-mcp-status"}}}"#;
    assert_eq!(hear(&mut notices, other), []);
    let reply = r#"{"type":"control_response","response":{"subtype":"success","request_id":"askd-mcp-status","response":{"mcpServers":[
        {"name":"exits","status":"failed","error":"MCP error -32000: Connection closed","config":{"env":{"A":"b"}}},
        {"name":"gone","status":"failed","error":"ENOENT: no such file or directory, posix_spawn '/srv/x'"},
        {"name":"old","status":"failed","error":"Spread syntax requires ...iterable not be null or undefined"},
        {"name":"dead","status":"failed","error":"ECONNREFUSED: Unable to connect. Is the computer able to access the url?"},
        {"name":"elsewhere","status":"failed","error":"MCP endpoint not found at http://10.0.0.9. Check the URL in your MCP config."},
        {"name":"odd","status":"failed","error":"strange thing at http://10.0.0.9"},{"name":"fine","status":"connected"}]}}}"#;
    let told = hear(&mut notices, &reply.replace('\n', ""));
    let whys = [
        ("dead", "nobody answers at its address"),
        ("elsewhere", "there is no MCP server at its address: 404"),
        ("exits", "it ended, or closed the connection, before it had answered"),
        ("gone", "there is no such command where the run is"),
        ("odd", "its command or its address may not be there"),
        ("old", "there is no such command where the run is"),
    ];
    assert_eq!(told.len(), whys.len());
    for ((kind, message), (name, why)) in told.iter().zip(whys) {
        assert!(
            *kind == Kind::McpServer && message.contains(&format!("`{name}`")) && message.contains(why),
            "{message}"
        );
        assert!(!message.contains("10.0.0.9") && !message.contains("/srv"), "{message}");
    }
    assert_eq!(hear(&mut notices, &missing(&["gone"])), [], "the next turn");
    assert_eq!((notices.question(), rest(&mut notices)), (None, Vec::new()));
}

#[test]
fn a_server_of_which_the_cli_tells_nothing_is_told_all_the_same() {
    let refused = r#"{"type":"control_response","response":{"subtype":"error","request_id":"askd-mcp-status","error":"unsupported"}}"#;
    let mut notices = Notices::default();
    hear(&mut notices, &missing(&["gone"]));
    let told = hear(&mut notices, refused);
    assert!(told.len() == 1 && told[0].1.contains("`gone` could not be started or reached"), "{told:?}");
    hear(&mut notices, &missing(&["slow"]));
    let told = rest(&mut notices);
    assert!(told.len() == 1 && told[0].contains("`slow` could not be started or reached"), "{told:?}");
}

/// Messages of the three versions of the CLI, and what is told of them with these two kinds. Texts are shortened.
#[test]
fn answers_in_pieces_and_subagents_that_failed_are_told_and_what_looks_like_them_is_not() {
    let cut = |how: &str| {
        Some(format!(
            "the answer was cut {how}, and the model went on: the result is the last piece, the pieces before it are in the \
             messages of the CLI"
        ))
    };
    let mut cases = 0;
    for line in include_str!("../../tests/frames/notices.jsonl").lines() {
        let recorded: serde_json::Value = serde_json::from_str(line).unwrap();
        let mut notices = Notices::default();
        let frames = recorded["frames"].as_array().unwrap().iter();
        let mut told: Vec<_> =
            frames.flat_map(|frame| notices.hear(&Frame::parse(frame.to_string()).unwrap())).collect();
        told.extend(notices.rest());
        told.retain(|notice| matches!(notice.kind, Kind::Continued | Kind::Subagent));
        let (case, cli) = (recorded["case"].as_str().unwrap(), recorded["cli"].as_str().unwrap());
        let expected = match (case, cli) {
            ("cut at the output limit", _) => cut("once (limit of output)"),
            ("cut at the output limit four times", _) => cut("3 times (limit of output)"),
            ("a stream that ended early" | "stream cut after block recovers", "2.1.330") => {
                cut("once (stream ended early)")
            }
            ("stopped by a classifier, then another answer" | "refusal fallback", "2.1.330") => {
                cut("once (stopped by a safety classifier)")
            }
            ("a background subagent that the provider refuses", _) => {
                Some("the subagent `general-purpose` (look into it) failed: API Error: 400 bad thing".into())
            }
            ("a subagent that the provider refuses after a tool", _) => Some(
                "the subagent `general-purpose` (look into it) failed: Failed to authenticate. API Error: 401".into(),
            ),
            ("a subagent at its own maxTurns", _) => {
                Some("the subagent `rev` (rev it) reached its own limit of turns before it was done".into())
            }
            _ => None,
        };
        match expected {
            None => assert_eq!(told, [], "{case} ({cli})"),
            Some(expected) => {
                assert!(told.len() == 1 && told[0].message.starts_with(&expected), "{case} ({cli}): {told:?}");
            }
        }
        cases += 1;
    }
    assert!(cases > 30, "{cases}");
}
