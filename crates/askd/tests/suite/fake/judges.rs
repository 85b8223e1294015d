//! The processes in which the guard reads commands: what a command does to one of them, it does to nobody else.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use askd::guard::{Policy, Verdict};
use askd::marker::MarkerPrefix;
use askd::metrics::Metrics;
use askd::runs::judge::{Judges, Means};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::harness::{Folders, TestServer, TestServerBuilder, eventually, launcher, marked_processes, script};

/// Each of these made the grammar loop, take memory without end, think for minutes or overflow its stack, or may yet.
fn killers(times: usize) -> Vec<String> {
    vec![
        "cat <<'' ".into(),
        "cat <<\"\" ".into(),
        "$(a $(<< )x ".into(),
        "${a[,a;esac}".repeat(5),
        "x[${a[,a;esac}".repeat(9),
        "$(]".repeat(times),
        "$((]".repeat(times),
        "\"$(".repeat(times),
        "{a,".repeat(times),
    ]
}

/// The line by which the CLI asks about a command.
fn question(id: &str, command: &str) -> String {
    let input = json!({"tool_name": "Bash", "tool_input": {"command": command}});
    let request = json!({"subtype": "hook_callback", "callback_id": "askd-guard", "input": input, "tool_use_id": format!("tool-{id}")});
    format!("!line {}", json!({"type": "control_request", "request_id": id, "request": request}))
}

/// What the guard said about a call of a run, from the warnings of its events.
fn refusals(events: &[Value]) -> Vec<String> {
    let warnings = events.iter().filter(|event| event["type"] == "run.warning");
    warnings.filter_map(|event| event["data"]["message"].as_str().map(str::to_owned)).collect()
}

async fn events(server: &TestServer, run: &str) -> Vec<Value> {
    server.follow(run, "after=0").await.envelopes().await
}

async fn cancel(server: &TestServer, run: &str) -> u16 {
    server.posting(&format!("/v1/runs/{run}/cancel")).send().await.unwrap().status().as_u16()
}

/// Judges whose process is a script.
struct Scripted {
    folders: Folders,
    judges: Judges,
    tasks: TaskTracker,
}

impl Scripted {
    /// `None`: askd itself judges.
    fn new(commands: Option<&str>, patience: Duration) -> Self {
        let folders = Folders::new();
        let program = commands.map_or_else(launcher, |commands| {
            let path = folders.data().join("judge");
            script(&path, &format!("#!/bin/sh\n{commands}\n"));
            path
        });
        let marker = MarkerPrefix::of_data_dir(&folders.data(), Uuid::new_v4()).unwrap();
        let judges = Judges::new(
            Means { launcher: launcher(), program, marker, folder: folders.data(), patience },
            Metrics::default(),
        );
        Self { folders, judges, tasks: TaskTracker::new() }
    }

    async fn judge(&self, command: &str) -> Verdict {
        let input = json!({"command": command});
        self.judges.judge(&self.tasks, &Policy::of_the_house(), "Bash", &input).await
    }

    /// Checks that nothing is left.
    async fn end(self) {
        self.tasks.close();
        self.tasks.wait().await;
        assert_eq!(marked_processes(&self.folders.data()), [0; 0], "processes are left");
    }
}

fn rule(verdict: Verdict) -> Option<String> {
    match verdict {
        Verdict::Pass => None,
        Verdict::Deny { rule, .. } => Some(rule),
    }
}

const LONG: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_process_judges_as_the_guard_does() {
    let judges = Scripted::new(None, LONG);
    assert_eq!(judges.judge("ls | cat").await, Verdict::Pass);
    assert_eq!(rule(judges.judge("true && git push -f").await).as_deref(), Some("git-force-push"));
    for killer in killers(20_000) {
        // Some of them mean nothing bad to a shell, and may pass where the grammar has learnt to read them.
        let verdict = judges.judge(&killer).await;
        assert!(rule(verdict).is_none_or(|rule| rule == "unreadable"), "{}", &killer[..20.min(killer.len())]);
    }
    judges.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_no_clean_verdict_makes_a_command_unreadable() {
    for script in [
        "kill -9 $$",
        "kill -SEGV $$",
        "exit 0",
        "echo '\"pass\"'; exit 1",
        "echo '\"pass\"'; kill -9 $$",
        "echo '\"pass\"'; echo '\"pass\"'",
        "echo pass",
        "echo '{\"deny\":{}}'",
        "exec tr '\\000' x </dev/zero",
        "printf '\\377\\n'",
    ] {
        let judges = Scripted::new(Some(script), LONG);
        assert_eq!(rule(judges.judge("ls | cat").await).as_deref(), Some("unreadable"), "{script}");
        judges.end().await;
    }
    let judges = Scripted::new(Some("cat >/dev/null; echo '\"pass\"'"), LONG);
    assert_eq!(judges.judge("ls | cat").await, Verdict::Pass, "the scripts are started at all");
    judges.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_takes_too_long_is_ended() {
    let judges = Scripted::new(Some("echo '\"pass\"'; exec sleep 1000"), Duration::from_secs(2));
    assert_eq!(rule(judges.judge("ls | cat").await).as_deref(), Some("unreadable"));
    judges.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_that_nobody_waits_for_leaves_no_process_and_keeps_no_turn() {
    let judges = Scripted::new(Some("touch there-$$; exec sleep 1000"), LONG);
    // More than may be at work at once.
    for _ in 0..6 {
        let before = judges.folders.list("data").len();
        tokio::select! {
            verdict = judges.judge("ls | cat") => panic!("{verdict:?}"),
            () = eventually("a judge", || (judges.folders.list("data").len() > before).then_some(())) => {}
        }
    }
    judges.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_limits_itself_before_it_reads() {
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let mut command = Command::new(launcher());
    command.arg("__judge").env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut judge = command.spawn().unwrap();
    let limits = format!("/proc/{}/limits", judge.id());
    let is_limited = |text: &str| {
        let soft_and_hard = |name: &str, value: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().take(2).eq([value, value])
        };
        soft_and_hard("Max cpu time", "2")
            && soft_and_hard("Max address space", "536870912")
            && soft_and_hard("Max core file size", "0")
    };
    eventually("limits", || is_limited(&fs::read_to_string(&limits).unwrap()).then_some(())).await;
    judge.stdin.take().unwrap().write_all(b"no question").unwrap();
    let output = judge.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_kill_the_grammar_are_refused_and_the_run_goes_on() {
    let server = TestServerBuilder::fake().start().await;
    let asked = killers(1_000).into_iter().enumerate().map(|(number, killer)| question(&number.to_string(), &killer));
    let last = question("last", "git push -f | cat");
    let script: Vec<String> = asked.chain([last, "!await told".into(), "!result fine".into()]).collect();
    let run = server.submit(json!({"prompt": script.join("\n")})).await;
    let mut stream = server.follow(&run, "after=0").await;
    loop {
        let warning = stream.until_event("run.warning").await;
        assert_eq!(server.get("/health").await.status, 200);
        if warning.to_string().contains("git-force-push") {
            break;
        }
        assert!(warning.to_string().contains("(rule unreadable)"), "{warning}");
    }
    server.release("told");
    assert_eq!(server.ended(&run).await["result"], "fine");
    server.at_rest().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ends_while_its_command_is_judged_leaves_nothing() {
    let server = TestServerBuilder::fake().start().await;
    let questions: Vec<String> = (0..20).map(|number| question(&number.to_string(), "ls | cat")).collect();
    for end in ["!result fine", "!hang", "!die"] {
        let run = server.submit(json!({"prompt": format!("{}\n!touch asked\n{end}", questions.join("\n"))})).await;
        server.reached("asked").await;
        if end == "!hang" {
            assert_eq!(cancel(&server, &run).await, 202);
        }
        server.ended(&run).await;
        server.at_rest().await;
        fs::remove_file(server.folders.workspace().join("asked")).unwrap();
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_are_judged_at_once_and_a_flood_of_one_is_bounded() {
    let server = TestServerBuilder::fake().start().await;
    let flood: Vec<String> = (0..150).map(|number| question(&number.to_string(), "true | git push -f")).collect();
    let flood = server.submit(json!({"prompt": format!("{}\n!await told", flood.join("\n"))})).await;
    let other = server.submit(json!({"prompt": format!("{}\n!await told", question("a", "true; git push -f"))})).await;
    for run in [&flood, &other] {
        server.follow(run, "after=0").await.until_event("run.warning").await;
    }
    server.release("told");
    for run in [&flood, &other] {
        assert_eq!(server.ended(run).await["state"], "completed");
    }
    let told = refusals(&events(&server, &flood).await).len();
    assert!((1..=50).contains(&told), "{told}");
    server.at_rest().await;
    server.stop().await;
}

/// What is judged is what the CLI will run, and what is told is not what it said.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_judged_as_it_stands_also_where_it_holds_a_credential() {
    let servers = json!({"mcpServers": {"s": {"command": "true", "env": {"TOKEN": "push -f origin"}}}}).to_string();
    let server = TestServerBuilder::fake().file("config/.mcp.json", &servers).start().await;
    let script = [question("a", "git push -f origin x"), "!say push -f origin".into(), "!await told".into()];
    let run = server.submit(json!({"prompt": script.join("\n")})).await;
    server.follow(&run, "after=0").await.until_event("run.warning").await;
    server.release("told");
    server.ended(&run).await;
    let events = events(&server, &run).await;
    assert!(refusals(&events)[0].contains("git-force-push"), "{events:?}");
    let said =
        events.iter().filter(|event| event["type"] == "agent.assistant").map(Value::to_string).collect::<String>();
    assert!(said.contains("[redacted]") && !said.contains("push -f origin"), "{said}");
    server.stop().await;
}
