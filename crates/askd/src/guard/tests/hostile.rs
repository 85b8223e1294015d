//! Texts that are made to hurt: no panic, no long thought.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::rule;

/// Generous: the build of the tests is not optimised, and other tests run beside this one.
const PATIENCE: Duration = Duration::from_secs(10);

fn quick(what: &str, command: &str) {
    let start = Instant::now();
    let _ = rule(command);
    assert!(start.elapsed() < PATIENCE, "{what}, {} bytes: {:?}", command.len(), start.elapsed());
}

#[test]
fn nesting_costs_neither_time_nor_stack() {
    let pairs = [
        ("(", ")"),
        ("( ", " )"),
        ("{ ", "; }"),
        ("$(", ")"),
        ("echo \"$(", ")\""),
        ("$((", "))"),
        ("${a:-", "}"),
        ("if a; then ", "; fi"),
        ("while a; do ", "; done"),
        ("case a in a) ", ";; esac"),
        ("f() { ", "; }"),
        ("f() ( ", " )"),
        ("[[ ( ", " ) ]]"),
        ("{a,", "}"),
        ("@(a|", ")"),
        ("<(", ")"),
        ("`", "`"),
        ("! ", ""),
        ("time ", ""),
        ("coproc ", ""),
        ("eval ", ""),
        ("sudo ", ""),
        ("bash -c '", "'"),
        ("a=$(", ")"),
        ("{ ( ", " ) }"),
        ("if { ", "; }"),
        ("xargs ", ""),
        ("\"", "\""),
        ("\\", ""),
        ("$'", "'"),
        ("for a in ", ""),
        ("function f { ", "; }"),
        ("env -S ", ""),
        ("select a in b; do ", "; done"),
        ("a=(", ")"),
        ("[[ ! ", " ]]"),
        ("until ", ""),
        ("{ { ( f() { ", " } ) } }"),
        ("echo {", "}"),
        ("${a[", "]}"),
        ("$[", "]"),
        ("((", "))"),
        ("if ", " fi"),
        ("[[ a && ", " ]]"),
        ("find -exec ", ""),
    ];
    for (open, close) in pairs {
        for depth in [6, 20, 60, 300, 9_000] {
            quick(open, &format!("{}a{}", open.repeat(depth), close.repeat(depth)));
            quick(open, &open.repeat(depth));
        }
    }
}

#[test]
fn numbers_that_the_grammar_panics_on_are_no_commands() {
    let long = "9".repeat(30);
    for command in
        [format!("ls {long}>x"), format!("ls {{1..{long}}}"), format!("ls ~+{long}"), format!("ls {{-{long}..1}}")]
    {
        assert_eq!(rule(&command).as_deref(), Some(super::super::UNREADABLE), "{command}");
    }
    // Elsewhere they are text, such as a time in nanoseconds.
    for command in
        [format!("echo {long}"), "echo 1700000000 > x".into(), "ls 2>x".into(), "echo 0.123456789012345678901".into()]
    {
        assert_eq!(rule(&command), None, "{command}");
    }
}

#[test]
fn length_costs_little() {
    let pieces = [
        "a|",
        "a&&",
        "a;",
        "a ",
        "a=1 ",
        ">a ",
        "$a",
        "$a ",
        "a=$a$a;",
        "a+=b;",
        "{a,b}",
        "{a,b} ",
        "*",
        "echo $(a);",
        "a$(b)",
        "\"$a\" ",
        "cat <<E\nx\nE\n",
        "f(){ a;};",
        "alias a=b;",
        "alias a='a a';",
        "cd /a;",
        "for a in b c;do d;done;",
        "git push $a ",
        "rm -rf /a ",
        "[[ a && ",
        "é",
        "\u{F8FF}",
        "${a:-b}",
        "eval a;",
        "a\\\n",
        "'a'",
        "`a`",
        "#\n",
        "if a;then b;fi;",
        "kubectl ",
        "a=b;$a;",
        "[ a ]||",
        "((a));",
        "a() { a; }; a;",
        "git -c alias.a=a a;",
        "xargs ",
    ];
    for piece in pieces {
        quick(piece, &piece.repeat(2_000));
        quick(piece, &piece.repeat(120_000 / piece.len()));
    }
}

fn fragment() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "git", "push", "-f", "rm", "-rf", "/", "$(", ")", "`", "'", "\"", "\\", "{", "}", "(", ";", "|", "&&", "<<EOF",
        "EOF", "\n", "$X", "${", "X=", "eval", "bash -c", "if", "then", "fi", "for", "do", "done", "in", "case",
        "esac", "[[", "]]", "$((", "))", "<(", "*", "~", "!", "#", "function", "f()", "é", "\u{F8FF}", "$'", "=", ",",
        "..", "xargs", "sudo", " ",
    ]);
    prop_oneof![3 => known.prop_map(str::to_owned), 1 => "\\PC{0,5}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_is_too_much(parts in prop::collection::vec((fragment(), any::<bool>()), 0..40)) {
        let text: String = parts.iter().flat_map(|(part, gap)| [part.as_str(), if *gap { " " } else { "" }]).collect();
        quick("fragments", &text);
    }

    #[test]
    fn what_is_refused_stays_refused_within_anything(
        wrappers in prop::collection::vec(prop::sample::select(vec![
            "sudo CMD", "env A=b CMD", "nohup CMD", "timeout 5 CMD", "true; CMD", "(CMD)", "{ CMD; }", "x=$(CMD)",
            "if true; then CMD; fi", "command CMD", "f() { CMD; }; f", "bash -c 'CMD'", "echo \"$(CMD)\"", "CMD | cat", "eval 'CMD'",
        ]), 1..5),
    ) {
        let mut command = "git push -f".to_owned();
        for wrapper in wrappers {
            // Quotes do not nest, and a keyword or assignment is no argument: such a form stands in a script of its own.
            let inner = if command.contains('\'') { command.replace('\'', "'\\''") } else { command.clone() };
            let is_simple = command.starts_with("git");
            let prefixed = ["sudo", "env", "nohup", "timeout", "command"].iter().any(|name| wrapper.starts_with(name));
            command = match wrapper {
                _ if prefixed && !is_simple => wrapper.replace("CMD", &format!("bash -c '{inner}'")),
                "bash -c 'CMD'" | "eval 'CMD'" => wrapper.replace("CMD", &inner),
                _ => wrapper.replace("CMD", &command),
            };
        }
        prop_assert!(rule(&command).is_some(), "{}", command);
    }
}
