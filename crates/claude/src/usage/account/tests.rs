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
