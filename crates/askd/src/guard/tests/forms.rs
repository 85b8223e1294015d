//! The same command in other clothes: whatever a shell would make of it is refused by the rule of the plain form.

use super::{assert_denied, rule};

/// Ways to write a command that a shell takes for the same. `CMD` is the command.
const WRAPPED: &[&str] = &[
    "bash -c 'CMD'",
    "bash -lc \"CMD\"",
    "sh -ec 'CMD'",
    "bash -o pipefail -c 'CMD'",
    "bash --norc -c 'CMD'",
    "/bin/sh -c 'CMD'",
    "bash -c 'sh -c \"CMD\"'",
    "eval 'CMD'",
    "eval CMD",
    "env CMD",
    "env -i A=b CMD",
    "env -S 'CMD'",
    "env -u X -- CMD",
    "A=b CMD",
    "sudo CMD",
    "sudo -u root -E CMD",
    "sudo -- CMD",
    "sudo env X=1 nohup CMD",
    "doas CMD",
    "nohup CMD &",
    "timeout 10 CMD",
    "timeout -k 5 10s CMD",
    "command CMD",
    "builtin command CMD",
    "exec CMD",
    "exec -a x CMD",
    "time CMD",
    "time -p CMD",
    "/usr/bin/time -f %e CMD",
    "nice -n 10 CMD",
    "nice -5 CMD",
    "ionice -c 3 CMD",
    "stdbuf -oL CMD",
    "setsid CMD",
    "xargs CMD",
    "echo x | xargs -n 1 CMD",
    "echo x | xargs -I% sh -c 'CMD'",
    "find . -exec CMD \\;",
    "watch -n 1 'CMD'",
    "flock /tmp/l CMD",
    "flock /tmp/l -c 'CMD'",
    "su root -c 'CMD'",
    "su -c 'CMD'",
    "runuser -u x -- CMD",
    "script -c 'CMD' out",
    "strace -f CMD",
    "parallel CMD ::: 1",
    "ssh host 'CMD'",
    "ssh -p 22 host CMD",
    "busybox sh -c 'CMD'",
    "trap 'CMD' EXIT",
    "$(CMD)",
    "echo $(CMD)",
    "echo \"a $(CMD) b\"",
    "echo `CMD`",
    "echo \"`CMD`\"",
    "x=$(CMD)",
    "echo ${x:-$(CMD)}",
    "echo \"${x//a/$(CMD)}\"",
    "echo $(( $(CMD) + 1 ))",
    "cat <(CMD)",
    "CMD > >(cat)",
    "ls > $(CMD)",
    "(CMD)",
    "{ CMD; }",
    "( ( CMD ) )",
    "! CMD",
    "true && CMD",
    "false || CMD",
    "true; CMD",
    "true & CMD",
    "true\nCMD",
    "CMD | cat",
    "true |& CMD",
    "if true; then CMD; fi",
    "if CMD; then true; fi",
    "if false; then true; elif true; then CMD; else true; fi",
    "while true; do CMD; done",
    "until CMD; do true; done",
    "for i in 1 2; do CMD; done",
    "for ((i = 0; i < 1; i++)); do CMD; done",
    "case x in x) CMD;; esac",
    "f() { CMD; }; f",
    "function f { CMD; }; f",
    "[[ -n $(CMD) ]]",
    "[[ a == b || -n $(CMD) ]]",
    "a=($(CMD))",
    "echo 'CMD' | bash",
    "echo CMD | sh",
    "echo -n 'CMD' | sudo bash -s",
    "printf 'CMD' | sh",
    "printf '%s\\n' 'CMD' | sh",
    "bash <<< 'CMD'",
    "bash <<'EOF'\nCMD\nEOF",
    "bash <<EOF\nCMD\nEOF",
    "cat <<EOF | bash\nCMD\nEOF",
    "bash -s <<-EOF\n\tCMD\n\tEOF",
    "(bash) <<'EOF'\nCMD\nEOF",
    "cat <<EOF\n$(CMD)\nEOF",
    "bash <(echo 'CMD')",
    "source <(echo 'CMD')",
    ". /dev/stdin <<< 'CMD'",
    "X='CMD'; $X",
    "X='CMD'; eval \"$X\"",
    "X='CMD'; bash -c \"$X\"",
    "X=(CMD); \"${X[@]}\"",
    "f() { \"$@\"; }; f CMD",
    "set -- CMD; \"$@\"",
    "alias x='CMD'; x",
    "coproc CMD",
    "$'bash' -c 'CMD'",
    "$'\\x62ash' -c 'CMD'",
    "${X:-CMD}",
    "# a comment\nCMD",
    "CMD # a comment",
    "\\\nCMD",
    "X=1 Y=2 CMD",
    "2>/dev/null CMD",
    "CMD >/dev/null 2>&1",
    "cd /tmp && CMD",
    "setpriv --reuid=1 CMD",
    "command -p CMD",
    "unshare -r CMD",
];

/// One command for each rule, written so that it stands within any quotes.
const PLAIN: &[(&str, &str)] = &[
    ("git-force-push", "git push -f origin x"),
    ("git-force-push-refspec", "git push origin +x"),
    ("git-delete-branch", "git push origin --delete x"),
    ("git-delete-branch-refspec", "git push origin :x"),
    ("git-push-main", "git push origin HEAD:main"),
    ("git-push-all", "git push --all"),
    ("rm-system", "rm -rf /etc"),
    ("rm-no-preserve-root", "rm --no-preserve-root x"),
    ("find-delete-system", "find / -delete"),
    ("kubectl-mutation", "kubectl delete pod x"),
    ("oc-mutation", "oc rsh x"),
    ("helm-mutation", "helm uninstall x"),
];

#[test]
fn every_rule_holds_in_every_wrapper() {
    let mut missed = Vec::new();
    for (id, plain) in PLAIN {
        for form in WRAPPED {
            let command = form.replace("CMD", plain);
            if rule(&command).as_deref() != Some(id) {
                missed.push((command.clone(), rule(&command)));
            }
        }
    }
    assert!(missed.is_empty(), "{} are not refused by their rule: {missed:#?}", missed.len());
}

#[test]
fn quotes_and_expansions_within_words_change_nothing() {
    assert_denied(
        "git-force-push",
        &[
            "g'i't push -f",
            "\"git\" \"push\" \"-f\"",
            "\\git push -f",
            "g\\it p\\ush -\\f",
            "git pu''sh -f",
            "git$IFS'push'$IFS-f",
            "git${IFS}push${IFS}-f",
            "{git,push,-f}",
            "git {push,-f}",
            "git pus{h,} -f",
            "$'git' $'\\x70ush' $'\\055f'",
            "git \\\n  push \\\n  -f",
            "git push -\\\nf",
            "/usr/bin/git push -f",
            "/usr/../usr/bin/git push -f",
            "./git push -f",
            "A=git; B=push; $A $B -f",
            "A=gi; ${A}t push -f",
            "A=-f; git push $A",
            "A=push; A=status; git $A -f",
            "A=p; A+=ush; git $A -f",
            "export A=push; git $A -f",
            "f() { git push $A; }; A=-f; f",
            "for v in status push; do git $v -f; done",
            "git $(echo push) -f",
            "$(echo git) push -f",
            "$(which git) push -f",
            "`echo git` push -f",
            "git push $(printf '%s' -f)",
            "git ${X:-push} -f",
            "git -c alias.p='push -f' p",
            "git -c alias.p='!git push -f' p",
            "git -c alias.p=push p -f",
            "alias g=git; g push -f",
            "alias p='git push'\np -f",
            "X=push; git ${X} --force",
            "git push origin x -f --",
            "GIT_TRACE=1 git push -f",
        ],
    );
    assert_denied(
        "git-push-main",
        &["git push origin m'ai'n", "B=main; git push origin HEAD:$B", "git push origin HEAD:{main,x}"],
    );
    assert_denied(
        "rm-system",
        &["r'm' -rf /", "rm -r${X}f /", "X=/; rm -rf $X", "X=/; rm -rf \"${X}etc\"", "rm -rf \"/\"", "rm -rf $'/etc'"],
    );
    assert_denied(
        "kubectl-mutation",
        &["K=kubectl; $K delete pod x", "k\"ube\"ctl 'delete' pod x", "kubectl \\\n delete pod x"],
    );
}

#[test]
fn a_rule_is_found_in_any_place_of_a_long_script() {
    let lines = "echo one\nif true; then ls; fi\nfor f in *.rs; do wc -l \"$f\"; done\n".repeat(50);
    assert_eq!(rule(&format!("{lines}git push -f\n{lines}")).as_deref(), Some("git-force-push"));
    assert_eq!(rule(&lines), None);
}
