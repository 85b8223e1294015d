//! The guard's look at a command, in a process of its own.
//!
//! The text comes from a model, and the grammar that reads it is foreign code: whatever it does with some text, be it to
//! loop, to take memory without end or to overflow its stack, it does to a small process that is then ended, and the command
//! counts as unreadable.

pub mod child;
mod waiting;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use supervisor::confinement::Confinement;
use supervisor::input::Stdin;
use supervisor::ladder::Rung;
use supervisor::lines::Line;
use supervisor::output::Lines;
use supervisor::process::{Exit, Process};
use supervisor::spawn::{Child, Graces, Launch, Limits, spawn};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::guard::{Policy, Verdict};
use crate::marker::MarkerPrefix;
use crate::metrics::Metrics;
use crate::programs::{describe, open_folder};
use child::{Question, SUBCOMMAND};
pub use waiting::{Call, Judging};

/// From the question to the verdict, with the wait for a turn. A start takes some hundredths of a second; the rest is for a
/// machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Processes at once, of all runs: each may take a processor and half a gigabyte for a moment.
const AT_ONCE: usize = 4;

/// A verdict with its message is much shorter.
const MAX_VERDICT: usize = 64 << 10;

/// Where commands are judged. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Judges(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    means: Means,
    turns: Semaphore,
    metrics: Metrics,
}

/// How a judge is started.
#[derive(Debug)]
pub struct Means {
    /// The executable that answers to `__launch`.
    pub launcher: PathBuf,
    /// The executable that answers to `__judge`.
    pub program: PathBuf,
    /// How its processes are recognised.
    pub marker: MarkerPrefix,
    /// The folder they run in.
    pub folder: PathBuf,
    /// How long a verdict may take.
    pub patience: Duration,
}

impl Means {
    /// As a server does it: `launcher` is its own executable.
    pub fn of_server(launcher: PathBuf, marker: MarkerPrefix, folder: PathBuf) -> Self {
        // The link of the process itself: it leads to the executable also after its file was replaced.
        Self { launcher, program: "/proc/self/exe".into(), marker, folder, patience: PATIENCE }
    }
}

impl Judges {
    /// No process is started before there is something to judge.
    pub fn new(means: Means, metrics: Metrics) -> Self {
        Self(Arc::new(Inner { means, turns: Semaphore::new(AT_ONCE), metrics }))
    }

    /// Processes at work.
    pub fn running(&self) -> usize {
        AT_ONCE.saturating_sub(self.0.turns.available_permits())
    }

    /// The verdict on a call, within the [patience](Means::patience). The process belongs to a task of `tasks`, which ends it when
    /// it has answered, or when this is dropped; then nothing of it is left, and its turn goes to another one.
    pub async fn judge(&self, tasks: &TaskTracker, policy: &Policy, tool: &str, input: &Value) -> Verdict {
        let unwanted = CancellationToken::new();
        let _wanted = unwanted.clone().drop_guard();
        let (answer, answered) = oneshot::channel();
        let judges = Arc::clone(&self.0);
        match serde_json::to_string(&Question { policy: policy.text(), tool, input }) {
            Ok(question) => drop(tasks.spawn(async move { judges.work(&question, answer, &unwanted).await })),
            Err(error) => drop(answer.send(Err(error.to_string()))),
        }
        let answered = answered.await.unwrap_or_else(|_| Err("its task has ended".into()));
        let result = match &answered {
            Ok(Verdict::Pass) => "pass",
            Ok(Verdict::Deny { .. }) => "deny",
            Err(_) => "failed",
        };
        self.0.metrics.guard_verdicts.of([result]).inc();
        answered.unwrap_or_else(|error| {
            tracing::warn!(error, "a command could not be judged");
            policy.unreadable("reading it failed or took too long")
        })
    }
}

type Answer = oneshot::Sender<Result<Verdict, String>>;

impl Inner {
    /// From the wait for a turn to the end of the process.
    async fn work(&self, question: &str, answer: Answer, unwanted: &CancellationToken) {
        let until = Instant::now() + self.means.patience;
        let turn = tokio::select! {
            biased;
            () = unwanted.cancelled() => return,
            turn = timeout_at(until, self.turns.acquire()) => turn,
        };
        let Ok(Ok(_turn)) = turn else { return drop(answer.send(Err("there were too many before it".into()))) };
        // Not to be cut short: whoever drops it does not see the end of what it has started.
        let child = match self.start().await {
            Ok(child) => child,
            Err(error) => return drop(answer.send(Err(error))),
        };
        let Child { mut stdin, mut lines, process, .. } = child;
        let asked = async {
            stdin.write_line(question.as_bytes()).await.map_err(|error| error.to_string())?;
            drop(stdin);
            verdict(&mut lines, &process).await
        };
        tokio::select! {
            biased;
            () = unwanted.cancelled() => {}
            judged = timeout_at(until, asked) => {
                drop(answer.send(judged.unwrap_or_else(|_| Err("it took too long".into()))));
            }
        }
        process.stop(Rung::Kill, async |_: &mut Stdin| {}, None, lines.discard()).await;
    }

    async fn start(&self) -> Result<Child, String> {
        let Means { launcher, program, marker, folder, patience } = &self.means;
        let launch = Launch {
            launcher: launcher.clone(),
            program: program.clone(),
            args: vec![SUBCOMMAND.into()],
            // Nothing that it could tell anybody.
            env: Vec::new(),
            cwd: open_folder(folder).map_err(|error| format!("cannot enter its folder: {error}"))?,
            cwd_path: folder.clone(),
            secret: None,
            marker: marker.of("judge"),
            confinement: Confinement::none(),
        };
        let limits = Limits {
            max_line_bytes: MAX_VERDICT,
            // It may repeat the command, which is nobody's business.
            stderr_tail_bytes: 0,
            write_timeout: *patience,
            start_timeout: *patience,
            graces: Graces { kill: Duration::from_secs(1), ..Graces::default() },
        };
        spawn(launch, limits).await.map_err(|error| error.to_string())
    }
}

/// One line, and a clean end.
async fn verdict(lines: &mut Lines, process: &Process) -> Result<Verdict, String> {
    let text = match lines.next().await {
        Some(Ok(Line::Text(text))) => Some(text),
        Some(Ok(Line::NotUtf8 { .. })) => return Err("its verdict is not UTF-8".into()),
        Some(Err(error)) => return Err(error.to_string()),
        None => None,
    };
    if text.is_some() && lines.next().await.is_some() {
        return Err("it says more than its verdict".into());
    }
    match (process.wait_exit().await, text) {
        (Exit::Code(0), Some(text)) => serde_json::from_str(&text).map_err(|error| error.to_string()),
        (exit, _) => Err(format!("it ended with {} and no verdict", describe(exit))),
    }
}
