//! Commands that need no grammar: what is said of them is what the grammar would have led to.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{Policy, UNREADABLE, Verdict};
use super::with_stack;

fn judged(input: &Value) -> Option<Verdict> {
    Policy::of_the_house().judge_plain("Bash", input)
}

fn of(command: &str) -> Option<Verdict> {
    judged(&json!({"command": command}))
}

#[test]
fn daily_work_needs_no_grammar() {
    for command in
        ["ls -la", "cargo test --workspace", " git status ", "git push origin feature/x", "sudo make -j8 CC=gcc"]
    {
        assert_eq!(of(command), Some(Verdict::Pass), "{command}");
    }
    for command in [
        "git push -f",
        "sudo -u root git push --force",
        "bash -c eval eval",
        "rm -rf /",
        "timeout 5 kubectl delete pod x",
    ] {
        let verdict = of(command);
        let whole = with_stack(|| Policy::of_the_house().judge("Bash", &json!({"command": command})));
        assert!(verdict.is_none() || verdict == Some(whole), "{command}: {verdict:?}");
    }
    assert!(matches!(of("git push -f"), Some(Verdict::Deny { .. })));
}

#[test]
fn whatever_means_more_to_a_shell_needs_it() {
    for command in [
        "",
        " ",
        "ls\n",
        "a\tb",
        "a;b",
        "a|b",
        "a&",
        "a>b",
        "a<b",
        "$a",
        "`a`",
        "'a'",
        "\"a\"",
        "\\a",
        "a*",
        "a?",
        "[a]",
        "{a,b}",
        "(a)",
        "~",
        "!",
        "#a",
        "é",
        "A=b",
        "A=b c",
        "A+=b",
        "if a",
        "time a",
        "coproc a",
        "function a",
        "for a in b",
    ] {
        assert_eq!(of(command), None, "{command:?}");
    }
    assert_eq!(of(&"a ".repeat(4_000)), None);
}

#[test]
fn what_nobody_can_read_needs_none_either() {
    let unreadable =
        |verdict: Option<Verdict>| matches!(verdict, Some(Verdict::Deny { rule, .. }) if rule == UNREADABLE);
    assert!(unreadable(of(&"$a ".repeat(60_000))));
    assert!(unreadable(judged(&json!({"command": ["ls"]}))));
    assert!(unreadable(Policy::of_the_house().judge_plain("PowerShell", &json!({"command": "ls"}))));
    assert_eq!(judged(&json!({})), Some(Verdict::Pass));
    assert_eq!(Policy::of_the_house().judge_plain("Read", &json!({"command": "git push -f"})), Some(Verdict::Pass));
    let lenient = Policy::parse(
        r#"{"version": 1, "guard": {"on_unreadable": "allow", "rules": [{"id": "a", "message": "b", "programs": ["c"]}]}}"#,
    );
    assert_eq!(lenient.unwrap().unreadable("x"), Verdict::Pass);
}

proptest! {
    #[test]
    fn it_says_what_the_grammar_leads_to(
        words in prop::collection::vec(prop::sample::select(vec![
            "git", "push", "-f", "--force", "rm", "-rf", "/", "sudo", "env", "A=b", "eval", "bash", "-c", "-lc", "xargs", "find",
            ".", "-exec", "-delete", "main", "origin", "alias", "a=git", "a", "cd", "/etc", "kubectl", "delete", "timeout", "5",
            "command", "set", "--", "source", "trap", "x:main", "+main", "-uf", "export", "2", "if", "git-push", "-", "@", "%",
        ]), 1..8),
    ) {
        let command = words.join(" ");
        if let Some(verdict) = of(&command) {
            let whole = with_stack(|| Policy::of_the_house().judge("Bash", &json!({"command": command})));
            prop_assert_eq!(verdict, whole, "{}", command);
        }
    }
}
