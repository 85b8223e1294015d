//! SIGHUP: the settings and the certificates of a server at work are read once more.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::certificates::{Asked, Looks};
use super::systemd::Systemd;
use crate::app::App;
use crate::audit::{Action, Event};
use crate::http_server::LongestRun;
use crate::http_server::tls::Certificates;
use crate::settings::{Loaded, Reloaded, Settings, SettingsErrors, Sources};
use crate::store::tokens::ForgetOf;

/// Puts another filter of log lines in place; the text says why it could not.
pub type SetFilter = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Where the settings came from, and what they were.
pub struct Reloader {
    sources: Sources,
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
        Self { sources, loaded: Mutex::new(loaded), set_filter }
    }

    /// It blocks.
    fn read(&self, current: &Settings) -> Result<Reloaded, SettingsErrors> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let reloaded = loaded.reload(&self.sources, current)?;
        *loaded = reloaded.loaded.clone();
        Ok(reloaded)
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
        let there = Arc::clone(&current);
        let read = spawn_blocking(move || {
            let read = reloader.read(&there);
            (reloader, read)
        });
        let (source, outcome) = match read.await {
            Ok(both) => both,
            Err(error) => {
                tracing::error!(%error, "SIGHUP: the settings could not be read");
                return false;
            }
        };
        let Reloaded { loaded, applied, needs_restart, unreadable } = match outcome {
            Ok(new) => new,
            Err(errors) => {
                for problem in errors.problems() {
                    tracing::error!("SIGHUP: {}", problem.to_string().replace("\n  hint:", "; hint:"));
                }
                tracing::error!("SIGHUP: the settings are not valid; nothing was changed");
                self.count("invalid");
                self.note(&json!({"result": "invalid", "problems": errors.problems().len()})).await;
                return false;
            }
        };
        self.apply(&current, loaded.settings, &source).await;
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
