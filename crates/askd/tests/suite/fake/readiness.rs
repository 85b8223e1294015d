//! When the CLI cannot be started, the server is not ready, and it is again as soon as that is mended.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use askd::settings::IsolationPolicy;
use serde_json::{Value, json};

use crate::harness::{Answer, TestServer, TestServerBuilder, eventually_async, fake_cli, place_program, script};

/// Nobody looks at the CLI while the test lasts.
const NEVER: Duration = Duration::from_hours(1);
const OFTEN: Duration = Duration::from_millis(50);

/// A CLI in the folders' root that works unless a file `broken` lies beside it, and always says its version.
fn breakable(root: &Path) -> PathBuf {
    let (root, cli) = (root.display(), fake_cli());
    let text = format!(
        "#!/bin/sh\n\
         case \"$*\" in *start.json*) echo tried >> {root}/tried;; esac\n\
         if [ \"$1\" != --version ] && [ -e {root}/broken ]; then exit 3; fi\n\
         exec {} \"$@\"\n",
        cli.display()
    );
    let path = PathBuf::from(format!("{root}/claude"));
    install(&path, &text);
    path
}

/// As installers do it: a new file under the name.
fn install(path: &Path, text: &str) {
    let new = path.with_extension("new");
    script(&new, text);
    fs::rename(new, path).unwrap();
}

async fn server(every: Duration) -> TestServer {
    let builder = TestServerBuilder::fake();
    let cli = breakable(builder.folders.root());
    let builder = builder.set(|settings| {
        settings.paths.claude_bin = cli;
        settings.health.cli_check_every = every;
    });
    builder.start().await
}

async fn ready(server: &TestServer) -> Answer {
    Answer::by(server.client.get(server.url("/readyz"))).await
}

/// What is said of the CLI while the server is not ready.
fn trouble(answer: &Answer) -> Option<String> {
    let message = answer.body["checks"]["cli"]["message"].as_str()?;
    assert_eq!((answer.status, &answer.body["checks"]["cli"]["ok"]), (503, &json!(false)), "{answer:?}");
    assert!(!message.contains('/'), "a file is named to somebody without a key: {message}");
    Some(message.to_owned())
}

async fn until_trouble(server: &TestServer, part: &str) {
    let what = format!("the words `{part}`");
    eventually_async(&what, async || trouble(&ready(server).await)?.contains(part).then_some(())).await;
}

async fn until_ready(server: &TestServer) {
    eventually_async("readiness", async || (ready(server).await.status == 200).then_some(())).await;
}

async fn fails(server: &TestServer) -> Value {
    let run = server.run(json!({"prompt": "hello"})).await;
    assert_eq!(run["state"], "failed", "{run}");
    run
}

fn beside(server: &TestServer, name: &str) -> PathBuf {
    server.folders.root().join(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn three_starts_that_end_before_a_word_take_readiness_and_a_run_that_begins_gives_it_back() {
    let server = server(NEVER).await;
    fs::write(beside(&server, "broken"), "").unwrap();
    for _ in 0..2 {
        fails(&server).await;
        assert_eq!(ready(&server).await.status, 200, "one start may fail for many reasons");
    }
    fails(&server).await;
    until_trouble(&server, "ends before its first word").await;
    assert_eq!(server.get("/livez").await.status, 200, "a restart would not help");
    fs::remove_file(beside(&server, "broken")).unwrap();
    assert_eq!(ready(&server).await.status, 503, "nobody has tried it");
    // A long run need not end for that.
    server.submit(json!({"prompt": "!touch there\n!await go"})).await;
    server.reached("there").await;
    until_ready(&server).await;
    server.release("go");
    server.busy_with(0, 0).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_ready_tries_the_cli_itself_until_it_starts() {
    let server = server(OFTEN).await;
    fs::write(beside(&server, "broken"), "").unwrap();
    for _ in 0..3 {
        fails(&server).await;
    }
    until_trouble(&server, "ends before its first word").await;
    fs::remove_file(beside(&server, "broken")).unwrap();
    until_ready(&server).await;
    assert_eq!(server.run(json!({"prompt": "hello"})).await["state"], "completed");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cli_that_is_gone_or_was_replaced_by_an_older_one_is_noticed_without_a_run() {
    let server = server(OFTEN).await;
    let (cli, away) = (beside(&server, "claude"), beside(&server, "away"));
    let good = fs::read_to_string(&cli).unwrap();
    fs::rename(&cli, &away).unwrap();
    until_trouble(&server, "is missing").await;
    fs::rename(&away, &cli).unwrap();
    until_ready(&server).await;
    install(&cli, "#!/bin/sh\necho '2.0.1 (Claude Code)'\n");
    until_trouble(&server, "too old").await;
    install(&cli, "#!/bin/sh\nexit 4\n");
    until_trouble(&server, "does not say its version").await;
    install(&cli, &good);
    until_ready(&server).await;
    assert_eq!(server.run(json!({"prompt": "hello"})).await["state"], "completed");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cli_that_is_gone_stays_so_when_a_run_of_before_goes_on_and_ends() {
    let server = server(OFTEN).await;
    let script = "!touch there\n!await go\n!result one\n!then\n!result two";
    let run = server.submit(json!({"prompt": script})).await;
    server.reached("there").await;
    let (cli, away) = (beside(&server, "claude"), beside(&server, "away"));
    fs::rename(&cli, &away).unwrap();
    until_trouble(&server, "is missing").await;
    server.release("go");
    server.busy_with(0, 0).await;
    // Its place is free a moment before its end is stored.
    eventually_async("the end of the run", async || {
        (server.get(&format!("/v1/runs/{run}")).await.body["state"] == "completed").then_some(())
    })
    .await;
    assert!(trouble(&ready(&server).await).is_some(), "no run can begin");
    fs::rename(&away, &cli).unwrap();
    until_ready(&server).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_brings_with_it_takes_no_server_out_of_service() {
    let builder = TestServerBuilder::fake();
    let cli = breakable(builder.folders.root());
    let builder = builder.set(|settings| {
        settings.paths.claude_bin = cli;
        settings.health.cli_check_every = OFTEN;
        settings.health.cli_start_failures = 1;
    });
    let server = builder.start().await;
    let tried = || fs::read_to_string(beside(&server, "tried")).unwrap_or_default().lines().count();
    // A third start of the server's own begins when it has come to a verdict after the second.
    while tried() < 3 {
        let ends = json!({"prompt": "hello", "env": {"FAKE_CLAUDE": "die 1"}, "on_disconnect": "cancel"});
        assert_eq!(server.run(ends).await["state"], "failed");
        assert_eq!(ready(&server).await.status, 200);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cli_says_of_its_start_counts_if_it_is_the_installations_fault() {
    for (options, is_the_installations) in [
        ("startup-failure bypass_root", true),
        ("startup-failure cwd_unavailable", false),
        ("startup-failure org_disabled", false),
        ("refuse no such agent", false),
    ] {
        let builder = TestServerBuilder::fake_that(options).set(|settings| settings.health.cli_check_every = NEVER);
        let server = builder.start().await;
        for _ in 0..4 {
            fails(&server).await;
        }
        if is_the_installations {
            until_trouble(&server, "(bypass_root)").await;
        } else {
            assert_eq!(trouble(&ready(&server).await), None, "{options}");
        }
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_the_work_and_of_the_credential_are_no_failures_of_the_cli() {
    let builder = TestServerBuilder::fake().set(|settings| {
        settings.health.cli_check_every = NEVER;
        settings.health.cli_start_failures = 1;
    });
    let server = builder.start().await;
    for prompt in ["!exit 9", "!die"] {
        let run = server.run(json!({"prompt": prompt})).await;
        assert_ne!(run["state"], "running", "{run}");
        assert_eq!(ready(&server).await.status, 200, "{prompt}: {run}");
    }
    server.stop().await;
    let builder = TestServerBuilder::fake().set(|settings| {
        settings.health.cli_check_every = NEVER;
        settings.health.cli_start_failures = 1;
        settings.credentials.api_key_helper = Some("exit 1".to_owned());
    });
    let server = builder.start().await;
    fails(&server).await;
    assert_eq!(ready(&server).await.status, 200);
    assert_eq!(server.scrape().await.count("askd_credential_failures_total", &[]), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_of_isolation_that_no_longer_works_takes_readiness_too() {
    let builder = TestServerBuilder::fake();
    let bwrap = builder.folders.root().join("bwrap");
    install(&bwrap, "#!/bin/sh\nexec bwrap \"$@\"\n");
    let wanted = bwrap.clone();
    let builder = builder.set(|settings| {
        settings.isolation.policy = IsolationPolicy::BestEffort;
        settings.isolation.bwrap_bin = wanted;
        settings.health.cli_check_every = NEVER;
    });
    let server = builder.start().await;
    let layer = server.get("/v1/isolation").await.body["layer"].clone();
    if layer != "bubblewrap" {
        // Past the harness, which shows nothing of a test that passes.
        let line = format!("NOT RUN: a_layer_of_isolation_that_no_longer_works: the layer is {layer} here\n");
        drop(std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()));
        return server.stop().await;
    }
    install(&bwrap, "#!/bin/sh\nexit 1\n");
    for _ in 0..3 {
        fails(&server).await;
    }
    until_trouble(&server, "isolation").await;
    install(&bwrap, "#!/bin/sh\nexec bwrap \"$@\"\n");
    assert_eq!(server.run(json!({"prompt": "hello"})).await["state"], "completed");
    assert_eq!(ready(&server).await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_finds_no_cli_says_so_and_counts_and_a_view_that_cannot_be_made_counts_as_that() {
    let builder = TestServerBuilder::fake();
    let (cli, shown) = (breakable(builder.folders.root()), builder.folders.root().join("shown"));
    fs::create_dir(&shown).unwrap();
    let readable = vec![shown.clone()];
    let builder = builder.set(|settings| {
        settings.paths.claude_bin = cli;
        settings.isolation.policy = IsolationPolicy::BestEffort;
        settings.isolation.readable_folders = readable;
        settings.health.cli_check_every = NEVER;
        settings.health.cli_start_failures = 2;
    });
    let server = builder.start().await;
    let failures = async |reason| server.scrape().await.count("askd_cli_start_failures_total", &[("reason", reason)]);
    let is_confined = server.get("/v1/isolation").await.body["layer"] != "none";
    if is_confined {
        fs::remove_dir(&shown).unwrap();
        let run = fails(&server).await;
        assert!(run["error"]["message"].as_str().unwrap().contains("view of the file system"), "{run}");
        assert_eq!((failures("view").await, failures("not_found").await), (1, 0));
        fs::create_dir(&shown).unwrap();
    }
    let (cli, away) = (beside(&server, "claude"), beside(&server, "away"));
    fs::rename(&cli, &away).unwrap();
    for count in 1..=2 {
        let run = fails(&server).await;
        assert!(run["error"]["message"].as_str().unwrap().starts_with("the CLI could not be started"), "{run}");
        assert_eq!(failures("not_found").await, count);
    }
    until_trouble(&server, "is missing").await;
    fs::rename(&away, &cli).unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cli_that_lies_where_runs_do_not_see_it_is_not_called_missing() {
    let builder = TestServerBuilder::fake();
    let root = builder.folders.root().to_owned();
    for folder in ["one", "two"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
    place_program(&fake_cli(), &root.join("one/claude"));
    install(&root.join("two/claude"), &format!("#!/bin/sh\nexec '{}/one/claude' \"$@\"\n", root.display()));
    let (cli, new) = (root.join("claude"), root.join("new"));
    let lead_to = |folder: &str| {
        symlink(root.join(folder).join("claude"), &new).unwrap();
        fs::rename(&new, &cli).unwrap();
    };
    lead_to("one");
    let wanted = cli.clone();
    let builder = builder.set(|settings| {
        settings.paths.claude_bin = wanted;
        settings.isolation.policy = IsolationPolicy::BestEffort;
        settings.health.cli_check_every = OFTEN;
    });
    let server = builder.start().await;
    lead_to("two");
    if server.get("/v1/isolation").await.body["layer"] == "none" {
        // Nothing hides it.
        assert_eq!(server.run(json!({"prompt": "hello"})).await["state"], "completed");
        assert_eq!(ready(&server).await.status, 200);
        return server.stop().await;
    }
    until_trouble(&server, "in a place that runs do not see; restart the server").await;
    lead_to("one");
    until_ready(&server).await;
    assert_eq!(server.run(json!({"prompt": "hello"})).await["state"], "completed");
    server.stop().await;
}
