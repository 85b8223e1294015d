//! The servers that are attacked.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Signal, geteuid};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::harness::{
    Folders, Program, V1, as_user, eventually, fake_cli, give, launcher, marked_processes, place_program,
};

/// A user of this machine whom nobody else is: what the kernel counts by user is then counted for one server alone.
fn some_user() -> u32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    FIRST_USER + LAST.fetch_add(1, Ordering::Relaxed)
}

/// Users from here on have no name, and belong to no service manager.
const FIRST_USER: u32 = 58_000;

/// Who the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Started as root; becomes another user.
    RootThatDrops,
    /// Started as a user without rights, or as whoever runs the tests.
    Unprivileged,
    /// Root all along.
    Root,
}

impl Who {
    pub(super) const ALL: [Self; 3] = [Self::RootThatDrops, Self::Unprivileged, Self::Root];

    fn is_possible(self) -> bool {
        self == Self::Unprivileged || geteuid().is_root()
    }
}

/// What stands between the run and the machine, beside what always does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    None,
    Bubblewrap,
    Landlock,
}

impl Layer {
    pub(super) const ALL: [Self; 3] = [Self::None, Self::Bubblewrap, Self::Landlock];

    /// As runs name it.
    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Bubblewrap => "bubblewrap",
            Self::Landlock => "landlock",
        }
    }

    /// Found out without the help of askd, which would be believed too much otherwise.
    fn is_possible(self) -> bool {
        #[expect(clippy::disallowed_methods, reason = "what the server is to find out by itself")]
        let bwrap = || Command::new("bwrap").args(["--ro-bind", "/", "/", "--unshare-pid", "true"]).status();
        match self {
            Self::None => true,
            Self::Bubblewrap => bwrap().is_ok_and(|status| status.success()),
            Self::Landlock => supervisor::landlock::abi() >= 3 && supervisor::seccomp::is_available(),
        }
    }
}

/// Each attack has a few processes: not all servers go at once.
static SERVERS: Semaphore = Semaphore::const_new(4);

/// A server, its folders, and a run of somebody else that is at work.
pub(super) struct Attacked {
    pub(super) who: Who,
    pub(super) layer: Layer,
    pub(super) folders: Folders,
    pub(super) client: V1,
    pub(super) program: Program,
    user: u32,
    variables: Vec<(String, String)>,
    _turn: SemaphorePermit<'static>,
}

impl Attacked {
    /// Starts a server, with variables beside the usual ones. `None`, and a line that says so, where it cannot be.
    pub(super) async fn start(who: Who, layer: Layer, variables: &[(&str, &str)]) -> Option<Self> {
        if !who.is_possible() || !layer.is_possible() {
            // Past the harness, which shows nothing of a test that passes.
            let text = format!("NOT RUN: hostile: {who:?} with {layer:?}: not possible here\n");
            std::io::stderr().write_all(text.as_bytes()).unwrap();
            return None;
        }
        let turn = SERVERS.acquire().await.unwrap();
        let (folders, user) = (Folders::below(&place(who)), some_user());
        furnish(&folders, who, user);
        let mut all: Vec<(String, String)> = variables.iter().map(|(name, value)| own(name, value)).collect();
        all.push(own("HOME", &folders.root().join("home").to_string_lossy()));
        all.push(own("ASKD_CLAUDE_BIN", &folders.root().join("bin/fake-claude").to_string_lossy()));
        all.push(own("ASKD_ISOLATION", if layer == Layer::None { "off" } else { "required" }));
        if layer == Layer::Landlock {
            all.push(own("ASKD_BWRAP_BIN", "/nonexistent"));
        }
        match who {
            Who::RootThatDrops => {
                all.extend([own("ASKD_RUN_AS", &format!("{user}:{user}")), own("ASKD_ALLOW_ROOT", "")]);
            }
            Who::Unprivileged => all.push(own("ASKD_ALLOW_ROOT", "")),
            Who::Root => {}
        }
        let program = launch(&folders, who, user, &all);
        let client = V1::at(program.address().await);
        Some(Self { who, layer, folders, client, program, user, variables: all, _turn: turn })
    }

    /// Starts the next server over the same folders; the one before has ended.
    pub(super) async fn restart(&mut self) {
        self.program = launch(&self.folders, self.who, self.user, &self.variables);
        self.client = V1::at(self.program.address().await);
    }

    /// Whom the server and its runs belong to, unless it is root.
    pub(super) fn user(&self) -> u32 {
        self.user
    }

    /// A path in the server's folders.
    pub(super) fn path(&self, below: &str) -> String {
        self.folders.root().join(below).display().to_string()
    }

    /// A run in the workspace `own` that makes these attacks: what each came to, and the run, which must say under which
    /// layer it was.
    pub(super) async fn attack(&self, attacks: &[&str]) -> (Vec<Attempt>, Value) {
        let script: Vec<String> = attacks.iter().map(|attack| format!("!attack {attack}")).collect();
        self.attack_by(json!({"prompt": script.join("\n"), "cwd": "own"})).await
    }

    /// The same by a request of one's own.
    pub(super) async fn attack_by(&self, body: Value) -> (Vec<Attempt>, Value) {
        let run = self.client.ended(&self.client.submit(&body).await).await;
        self.says_its_layer(&run);
        let text = run["result"].as_str().unwrap_or_else(|| panic!("{self}: {run}\n{}", self.log()));
        let outcomes: Vec<Value> = serde_json::from_str(text).unwrap_or_else(|_| panic!("{self}: {run}"));
        let attempts = outcomes.iter().map(|outcome| match outcome {
            // The kernel has ended it.
            Value::String(text) if text.starts_with("signal: ") => Attempt { worked: false, text: text.clone() },
            _ => Attempt {
                worked: outcome["worked"].as_bool().unwrap_or_else(|| panic!("{self}: {outcome}")),
                text: outcome["text"].as_str().unwrap().to_owned(),
            },
        });
        (attempts.collect(), run)
    }

    /// What the server has said, but for the requests.
    fn log(&self) -> String {
        let log = self.program.log();
        log.lines().filter(|line| !line.contains(r#""message":"request""#)).collect::<Vec<_>>().join("\n")
    }

    fn says_its_layer(&self, run: &Value) {
        let isolation = &run["isolation"];
        assert_eq!(isolation["layer"], self.layer.name(), "{self}: {run}");
        let in_force = isolation["in_force"].as_array().unwrap();
        for (layer, word) in [(Layer::Bubblewrap, "pid_namespace"), (Layer::Landlock, "landlock_files")] {
            assert_eq!(in_force.contains(&word.into()), self.layer == layer, "{self}: {run}");
        }
    }

    /// What the server says is not prevented, in lower case.
    pub(super) async fn not_prevented(&self) -> Vec<String> {
        let report = self.client.get("/v1/isolation").await.body;
        assert_eq!(report["layer"], self.layer.name(), "{report}");
        let sentences = report["not_prevented"].as_array().unwrap().iter();
        sentences.map(|sentence| sentence.as_str().unwrap().to_lowercase()).collect()
    }

    /// A run of somebody else, in the workspace `other`, that goes on until it is killed or the file `go` is there.
    pub(super) async fn victim(&self) -> Victim {
        let script = "!touch there\n!await go\n!result unharmed";
        let run = self.client.submit(&json!({"prompt": script, "cwd": "other"})).await;
        let there = self.folders.workspace().join("other/there");
        eventually("the victim at work", || there.exists().then_some(())).await;
        let of_run = |pid: &u32| {
            fs::read(format!("/proc/{pid}/environ")).is_ok_and(|text| String::from_utf8_lossy(&text).contains(&run))
        };
        let processes: Vec<u32> = marked_processes(&self.folders.data()).into_iter().filter(of_run).collect();
        let named = |part: &str| {
            let has_name = |pid: &&u32| {
                let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
                words.iter().take(2).any(|word| word.ends_with(part))
            };
            *processes.iter().find(has_name).unwrap_or_else(|| panic!("no {part} among {processes:?}"))
        };
        Victim { guardian: named("__launch"), main: named("fake-claude"), run }
    }

    /// Ends the server as its operator would, and checks that it leaves nothing.
    pub(super) async fn stop(mut self) {
        self.program.signal(Signal::TERM);
        assert!(self.program.ended().await.success(), "{self}: {}", self.log());
        self.leaves_nothing();
    }

    pub(super) fn leaves_nothing(&self) {
        assert_eq!(self.folders.list("data/homes"), [""; 0], "{self}: homes are left");
        assert_eq!(self.folders.list("data/records"), [""; 0], "{self}: records are left");
        assert_eq!(marked_processes(&self.folders.data()), [0; 0], "{self}: processes are left");
    }
}

impl std::fmt::Display for Attacked {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:?} with {:?}", self.who, self.layer)
    }
}

/// What came of an attack, as the attacker says.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) worked: bool,
    pub(super) text: String,
}

/// A run that is attacked, by its pids on the host.
pub(super) struct Victim {
    pub(super) run: String,
    pub(super) guardian: u32,
    pub(super) main: u32,
}

/// Makes the check with every server there can be, some at a time.
pub(super) async fn for_each_server(check: impl AsyncFn(&mut Attacked)) {
    let pairs = Who::ALL.into_iter().flat_map(|who| Layer::ALL.map(|layer| (who, layer)));
    for_servers(pairs, &[], check).await;
}

/// Makes the check with these servers.
pub(super) async fn for_servers(
    pairs: impl IntoIterator<Item = (Who, Layer)>,
    variables: &[(&str, &str)],
    check: impl AsyncFn(&mut Attacked),
) {
    let checks = pairs.into_iter().map(async |(who, layer)| {
        let Some(mut attacked) = Attacked::start(who, layer, variables).await else { return };
        check(&mut attacked).await;
        attacked.stop().await;
    });
    futures_util::future::join_all(checks).await;
}

fn own(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// Where a server's folders are: below `/tmp`, of which a run has its own, and, where others can go there, in a place that
/// runs do see.
fn place(who: Who) -> PathBuf {
    let shown = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let is_open = |folder: &Path| fs::metadata(folder).is_ok_and(|folder| folder.permissions().mode() & 0o1 != 0);
    if who == Who::Unprivileged || !shown.ancestors().all(is_open) { std::env::temp_dir() } else { shown.to_owned() }
}

/// The programs, and what is to be protected.
fn furnish(folders: &Folders, who: Who, user: u32) {
    for folder in ["bin", "home", "elsewhere", "workspace/own/src", "workspace/own/.git/hooks", "workspace/other"] {
        fs::create_dir_all(folders.root().join(folder)).unwrap();
    }
    let attacker = fake_cli().with_file_name("attacker");
    for program in [launcher(), fake_cli(), attacker] {
        let there = folders.root().join("bin").join(program.file_name().unwrap());
        place_program(&program, &there);
    }
    for secret in ["config/secret", "home/secret", "workspace/other/secret", "data/secret"] {
        folders.write(secret, "a secret\n");
    }
    std::os::unix::fs::symlink("../other/secret", folders.workspace().join("own/link")).unwrap();
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(folders.root().join("elsewhere"), open).unwrap();
    if geteuid().is_root() {
        fs::set_permissions(folders.root(), fs::Permissions::from_mode(0o755)).unwrap();
        if who != Who::Root {
            folders.give_to(user);
            give(&folders.root().join("home"), user);
        }
    }
}

fn launch(folders: &Folders, who: Who, user: u32, variables: &[(String, String)]) -> Program {
    let askd = folders.root().join("bin/askd");
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let command = if who == Who::Unprivileged { as_user(user, &askd) } else { Command::new(askd) };
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (&**name, &**value)).collect();
    Program::start_by(command, folders, &variables)
}
