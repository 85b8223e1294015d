//! What systemd is told of the server's life, where it wants to hear of it (`Type=notify` and `Type=notify-reload`).
//!
//! The words are those of `sd_notify(3)`: one datagram each, to a socket that `NOTIFY_SOCKET` names. Nobody waits for an
//! answer, and a word that cannot be sent changes nothing. Not by the crate `sd-notify`: it reads the variables from the
//! process's environment, which `settings` alone does here.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::app::App;
use crate::store::Health;

/// How often the numbers in `systemctl status` are looked at.
const STATUS_EVERY: Duration = Duration::from_secs(2);

/// How often a server that starts or drains asks for more time.
const EXTEND_EVERY: Duration = Duration::from_secs(5);

/// For how much it asks.
const EXTEND: Duration = Duration::from_secs(30);

/// What a batch may take besides its questions.
const SLACK: Duration = Duration::from_secs(5);

/// The longest text of a status, in bytes. One datagram has room for far more.
const MAX_STATUS: usize = 200;

/// Who wants to hear of the server's life. Clones tell the same.
#[derive(Debug, Clone, Default)]
pub struct Systemd {
    socket: Option<Arc<UnixDatagram>>,
    watchdog: Option<Duration>,
    /// The last reload was refused.
    refused: watch::Sender<bool>,
}

impl Systemd {
    /// As the environment says; nobody, where it says nothing. `own` is this process's id.
    pub fn of(environment: &[(String, String)], own: u32) -> Self {
        let get = |name: &str| environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let socket = get("NOTIFY_SOCKET").filter(|path| !path.is_empty()).and_then(|path| match connect(path) {
            Ok(socket) => Some(Arc::new(socket)),
            Err(error) => {
                tracing::warn!(%error, "cannot reach the socket of NOTIFY_SOCKET: the service manager hears nothing");
                None
            }
        });
        // Variables that a wrapper has passed on may be meant for itself.
        let is_ours = get("WATCHDOG_PID").is_none_or(|pid| pid.parse() == Ok(own));
        let watchdog = get("WATCHDOG_USEC").filter(|_| is_ours).and_then(|micros| micros.parse().ok());
        let watchdog = watchdog.filter(|micros| *micros > 0).map(Duration::from_micros);
        Self { socket, watchdog, ..Self::default() }
    }

    /// Whether somebody hears.
    pub fn is_there(&self) -> bool {
        self.socket.is_some()
    }

    fn tell(&self, words: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(words.as_bytes())
        {
            tracing::debug!(%error, "cannot tell the service manager");
        }
    }

    fn status(&self, text: &str) {
        let end = text.char_indices().map(|(at, _)| at).find(|at| *at >= MAX_STATUS).unwrap_or(text.len());
        self.tell(&format!("STATUS={}", text[..end].replace('\n', " ")));
    }

    /// Tells, for as long as the start takes, that it goes on, and asks for the time: a migration or a recovery that is killed
    /// begins again.
    pub async fn starting(&self) {
        self.status("starting: the CLI is looked at, the store opened, and what an earlier server has left is settled");
        let mut ticks = interval(EXTEND_EVERY);
        loop {
            ticks.tick().await;
            self.extend(EXTEND);
        }
    }

    fn extend(&self, time: Duration) {
        self.tell(&format!("EXTEND_TIMEOUT_USEC={}", time.as_micros()));
    }

    /// A reload begins.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec.unsigned_abs() * 1_000_000 + now.tv_nsec.unsigned_abs() / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// It is over, whatever came of it. The manager takes a reload for good either way: it has no word for a failed
    /// one, so that one was refused stands where `systemctl status` shows it, until one is not.
    pub(super) fn reloaded(&self, is_taken: bool) {
        self.tell("READY=1");
        self.refused.send_replace(!is_taken);
    }

    /// It stops.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Tells, for ever, what the server does; first of all that its start is complete. Whether it wants work is another matter,
    /// and only told: no restart mends a full disk, and what has begun meanwhile would be lost.
    pub(super) async fn keep(&self, app: &App) {
        if !self.is_there() {
            return std::future::pending().await;
        }
        tokio::join!(self.keep_status(app), self.keep_watchdog(app));
    }

    async fn keep_status(&self, app: &App) {
        let draining = app.lifecycle().leaving();
        self.tell("READY=1");
        let (mut told, mut refused) = (String::new(), self.refused.subscribe());
        while !draining.is_cancelled() {
            let occupancy = app.runs().occupancy();
            let readiness = app.readiness();
            let failing = readiness.checks.iter().find(|check| check.required && !check.ok);
            let wrong = failing.map_or_else(String::new, |check| format!("; not ready: {}", check.name));
            let reload = if *refused.borrow_and_update() { "; the last reload was refused: see the log" } else { "" };
            let text = format!("{} runs at work, {} waiting{wrong}{reload}", occupancy.active, occupancy.queued);
            if text != told {
                self.status(&text);
                told = text;
            }
            tokio::select! {
                () = sleep(STATUS_EVERY) => {}
                _ = refused.changed() => {}
                () = draining.cancelled() => {}
            }
        }
        let mut ticks = interval(EXTEND_EVERY);
        loop {
            ticks.tick().await;
            let active = app.runs().occupancy().active;
            self.stopping();
            self.extend(EXTEND);
            self.status(&format!("draining: {active} runs at work"));
        }
    }

    /// Says that the server lives, as long as its runtime turns and its store's writer takes and answers: what it answers
    /// does not matter, since no restart mends a database that is away.
    async fn keep_watchdog(&self, app: &App) {
        let Some(limit) = self.watchdog else { return };
        // So a writer may stand still for three quarters of the limit, whenever that begins.
        let mut ticks = interval(limit / 4);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let store = &app.runs().shared().store;
        loop {
            ticks.tick().await;
            turned(store.turns(), || store.health(), limit, app.settings().store.timeout).await;
            self.tell("WATCHDOG=1");
        }
    }
}

/// Waits until the writer `turns`, or until it is known that it waits for its database and not for itself. Says in the log
/// when that takes half of the `limit`. `patience` is how long one question may take: a batch is tried twice.
async fn turned(turns: impl Future<Output = ()>, health: impl Fn() -> Health, limit: Duration, patience: Duration) {
    let (begun, mut turns, mut is_told) = (Instant::now(), std::pin::pin!(turns), false);
    loop {
        tokio::select! {
            () = &mut turns => return,
            () = sleep(limit / 8) => {}
        }
        match health() {
            Health::Failing { .. } => return,
            Health::Slow { lasting } if lasting < patience * 2 + SLACK => return,
            _ => {}
        }
        if !is_told && begun.elapsed() >= limit / 2 {
            is_told = true;
            tracing::error!(
                "the store's writer stands still: the watchdog of the service manager is not fed until it turns"
            );
        }
    }
}

fn connect(path: &str) -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    // Whoever does not read must not hold up the server.
    socket.set_nonblocking(true)?;
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(OsStr::from_bytes(path.as_bytes()))?,
    };
    socket.connect_addr(&address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::store::Problem;

    fn environment(variables: &[(&str, &str)]) -> Vec<(String, String)> {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn nobody_is_told_where_nobody_asks_and_a_watchdog_of_another_process_is_none() {
        let nobody = Systemd::of(&environment(&[("NOTIFY_SOCKET", "")]), 7);
        assert!(!nobody.is_there() && nobody.watchdog.is_none());
        nobody.tell("READY=1");
        let watched = |variables: &[(&str, &str)]| Systemd::of(&environment(variables), 7).watchdog;
        assert_eq!(watched(&[("WATCHDOG_USEC", "2000000")]), Some(Duration::from_secs(2)));
        assert_eq!(watched(&[("WATCHDOG_USEC", "2000000"), ("WATCHDOG_PID", "7")]), Some(Duration::from_secs(2)));
        assert_eq!(watched(&[("WATCHDOG_USEC", "2000000"), ("WATCHDOG_PID", "8")]), None);
        assert_eq!(watched(&[("WATCHDOG_USEC", "0")]), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_that_stands_still_starves_the_watchdog_and_one_that_waits_for_its_database_does_not() {
        let (limit, patience, day) = (Duration::from_secs(40), Duration::from_mins(1), Duration::from_hours(24));
        let ends = async |turns: bool, health: Health| {
            let turns = async {
                if !turns {
                    std::future::pending::<()>().await;
                }
            };
            timeout(day, turned(turns, || health.clone(), limit, patience)).await.is_ok()
        };
        let slow = |seconds| Health::Slow { lasting: Duration::from_secs(seconds) };
        let problem = Problem::Unavailable;
        let failing = Health::Failing { since: std::time::Instant::now(), problem, message: String::new() };
        assert!(ends(true, Health::Working).await && ends(false, failing).await && ends(false, slow(119)).await);
        assert!(!ends(false, Health::Working).await, "it takes nothing");
        assert!(!ends(false, slow(126)).await, "no question takes so long");
    }

    #[test]
    fn a_socket_has_a_path_or_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("askd-test-{}", path.display());
        let of_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let of_path = UnixDatagram::bind(&path).unwrap();
        for (socket, written) in [(of_path, path.display().to_string()), (of_name, format!("@{name}"))] {
            Systemd::of(&environment(&[("NOTIFY_SOCKET", &written)]), 7).reloading();
            let mut bytes = [0; 100];
            let length = socket.recv(&mut bytes).unwrap();
            let said = std::str::from_utf8(&bytes[..length]).unwrap();
            assert!(said.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{said}");
        }
    }
}
