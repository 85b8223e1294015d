//! What looks like something that is refused, and is none; and everyday work.

use super::assert_passes;

#[test]
fn words_about_a_command_are_no_command() {
    assert_passes(&[
        "echo \"git push -f\"",
        "echo git push --force origin main",
        "git log --grep=push",
        "git log --grep 'push --force'",
        "git commit -m 'never git push -f; rm -rf /'",
        "git commit -m \"$(cat <<'EOF'\nDo not git push --force\n\nrm -rf / is refused (kubectl delete too).\nEOF\n)\"",
        "grep -rn 'rm -rf /' docs",
        "grep -rn -- '--force' .",
        "cat > notes.md <<'EOF'\ngit push -f origin main\nrm -rf /\nkubectl delete ns prod\nEOF",
        "cat <<EOF > x.sh\n#!/bin/sh\ngit push --force\nEOF",
        "printf '%s\\n' 'helm uninstall x' >> notes",
        "echo 'kubectl apply' | grep kubectl",
        "# git push -f\nls",
        "rg 'git push' --glob '!main'",
        "python3 - <<'EOF'\nprint('rm -rf /')\nEOF",
        "man kubectl",
        "git stash push -m main",
        "alias ll='ls -l'; ll",
        "sed -i 's/git push -f/git push/' README.md",
        "node -e 'console.log({a: {b: {c: {d: {e: {f: {g: {h: 1}}}}}}}})'",
        "curl -d '{\"a\":{\"b\":{\"c\":{\"d\":{\"e\":{\"f\":{\"g\":{\"h\":1}}}}}}}}' localhost",
    ]);
}

#[test]
fn a_push_to_a_branch_of_one_s_own_passes() {
    assert_passes(&[
        "git push",
        "git push origin feature",
        "git push -u origin fix/main-menu",
        "git push origin HEAD",
        "git push -u origin \"$(git branch --show-current)\"",
        "git push --set-upstream origin main-menu",
        "git push origin main:feature",
        "git push --follow-tags",
        "git push origin v1.2.3",
        "git fetch --force",
        "git fetch --prune",
        "git checkout -f",
        "git branch -D old",
        "git branch -d main-copy",
        "git pull --rebase origin main",
        "git remote prune origin",
        "git --version",
        "git clean -fd",
        "git tag -d v1",
    ]);
}

#[test]
fn removing_what_is_of_the_work_passes() {
    assert_passes(&[
        "rm -rf ./build",
        "rm -rf build/ dist target/debug",
        "rm -rf node_modules/.cache",
        "rm -f /etc/hosts.bak",
        "rm file",
        "rm \"$FILE\"",
        "rm -rf ../sibling/build",
        "rm -rf /tmp/x",
        "rm -rf \"$X/build\"",
        "rm -rf *.o",
        "rm -rf ./*",
        "rm -rf ~/.cache/pip",
        "D=$(mktemp -d) && rm -rf \"$D\"",
        "DIR=build; rm -rf \"$DIR\"",
        "for d in a b c; do rm -rf \"$d/out\"; done",
        "rm -rf -- build",
        "rmdir x",
        "find . -name '*.pyc' -delete",
        "find . -type d -name x -exec rm -rf {} +",
        "cd sub && rm -rf out",
        "cd /tmp/work && rm -rf *",
        "docker run --rm -v /:/host x",
        "trap 'rm -rf \"$T\"' EXIT; T=$(mktemp -d); ls",
    ]);
}

#[test]
fn reading_a_cluster_passes() {
    assert_passes(&[
        "kubectl get pods",
        "kubectl get pods -n delete",
        "kubectl describe deploy apply",
        "kubectl logs -f x --tail=10",
        "kubectl -n apply get all",
        "kubectl rollout status deploy/x",
        "kubectl rollout history deploy/x",
        "kubectl diff -f x.yaml",
        "kubectl auth can-i delete pods",
        "kubectl config view",
        "oc get routes",
        "helm list -A",
        "helm status install",
        "helm template x y",
        "helm repo add x y",
        "kubectl explain pods.spec --recursive",
    ]);
}

#[test]
fn everyday_commands_pass_though_not_all_of_them_is_known() {
    assert_passes(&[
        "ls -la && cat README.md | head -50",
        "$PYTHON -m pytest \"$@\"",
        "\"$VIRTUAL_ENV/bin/python\" manage.py delete_old",
        "npm run build && npm test -- --force",
        "$(npm bin)/eslint --fix src",
        "make -j\"$(nproc)\" CC=\"$CC\"",
        "source venv/bin/activate && pip install -r requirements.txt",
        "if [ -f x ]; then echo \"$(date) x\"; else exit 1; fi",
        "while read -r line; do echo \"$line\"; done < file",
        "case \"$1\" in start) echo go;; *) echo no;; esac",
        "f() { local x=$1; echo \"$x\"; }; f 1",
        "[[ $a == b* && ! -f c ]] || true",
        "for ((i = 0; i < 3; i++)); do echo $((i * 2)); done",
        "arr=(1 2 3); echo \"${arr[@]}\" \"${#arr[@]}\"",
        "echo ${x:-default} ${y%.txt} ${z//a/b}",
        "timeout 60 cargo test --workspace 2>&1 | tail -n 40",
        "sudo apt-get install -y jq",
        "env FOO=1 bar baz",
        "find . -name '*.rs' | xargs grep -n unwrap",
        "bash scripts/test --force",
        "sh -c 'echo hi'",
        "echo hi | bash -c 'cat'",
        "time make",
        "nohup ./server > log 2>&1 &",
        "diff <(sort a) <(sort b)",
        "command -v git kubectl",
        "ssh host uptime",
        "tar czf - . | ssh host 'cat > x.tgz'",
        "jq '.a | {b: .c}' x.json",
        "awk '{ print $1 }' x | sort | uniq -c",
        "export PATH=\"$HOME/bin:$PATH\"; which node",
        "set -euo pipefail; cargo build",
        "echo a{b,c}d {1..3}",
        "! grep -q x y",
        "test -n \"$X\" && echo yes",
        "ls *.{rs,toml}",
        "",
        "   ",
    ]);
}
