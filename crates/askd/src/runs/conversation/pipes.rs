//! What goes through the pipes of the process: our lines in, its own out, until it has ended.

use std::time::Duration;

use claude::outcome::Ending;
use supervisor::input::{Stdin, StdinError};
use supervisor::lines::{Line, LineError};
use supervisor::output::Lines;
use supervisor::process::Process;
use supervisor::stderr_tail::StderrTail;
use tokio::sync::mpsc;

use super::super::log::RunLog;
use super::room::Kept;

/// After the process has ended, what its pipe still holds comes at once; longer, and somebody else holds the pipe.
const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// The same for its error output, which is only worth a log line.
const STDERR_GRACE: Duration = Duration::from_millis(200);

/// A line for the process, and the room in memory that it has until it is written.
pub(super) struct Outgoing {
    pub(super) line: String,
    pub(super) room: Option<Kept>,
}

/// Writes what is to be said, until nobody says anything any more; then the input is given back.
pub(super) async fn write_lines(
    mut stdin: Stdin,
    mut inbox: mpsc::UnboundedReceiver<Outgoing>,
) -> Result<Stdin, StdinError> {
    while let Some(Outgoing { line, room }) = inbox.recv().await {
        stdin.write_line(line.as_bytes()).await?;
        drop((line, room));
    }
    Ok(stdin)
}

/// The next line; `None` at the end of the output, or when the process has ended and its pipe, which something else
/// still holds, has nothing more to say.
pub(super) async fn next_line(lines: &mut Lines, process: &Process) -> Option<Result<Line, LineError>> {
    tokio::select! {
        biased;
        line = lines.next() => return line,
        _ = process.wait_exit() => {}
    }
    tokio::time::timeout(DRAIN_GRACE, lines.next()).await.ok().flatten()
}

/// The output has ended: the exit follows, or the process has closed its output and lives on.
pub(super) async fn exited(process: &Process, stderr_tail: &StderrTail, log: &RunLog) -> Ending {
    let how = match tokio::time::timeout(DRAIN_GRACE, process.wait_exit()).await {
        Ok(exit) => crate::programs::describe(exit),
        Err(_) => "it closed its output and went on running".into(),
    };
    // What it wrote last is read by another task, a moment later. Processes that it has left behind may hold the pipe.
    drop(tokio::time::timeout(STDERR_GRACE, stderr_tail.ended()).await);
    let stderr = stderr_tail.text();
    // What is left of a line whose beginning was dropped may be the rest of a credential.
    let whole = if stderr_tail.dropped() > 0 { stderr.split_once('\n').map_or("", |(_, rest)| rest) } else { &stderr };
    if !whole.trim().is_empty() {
        tracing::warn!(how, stderr = log.told_text(whole.trim()).as_ref(), "the CLI ended early");
    }
    Ending::Exited { how, stderr }
}
