//! The server is killed again and again while the real CLI works and its tools do what they can to stay alive. Nothing of
//! them survives, and each run says that it was lost and how to go on.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use scripted_model::{ScriptedModel, prompt};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::campaign::{LIMIT, patience, random, random_time, rounds};
use crate::client::{self, client};
use crate::place::{Place, Server, real_cli};
use crate::processes::{all, cgroups_of, command_line, left_after, signal};

/// Runs at a time. Each leaves two processes of its own behind.
const RUNS: usize = 4;
/// How long after the new server listens the old one's processes may live.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long they may live before there is a new one, where each run has a PID namespace: the kernel's time to end them.
const AT_ONCE: Duration = Duration::from_millis(250);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_survives_the_death_of_the_server() {
    let model = ScriptedModel::start().await.expect("a scripted model");
    let usual = [
        ("ANTHROPIC_API_KEY", "sk-test-key"),
        ("ANTHROPIC_BASE_URL", &model.base_url()),
        ("MAX_CONCURRENT", &RUNS.to_string()),
        ("ASKD_CLAUDE_BIN", &real_cli()),
    ];
    let place = Place::new(&[&usual, &isolation()[..]].concat()).drop_root();
    let (mut survivors, mut alive_at_the_kill, mut lost, mut longest) = (Vec::new(), 0, 0, Duration::ZERO);
    let mut server = Server::start(&place, &[]).await;
    let report = client::json(client().get(server.url("/v1/isolation")), &[200]).await;
    let has_namespace = report["in_force"].as_array().expect("a list").contains(&"pid_namespace".into());
    for round in 0..rounds("ASKD_SOAK_ROUNDS", 3) {
        // The processes of this round are known by the time that they sleep, whatever becomes of their environment.
        let sleep = format!("{}.{round:04}", 600_000 + random(100_000));
        let before = runs(&server).await.len();
        let mut clients = begin_runs(&server, &sleep);
        // The attack works: every run has both processes. Or else it is caught in the middle of its start.
        let all_at_work = round % 3 != 2;
        let wanted = if all_at_work { 2 * RUNS as u64 } else { 1 + random(RUNS as u64) };
        wait_for_processes(&sleep, wanted, &server, &mut clients).await;
        tokio::time::sleep(random_time(Duration::from_millis(400))).await;
        alive_at_the_kill += sleepers(&sleep).len();

        drop(server);
        clients.abort_all();
        let killed = Instant::now();
        let still = || [sleepers(&sleep), place.processes_of("")].concat();
        if has_namespace {
            let left = left_after(patience(AT_ONCE), still).await;
            let named =
                left.into_iter().map(|pid| format!("round {round}, at once: {pid} {}", command_line(pid).join(" ")));
            survivors.extend(named);
            longest = longest.max(killed.elapsed());
        }
        server = Server::start(&place, &[]).await;
        let left = left_after(patience(PATIENCE), still).await;
        for pid in left {
            survivors.push(format!("round {round}: {pid} {}", command_line(pid).join(" ")));
            signal(pid, Signal::KILL);
        }
        assert_eq!(place.list("homes"), [""; 0], "homes of the dead server are left");
        assert_eq!(place.list("records"), [""; 0], "records of the dead server are left");
        let after = runs(&server).await;
        assert_eq!(place.mounts(), [""; 0], "mounts are left");
        let ids: Vec<&str> = after.iter().filter_map(|run| run["id"].as_str()).collect();
        assert_eq!(cgroups_of(&ids), [""; 0], "cgroups are left");
        let of_this_round = &after[..after.len() - before];
        lost += of_this_round.iter().filter(|run| says_how_to_go_on(run)).count();
        if all_at_work {
            assert_eq!(of_this_round.len(), RUNS, "every run is in the store");
            assert!(of_this_round.iter().all(says_how_to_go_on), "{of_this_round:#?}");
        }
        // Those without a first word of the CLI had a client that is gone: they are not begun again.
        let is_settled = |run: &Value| says_how_to_go_on(run) || run["state"] == "cancelled" || was_new(run);
        assert!(of_this_round.iter().all(is_settled), "{of_this_round:#?}");
    }
    println!("orphans: {alive_at_the_kill} processes of tools were alive at the kills, {lost} runs were lost");
    println!("orphans: user {}, isolation: {}, {}", report["user"]["uid"], report["layer"], report["in_force"]);
    if has_namespace {
        println!("orphans: before the restart nothing was left after {} ms at most", longest.as_millis());
    }
    assert!(alive_at_the_kill > 0, "there was nothing to kill");
    assert_eq!(survivors, [""; 0], "processes that outlived their server");
    model.shutdown().await;
}

/// The variables that choose a layer: `ASKD_SOAK_LAYER`, or else what comes by itself.
fn isolation() -> Vec<(&'static str, &'static str)> {
    let chosen = std::env::vars().find(|(name, _)| name == "ASKD_SOAK_LAYER").map(|(_, value)| value);
    match chosen.as_deref().unwrap_or_default() {
        "" => vec![],
        "bubblewrap" => vec![("ASKD_ISOLATION", "required")],
        "landlock" => vec![("ASKD_ISOLATION", "required"), ("ASKD_BWRAP_BIN", "/nonexistent")],
        "off" => vec![("ASKD_ISOLATION", "off")],
        unknown => panic!("ASKD_SOAK_LAYER is {unknown}; bubblewrap, landlock and off are known"),
    }
}

/// All runs, newest first.
async fn runs(server: &Server) -> Vec<Value> {
    let (client, mut runs, mut page) = (client(), Vec::new(), String::new());
    loop {
        let url = server.url(&format!("/v1/runs?limit=200{page}"));
        let mut answer = client::json(client.get(url), &[200]).await;
        runs.append(answer["data"].as_array_mut().expect("a list"));
        let Some(next) = answer["next_page"].as_str() else { return runs };
        page = format!("&page={next}");
    }
}

/// A run that was lost, and whose session can be continued.
fn says_how_to_go_on(run: &Value) -> bool {
    let (session, hint) = (run["session_id"].as_str().expect("an id"), run["error"]["hint"].as_str());
    run["state"] == "lost" && hint.is_some_and(|hint| hint.contains(session))
}

/// A run that was lost before the CLI had written anything of its session.
fn was_new(run: &Value) -> bool {
    run["state"] == "lost"
        && run["error"]["hint"].as_str().is_some_and(|hint| hint.contains("submit the request again"))
}

/// Starts runs that call tools one after the other, and does not wait for their ends.
fn begin_runs(server: &Server, sleep: &str) -> JoinSet<()> {
    let bash = |command: String| prompt::tool("Bash", &json!({ "command": command }));
    let mut turns = vec![
        // A session of its own, no environment, no signal but KILL, no pipe to anybody.
        bash(format!("env -i setsid nohup sh -c 'trap \"\" TERM HUP INT; sleep {sleep}' </dev/null >/dev/null 2>&1 &")),
        bash(format!("(setsid nohup sleep {sleep} </dev/null >/dev/null 2>&1 &)")),
    ];
    turns.extend((0..50).map(|turn| bash(format!("echo {turn}"))));
    turns.push("[[hang]]".to_owned());
    let body = json!({ "prompt": prompt::turns(turns), "stream": true, "allowedTools": ["Bash"] });
    let mut clients = JoinSet::new();
    for _ in 0..RUNS {
        let request = client().post(server.url("/ask")).json(&body);
        clients.spawn(async move {
            // The server dies, and with it the answer.
            if let Ok(response) = request.send().await {
                drop(response.bytes().await);
            }
        });
    }
    clients
}

async fn wait_for_processes(sleep: &str, wanted: u64, server: &Server, clients: &mut JoinSet<()>) {
    let start = Instant::now();
    while (sleepers(sleep).len() as u64) < wanted {
        assert!(start.elapsed() < LIMIT, "the runs' processes did not appear; the server's log: {}", server.log());
        assert!(clients.try_join_next().is_none(), "a run ended early; the server's log: {}", server.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Processes named `sleep` that sleep for just this long.
fn sleepers(sleep: &str) -> Vec<u32> {
    all()
        .filter(|pid| matches!(&command_line(*pid)[..], [name, time, ..] if name == "sleep" && time == sleep))
        .collect()
}
