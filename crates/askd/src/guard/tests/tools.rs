//! Tools that run what other tools are given, and what changes nothing though it looks like it.

use serde_json::json;

use super::super::{Policy, Verdict};
use super::{assert_denied, assert_passes, with_stack};

#[test]
fn what_a_tool_is_given_to_run_is_looked_at() {
    assert_denied(
        "git-force-push",
        &[
            "git rebase main -x 'git push -f'",
            "git rebase --exec='git push -f' main",
            "git submodule foreach 'git push -f'",
            "git submodule foreach --recursive git push -f",
            "git bisect run sh -c 'git push -f'",
            "git config --global alias.p 'push --force' && git p",
            "git config alias.p '!git push -f'; git p",
            "su - user -c 'git push -f'",
            "su user --command='git push -f'",
            "su -lc 'git push -f'",
            "sudo -iu root git push -f",
            "tmux new -d 'git push -f'",
            "tmux new-session -d -s x git push -f",
            "tmux send-keys -t x 'git push -f' Enter",
            "screen -dmS x git push -f",
            "npx git push -f",
            "npm exec -- git push -f",
            "npm exec -c 'git push -f'",
            "uv run git push -f",
            "uv run --with x git push -f",
            "poetry run git push -f",
            "bundle exec git push -f",
            "mise exec -- git push -f",
            "direnv exec . git push -f",
            "g() { git \"$@\"; }; g push -f",
            "g() { git $1 $2; }; g push -f",
            "g() { git \"$1\" -f; }; g push",
        ],
    );
    assert_denied(
        "rm-system",
        &["env --chdir=/ rm -rf etc", "env -C / rm -rf etc", "sudo -D / rm -rf etc", "ls -d /* | xargs rm -rf"],
    );
}

#[test]
fn the_wrappers_subcommands_of_another_kind_are_no_wrappers() {
    assert_passes(&[
        "uv pip install x",
        "npm install -D push",
        "poetry add x",
        "tmux attach -t x",
        "tmux kill-session -t x",
        "git config user.name x",
        "git config alias.pf 'push --force'",
        "git rebase -i main",
        "git submodule update --init",
        "git submodule foreach 'git pull'",
        "su - user",
        "npx tsc --noEmit",
        "uv run pytest -x",
        "sudo -iu postgres psql",
    ]);
}

#[test]
fn all_files_of_a_system_folder_are_as_good_as_the_folder() {
    assert_denied(
        "rm-system-files",
        &["rm -f /etc/*", "rm ~/*", "find ~ -type f -exec rm -f {} +", "find /etc -type f -exec rm {} \\;"],
    );
    assert_denied("git-push-main", &["git push origin 'refs/heads/*:refs/heads/*'"]);
    assert_denied("rm-system", &["rm -rf /usr/local", "rm -rf /usr/local/*", "rm -rf /usr/l*", "rm -rf /usr/*/bin"]);
    assert_passes(&[
        "rm -f /etc/hosts.bak",
        "rm -f /var/log/app/*.log",
        "rm -rf /usr/local/go",
        "rm -rf /usr/local/lib/node_modules/x",
        "rm -rf /dev/shm/x",
        "rm -rf /tmp/x",
        "find .. -name '*.orig' -exec rm {} \\;",
        "git push origin 'refs/heads/feature/*:refs/heads/feature/*'",
        "fn() { rm -rf \"$1\"; }; fn build",
        "ls -d build-* | xargs rm -rf",
        "ls | xargs rm -rf",
        "for f in $(git diff --name-only); do rm -rf \"$f\"; done",
    ]);
}

#[test]
fn a_cluster_is_changed_in_other_words_as_well() {
    assert_denied(
        "kubectl-mutation",
        &[
            "kubectl --field-manager x delete pod y",
            "k delete pod x",
            "kubecolor apply -f x",
            "kubectl config delete-context x",
            "kubectl apply --dry-run=client --dry-run=none -f x",
            "kubectl apply -f x --dry-run=none",
            "kubectl exec x -- rm --help",
        ],
    );
    assert_denied("helm-mutation", &["helm secrets upgrade x y"]);
    assert_denied("helmfile-mutation", &["helmfile apply", "helmfile -e prod sync", "helmfile destroy"]);
    assert_denied("git-force-push", &["git push -f --dry-run --no-dry-run"]);
    assert_denied("git-delete-branch-refspec", &["git push origin :refs/tags/x :y"]);
}

#[test]
fn what_changes_nothing_passes() {
    assert_passes(&[
        "kubectl apply --dry-run=client -f k8s/",
        "kubectl create deploy x --image y --dry-run=client -o yaml",
        "kubectl create --help",
        "helm upgrade x y --dry-run",
        "helm install --help",
        "helmfile diff",
        "git push --dry-run origin main",
        "git push -n -f",
        "git push origin :refs/tags/x",
        "kubectl --insecure-skip-tls-verify get pods",
        "git push -u origin \"$BRANCH\"",
        "git push origin \"${BRANCH:?}\"",
        "echo 'at 1700000000000>x'",
        "cat <<E > x\n12345678901234567890<a\nE",
    ]);
}

#[test]
fn what_is_not_known_is_shown_where_it_stands() {
    for (command, shown) in [
        ("git push $X", "`git push …`"),
        ("rm -rf $(cat list)", "`rm -rf …`"),
        ("sudo kubectl $VERB pod x", "`kubectl … pod x`"),
    ] {
        let verdict = with_stack(|| Policy::of_the_house().judge("Bash", &json!({"command": command})));
        let Verdict::Deny { message, .. } = verdict else { panic!("{command} passes") };
        assert!(message.contains(shown), "{message}");
    }
}
