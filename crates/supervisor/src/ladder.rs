//! The kill ladder: from a polite request to the end of the whole tree.

use std::future::Future;
use std::pin::pin;

use tokio::time::{Duration, Instant, sleep_until, timeout};

use crate::input::Stdin;
use crate::process::{Exit, GUARDIAN_MARGIN, Gone, Process, Wish};

/// The steps of the ladder, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// A request that the child understands, such as an interrupt over its input.
    Soft,
    /// The end of its input.
    CloseStdin,
    /// SIGTERM to every process of the tree. bubblewrap itself ignores it.
    Term,
    /// SIGKILL to every process of the tree, repeated until none is left.
    Kill,
}

/// How a stop went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// How the main child ended.
    pub exit: Exit,
    /// How many processes could not be killed. More than 0 is worth an alarm.
    pub leaked: usize,
    /// How many descendants were alive when the main child ended by itself.
    pub leftover: usize,
    /// The last rung that was needed; `None` if everything had ended already.
    pub rung: Option<Rung>,
}

impl Process {
    /// Ends the child and its tree, beginning with `from` and climbing on when the grace of a rung has passed.
    ///
    /// * `soft` makes the soft request, usually by writing a line; it counts towards the soft grace. It is skipped when
    ///   there is no `stdin`, or the stop begins higher.
    /// * `stdin` is closed at [`Rung::CloseStdin`], or at once when the stop begins higher.
    /// * `drain` reads the output meanwhile, because a child that is stuck in writing never ends. Give
    ///   [`Lines::discard`](crate::output::Lines::discard), or a loop over
    ///   [`Lines::next`](crate::output::Lines::next) that ends with it. After the tree's end it may go on for the kill
    ///   grace, to take what the pipe still holds.
    ///
    /// An [`Escalator`](crate::process::Escalator) shortens it. Dropping the future stops nothing that has begun: call
    /// it again, or drop the process.
    pub async fn stop(
        &self,
        from: Rung,
        soft: impl AsyncFnOnce(&mut Stdin),
        stdin: Option<Stdin>,
        drain: impl Future<Output = ()>,
    ) -> Stopped {
        let mut drain = pin!(drain);
        let mut climb = pin!(self.climb(from, soft, stdin));
        let mut drained = false;
        let (rung, gone) = loop {
            tokio::select! {
                climbed = &mut climb => break climbed,
                () = &mut drain, if !drained => drained = true,
            }
        };
        if !drained {
            // Bounded: a leaked process may hold the pipe open.
            drop(timeout(self.graces.kill, drain).await);
        }
        Stopped { exit: gone.exit, leaked: gone.leaked, leftover: gone.leftover, rung }
    }

    async fn climb(
        &self,
        from: Rung,
        soft: impl AsyncFnOnce(&mut Stdin),
        mut stdin: Option<Stdin>,
    ) -> (Option<Rung>, Gone) {
        if let Ok(gone) = timeout(Duration::ZERO, self.wait_gone()).await {
            return (None, gone);
        }
        let mut rung = from.max((*self.escalation.borrow()).unwrap_or(from));
        if rung == Rung::Soft {
            match stdin.as_mut() {
                Some(stdin) => match self.wait(rung, self.graces.soft, soft(stdin)).await {
                    Ended::Gone(gone) => return (Some(rung), gone),
                    Ended::Next(next) => rung = next,
                },
                None => rung = Rung::CloseStdin,
            }
        }
        drop(stdin);
        while rung < Rung::Kill {
            let grace = if rung == Rung::Term {
                self.term();
                self.graces.term
            } else {
                self.graces.eof
            };
            match self.wait(rung, grace, async {}).await {
                Ended::Gone(gone) => return (Some(rung), gone),
                Ended::Next(next) => rung = next,
            }
        }
        self.kill();
        (Some(Rung::Kill), self.gone_or_else().await)
    }

    /// Waits on a rung: for the end of the tree, for the grace to pass, or for an escalation.
    async fn wait(&self, rung: Rung, grace: Duration, act: impl Future<Output = ()>) -> Ended {
        let mut deadline = Instant::now() + grace;
        let mut escalation = self.escalation.subscribe();
        let mut act = pin!(act);
        let (mut acted, mut exited) = (false, false);
        loop {
            tokio::select! {
                biased;
                gone = self.wait_gone() => return Ended::Gone(gone),
                Ok(higher) = escalation.wait_for(|wanted| *wanted > Some(rung)) => {
                    return Ended::Next(higher.unwrap_or(Rung::Kill));
                }
                _ = self.wait_exit(), if !exited => {
                    // What is left is the guardian's work now, and it has its own graces.
                    exited = true;
                    deadline = Instant::now() + self.graces.leftover + self.graces.kill + GUARDIAN_MARGIN;
                }
                () = &mut act, if !acted => acted = true,
                () = sleep_until(deadline) => {
                    return Ended::Next(if exited { Rung::Kill } else { rung.next() });
                }
            }
        }
    }

    /// The end of the tree after a kill; a guardian that does not manage in time is killed itself, and the watching task
    /// cleans up after it.
    async fn gone_or_else(&self) -> Gone {
        let patience = self.graces.kill + GUARDIAN_MARGIN;
        if let Ok(gone) = timeout(patience, self.wait_gone()).await {
            return gone;
        }
        self.wish.send_replace(Wish::KillGuardian);
        match timeout(patience, self.wait_gone()).await {
            Ok(gone) => gone,
            Err(_) => Gone { exit: Exit::Unknown, leftover: 0, leaked: 1 },
        }
    }
}

/// What a wait on a rung ended with.
enum Ended {
    Gone(Gone),
    Next(Rung),
}

impl Rung {
    fn next(self) -> Self {
        match self {
            Self::Soft => Self::CloseStdin,
            Self::CloseStdin => Self::Term,
            Self::Term | Self::Kill => Self::Kill,
        }
    }
}
