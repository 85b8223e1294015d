//! The log: for people on a terminal, JSON otherwise, on stderr.
//!
//! A thread of its own writes it: whoever logs must not wait for somebody who does not read, or a full pipe would stop
//! the whole server. Lines that find no room are dropped and counted.
//!
//! Why not the `non_blocking` of `tracing-appender`: it has the same thread and the same bounded channel, and a counter of
//! what was dropped that somebody would have to ask; here the thread says it, in its place among the lines. At the end it
//! waits a tenth of a second for room, and then prints to stdout, which is a program's output.

use std::fs::File;
use std::io::{self, IsTerminal, Write, stderr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::{EnvFilter, reload};

use crate::settings::LogFormat;
use crate::settings::groups::Logging;

/// Lines that may wait to be written.
const WAITING: usize = 4096;

/// How long the end of the process waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Sets the process's log up. What has been logged is written when the guard is dropped, if that is possible.
pub fn start(logging: &Logging) -> io::Result<(Guard, LogFilter)> {
    let (sender, receiver) = mpsc::sync_channel(WAITING);
    let lines = Lines { sender, dropped: Arc::default(), all_dropped: Arc::default() };
    let guard = write_beside(receiver, &lines, own_stderr()?)?;
    let filter = EnvFilter::try_new(&logging.filter).unwrap_or_default();
    let human = match logging.format {
        LogFormat::Auto => stderr().is_terminal(),
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || lines.clone());
    let (started, set) = if human {
        let builder = builder.with_target(false).with_filter_reloading();
        let handle = builder.reload_handle();
        (builder.try_init(), LogFilter::of(move |filter| handle.reload(filter)))
    } else {
        let builder = builder.json().flatten_event(true).with_current_span(false).with_span_list(false);
        let builder = builder.with_filter_reloading();
        let handle = builder.reload_handle();
        (builder.try_init(), LogFilter::of(move |filter| handle.reload(filter)))
    };
    // Only a second log of the same process is refused.
    started.map_err(io::Error::other)?;
    Ok((guard, set))
}

/// Changes which lines are written.
pub struct LogFilter(Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>);

impl LogFilter {
    fn of(set: impl Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync + 'static) -> Self {
        Self(Box::new(set))
    }

    /// Writes from now on what this filter lets through; the text says why it could not.
    pub fn set(&self, filter: &str) -> Result<(), String> {
        let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
        (self.0)(filter).map_err(|error| error.to_string())
    }
}

/// Stderr by a descriptor of its own: the lock of std's would be held by a thread that cannot go on.
fn own_stderr() -> io::Result<File> {
    Ok(stderr().as_fd().try_clone_to_owned()?.into())
}

enum Message {
    Line(Vec<u8>),
    /// Everything before this is to be written.
    End,
}

/// Takes lines in. Every write is one whole line.
#[derive(Clone)]
struct Lines {
    sender: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    /// The same since the start.
    all_dropped: Arc<AtomicU64>,
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.sender.try_send(Message::Line(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.all_dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits for the last lines when it is dropped.
#[derive(Debug)]
pub struct Guard {
    sender: SyncSender<Message>,
    done: Receiver<()>,
    all_dropped: Arc<AtomicU64>,
}

impl Guard {
    /// How many lines were dropped since the start; it goes on counting.
    pub fn dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.all_dropped)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let until = Instant::now() + LAST_LINES;
        while self.sender.try_send(Message::End).is_err() {
            if Instant::now() >= until {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        // Nothing is ever sent: the thread's end closes the channel.
        let _ = self.done.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

/// Starts the thread that writes what comes of these lines.
fn write_beside(coming: Receiver<Message>, lines: &Lines, mut out: impl Write + Send + 'static) -> io::Result<Guard> {
    let (finished, done) = mpsc::channel::<()>();
    let dropped = Arc::clone(&lines.dropped);
    thread::Builder::new().name("log".into()).spawn(move || {
        while let Some(Message::Line(line)) = next(&coming, &dropped) {
            // There is nowhere to say that it failed.
            drop(out.write_all(&line));
        }
        drop(finished);
    })?;
    Ok(Guard { sender: lines.sender.clone(), done, all_dropped: Arc::clone(&lines.all_dropped) })
}

/// The next message. When none waits, so that there is room again, it first says how many lines were dropped.
fn next(lines: &Receiver<Message>, dropped: &AtomicU64) -> Option<Message> {
    match lines.try_recv() {
        Err(TryRecvError::Empty) => {
            let count = dropped.swap(0, Ordering::Relaxed);
            if count > 0 {
                tracing::warn!(lines = count, "stderr was not read fast enough: lines of this log were dropped");
            }
            lines.recv().ok()
        }
        message => message.ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a byte only when it is let, and tells what it was given.
    struct Gate {
        open: Receiver<()>,
        written: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.open.recv();
            drop(self.written.send(bytes.to_vec()));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_logs_never_waits_and_what_is_lost_is_counted() {
        let (sender, receiver) = mpsc::sync_channel(4);
        let mut lines = Lines { sender, dropped: Arc::default(), all_dropped: Arc::default() };
        let ((open, gate), (written, out)) = (mpsc::channel(), mpsc::channel());
        let gate = Gate { open: gate, written };
        let guard = write_beside(receiver, &lines, gate).unwrap();
        for number in 0..100 {
            lines.write_all(format!("{number}\n").as_bytes()).unwrap();
        }
        let lost = usize::try_from(lines.dropped.load(Ordering::Relaxed)).unwrap();
        // Four wait, and the writer may have taken one or two.
        assert!((94..=96).contains(&lost), "{lost}");
        assert_eq!(guard.dropped().load(Ordering::Relaxed), lost as u64, "which metrics tell");
        drop(open);
        drop(guard);
        let kept: Vec<_> = out.try_iter().collect();
        assert_eq!(kept.len() + lost, 100, "the guard has waited for the last lines");
        assert_eq!(kept[0], b"0\n");
    }
}
