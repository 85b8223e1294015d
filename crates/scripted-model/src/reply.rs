//! Chooses what to answer: the script's part, or something harmless that fits the request.

use serde_json::Value;

use crate::conversation::Cue;
use crate::sample::sample;
use crate::script::Part;

/// The CLI's tool by which a model gives an answer that fits a schema.
const STRUCTURED_OUTPUT: &str = "StructuredOutput";

/// How much of a prompt an answer repeats.
const ECHO_CHARS: usize = 200;

/// The answer to a request, before faults are counted.
pub(crate) fn reply(body: &Value, cue: Cue) -> Part {
    if let Some(schema) = output_schema(body) {
        return Part::text(sample(schema).to_string());
    }
    if let Some(tool) = forced_tool(body) {
        let name = tool["name"].as_str().unwrap_or_default();
        return match cue.part {
            Some(part) if part.calls(name) || (any_tool(body) && part.calls_tools()) => part,
            _ => Part::tool(name, sample(&tool["input_schema"])),
        };
    }
    if let Some(part) = cue.part {
        return part;
    }
    // The CLI offers it, without insisting on it, when the answer has to fit a schema.
    let structured = tool_named(body, STRUCTURED_OUTPUT);
    match (cue.prompt, structured) {
        (Some(_), Some(tool)) => Part::tool(STRUCTURED_OUTPUT, sample(&tool["input_schema"])),
        (Some(prompt), None) => Part::text(echo(&prompt)),
        (None, _) => Part::text("done"),
    }
}

/// The tool of this name, if the request offers it.
fn tool_named<'b>(body: &'b Value, name: &str) -> Option<&'b Value> {
    body["tools"].as_array()?.iter().find(|tool| tool["name"] == name)
}

/// The schema of a request for JSON text, as the CLI's side requests make it.
fn output_schema(body: &Value) -> Option<&Value> {
    [&body["output_config"]["format"], &body["output_format"]]
        .into_iter()
        .find(|format| format["type"] == "json_schema")
        .map(|format| &format["schema"])
}

/// The tool the request insists on; the first one when any will do.
fn forced_tool(body: &Value) -> Option<&Value> {
    let mut tools = body["tools"].as_array().into_iter().flatten();
    match body["tool_choice"]["type"].as_str() {
        Some("tool") => tools.find(|tool| tool["name"] == body["tool_choice"]["name"]),
        Some("any") => tools.next(),
        _ => None,
    }
}

fn any_tool(body: &Value) -> bool {
    body["tool_choice"]["type"] == "any"
}

fn echo(prompt: &str) -> String {
    let mut start: String = prompt.chars().take(ECHO_CHARS).collect();
    if start.len() < prompt.len() {
        start.push('…');
    }
    format!("This is the scripted model. You said: {start}")
}
