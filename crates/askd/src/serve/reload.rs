//! SIGHUP: the settings and the certificates of a server at work are read once more.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::certificates::{Asked, Looks};
use super::systemd::Systemd;
use crate::app::App;
use crate::aside::{Gate, Unfinished};
use crate::audit::{Action, Event};
use crate::http_server::LongestRun;
use crate::http_server::tls::Certificates;
use crate::settings::{Loaded, Reloaded, Settings, SettingsErrors, Sources};
use crate::store::tokens::ForgetOf;

/// Puts another filter of log lines in place; the text says why it could not.
pub type SetFilter = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Reads the settings once more, beside those that it is given. It blocks.
type Read = dyn Fn(&Loaded, &Settings) -> Result<Reloaded, SettingsErrors> + Send + Sync;

/// A file may be on a mount that hangs: that costs its reload and a thread, and up to so many of them no other reload.
static READS: Gate = Gate::new(4, Duration::from_secs(10), 2 << 20);

/// Where the settings came from, and what they were.
pub struct Reloader {
    read: Box<Read>,
    loaded: Mutex<Loaded>,
    set_filter: SetFilter,
}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reloader")
    }
}

impl Reloader {
    /// Of the settings that the server has started with: with the flags and the environment of that time.
    pub fn new(sources: Sources, loaded: Loaded, set_filter: SetFilter) -> Self {
        let read = move |before: &Loaded, current: &Settings| before.reload(&sources, current);
        Self { read: Box::new(read), loaded: Mutex::new(loaded), set_filter }
    }

    /// What is read counts only if it is there in time.
    async fn read(
        self: &Arc<Self>,
        gate: &'static Gate,
        current: Arc<Settings>,
    ) -> Result<Result<Reloaded, SettingsErrors>, Unfinished> {
        let reader = Arc::clone(self);
        let before = self.loaded.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let read = gate.run(move || (reader.read)(&before, &current)).await?;
        if let Ok(reloaded) = &read {
            *self.loaded.lock().unwrap_or_else(PoisonError::into_inner) = reloaded.loaded.clone();
        }
        Ok(read)
    }
}

/// What a reload works on.
pub(super) struct Reloading<'a> {
    pub(super) app: &'a Arc<App>,
    /// `None`: the settings are not from sources that could be read again, as in tests.
    pub(super) reloader: Option<Arc<Reloader>>,
    pub(super) certificates: Option<Arc<Certificates>>,
    pub(super) longest_run: LongestRun,
    pub(super) systemd: Systemd,
}

impl Reloading<'_> {
    /// Looks at the certificates now and then, and reads everything again whenever `hangup` says so, for ever.
    pub(super) async fn keep(&self, hangup: &Notify) {
        let mut looks = Looks::default();
        loop {
            let next_look = async {
                match &self.certificates {
                    Some(certificates) => sleep(certificates.every()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = hangup.notified() => {
                    self.systemd.reloading();
                    let is_taken = self.settings().await;
                    looks.at(self.certificates.as_ref(), Asked::ByHand).await;
                    self.systemd.reloaded(is_taken);
                }
                () = next_look => looks.at(self.certificates.as_ref(), Asked::ByTheClock).await,
            }
        }
    }

    /// Whether they were taken.
    async fn settings(&self) -> bool {
        let Some(reloader) = self.reloader.clone() else { return true };
        let current = self.app.settings();
        let read = reloader.read(&READS, Arc::clone(&current)).await;
        let Reloaded { loaded, applied, needs_restart, unreadable } = match read {
            Ok(Ok(new)) => new,
            Ok(Err(errors)) => {
                for problem in errors.problems() {
                    tracing::error!("SIGHUP: {}", problem.to_string().replace("\n  hint:", "; hint:"));
                }
                tracing::error!("SIGHUP: the settings are not valid; nothing was changed");
                return self.refuse(errors.problems().len()).await;
            }
            Err(why) => {
                tracing::error!("SIGHUP: the settings cannot be read: {why}; nothing was changed");
                return self.refuse(1).await;
            }
        };
        self.apply(&current, loaded.settings, &reloader).await;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        for name in &unreadable {
            tracing::warn!(
                setting = name,
                "SIGHUP: the server's user may not read the file of {name}, which was read before it became this user; it \
                 stays what it was. Let this user read the file, or restart the server"
            );
        }
        if !needs_restart.is_empty() {
            let settings = needs_restart.join(" ");
            tracing::warn!(settings, "SIGHUP: these have other values now, which count only after a restart");
        }
        if applied.is_empty() && needs_restart.is_empty() {
            tracing::info!("SIGHUP: the settings are what they were");
        } else if !applied.is_empty() {
            let settings = applied.join(" ");
            tracing::info!(settings, "SIGHUP: these settings have other values from now on");
        }
        self.count("ok");
        self.note(&json!({"result": "done", "applied": applied, "needs_restart": needs_restart})).await;
        true
    }

    /// They were not taken.
    async fn refuse(&self, problems: usize) -> bool {
        self.count("invalid");
        self.note(&json!({"result": "invalid", "problems": problems})).await;
        false
    }

    fn count(&self, result: &'static str) {
        self.app.runs().shared().metrics.reloads.of([result]).inc();
    }

    /// Puts the settings in place, and tells those who do not ask for them each time.
    async fn apply(&self, before: &Settings, now: Settings, reloader: &Reloader) {
        use secrecy::ExposeSecret as _;
        let shared = self.app.runs().shared();
        let is_other_key = before.auth.api_key.expose_secret() != now.auth.api_key.expose_secret();
        let is_other_filter = before.logging.filter != now.logging.filter;
        let filter = now.logging.filter.clone();
        // Before it counts: nobody is to get it into a document first.
        shared.config.keep_out(&now.secrets());
        self.longest_run.set(now.limits.run_queue_timeout + now.deadlines.max_run_time);
        shared.settings.replace(now);
        if is_other_key {
            shared.keys.replace_admin();
            let forgotten = shared.store.write(ForgetOf { key_id: shared.keys.admin().id.to_string() }).await;
            if let Err(error) = forgotten {
                tracing::error!(%error, "stream tokens that the earlier API_KEY has made count until they expire");
            }
        }
        if is_other_filter && let Err(error) = (reloader.set_filter)(&filter) {
            tracing::error!(error, "SIGHUP: the filter of ASKD_LOG cannot be used");
        }
        self.app.runs().resize_queue();
    }

    /// In the audit: names, and no values.
    async fn note(&self, detail: &serde_json::Value) {
        let event = Event { action: Action::SettingsReloaded, subject: None, detail: detail.clone() };
        if let Err(error) = self.app.runs().shared().audit.record_here(event).await {
            tracing::warn!(%error, "the reload could not be written to the audit");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_file_that_hangs_costs_its_own_reload_and_not_the_next() {
        static SHORT: Gate = Gate::new(1, Duration::from_millis(50), 2 << 20);
        static LONG: Gate = Gate::new(1, Duration::from_mins(1), 2 << 20);
        let variables = |queue: &str| Sources {
            env: [("API_KEY", "a-key-for-tests"), ("ASKD_DATA_DIR", "/nowhere"), ("ASKD_QUEUE_LENGTH", queue)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            current_dir: "/".into(),
            ..Sources::default()
        };
        let loaded = Settings::load(&variables("1")).unwrap();
        let current = Arc::new(loaded.settings.clone());
        let (hung, hangs) = mpsc::channel::<()>();
        let calls = Mutex::new([(variables("2"), Some(hangs)), (variables("3"), None)].into_iter());
        let read = move |before: &Loaded, current: &Settings| {
            let (sources, hangs) = calls.lock().unwrap().next().unwrap();
            if let Some(hangs) = hangs {
                hangs.recv().unwrap_err();
            }
            before.reload(&sources, current)
        };
        let reloader =
            Arc::new(Reloader { read: Box::new(read), loaded: Mutex::new(loaded), set_filter: Box::new(|_| Ok(())) });
        assert_eq!(reloader.read(&SHORT, Arc::clone(&current)).await.unwrap_err(), Unfinished::Late);
        let next = reloader.read(&LONG, current).await.unwrap().unwrap();
        assert_eq!(next.loaded.settings.limits.queue_length, 3);
        drop(hung);
    }
}
