//! How the table is read. Row by row, with recorded ends: `tests/outcomes.rs`.

use super::*;

fn result(json: &str) -> ResultMessage {
    ResultMessage::parse(&Frame::parse(json.into()).unwrap()).unwrap()
}

fn kind(json: &str) -> &'static str {
    describe(&judge(Some(&result(json)), &Ending::Done, false))
}

fn describe(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Completed => "completed",
        Outcome::Cancelled(_) => "cancelled",
        Outcome::Incomplete(problem) => match problem.kind {
            ProblemKind::TurnLimit => "incomplete: turns",
            ProblemKind::Schema => "incomplete: schema",
            ProblemKind::Budget => "incomplete: budget",
            _ => "incomplete",
        },
        Outcome::Failed(problem) => match problem.kind {
            ProblemKind::Overloaded => "failed: overloaded",
            ProblemKind::Timeout(Deadline::Idle) => "failed: idle",
            ProblemKind::Limit(Limit::Line) => "failed: line",
            ProblemKind::Limit(Limit::Memory) => "failed: memory",
            _ => "failed",
        },
    }
}

#[test]
fn only_a_success_without_error_is_a_success() {
    assert_eq!(kind(r#"{"type":"result","subtype":"success","is_error":false,"result":"hi"}"#), "completed");
    assert_eq!(
        kind(r#"{"type":"result","subtype":"success","is_error":true,"api_error_status":529}"#),
        "failed: overloaded"
    );
    assert_eq!(kind(r#"{"type":"result","subtype":"success","is_error":true,"result":"no"}"#), "failed");
    assert_eq!(kind(r#"{"type":"result","subtype":"error_during_execution","is_error":false}"#), "failed");
    assert_eq!(kind(r#"{"type":"result","subtype":"new_in_a_later_version","is_error":false}"#), "failed");
}

#[test]
fn limits_are_incomplete() {
    assert_eq!(kind(r#"{"type":"result","subtype":"error_max_turns","is_error":true}"#), "incomplete: turns");
    assert_eq!(kind(r#"{"type":"result","subtype":"error_max_budget_usd","is_error":true}"#), "incomplete: budget");
    assert_eq!(
        kind(r#"{"type":"result","subtype":"error_max_structured_output_retries","is_error":true}"#),
        "incomplete: schema"
    );
}

#[test]
fn a_schema_needs_structured_output() {
    let without = result(r#"{"type":"result","subtype":"success","is_error":false,"result":"hi"}"#);
    let with = result(r#"{"type":"result","subtype":"success","is_error":false,"structured_output":{"a":1}}"#);
    assert_eq!(describe(&judge(Some(&without), &Ending::Done, true)), "incomplete: schema");
    assert_eq!(describe(&judge(Some(&with), &Ending::Done, true)), "completed");
}

#[test]
fn a_startup_failure_names_its_reason() {
    let failure = result(
        r#"{"type":"result","subtype":"error_during_execution","is_error":true,"startup_failure_reason":"bypass_root","errors":["refused as root"]}"#,
    );
    let Outcome::Failed(problem) = judge(Some(&failure), &Ending::Done, false) else { panic!("not failed") };
    assert_eq!(problem.message, "the CLI could not start (bypass_root): refused as root");
}

#[test]
fn no_result_is_a_failure_whatever_the_exit_code() {
    for how in ["exit code 0", "exit code 1", "exit code 143", "signal 9"] {
        let ending = Ending::Exited { how: how.into(), stderr: "secret path".into() };
        let Outcome::Failed(problem) = judge(None, &ending, false) else { panic!("not failed") };
        assert!(problem.message.contains(how) && !problem.message.contains("secret"), "{}", problem.message);
    }
    assert_eq!(describe(&judge(None, &Ending::Done, false)), "failed");
}

#[test]
fn a_first_result_does_not_make_an_aborted_run_succeed() {
    let success = result(r#"{"type":"result","subtype":"success","is_error":false,"result":"hi"}"#);
    let table = [
        (Ending::Cancelled { by: "the client".into() }, "cancelled"),
        (Ending::TimedOut { deadline: Deadline::Idle, what: "no output for 10m".into() }, "failed: idle"),
        (Ending::LimitMet { limit: Limit::Line, what: "a line of more than 64 MiB".into() }, "failed: line"),
        (Ending::LimitMet { limit: Limit::Memory, what: "more than 4 GiB".into() }, "failed: memory"),
        (Ending::Broken { what: "stdin is closed".into() }, "failed"),
        (Ending::Exited { how: "exit code 0".into(), stderr: String::new() }, "completed"),
    ];
    for (ending, expected) in table {
        assert_eq!(describe(&judge(Some(&success), &ending, false)), expected, "{ending:?}");
    }
}

#[test]
fn a_result_of_unknown_form_is_a_failure() {
    assert_eq!(kind(r#"{"type":"result","subtype":"success","is_error":"perhaps"}"#), "failed");
    assert_eq!(kind(r#"{"type":"result","subtype":"success","is_error":false,"permission_denials":7}"#), "failed");
    assert_eq!(kind(r#"{"type":"result"}"#), "failed");
}

#[test]
fn a_field_of_another_form_makes_no_success_of_what_is_none() {
    let none = [r#""stop_reason":"refusal""#, r#""stop_reason":"pause_turn""#, r#""result":"""#];
    let others = ["api_error", "num_turns", "usage", "modelUsage", "errors", "permission_denials", "structured_output"];
    for fields in none {
        for name in others {
            for form in ["null", "[]", "1"].into_iter().filter(|form| name != "structured_output" || *form == "null") {
                let said =
                    format!(r#"{{"type":"result","subtype":"success","is_error":false,{fields},"{name}":{form}}}"#);
                assert_ne!(kind(&said), "completed", "{said}");
            }
        }
    }
    for form in ["null", "[]", "1"] {
        let said = result(&format!(r#"{{"type":"result","subtype":"success","result":"a","stop_reason":{form}}}"#));
        assert!(caveat(Some(&said), &Ending::Done, false).is_some(), "nobody says why the model stopped: {form}");
    }
}

#[test]
fn only_a_line_that_speaks_of_the_session_says_that_it_is_in_use() {
    let named =
        |stderr: &str| row_name(None, &Ending::Exited { how: "exit code 1".into(), stderr: stderr.into() }, false);
    assert_eq!(named("x\nError: Session ID 1 is already in use.\n"), "no_result.session_in_use");
    for other in ["Error: port 8080 is already in use", "Session ID: 1\nthe port is already in use", ""] {
        assert_eq!(named(other), "no_result.exited", "{other}");
    }
}

#[test]
fn denials_are_counted() {
    let two = result(
        r#"{"type":"result","subtype":"success","is_error":false,"permission_denials":[{"tool_name":"Bash"},{}]}"#,
    );
    assert_eq!(two.denials, 2);
}
