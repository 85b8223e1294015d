//! The table of outcomes against recorded ends of the real CLI.
//!
//! `frames/ends.jsonl` has one end a line: the row that decides, what was done, the CLI's version (`made` where no CLI was seen
//! to say it), whether a schema was given, and those of its last messages that matter. Texts are shortened.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

use std::collections::BTreeSet;

use claude::frame::Frame;
use claude::outcome::table::{ROWS, Verdict};
use claude::outcome::{Deadline, Ending, Limit, Outcome, Problem, ProblemKind, ResultMessage, caveat, judge, row_name};
use claude::progress::Progress;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A recorded end.
struct End {
    row: String,
    name: String,
    schema: bool,
    result: ResultMessage,
}

impl End {
    fn row(&self) -> &'static str {
        row_name(Some(&self.result), &Ending::Done, self.schema)
    }

    fn outcome(&self) -> Outcome {
        judge(Some(&self.result), &Ending::Done, self.schema)
    }

    fn problem(&self) -> Problem {
        problem(self.outcome()).unwrap_or_else(|| panic!("{} completed", self.name))
    }
}

fn problem(outcome: Outcome) -> Option<Problem> {
    match outcome {
        Outcome::Completed => None,
        Outcome::Incomplete(problem) | Outcome::Cancelled(problem) | Outcome::Failed(problem) => Some(problem),
    }
}

fn ends() -> Vec<End> {
    let lines = include_str!("frames/ends.jsonl").lines();
    let ends = lines.map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        let mut progress = Progress::default();
        for frame in line["frames"].as_array().unwrap() {
            progress.observe(&Frame::parse(frame.to_string()).unwrap());
        }
        let result = progress.result().expect("an end has a result").clone();
        let name = format!("{} ({})", text("case"), text("cli"));
        End { row: text("row"), name, schema: line["schema"] == true, result }
    });
    ends.collect()
}

fn end(case: &str) -> End {
    let named = |end: &End| end.name == case || end.name == format!("{case} (2.1.330)");
    ends().into_iter().find(named).unwrap_or_else(|| panic!("no end {case}"))
}

fn exited(how: &str, stderr: &str) -> Ending {
    Ending::Exited { how: how.into(), stderr: stderr.into() }
}

/// Ends of which the CLI says nothing, and the rows that decide them.
fn without_result() -> Vec<(&'static str, Ending)> {
    let what = || "so and so much".to_owned();
    let met = |limit| Ending::LimitMet { limit, what: what() };
    let timed_out = |deadline| Ending::TimedOut { deadline, what: what() };
    vec![
        ("cancelled", Ending::Cancelled { by: "request".into() }),
        ("timeout.total", timed_out(Deadline::Total)),
        ("timeout.idle", timed_out(Deadline::Idle)),
        ("timeout.first_output", timed_out(Deadline::FirstOutput)),
        ("limit.budget", met(Limit::Budget)),
        ("limit.output", met(Limit::Output)),
        ("limit.line", met(Limit::Line)),
        ("limit.memory", met(Limit::Memory)),
        ("limit.processes", met(Limit::Processes)),
        ("limit.open_files", met(Limit::OpenFiles)),
        ("limit.disk", met(Limit::Disk)),
        ("broken", Ending::Broken { what: what() }),
        (
            "no_result.session_in_use",
            exited("exit code 1", "Error: Session ID 22222222-2222-4222-8222-222222222222 is already in use.\n"),
        ),
        ("no_result.startup", exited("exit code 1", "error: unknown option '--nonesuch'\n")),
        (
            "no_result.startup",
            exited("exit code 1", "--dangerously-skip-permissions cannot be used with root/sudo privileges\n"),
        ),
        ("no_result.killed", exited("signal 9", "")),
        ("no_result.killed", exited("exit code 137", "x")),
        ("no_result.exited", exited("exit code 143", "")),
        ("no_result.exited", exited("exit code 0", "a secret path")),
        ("no_result", Ending::Done),
    ]
}

#[test]
fn each_recorded_end_is_decided_by_its_row() {
    let wrong: Vec<_> = ends()
        .iter()
        .filter(|end| end.row != end.row())
        .map(|end| format!("{}: {} and not {}", end.name, end.row(), end.row))
        .collect();
    assert_eq!(wrong, [""; 0]);
    for (row, ending) in without_result() {
        assert_eq!(row_name(None, &ending, false), row, "{ending:?}");
    }
}

#[test]
fn each_row_is_reached_but_the_net_below_them() {
    let recorded = ends().into_iter().map(|end| end.row);
    let reached: BTreeSet<_> = recorded.chain(without_result().into_iter().map(|(row, _)| row.to_owned())).collect();
    let rows: BTreeSet<_> = ROWS.iter().map(|row| row.name.to_owned()).filter(|name| name != "unknown").collect();
    assert_eq!(reached, rows, "the rows that an end reaches (left), and the table (right)");
}

#[test]
fn what_the_clis_of_different_versions_say_of_the_same_means_the_same() {
    let ends = ends();
    for old in ends.iter().filter(|end| end.name.contains("(2.1.2")) {
        let case = old.name.split(' ').next().unwrap_or_default();
        let new = ends.iter().find(|end| end.name == format!("{case} (2.1.330)"));
        if let Some(new) = new.filter(|new| new.row != "connection.word") {
            assert_eq!(old.row, new.row, "{case}");
        }
    }
    // The one difference: these old CLIs do not notice the loss at all.
    assert_eq!(end("stream_cut_after_block (2.1.276)").problem().kind, ProblemKind::Connection);
    assert_eq!(end("stream_cut_after_block").problem().kind, ProblemKind::Connection);
}

#[test]
fn a_failure_says_what_it_is_and_what_to_do() {
    let overload = end("api_529").problem();
    assert_eq!((overload.kind, overload.upstream_status), (ProblemKind::Overloaded, Some(529)));
    assert!(overload.message.starts_with("API Error: 529") && overload.hint.is_some(), "{overload:?}");
    assert_eq!(overload.terminal_reason.as_deref(), Some("api_error"));
    let startup = end("bypass_root").problem();
    assert!(startup.message.starts_with("the CLI could not start (bypass_root): --dangerously"), "{startup:?}");
    let hook = end("prompt_hook_blocks").problem();
    assert!(!hook.message.contains("Original prompt"), "{hook:?}");
    let interrupted = end("interrupt_tool").problem();
    assert_eq!(interrupted.message, "the run was interrupted");
}

#[test]
fn only_what_the_provider_says_of_a_time_to_come_back_is_told() {
    for told in ["oauth_rate_limit_429", "oauth_rate_limit_429 (2.1.261)"] {
        assert!(end(told).problem().retry_at.is_some_and(|time| time > 1_795_000_000), "{told}");
    }
    for silent in ["api_429", "api_429far", "api_529"] {
        assert_eq!(end(silent).problem().retry_at, None, "{silent}: none is invented");
    }
}

#[test]
fn a_success_that_a_person_should_look_at_says_so() {
    let told = |end: &End| caveat(Some(&end.result), &Ending::Done, end.schema);
    for case in [
        "stop_hook_continue_false",
        "slash_compact_first",
        "tools and no word (made)",
        "no stop reason, and tokens (made)",
    ] {
        assert!(told(&end(case)).is_some(), "{case}");
        assert_eq!(end(case).outcome(), Outcome::Completed, "{case}");
    }
    for case in ["success", "slash_cost", "api_529", "stream_empty"] {
        assert_eq!(told(&end(case)), None, "{case}");
    }
}

#[test]
fn a_result_counts_only_if_the_run_came_to_its_own_end() {
    let success = end("success").result;
    for (row, ending) in without_result() {
        let completed = judge(Some(&success), &ending, false) == Outcome::Completed;
        assert_eq!(completed, matches!(ending, Ending::Done | Ending::Exited { .. }), "{row}");
    }
    let failed = end("api_529").result;
    let cancelled = problem(judge(Some(&failed), &Ending::Cancelled { by: "request".into() }, false)).unwrap();
    assert_eq!((cancelled.upstream_status, cancelled.retry_at), (None, None), "it did not end by that");
}

#[test]
fn what_stands_on_stderr_stays_there() {
    for (_, ending) in without_result() {
        let text = format!("{:?}", problem(judge(None, &ending, false)));
        assert!(!text.contains("secret") && !text.contains("22222222"), "{text}");
    }
}

/// One of these, or nothing.
fn word(words: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        proptest::sample::select(words).prop_map(Value::from),
        "[a-z_]{1,12}".prop_map(Value::from),
    ]
}

fn ending() -> impl Strategy<Value = Ending> {
    let seen: Vec<_> = without_result().into_iter().map(|(_, ending)| ending).collect();
    proptest::sample::select(seen)
}

prop_compose! {
    fn any_result()(
        is_error in prop_oneof![Just(json!(true)), Just(json!(false)), Just(json!("perhaps")), Just(Value::Null)],
        subtype in word(&["success", "error_during_execution", "error_max_turns", "error_max_budget_usd"]),
        reason in word(&["completed", "api_error", "aborted_tools", "max_turns", "hook_stopped", "tool_deferred", "prompt_too_long"]),
        status in prop_oneof![Just(Value::Null), (100_u16..999).prop_map(Value::from)],
        error in word(&["rate_limit", "server_error", "invalid_request", "billing_error"]),
        stop in word(&["end_turn", "refusal", "pause_turn", "max_tokens", "tool_use"]),
        startup in word(&["bypass_root"]),
        text in prop_oneof![Just(Value::Null), Just(json!("")), Just(json!("Blank prompt")), Just(json!("said"))],
        turns in 0_u64..3,
        errors in proptest::collection::vec("[a-z ]{0,5}", 0..2),
    ) -> Value {
        json!({
            "type": "result", "is_error": is_error, "subtype": subtype, "terminal_reason": reason, "num_turns": turns,
            "api_error_status": status, "api_error": error, "stop_reason": stop, "startup_failure_reason": startup,
            "result": text, "errors": errors,
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn whatever_is_said_has_an_outcome_and_no_failure_looks_like_a_success(
        said in any_result(), ending in ending(), is_there in any::<bool>(), schema in any::<bool>(),
    ) {
        let result = ResultMessage::parse(&Frame::parse(said.to_string()).unwrap()).filter(|_| is_there);
        let outcome = judge(result.as_ref(), &ending, schema);
        let row = ROWS.iter().find(|row| row.name == row_name(result.as_ref(), &ending, schema)).unwrap();
        prop_assert_eq!(outcome == Outcome::Completed, row.then == Verdict::Completed);
        if outcome == Outcome::Completed {
            let came_to_its_end = matches!(ending, Ending::Done | Ending::Exited { .. });
            prop_assert!(is_there && came_to_its_end);
            prop_assert_eq!(&said["is_error"], false);
            prop_assert_eq!(&said["subtype"], "success");
            prop_assert!(said["startup_failure_reason"].is_null() && said["api_error_status"].is_null());
            prop_assert!(!said["terminal_reason"].as_str().is_some_and(|reason| reason.starts_with("aborted")));
            prop_assert!(!schema, "a schema was given, and there is no structured output");
        } else {
            prop_assert!(!problem(outcome).unwrap().message.is_empty());
        }
    }
}
