//! A policy that cannot be used says where and why.

use serde_json::json;

use super::super::{Mistake, Policy, Verdict};

fn mistakes(text: &str) -> Vec<(usize, String)> {
    let mistakes = Policy::parse(text).unwrap_err();
    mistakes.into_iter().map(|Mistake { line, field, .. }| (line, field)).collect()
}

#[test]
fn the_default_is_valid_and_has_rules_of_both_kinds() {
    let policy = Policy::parse(Policy::default_text()).unwrap();
    assert!(policy.has_guard() && !policy.deny_rules().is_empty());
}

#[test]
fn an_empty_policy_refuses_nothing() {
    let policy = Policy::parse(r#"{"version": 1}"#).unwrap();
    assert!(!policy.has_guard() && policy.deny_rules().is_empty());
    assert_eq!(policy.judge("Bash", &json!({"command": "git push -f"})), Verdict::Pass);
}

#[test]
fn mistakes_have_a_line_and_a_field() {
    assert_eq!(mistakes("{"), [(1, String::new())]);
    assert_eq!(mistakes("{\"version\": 1,\n \"guard\": {\"rules\": 5}}"), [(2, "guard.rules".to_owned())]);
    assert_eq!(mistakes("{\"version\": 1,\n \"nope\": 1}"), [(2, "nope".to_owned())]);
    assert_eq!(mistakes("{\n\"version\": 2}"), [(2, "version".to_owned())]);
    let double = "{\"version\": 1, \"guard\": {\"rules\": [\n{\"id\": \"a\", \"message\": \"m\", \"programs\": [\"x\"]},\n\
                  {\"id\": \"a\", \"message\": \"\", \"programs\": [], \"flags\": [\"f\"]}]}}";
    let fields = ["id", "message", "programs", "flags"].map(|field| (3, format!("guard.rules[1].{field}")));
    assert_eq!(mistakes(double), fields);
}

#[test]
fn what_is_unreadable_may_be_let_through() {
    let text = Policy::default_text().replace(r#""on_unreadable": "deny""#, r#""on_unreadable": "allow""#);
    let policy = Policy::parse(&text).unwrap();
    assert_eq!(policy.judge("Bash", &json!({"command": "$X push -f"})), Verdict::Pass);
    assert!(matches!(policy.judge("Bash", &json!({"command": "git push -f"})), Verdict::Deny { .. }));
}

#[test]
fn other_tools_pass_and_odd_inputs_do_not() {
    let policy = Policy::of_the_house();
    let judge = |tool: &str, input| policy.judge(tool, &input);
    assert_eq!(judge("Write", json!({"command": "git push -f"})), Verdict::Pass);
    assert_eq!(judge("Bash", json!({})), Verdict::Pass);
    for (tool, input) in [("Bash", json!({"command": 5})), ("PowerShell", json!({"command": "ls"}))] {
        assert!(matches!(judge(tool, input), Verdict::Deny { rule, .. } if rule == "unreadable"));
    }
    assert!(
        matches!(judge("Monitor", json!({"command": "git push -f"})), Verdict::Deny { rule, .. } if rule == "git-force-push")
    );
}
