//! From the child's start to the end of its tree.

use std::time::Duration;

use rustix::process::{Signal, WaitOptions, getpid, wait};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::signal::unix::Signal as Arrivals;
use tokio::time::{Instant, sleep_until};

use super::birth::Main;
use super::order::Order;
use super::{Failure, KILL, Status, TERM};
use crate::procfs::{self, Entry};
use crate::reports::{Exit, Report, VIEW};
use crate::tree;

/// The first pause between two rounds of killing; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// How long the words of a bubblewrap that has ended may take: a process that it has left may hold their pipe open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A tree being watched.
pub(super) struct Watch<'a> {
    main: Main,
    /// Wakes up when some child has died.
    deaths: Arrivals,
    /// `None` once it has ended.
    lifeline: Option<pipe::Receiver>,
    order: &'a Order,
    status: &'a mut Status,
    /// Whether the server knows the main child. Before, it wants to know only what went wrong.
    reported: bool,
    main_ended: bool,
    /// Whether the whole tree is to be killed.
    kill: bool,
}

impl<'a> Watch<'a> {
    pub(super) fn new(
        main: Main,
        deaths: Arrivals,
        lifeline: pipe::Receiver,
        order: &'a Order,
        status: &'a mut Status,
    ) -> Self {
        Self { main, deaths, lifeline: Some(lifeline), order, status, reported: false, main_ended: false, kill: false }
    }

    /// Waits until the program runs inside of its view. If it will not, or not in time, or the server is gone meanwhile,
    /// nothing is left of it afterwards; what could not be killed has been reported then.
    pub(super) async fn until_entered(
        &mut self,
        heard: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), Failure> {
        let failure = match self.listen(heard).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        if self.reap() {
            self.kill_all().await;
        }
        if self.reap() {
            self.report_leaked();
        }
        Err(failure)
    }

    async fn listen(&mut self, heard: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
        let mut heard = std::pin::pin!(heard);
        let too_late = Instant::now() + self.order.start_timeout;
        let mut until = too_late;
        loop {
            tokio::select! {
                // Words that are there count, whatever else has happened.
                biased;
                heard = &mut heard => return heard,
                () = self.something_happens(Some(until)) => {}
            }
            if self.kill {
                return Err(Failure { errno: 0, text: "the server has gone, or has changed its mind".to_owned() });
            }
            self.reap();
            if self.main_ended && until == too_late {
                until = too_late.min(Instant::now() + LAST_WORDS);
            }
            if Instant::now() >= until {
                let text = if self.main_ended {
                    format!("{VIEW}: bubblewrap has ended, and has left processes behind")
                } else {
                    format!("{VIEW}: it has taken longer than {:?}", self.order.start_timeout)
                };
                return Err(Failure { errno: 0, text });
            }
        }
    }

    /// The program runs.
    pub(super) fn report_start(&mut self) {
        self.status.report(&Report::Started(self.main.id));
        self.reported = true;
    }

    /// Watches, obeys and reports until no descendant is left, or killing has taken too long.
    pub(super) async fn until_gone(mut self) {
        while self.reap() && !self.main_ended && !self.kill {
            self.something_happens(None).await;
        }
        if !self.kill && self.reap() {
            self.let_leftovers_end().await;
        }
        if self.reap() {
            self.kill_all().await;
        }
        if self.reap() {
            self.report_leaked();
        } else {
            self.status.report(&Report::Gone);
        }
    }

    fn report_leaked(&mut self) {
        self.status.report(&Report::Leaked(descendants().len()));
    }

    /// The main child has ended by itself and left descendants: ask them to end, and wait a little.
    ///
    /// With bubblewrap there is nobody to ask: its PID namespace ends with the main program. What can still be seen is on
    /// its way out, and its number means nothing.
    async fn let_leftovers_end(&mut self) {
        if self.main.is_wrapper {
            return;
        }
        let alive = descendants().iter().filter(|entry| entry.is_alive()).count();
        self.status.report(&Report::Leftover(alive));
        terminate_all();
        let until = Instant::now() + self.order.leftover_grace;
        while self.reap() && !self.kill && Instant::now() < until {
            self.something_happens(Some(until)).await;
        }
    }

    async fn kill_all(&mut self) {
        let give_up = Instant::now() + self.order.kill_grace;
        let mut pause = FIRST_PAUSE;
        if self.main.is_wrapper && !self.main_ended {
            // With it dies the first process of the PID namespace, and so the whole namespace, at once.
            self.main.id.signal(Signal::KILL);
        }
        loop {
            // An unreadable /proc leaves the main child to be killed at least; the rest dies with a later round.
            if tree::kill_round(|| Ok(tree::descendants(&procfs::all()?, &[own_pid()]))).is_err() && !self.main_ended {
                self.main.id.signal(Signal::KILL);
            }
            let next_round = (Instant::now() + pause).min(give_up);
            while Instant::now() < next_round {
                if !self.reap() {
                    return;
                }
                self.something_happens(Some(next_round)).await;
            }
            if Instant::now() >= give_up {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Waits for a death, a command, or the given moment.
    async fn something_happens(&mut self, until: Option<Instant>) {
        let Self { deaths, lifeline, .. } = self;
        let command = async {
            match lifeline {
                Some(lifeline) => {
                    let mut command = [0];
                    // An error says no more about the server than its end does.
                    lifeline.read(&mut command).await.is_ok_and(|count| count == 1).then_some(command[0])
                }
                None => std::future::pending().await,
            }
        };
        let timer = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = deaths.recv() => {}
            command = command => self.obey(command),
            () = timer => {}
        }
    }

    fn obey(&mut self, command: Option<u8>) {
        match command {
            Some(TERM) => terminate_all(),
            Some(KILL) => self.kill = true,
            Some(_) => {}
            None => {
                self.lifeline = None;
                self.kill = true;
            }
        }
    }

    /// Reaps whatever has died. `false`: there is no child left, and so, for a subreaper, no descendant.
    fn reap(&mut self) -> bool {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, how))) => {
                    let is_main = u32::try_from(pid.as_raw_nonzero().get()).is_ok_and(|pid| pid == self.main.id.pid);
                    // Adopted orphans may get the pid of the main child once that is reaped.
                    if is_main && !self.main_ended {
                        self.main_ended = true;
                        let exit = match (how.exit_status(), how.terminating_signal()) {
                            (Some(code), _) => Exit::Code(code),
                            (None, Some(signal)) => Exit::Signal(signal),
                            (None, None) => Exit::Unknown,
                        };
                        if self.reported {
                            self.status.report(&Report::Ended(exit));
                        }
                    }
                }
                Ok(None) => return true,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }
}

/// SIGTERM to every descendant, and SIGCONT, since a stopped process would not notice. bubblewrap's own processes ignore
/// the first.
fn terminate_all() {
    for entry in descendants() {
        entry.id.signal(Signal::TERM);
        entry.id.signal(Signal::CONT);
    }
}

fn own_pid() -> u32 {
    getpid().as_raw_nonzero().get().unsigned_abs()
}

fn descendants() -> Vec<Entry> {
    procfs::all().map(|all| tree::descendants(&all, &[own_pid()])).unwrap_or_default()
}
