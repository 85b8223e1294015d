use serde_json::{Value, json};

use super::super::by_model::Amount;
use super::*;

fn frame(message: &Value) -> Frame {
    Frame::parse(message.to_string()).unwrap()
}

/// So many tokens of input, at a millionth of a dollar each.
fn models(tokens: &[(&str, u32)]) -> Value {
    tokens.iter().map(|(model, tokens)| (*model, figures(*tokens))).collect()
}

fn figures(tokens: u32) -> Value {
    json!({"inputTokens": tokens, "costUSD": f64::from(tokens) / 1e6})
}

fn total(tokens: &[(&str, u32)]) -> ByModel {
    ByModel::read(&models(tokens)).unwrap()
}

/// A result of a new CLI, or with no `since` of an old one.
fn result(since: Option<&[(&str, u32)]>, of_session: &[(&str, u32)]) -> Frame {
    let cost: f64 = of_session.iter().map(|(_, tokens)| f64::from(*tokens) / 1e6).sum();
    let mut message = json!({"type": "result", "modelUsage": models(of_session), "total_cost_usd": cost});
    if let Some(since) = since {
        message["model_usage_since_last_result"] = models(since);
    }
    frame(&message)
}

fn used(account: &Account) -> Vec<(String, u64)> {
    account.used().iter().map(|(model, amount)| (model.to_owned(), amount.input_tokens)).collect()
}

fn of(told: &[(&str, u64)]) -> Vec<(String, u64)> {
    told.iter().map(|(model, tokens)| ((*model).to_owned(), *tokens)).collect()
}

/// What is heard, and what the process has used by then.
struct Row {
    what: &'static str,
    account: fn() -> Account,
    heard: Vec<Heard>,
    used: &'static [(&'static str, u64)],
    is_complete: bool,
}

enum Heard {
    Message(Frame),
    Answer(ByModel),
    Left(ByModel),
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_a_process_says_is_what_its_run_has_used() {
    use Heard::{Answer, Left, Message};
    let work = || Message(frame(&json!({"type": "assistant"})));
    let cleared = || Message(frame(&json!({"type": "conversation_reset"})));
    let told = |since: &[(&str, u32)], of_session: &[(&str, u32)]| Message(result(Some(since), of_session));
    let old = |of_process: &[(&str, u32)]| Message(result(None, of_process));
    let said = |message: Value| Message(frame(&message));
    let rows = [
        Row {
            what: "a new session of a new CLI",
            account: Account::new,
            heard: vec![work(), told(&[("a", 5)], &[("a", 5)])],
            used: &[("a", 5)],
            is_complete: true,
        },
        Row {
            what: "a new session of an old CLI",
            account: Account::new,
            heard: vec![work(), old(&[("a", 5), ("b", 1)])],
            used: &[("a", 5), ("b", 1)],
            is_complete: true,
        },
        Row {
            what: "a session that a new CLI continues",
            account: Account::of_continued,
            heard: vec![Answer(total(&[("a", 100)])), told(&[("a", 5)], &[("a", 105)])],
            used: &[("a", 5)],
            is_complete: true,
        },
        Row {
            what: "one of which was not asked before",
            account: Account::of_continued,
            heard: vec![told(&[("a", 5)], &[("a", 105)]), Answer(total(&[("a", 107)]))],
            used: &[("a", 7)],
            is_complete: true,
        },
        Row {
            what: "a session that an old CLI continues: it begins at nothing",
            account: Account::of_continued,
            heard: vec![Answer(total(&[])), old(&[("a", 5)])],
            used: &[("a", 5)],
            is_complete: true,
        },
        Row {
            what: "the same if it does not answer",
            account: Account::of_continued,
            heard: vec![old(&[("a", 5)])],
            used: &[("a", 5)],
            is_complete: true,
        },
        Row {
            what: "a CLI that tells totals only and goes on from those of the session",
            account: Account::of_continued,
            heard: vec![Answer(total(&[("a", 100)])), old(&[("a", 105)]), old(&[("a", 107)])],
            used: &[("a", 7)],
            is_complete: true,
        },
        Row {
            what: "one and the same model under two names",
            account: Account::of_continued,
            heard: vec![Answer(total(&[("a[1m]", 100)])), old(&[("a", 105)])],
            used: &[("a", 5)],
            is_complete: true,
        },
        Row {
            what: "several results of an old CLI, whose totals grow",
            account: Account::new,
            heard: vec![old(&[("a", 5)]), old(&[("a", 9), ("b", 2)])],
            used: &[("a", 9), ("b", 2)],
            is_complete: true,
        },
        Row {
            what: "the same result twice",
            account: Account::new,
            heard: (0..2)
                .map(|_| {
                    said(json!({"type": "result", "uuid": "1", "model_usage_since_last_result": models(&[("a", 5)])}))
                })
                .collect(),
            used: &[("a", 5)],
            is_complete: true,
        },
        Row {
            what: "a result that tells nothing between two that do",
            account: Account::new,
            heard: vec![
                told(&[("a", 5)], &[("a", 5)]),
                said(json!({"type": "result"})),
                told(&[("a", 1)], &[("a", 9)]),
            ],
            used: &[("a", 9)],
            is_complete: true,
        },
        Row {
            what: "a result that tells nothing at the end",
            account: Account::new,
            heard: vec![told(&[("a", 5)], &[("a", 5)]), said(json!({"type": "result"}))],
            used: &[("a", 5)],
            is_complete: false,
        },
        Row {
            what: "a process that dies after an answer",
            account: Account::of_continued,
            heard: vec![Answer(total(&[("a", 100)])), work(), Answer(total(&[("a", 103)])), work()],
            used: &[("a", 3)],
            is_complete: false,
        },
        Row {
            what: "one that ends in order without a result",
            account: Account::of_continued,
            heard: vec![Answer(total(&[("a", 100)])), work(), Left(total(&[("a", 104)]))],
            used: &[("a", 4)],
            is_complete: false,
        },
        Row {
            what: "a transcript that says less than was heard",
            account: Account::new,
            heard: vec![work(), Answer(total(&[("a", 4)])), Left(total(&[]))],
            used: &[("a", 4)],
            is_complete: false,
        },
        Row {
            what: "a conversation that is cleared",
            account: Account::of_continued,
            heard: vec![
                Answer(total(&[("a", 100)])),
                told(&[("a", 5)], &[("a", 105)]),
                cleared(),
                told(&[], &[]),
                told(&[("b", 2)], &[("b", 2)]),
                Answer(total(&[("b", 3)])),
            ],
            used: &[("a", 5), ("b", 3)],
            is_complete: true,
        },
        Row {
            what: "the same on an old CLI that does not say so",
            account: Account::new,
            heard: vec![old(&[("a", 5)]), Answer(total(&[("a", 6)])), old(&[]), old(&[("a", 2)])],
            used: &[("a", 8)],
            is_complete: true,
        },
        Row {
            what: "a result whose models cannot be read, between two that say them",
            account: Account::new,
            heard: vec![
                old(&[("a", 5)]),
                said(json!({"type": "result", "modelUsage": "?", "total_cost_usd": 0.000_009})),
                old(&[("a", 12)]),
            ],
            used: &[("", 0), ("a", 12)],
            is_complete: true,
        },
        Row {
            what: "an answer in which a count is missing for once",
            account: Account::new,
            heard: vec![
                Answer(total(&[("a", 5), ("b", 2)])),
                Answer(ByModel::with_total(None, Some(&json!(0.000_008))).unwrap()),
                Answer(total(&[("a", 7), ("b", 2)])),
                old(&[("a", 7), ("b", 3)]),
            ],
            used: &[("a", 7), ("b", 3)],
            is_complete: true,
        },
        Row {
            what: "a call that is cut off, which a new CLI counts",
            account: Account::new,
            heard: vec![said(json!({
                "type": "result", "terminal_reason": "aborted_streaming", "total_cost_usd": 0.000_005,
                "modelUsage": models(&[("a", 5)]), "model_usage_since_last_result": models(&[("a", 5)]),
            }))],
            used: &[("a", 5)],
            is_complete: true,
        },
        Row {
            what: "a call that is cut off, which an old CLI does not count",
            account: Account::new,
            heard: vec![said(json!({
                "type": "result", "terminal_reason": "aborted_streaming", "total_cost_usd": 0.000_005,
                "modelUsage": models(&[("a", 5)]),
            }))],
            used: &[("a", 5)],
            is_complete: false,
        },
    ];
    for Row { what, account, heard, used: expected, is_complete } in rows {
        let mut account = account();
        for heard in heard {
            match heard {
                Message(frame) => account.observe(&frame),
                Answer(total) => account.take_total(total),
                Left(total) => account.take_last_total(total),
            }
        }
        assert_eq!((used(&account), account.is_complete()), (of(expected), is_complete), "{what}");
    }
}

#[test]
fn figures_that_are_missing_for_once_are_not_charged_again() {
    let in_all = |account: &Account| (account.used().cost_usd() * 1e6).round();
    let unread = |cost: f64| frame(&json!({"type": "result", "modelUsage": [], "total_cost_usd": cost}));
    let mut account = Account::new();
    account.observe(&result(None, &[("a", 5)]));
    account.observe(&unread(0.000_009));
    assert_eq!((in_all(&account), account.was_reset()), (9.0, false));
    account.observe(&result(None, &[("a", 12)]));
    assert_eq!((in_all(&account), account.was_reset()), (12.0, false));
    account.take_total(ByModel::with_total(None, Some(&json!(0.000_013))).unwrap());
    account.take_total(total(&[("a", 14)]));
    assert_eq!((in_all(&account), account.was_reset()), (14.0, false));
    account.take_total(total(&[("a", 1)]));
    assert_eq!((in_all(&account), account.was_reset()), (15.0, true), "costs that fall have begun anew");
}

#[test]
fn what_only_a_total_tells_belongs_to_no_model() {
    let mut account = Account::new();
    account.observe(&frame(&json!({"type": "result", "total_cost_usd": 0.25, "modelUsage": {}})));
    let told = account.used();
    assert_eq!(told.iter().collect::<Vec<_>>(), [("", &Amount { cost_usd: 0.25, ..Amount::default() })]);
    assert!(account.is_told() && account.tells_all());
}

#[test]
fn a_process_that_has_told_nothing_is_told_from_one_that_has_used_nothing() {
    let mut account = Account::new();
    assert!(!account.is_told() && account.is_complete(), "it was given nothing");
    account.begin_work();
    assert!(!account.is_told() && !account.is_complete());
    account.take_total(ByModel::default());
    assert!(account.is_told() && !account.is_complete() && !account.tells_all());
    account.observe(&result(Some(&[]), &[]));
    assert!(account.is_told() && account.is_complete() && account.tells_all());
    account.observe(&frame(&json!({"type": "system", "subtype": "task_progress"})));
    assert!(!account.is_complete() && account.is_growing(), "a subagent works");
}

/// Results as the CLIs wrote them after `[[short]]` and `[[cut]]` of the scripted model.
#[test]
fn a_call_in_which_the_provider_fell_silent_is_known_to_be_missing() {
    let answer = || frame(&json!({"type": "assistant", "message": {"model": "claude-opus-5", "content": []}}));
    let none = || frame(&json!({"type": "assistant", "message": {"model": "<synthetic>", "content": []}}));
    let ended = |stop: &str| {
        frame(&json!({
            "type": "result", "stop_reason": stop, "terminal_reason": "completed", "is_error": false,
            "modelUsage": models(&[("opus", 5)]), "total_cost_usd": 0.000_005,
        }))
    };
    let nothing = |fields: Value| {
        let mut message = json!({"type": "result", "stop_reason": null, "modelUsage": {}, "total_cost_usd": 0});
        message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        frame(&message)
    };
    let cut_off = || nothing(json!({"is_error": false, "terminal_reason": "completed", "num_turns": 1}));
    let lost = |since: bool| {
        let text = "API Error: Connection to the API was lost (ECONNRESET). This is usually temporary — try again.";
        let mut fields = json!({"is_error": true, "terminal_reason": "api_error", "result": text});
        if since {
            fields["model_usage_since_last_result"] = json!({});
        }
        nothing(fields)
    };
    let refused = nothing(json!({"is_error": true, "result": "API Error: Connection refused (ECONNREFUSED)"}));
    let quoted =
        nothing(json!({"is_error": false, "result": "Connection to the API was lost", "stop_reason": "end_turn"}));
    let table = [
        ("an answer, and its stream ended early", vec![answer(), cut_off()], false),
        ("what needs no model", vec![none(), cut_off()], true),
        ("one turn that ended, and one that did not", vec![answer(), ended("end_turn"), answer(), cut_off()], false),
        ("two turns that ended", vec![answer(), ended("end_turn"), none(), cut_off()], true),
        ("the connection was lost", vec![none(), lost(false)], false),
        ("the same with a new CLI", vec![none(), lost(true)], false),
        ("nobody was reached", vec![none(), refused], true),
        ("a text about a lost connection", vec![answer(), quoted], true),
    ];
    for (what, heard, is_complete) in table {
        let mut account = Account::new();
        account.begin_work();
        for frame in &heard {
            account.observe(frame);
        }
        assert_eq!(account.has_unanswered_call(), !is_complete, "{what}");
        assert!(account.is_complete() && account.tells_all(), "{what}: it is charged what the CLI says");
    }
}
