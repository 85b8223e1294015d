//! Who did what, kept where nobody changes it: made and revoked keys, ended runs, refused requests. Changes of the
//! configuration have a history of their own (`config::history`); a list shows both.
//!
//! What changes a key stores the word of it in the same commit ([`Audit::entry`]). What is done to a run is recorded beside
//! it. Refused requests are recorded in the background, a bounded number of them in a minute: whoever is refused a
//! million times must not fill the store, nor hide what somebody else tried.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use crate::ambient::Ambient;
use crate::store::audit::{AuditFilter, AuditRow, Insert};
use crate::store::{Store, StoreError};

mod minute;

use minute::{Minute, Place};

/// The longest subject, in characters.
const MAX_SUBJECT: usize = 300;

/// Who asked for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The id of its key; `None`: it has shown none that counts.
    pub key_id: Option<String>,
    /// From where, as far as it is known.
    pub address: Option<IpAddr>,
    /// In which request.
    pub request_id: String,
}

/// What is recorded. The words are an interface; that of the configuration is
/// [`CONFIG_CHANGED`](crate::store::audit::CONFIG_CHANGED).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A key was made.
    KeyCreated,
    /// A key's name, scopes, policy or end was changed.
    KeyUpdated,
    /// A key was given a new secret.
    KeyRotated,
    /// A key was revoked.
    KeyRevoked,
    /// The runs of a key that was revoked were ended with it.
    KeyRunsEnded,
    /// A run was cancelled.
    RunCancelled,
    /// A run's agent was interrupted.
    RunInterrupted,
    /// A run of another key was given a further message.
    RunInput,
    /// The operator had the settings read again.
    SettingsReloaded,
    /// A request was refused that a key may not make.
    RequestRefused,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::KeyCreated,
        Self::KeyUpdated,
        Self::KeyRotated,
        Self::KeyRevoked,
        Self::KeyRunsEnded,
        Self::RunCancelled,
        Self::RunInterrupted,
        Self::RunInput,
        Self::SettingsReloaded,
        Self::RequestRefused,
    ];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyCreated => "key.created",
            Self::KeyUpdated => "key.updated",
            Self::KeyRotated => "key.rotated",
            Self::KeyRevoked => "key.revoked",
            Self::KeyRunsEnded => "key.runs_ended",
            Self::RunCancelled => "run.cancelled",
            Self::RunInterrupted => "run.interrupted",
            Self::RunInput => "run.input",
            Self::SettingsReloaded => "settings.reloaded",
            Self::RequestRefused => "request.refused",
        }
    }

    /// Whether it happened: `done`, or `denied`.
    pub fn outcome(self) -> &'static str {
        if self == Self::RequestRefused { "denied" } else { "done" }
    }
}

/// What was done, or was refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What.
    pub action: Action,
    /// To what: the id of a key or of a run, a route.
    pub subject: Option<String>,
    /// More about it: an object, without secrets.
    pub detail: Value,
}

/// Among whose refusals one counts: so that nobody's flood hides those of others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whose {
    /// Of all who have shown nothing that was ever right.
    Strangers,
    /// Of all who have shown a wrong stream token.
    StreamTokens,
    /// Of a key that counts, by its id.
    Key(String),
    /// Of a key that was revoked or has expired: the right secret was shown.
    Ended(String),
}

/// Keeps what was done. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Audit {
    store: Store,
    ambient: Ambient,
    refusals: Arc<Mutex<Minute>>,
    tasks: TaskTracker,
}

impl Audit {
    /// Over a store.
    pub fn new(store: Store, ambient: Ambient) -> Self {
        Self { store, ambient, refusals: Arc::default(), tasks: TaskTracker::new() }
    }

    /// The row of an event that happens now, for those who store it in a commit of their own.
    pub fn entry(&self, actor: &Actor, event: Event) -> AuditRow {
        AuditRow {
            id: format!("aud_{}", self.ambient.ordered_uuid()),
            created_at: self.ambient.now().as_millisecond(),
            key_id: actor.key_id.clone(),
            address: actor.address.map(|address| address.to_string()),
            request_id: Some(actor.request_id.clone()),
            action: event.action.as_str().to_owned(),
            subject: event.subject.map(|subject| storable(&subject)),
            outcome: event.action.outcome().to_owned(),
            detail: event.detail.to_string(),
        }
    }

    /// Stores an event.
    pub async fn record(&self, actor: &Actor, event: Event) -> Result<(), StoreError> {
        self.store.write(Insert(self.entry(actor, event))).await
    }

    /// Stores what was done at the server itself, without a request.
    pub async fn record_here(&self, event: Event) -> Result<(), StoreError> {
        let actor = Actor { key_id: None, address: None, request_id: String::new() };
        self.store.write(Insert(AuditRow { request_id: None, ..self.entry(&actor, event) })).await
    }

    /// Stores an event in the background: a request that was refused has its answer already. Of more than 20 in a minute with
    /// one key, or 200 with all of them, the rest is only counted, and a row of its own says how many they were.
    pub fn refused(&self, actor: &Actor, event: Event) {
        self.refused_to(actor.key_id.clone().map_or(Whose::Strangers, Whose::Key), actor, event);
    }

    /// The same, counted among the refusals of `whose`: an actor who was not let in has no key.
    pub fn refused_to(&self, whose: Whose, actor: &Actor, event: Event) {
        let minute = self.this_minute();
        let (place, counts) = self.refusals().enter(minute, whose);
        let left_out = counts.into_iter().map(|count| self.left_out(count));
        let rows: Vec<_> = match place {
            Place::Row => left_out.chain([self.entry(actor, event)]).collect(),
            Place::Count => left_out.collect(),
        };
        self.store_behind(rows);
    }

    /// Stores an event as [`Self::refused`] does, if it `counts`. How long this takes does not tell whether it did: a refusal
    /// whose very reason is a secret is stored so.
    pub fn perhaps_refused(&self, counts: bool, actor: Actor, event: Event) {
        let audit = self.clone();
        self.tasks.spawn(async move {
            if counts {
                audit.refused(&actor, event);
            }
        });
    }

    /// Stores how many refusals of minutes that are over were only counted, and waits for what is being stored. `all`:
    /// also those of this minute, for the server ends.
    pub async fn settle(&self, all: bool) {
        let minute = self.this_minute();
        let counts = { if all { self.refusals().end() } else { self.refusals().roll(minute) } };
        self.store_behind(counts.into_iter().map(|count| self.left_out(count)).collect());
        if all {
            self.tasks.close();
            self.tasks.wait().await;
        }
    }

    /// A page of what was done, the newest first.
    pub async fn list(&self, filter: &AuditFilter) -> Result<Vec<AuditRow>, StoreError> {
        self.store.audit(filter).await
    }

    fn store_behind(&self, rows: Vec<AuditRow>) {
        if rows.is_empty() {
            return;
        }
        let store = self.store.clone();
        self.tasks.spawn(async move {
            for row in rows {
                // No patience: while the store does not work, the next refusal would wait behind this one.
                if let Err(error) = store.write(Insert(row)).await {
                    tracing::warn!(%error, "a refused request could not be written to the audit");
                }
            }
        });
    }

    fn left_out(&self, (whose, left_out): (Whose, u64)) -> AuditRow {
        let (key_id, detail) = match whose {
            Whose::Key(id) => (Some(id), json!({"left_out": left_out})),
            Whose::Ended(id) => (Some(id.clone()), json!({"left_out": left_out, "key": id})),
            Whose::StreamTokens => (None, json!({"left_out": left_out, "shown": "a stream token"})),
            Whose::Strangers => (None, json!({"left_out": left_out})),
        };
        let actor = Actor { key_id, address: None, request_id: String::new() };
        let row = self.entry(&actor, Event { action: Action::RequestRefused, subject: None, detail });
        AuditRow { request_id: None, ..row }
    }

    fn this_minute(&self) -> i64 {
        self.ambient.now().as_second() / 60
    }

    fn refusals(&self) -> MutexGuard<'_, Minute> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A subject may be what a stranger sent. PostgreSQL keeps no zero bytes, and nobody needs more of it.
fn storable(subject: &str) -> String {
    subject.chars().take(MAX_SUBJECT).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
