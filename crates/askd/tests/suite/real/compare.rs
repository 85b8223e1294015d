//! `scripts/compare`: the answers of the Node server, for which `compare/old-server.mjs` stands, and of askd.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use askd::settings::Settings;
use serde_json::Value;

use super::World;
use crate::docs::{has, root, steps};
use crate::harness::{Folders, Terminal, as_printed, real_cli};

mod differences;
mod limits;

const OLD_KEY: &str = "the-key-of-the-old-server";

/// Whether there is a Node.js. The real CLI comes by npm, so it is where the other tests are.
fn can_run(test: &str) -> bool {
    has(test, "node", "--version")
}

fn path_variable() -> String {
    std::env::vars().find(|(name, _)| name == "PATH").map(|(_, value)| value).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a program of this repository, as its user starts it")]
fn node(script: PathBuf) -> Command {
    let mut command = Command::new("node");
    command.arg(script).env_clear().env("PATH", path_variable());
    command
}

/// The old server, over folders of its own. Killed when dropped.
struct Old {
    process: Child,
    url: String,
    folders: Folders,
}

impl Old {
    /// With these files below `config` and `workspace`, and with planted faults.
    fn start(model: &str, files: &[(&str, &str)], planted: &str) -> Self {
        let folders = Folders::new();
        let at = |name: &str| folders.root().join(name);
        for (path, text) in files {
            folders.write(path, text);
        }
        std::fs::create_dir(at("home")).unwrap();
        // Its runs share one `.claude`.
        std::os::unix::fs::symlink(at("config"), at("home/.claude")).unwrap();
        let mut command = node(root().join("crates/askd/tests/suite/real/compare/old-server.mjs"));
        command.envs([("CONFIG_DIR", at("config")), ("WORKSPACE_DIR", at("workspace")), ("HOME", at("home"))]);
        command.env("CLAUDE", real_cli()).envs([("API_KEY", OLD_KEY), ("PLANTED", planted)]);
        // To root the CLI lets permissions be skipped only where this says that it is in a sandbox.
        command.envs([("ANTHROPIC_API_KEY", "sk-test-key"), ("ANTHROPIC_BASE_URL", model), ("IS_SANDBOX", "1")]);
        command.env("CLAUDE_CODE_MAX_RETRIES", "0");
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("http://"), "the old server does not start: {line}");
        Self { process, url: line.trim().to_owned(), folders }
    }
}

impl Drop for Old {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// What the script has said.
struct Compared {
    status: i32,
    said: String,
    errors: String,
}

impl Compared {
    fn report(&self) -> Value {
        serde_json::from_str(&self.said).unwrap_or_else(|_| panic!("{}\n{}", self.said, self.errors))
    }

    /// The verdict and the differences of each request: the field, and the part of the guide that expects it.
    fn differences(&self) -> Vec<(String, Vec<(String, String)>)> {
        let word = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let of = |request: &Value| {
            let found = request["differences"].as_array().unwrap().iter();
            let found = found.map(|it| (word(&it["field"]), word(&it["see"]).replace("docs/install/migrate.md#", "")));
            (word(&request["verdict"]), found.collect())
        };
        self.report()["requests"].as_array().unwrap().iter().map(of).collect()
    }
}

/// Runs the script over these requests, with the keys of both servers.
async fn compare(folders: &Folders, requests: &[Value], arguments: &[&str], old: &str, new: &str) -> Compared {
    let lines: Vec<_> = requests.iter().map(Value::to_string).collect();
    folders.write("requests.jsonl", &lines.join("\n"));
    let mut command = node(root().join("scripts/compare"));
    command.args(["--json", "--requests"]).arg(folders.root().join("requests.jsonl")).args(arguments).args([old, new]);
    command.env("OLD_API_KEY", OLD_KEY).env("NEW_API_KEY", Settings::TEST_API_KEY);
    ended(command).await
}

async fn ended(mut command: Command) -> Compared {
    let output = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output().unwrap()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Compared { status: output.status.code().unwrap(), said: text(&output.stdout), errors: text(&output.stderr) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_for_clients_of_the_node_server_works_as_printed() {
    let test = "the_guide_for_clients_of_the_node_server_works_as_printed";
    if !can_run(test) {
        return;
    }
    let files = [("config/agents/reviewer.md", "---\nname: reviewer\ndescription: Reviews.\n---\nYou review.\n")];
    let world = World::with(|server| server.file(files[0].0, files[0].1).file("workspace/shop/a.txt", "a")).await;
    let old = Old::start(&world.model.base_url(), &[files[0], ("workspace/shop/a.txt", "a")], "");
    let place = world.server.folders.root();
    for name in ["scripts", "docs"] {
        std::os::unix::fs::symlink(root().join(name), place.join(name)).unwrap();
    }
    let path = path_variable();
    let variables = [("PATH", path.as_str()), ("OLD_API_KEY", OLD_KEY), ("NEW_API_KEY", Settings::TEST_API_KEY)];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut terminal = Terminal::open(place, &variables);
    for step in steps(test) {
        // The page has both on one machine.
        let of_here = |text: &str| {
            text.replace("http://127.0.0.1:3000", &old.url).replace("http://127.0.0.1:3001", &world.server.url(""))
        };
        terminal.enter(&of_here(&step.commands));
        let (status, said) = terminal.done().await;
        let block = step.block.place();
        assert_eq!(status, 0, "{block}:\n{}\n{said}", step.block.text);
        if let Some(printed) = &step.printed {
            assert!(as_printed(&of_here(&printed.text), &said), "{block}:\n{}\nsays\n{said}", step.block.text);
        }
    }
    world.stop().await;
}
