use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::prompt;

fn steps(text: &str) -> Vec<Step> {
    let directives = parse(text).unwrap();
    directives
        .into_iter()
        .map(|directive| match directive {
            Directive::Step(step) => step,
            other => panic!("{other:?} is no step"),
        })
        .collect()
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

fn tool_step(name: &str, input: Value) -> Step {
    Step::Tool { name: name.to_owned(), input }
}

#[test]
fn prose_around_directives_is_skipped() {
    let text = "Say [[text:hello wörld]], [not] [[ -f x ]] [[bin]] [[[text:b]] then stop";
    let expected = [Step::Text("hello wörld".into()), Step::Text("b".into())];
    assert_eq!(steps(text), expected);
}

#[test]
fn text_is_raw_or_a_json_string() {
    assert_eq!(steps("[[text: a, \"b\"\n]]"), [Step::Text(" a, \"b\"\n".into())]);
    assert_eq!(steps(r#"[[text:"]] \u00fc" ]]"#), [Step::Text("]] ü".into())]);
}

#[test]
fn a_tools_json_hides_its_directives() {
    let inner = prompt::turns([
        prompt::tool("Bash", &json!({"command": "[[ -n \"$x\" ]] && echo ]]"})),
        prompt::text("done ]]"),
    ]);
    let input = json!({"prompt": inner, "list": [[1, [2]]]});
    assert_eq!(steps(&prompt::tool("Agent", &input)), [tool_step("Agent", input)]);
    let parsed = parse(&inner).unwrap();
    assert_eq!(parsed.len(), 3);
    assert_eq!(parsed[1], Directive::Then);
}

#[test]
fn a_tool_without_input_gets_an_empty_object() {
    for text in ["[[tool: mcp__a-b__c ]]", "[[tool:mcp__a-b__c]]"] {
        assert_eq!(steps(text), [tool_step("mcp__a-b__c", json!({}))]);
    }
}

#[test]
fn errors_take_their_type_from_the_status() {
    let expected = [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (529, "overloaded_error"),
    ];
    for (status, expected) in expected {
        let parsed = steps(&format!("[[error:{status}]]"));
        let [Step::Fault(Fault { kind: FaultKind::Upstream(error), times: None })] = &parsed[..] else {
            panic!("{parsed:?}");
        };
        assert_eq!((error.status, error.kind.as_str()), (status, expected));
    }
    let full = r#"[[error:429, retry_after=2 ,times=3,type=x,message="a, ]] b"]]"#;
    let error =
        UpstreamError { status: 429, kind: "x".to_owned(), message: "a, ]] b".to_owned(), retry_after: Some(2) };
    let fault = Fault { kind: FaultKind::Upstream(error), times: Some(3) };
    assert_eq!(steps(full), [Step::Fault(fault)]);
}

#[test]
fn a_part_is_set_up_by_its_directives() {
    let text = "[[delay_ms:first=500]][[stop:max_tokens]][[usage:input=1,cache_read=2]][[then]]";
    let usage = UsageOverride { input: Some(1), cache_read: Some(2), ..UsageOverride::default() };
    let expected = [
        Directive::Delay(Duration::from_millis(500)),
        Directive::Stop("max_tokens"),
        Directive::Usage(usage),
        Directive::Then,
    ];
    assert_eq!(parse(text).unwrap(), expected);
}

#[test]
fn refusals_name_the_directive_and_the_reason() {
    insta::assert_snapshot!(
        [
            "[[text:open", "[[bogus:1]]", "[[deltas:count=x]]", "[[deltas:size=3]]",
            "[[deltas:count=1000001]]", "[[tool:Bash {\"a\":]]", "[[tool:Bash [1]]]",
            "[[tool:Bash {} x]]", "[[tool:]]", "[[error:]]", "[[error:200]]", "[[stop:later]]",
            "[[pause_ms:600001]]", "[[large:chunk=1]]", "[[error:429,retry_after=1,retry_after=2]]",
            "[[cut:1]]", "[[usage:input=-1]]",
        ]
        .map(refusal)
        .join("\n"),
        @r#"
    directive `[[text:open`: it is not closed with `]]`
    directive `[[bogus:1]]`: no such directive
    directive `[[deltas:count=x]]`: count: `x` is not valid here
    directive `[[deltas:size=3]]`: unknown argument `size`
    directive `[[deltas:count=1000001]]`: count: at most 1000000
    directive `[[tool:Bash {"a":]]`: the input is not JSON: expected value at line 1 column 6
    directive `[[tool:Bash [1]]]`: the input must be a JSON object
    directive `[[tool:Bash {} x]]`: expected `]]` after the JSON
    directive `[[tool:]]`: a tool name must follow `tool:`
    directive `[[error:]]`: a status is missing
    directive `[[error:200]]`: the status must be between 400 and 599
    directive `[[stop:later]]`: not one of end_turn, max_tokens, model_context_window_exceeded, pause_turn, refusal, stop_sequence, tool_use
    directive `[[pause_ms:600001]]`: ms: at most 600000
    directive `[[large:chunk=1]]`: bytes: missing
    directive `[[error:429,retry_after=1,retry_after=2]]`: retry_after: given twice
    directive `[[cut:1]]`: unexpected argument `1`
    directive `[[usage:input=-1]]`: input: `-1` is not valid here
    "#
    );
}

proptest! {
    #[test]
    fn no_text_panics(text in "(\\[\\[|\\]\\]|[a-z_:={},\" ü]|text:|tool:|deltas:|error:|\\PC){0,40}") {
        let _ = parse(&text);
    }

    #[test]
    fn quoted_text_survives(said in "(\\[\\[|\\]\\]|\\PC|\n){0,20}", around in "[^\\[\\]]{0,10}") {
        let text = format!("{around}{}{around}", prompt::text(&said));
        prop_assert_eq!(steps(&text), [Step::Text(said)]);
    }

    #[test]
    fn tool_inputs_survive(key in "\\PC{0,9}", said in "(\\[\\[|\\]\\]|\\PC){0,20}") {
        let input = json!({key: [[said]]});
        prop_assert_eq!(steps(&prompt::tool("T", &input)), [tool_step("T", input)]);
    }
}
