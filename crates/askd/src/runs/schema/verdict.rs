//! Whether the answer of a run fits its schema, and what is said if it does not.

use claude::notice::shortened;
use claude::outcome::{Outcome, ProblemKind, ResultMessage};
use serde::Deserialize;
use serde_json::Value;

use super::{AnswerSchema, SchemaError};
use crate::runs::{Finished, Flaw, RunError, RunErrorKind, RunState};

/// How often a check is tried whose turn does not come, each time for the patience of the gate: half a minute in all.
const MAX_TRIES: u32 = 6;
/// The CLI's words before what its own validator says.
const REFUSAL: &str = "Output does not match required schema: ";
/// The longest text of the CLI that is passed on, in characters.
const MAX_WORDS: usize = 500;

/// What is said of the answer of a run that has come to its own end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It fits.
    Fits,
    /// It does not fit, or there is none.
    Unfit(Unfit),
    /// There is no telling, e.g. because the check takes too long. The model is not at fault.
    Unchecked(String),
}

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// In one line.
    pub what: String,
    /// Part by part; never empty.
    pub flaws: Vec<Flaw>,
}

/// The verdict on an answer, if its outcome so far asks for one: it succeeded, or it only lacks an answer of the right form.
/// Any other outcome stands.
pub fn asks_for_verdict(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Completed => true,
        Outcome::Incomplete(problem) => problem.kind == ProblemKind::Schema,
        Outcome::Cancelled(_) | Outcome::Failed(_) => false,
    }
}

/// Checks what the CLI gives as the structured output. The CLI has checked it by its own means, and may have converted it
/// (`"1"` to `1`, checked): what it gives is what counts.
pub async fn verdict(schema: &AnswerSchema, result: &ResultMessage) -> Verdict {
    #[derive(Deserialize)]
    struct Answer {
        structured_output: Value,
    }
    let answer = result.raw.as_deref().and_then(|raw| serde_json::from_str::<Answer>(raw).ok());
    let Some(Answer { structured_output: answer }) = answer else {
        return Verdict::Unfit(missing(result));
    };
    for _ in 1..MAX_TRIES {
        match schema.check(answer.clone()).await {
            Err(SchemaError::Busy) => {}
            checked => return of_check(checked),
        }
    }
    of_check(schema.check(answer).await)
}

fn of_check(checked: Result<Result<(), Vec<Flaw>>, SchemaError>) -> Verdict {
    match checked {
        Ok(Ok(())) => Verdict::Fits,
        Ok(Err(flaws)) => {
            let first =
                flaws.first().map_or_else(String::new, |Flaw { path, message }| format!("{message} (at `{path}`)"));
            Verdict::Unfit(Unfit { what: format!("the structured output does not fit the schema: {first}"), flaws })
        }
        Err(error) => Verdict::Unchecked(format!("the structured output could not be checked: the schema {error}")),
    }
}

/// There is no structured output: the model gave none, or none that the CLI took.
fn missing(result: &ResultMessage) -> Unfit {
    let said = result.errors.iter().find_map(|error| error.split_once(REFUSAL)).map(|(_, said)| said);
    let Some(said) = said else {
        let flaws = vec![Flaw::of_whole("there is no structured output")];
        return Unfit { what: "the model gave no structured output".into(), flaws };
    };
    let said = shortened(said, MAX_WORDS);
    // As its validator writes it: `/a: must be integer`.
    let (path, message) = said.split_once(": ").filter(|(path, _)| path.starts_with('/')).unwrap_or(("", &said));
    let flaw = Flaw { path: path.to_owned(), message: message.to_owned() };
    let what = format!("the CLI took none of the model's structured outputs; the last one did not fit: {said}");
    Unfit { what, flaws: vec![flaw] }
}

impl Unfit {
    /// The same answer of a model that was not offered the means to give one.
    #[must_use]
    pub fn for_want_of_the_tool(self) -> Self {
        let what = "the CLI did not take the schema: its tools have no StructuredOutput, so that the model could not give \
                    one";
        Self { what: what.into(), ..self }
    }
}

impl Verdict {
    /// The end of a run of this outcome, for which a verdict was asked.
    pub fn end_of(self, outcome: Outcome) -> Finished {
        let (message, details) = match self {
            Self::Fits => return Finished::completed(),
            Self::Unfit(Unfit { what, flaws }) => (what, flaws),
            Self::Unchecked(why) => (why, Vec::new()),
        };
        let error = match outcome {
            // What the CLI says of it stays.
            Outcome::Incomplete(problem) => RunError::from(problem),
            _ => RunError::new(RunErrorKind::Schema, ""),
        };
        Finished { state: RunState::Incomplete, error: Some(RunError { message, details, ..error }) }
    }
}

#[cfg(test)]
mod tests {
    use claude::frame::Frame;
    use serde_json::json;

    use super::*;

    async fn judged(schema: Value, result: Value) -> Verdict {
        let mut line = json!({"type": "result", "subtype": "success"});
        line.as_object_mut().unwrap().extend(result.as_object().unwrap().clone());
        let result = ResultMessage::parse(&Frame::parse(line.to_string()).unwrap()).unwrap();
        verdict(&AnswerSchema::new(schema).unwrap(), &result).await
    }

    #[tokio::test]
    async fn every_part_that_does_not_fit_is_named() {
        let schema =
            json!({"properties": {"a": {"type": "integer"}, "b": {"items": {"type": "string"}}}, "required": ["c"]});
        let answer = json!({"structured_output": {"a": "x", "b": ["y", 1]}});
        let Verdict::Unfit(unfit) = judged(schema.clone(), answer).await else { panic!("it does not fit") };
        let mut paths: Vec<&str> = unfit.flaws.iter().map(|flaw| flaw.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["", "/a", "/b/1"], "{unfit:?}");
        assert!(unfit.what.starts_with("the structured output does not fit the schema: "), "{unfit:?}");
        assert_eq!(judged(schema, json!({"structured_output": {"c": null}})).await, Verdict::Fits);
    }

    #[tokio::test]
    async fn a_missing_answer_is_told_from_one_that_the_cli_refused() {
        let Verdict::Unfit(none) = judged(json!({}), json!({"result": "text"})).await else { panic!("there is none") };
        assert_eq!((none.what.as_str(), none.flaws.len()), ("the model gave no structured output", 1));
        let words = "Failed after 5 attempts — last StructuredOutput error: Output does not match required schema: /a: must be integer";
        let given_up = json!({"subtype": "error_max_structured_output_retries", "is_error": true, "errors": [words]});
        let Verdict::Unfit(refused) = judged(json!({}), given_up).await else { panic!("there is none") };
        assert_eq!(refused.flaws, [Flaw { path: "/a".into(), message: "must be integer".into() }]);
    }
}
