//! Texts that are made to hurt: no panic, no long thought.

use std::time::Duration;

use proptest::prelude::*;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use super::super::Policy;
use super::{rule, with_stack};

/// Of the processor's time, so that it does not matter what else the machine does. The build of the tests is some ten times
/// slower than a release, in which no text here takes more than a third of a second (measured).
const MOST: Duration = Duration::from_secs(10);

/// Judges commands one after the other. A stack that is too small would end the whole test program.
fn quick(commands: impl Iterator<Item = String> + Send) {
    let clock = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    with_stack(|| {
        for command in commands {
            let (start, size) = (clock(), command.len());
            let input = json!({ "command": command });
            let _ = Policy::of_the_house().judge("Bash", &input);
            let spent = clock().saturating_sub(start);
            let beginning: String = input["command"].as_str().unwrap().chars().take(40).collect();
            assert!(spent < MOST, "{beginning}…, {size} bytes: {spent:?}");
        }
    });
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
    for depth in [8, 30, 1_000] {
        let commands = pairs.iter().flat_map(|(open, close)| {
            let closed = format!("{}a{}", open.repeat(depth), close.repeat(depth));
            [format!("echo \"{closed}\""), format!("echo $({closed})"), closed, open.repeat(depth)]
        });
        quick(commands);
    }
}

#[test]
fn a_closer_that_closes_nothing_does_not_hide_what_is_open() {
    let units = [
        "$(\\)",
        "${\\}",
        "$[\\]",
        "$(')'",
        "$(]",
        "if echo fi; ",
        "while echo done\n",
        "case a in\nesac) ",
        "case a in esac|b) ",
        "case a in\nfi) ",
        "case a in a);; done) ",
        "for x in done; do ",
        "while read -p done; do ",
        "while echo time done; do ",
        "while echo x=(a) done; do ",
        "while cat <<done; do x\ndone\n",
        "coproc\n",
        "coproc a ",
        "function f coproc ",
        "f() coproc ",
        "a[(",
        "$((a[(",
        "${a:a[(",
        "a[$((a[(",
        "'(' ",
        "\"(\" ",
        "[[ a =~ (",
        "[[ a && ",
        "`\\`",
        "<<E$(\nE ",
        "$((a)",
        "@(a|",
        "a=( ( ",
        "cat <(",
        "${a[,a;esac}",
        "{a,\"{",
        "for ((",
        "[[ ]] && ( ]] && (",
    ];
    for depth in [20, 1_000] {
        let forms = |unit: &&str| {
            let all = unit.repeat(depth.min(120_000 / unit.len()));
            let closed = format!("{all}{}", ")".repeat(depth.min(10_000)));
            [format!("echo $({all})"), closed, all]
        };
        quick(units.iter().flat_map(forms));
    }
}

#[test]
fn a_here_document_without_a_name_or_an_end_is_no_command() {
    for command in [
        "cat <<'' ",
        "cat <<\"\" ",
        "cat <<",
        "cat <<\nx",
        "cat <<- ",
        "$(a $(<< )x ",
        "cat <<E\nx",
        "cat <<E\nE \n",
        "x=$(cat <<E)",
    ] {
        assert_eq!(rule(command).as_deref(), Some(super::super::UNREADABLE), "{command}");
    }
    for command in
        ["cat <<'E'\nit's (\nE", "echo '<<'; echo $((1 << 2))", "x=$(cat <<-E\n\tdon't \"\n\tE\n)", "cat <<< ''"]
    {
        assert_eq!(rule(command), None, "{command}");
    }
}

#[test]
fn numbers_that_the_grammar_panics_on_are_no_commands() {
    let long = "9".repeat(30);
    for command in [format!("ls {long}>x"), format!("ls {long}<x")] {
        assert_eq!(rule(&command).as_deref(), Some(super::super::UNREADABLE), "{command}");
    }
    // Elsewhere they are text, such as a time in nanoseconds.
    for command in [
        format!("ls {{1..{long}}}"),
        format!("ls ~+{long}"),
        format!("ls {{-{long}..1}}"),
        format!("echo {long}"),
        "echo 1700000000 > x".into(),
        "ls 2>x".into(),
        "echo 0.123456789012345678901".into(),
    ] {
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
    let repeated = |piece: &&str| [piece.repeat(12_000 / piece.len())];
    quick(pieces.iter().flat_map(repeated));
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
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn no_text_is_too_much(parts in prop::collection::vec((fragment(), any::<bool>()), 0..40)) {
        let text: String = parts.iter().flat_map(|(part, gap)| [part.as_str(), if *gap { " " } else { "" }]).collect();
        quick(std::iter::once(text));
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
