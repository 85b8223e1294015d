//! Any story of runs that begin, continue, copy, clear, are cut off and die: what they have used together is what was billed.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Tokens by model.
type Bill = BTreeMap<&'static str, u64>;

const MODELS: [&str; 3] = ["large", "large[1m]", "small"];

/// What a run does, and how it ends.
#[derive(Debug, Clone)]
struct RunStory {
    /// The CLI's figures go on from those of the session.
    is_new_cli: bool,
    /// Continues a session, or a copy of it.
    continues: bool,
    is_copy: bool,
    acts: Vec<Act>,
    end: End,
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Call(usize, u64),
    Ask,
    Result,
    /// The same result comes twice.
    Twice,
    Clear {
        is_said: bool,
    },
    CutOff(usize, u64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Result,
    /// By SIGTERM: a new CLI leaves its total in the transcript.
    InOrder,
    Killed,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..MODELS.len(), 1_u64..50).prop_map(|(model, tokens)| Act::Call(model, tokens)),
        2 => Just(Act::Ask),
        2 => Just(Act::Result),
        1 => Just(Act::Twice),
        1 => any::<bool>().prop_map(|is_said| Act::Clear { is_said }),
        1 => (0..MODELS.len(), 1_u64..50).prop_map(|(model, tokens)| Act::CutOff(model, tokens)),
    ]
}

fn run() -> impl Strategy<Value = RunStory> {
    let end = prop_oneof![3 => Just(End::Result), 1 => Just(End::InOrder), 1 => Just(End::Killed)];
    (any::<bool>(), any::<bool>(), any::<bool>(), prop::collection::vec(act(), 0..12), end)
        .prop_map(|(is_new_cli, continues, is_copy, acts, end)| RunStory { is_new_cli, continues, is_copy, acts, end })
}

/// A CLI as it was measured.
struct Cli {
    is_new: bool,
    total: Bill,
    since: Bill,
    results: u32,
    /// What the model has billed for this run, and how much of it the CLI never tells.
    billed: u64,
    lost: u64,
    /// Billed, and told to nobody yet.
    untold: u64,
    account: Account,
}

impl Cli {
    fn call(&mut self, model: usize, tokens: u64) {
        self.say(&json!({"type": "assistant"}));
        for bill in [&mut self.total, &mut self.since] {
            *bill.entry(MODELS[model]).or_default() += tokens;
        }
        self.billed += tokens;
        self.untold += tokens;
    }

    fn ask(&mut self) {
        self.account.take_total(ByModel::read(&figures(&self.total)).unwrap());
        self.untold = 0;
    }

    fn result(&mut self, reason: &str, times: usize) {
        self.results += 1;
        let mut message = json!({
            "type": "result", "uuid": format!("{}", self.results), "terminal_reason": reason,
            "modelUsage": figures(&self.total), "total_cost_usd": cost(&self.total),
        });
        if self.is_new {
            message["model_usage_since_last_result"] = figures(&self.since);
        }
        for _ in 0..times {
            self.say(&message);
        }
        self.since.clear();
        self.untold = 0;
    }

    fn clear(&mut self, is_said: bool) {
        self.total.clear();
        if is_said {
            self.say(&json!({"type": "conversation_reset"}));
        }
        self.result("completed", 1);
    }

    fn cut_off(&mut self, model: usize, tokens: u64) {
        if self.is_new {
            self.call(model, tokens);
        } else {
            self.billed += tokens;
            self.lost += tokens;
        }
        self.result("aborted_streaming", 1);
    }

    fn say(&mut self, message: &Value) {
        self.account.observe(&Frame::parse(message.to_string()).unwrap());
    }
}

fn figures(bill: &Bill) -> Value {
    let of = |tokens: &u64| json!({"inputTokens": tokens, "costUSD": dollars(*tokens)});
    bill.iter().map(|(model, tokens)| (*model, of(tokens))).collect()
}

fn cost(bill: &Bill) -> f64 {
    dollars(bill.values().sum())
}

fn dollars(tokens: u64) -> f64 {
    f64::from(u32::try_from(tokens).unwrap()) / 1e5
}

fn play(story: &RunStory, session: &mut Bill, step: &str) -> Result<(), TestCaseError> {
    let account = if story.continues { Account::of_continued() } else { Account::new() };
    let begins = if story.is_new_cli && story.continues { session.clone() } else { Bill::new() };
    let mut cli = Cli {
        is_new: story.is_new_cli,
        total: begins,
        since: Bill::new(),
        results: 0,
        billed: 0,
        lost: 0,
        untold: 0,
        account,
    };
    if story.continues {
        cli.ask();
    }
    cli.account.begin_work();
    let mut was_cleared = false;
    for act in &story.acts {
        match *act {
            Act::Call(model, tokens) => cli.call(model, tokens),
            Act::Ask => cli.ask(),
            Act::Result => cli.result("completed", 1),
            Act::Twice => cli.result("completed", 2),
            Act::Clear { is_said } => {
                cli.result("completed", 1);
                cli.clear(is_said);
                was_cleared = true;
            }
            Act::CutOff(model, tokens) => cli.cut_off(model, tokens),
        }
    }
    match story.end {
        End::Result => cli.result("completed", 1),
        End::InOrder if cli.is_new && !was_cleared => {
            cli.account.take_last_total(ByModel::read(&figures(&cli.total)).unwrap());
            cli.untold = 0;
        }
        End::InOrder | End::Killed => {}
    }
    if cli.is_new && story.end != End::Killed && !story.is_copy {
        *session = cli.total.clone();
    }
    let used = cli.account.used();
    let tokens: u64 = used.iter().map(|(_, amount)| amount.input_tokens).sum();
    prop_assert_eq!(tokens, cli.billed - cli.lost - cli.untold, "{}", step);
    prop_assert!((used.cost_usd() - dollars(tokens)).abs() < 1e-9, "{}", step);
    prop_assert!(used.iter().all(|(model, _)| model == "large" || model == "small"), "{}", step);
    if cli.account.is_complete() {
        prop_assert_eq!(tokens, cli.billed, "what says that it is all is all: {}", step);
    }
    if story.end == End::Result && cli.lost == 0 {
        prop_assert!(cli.account.is_complete(), "{}", step);
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_sum_of_runs_is_the_bill(stories in prop::collection::vec(run(), 1..8)) {
        let mut session = Bill::new();
        for (number, story) in stories.iter().enumerate() {
            play(story, &mut session, &format!("run {number} of {stories:?}"))?;
        }
    }
}
