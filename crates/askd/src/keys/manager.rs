//! Makes, finds, changes and revokes keys.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::change::{ChangeError, KeyPatch, Made, NewKey, RunsOfRevoked};
use super::compare::Secrets;
use super::entry::Entry;
use super::row;
use super::token::Token;
use super::uses::Uses;
use super::{Invalid, Key, KeyId, Scope};
use crate::ambient::Ambient;
use crate::audit::{Action, Actor, Audit, Event};
use crate::hex::hex;
use crate::settings::InForce;
use crate::store::acting::By;
use crate::store::keys::{Changed, Create, KeyRow, NoteUses, Revoke, Rotate, Update};
use crate::store::writer::Operation;
use crate::store::{Store, StoreError};

/// As many keys as are kept, revoked ones included.
pub const MOST: u64 = 10_000;

/// Uses in one commit, so that no run waits long for it.
const USES: usize = 200;

/// All keys. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Keys {
    admin: Arc<ArcSwap<Key>>,
    store: Store,
    ambient: Ambient,
    audit: Audit,
    settings: InForce,
    uses: Arc<Uses>,
}

/// What a shown token is.
#[derive(Debug, Clone)]
pub enum Checked {
    /// A key that counts.
    Valid(Arc<Key>),
    /// The right secret of a key that counts no more.
    Invalid {
        /// Which one.
        id: KeyId,
        /// Why.
        why: Invalid,
    },
    /// No key's secret.
    Unknown,
}

impl Keys {
    /// Over a store. A policy names only models that requests may name on this server, and a budget by the day has room for
    /// a run and for one more call of the model.
    pub fn new(store: Store, ambient: Ambient, audit: Audit, settings: InForce) -> Self {
        let uses = Arc::new(Uses::default());
        Self { admin: Arc::new(ArcSwap::from_pointee(Key::admin())), store, ambient, audit, settings, uses }
    }

    /// `API_KEY`.
    pub fn admin(&self) -> Arc<Key> {
        self.admin.load_full()
    }

    /// `API_KEY` has another secret from now on, which the settings have already. What an earlier one has opened counts no
    /// more, see [`Self::is_replaced`].
    pub fn replace_admin(&self) {
        self.admin.store(Arc::new(Key::admin()));
    }

    /// Whether this is `API_KEY` as it was before its secret was [replaced](Self::replace_admin).
    pub fn is_replaced(&self, key: &Arc<Key>) -> bool {
        key.id.is_admin() && !Arc::ptr_eq(key, &self.admin())
    }

    /// What a token is that somebody shows. The store is asked for nothing that does not look like one. How long it takes
    /// says nothing of the secret, nor of how much of it is right.
    pub async fn check(&self, shown: &str) -> Result<Checked, StoreError> {
        let Some(token) = Token::parse(shown) else { return Ok(Checked::Unknown) };
        let found = self.store.key_with_secrets(token.key().as_str()).await?;
        let now = self.ambient.now();
        let kept = found.as_ref().map_or(&[][..], |(_, secrets)| secrets);
        let is_right = Secrets::of(kept, now.as_millisecond()).have(&token.hash());
        let Some((row, _)) = found.filter(|_| is_right) else { return Ok(Checked::Unknown) };
        let key = row::read_strictly(row)?;
        Ok(match key.invalid_at(now) {
            None => Checked::Valid(Arc::new(key)),
            Some(why) => Checked::Invalid { id: key.id, why },
        })
    }

    /// The key of an id, `admin` included; one that this server cannot read is an error. It may be one that counts no more: see [`Key::invalid_at`].
    pub async fn find(&self, id: &str) -> Result<Option<Arc<Key>>, StoreError> {
        match KeyId::parse(id) {
            None => Ok(None),
            Some(id) if id.is_admin() => Ok(Some(self.admin())),
            Some(id) => {
                let row = self.store.key(id.as_str()).await?;
                row.map(row::read_strictly).transpose().map(|key| key.map(Arc::new))
            }
        }
    }

    /// What is kept under an id, `admin` included, also if this server cannot read it: such a key holds up nobody else.
    pub async fn look(&self, id: &str) -> Result<Option<Entry>, StoreError> {
        match KeyId::parse(id) {
            None => Ok(None),
            Some(id) if id.is_admin() => Ok(Some(Entry::Key(self.admin()))),
            Some(id) => Ok(self.store.key(id.as_str()).await?.map(row::read)),
        }
    }

    /// A page of keys, the newest first; `admin` is not among them. `before` is the last one of the page before: its
    /// `created_at` in milliseconds, and its id.
    pub async fn list(&self, before: Option<(i64, String)>, limit: u64) -> Result<Vec<Entry>, StoreError> {
        Ok(self.store.keys(before, limit).await?.into_iter().map(row::read).collect())
    }

    /// Makes a key. Its token is in the answer, and nowhere else.
    pub async fn create(&self, new: NewKey, by: &Actor) -> Result<Made, ChangeError> {
        let now = self.now();
        row::check_name(&new.name)?;
        self.check_parts(Some(&new.scopes), Some(&new.policy), new.expires_at, now)?;
        let uuid = self.ambient.ordered_uuid();
        let token = Token::make(uuid, &self.ambient);
        let key = Key {
            id: KeyId::new(uuid),
            name: new.name,
            scopes: new.scopes,
            policy: new.policy,
            created_at: now,
            created_by: by.key_id.as_deref().and_then(KeyId::parse).unwrap_or_else(|| self.admin().id.clone()),
            expires_at: new.expires_at.map(row::to_the_millisecond),
            revoked_at: None,
            last_used: None,
            replaced_until: None,
        };
        let detail = json!({
            "name": key.name, "scopes": row::words(key.scopes), "policy": key.policy,
            "expires_at": key.expires_at.map(|at| at.to_string()),
        });
        let audit = self.entry(by, Action::KeyCreated, &key.id, detail);
        let create = Create { key: row::write(&key), hash: hex(&token.hash()), most: MOST, audit };
        if !self.change(by, create).await? {
            return Err(ChangeError::TooMany(MOST));
        }
        Ok(Made { key, token: token.reveal() })
    }

    /// Changes parts of a key. It counts from the next request on, also for one that has expired and now does not.
    pub async fn update(&self, id: &str, patch: KeyPatch, by: &Actor) -> Result<Key, ChangeError> {
        self.update_if(id, patch, None::<fn(&Key) -> bool>, by).await
    }

    /// The same, only if the key `is_meant` as it is now, and nobody else changes it at the same moment.
    pub async fn update_if(
        &self,
        id: &str,
        patch: KeyPatch,
        is_meant: Option<impl Fn(&Key) -> bool + Send>,
        by: &Actor,
    ) -> Result<Key, ChangeError> {
        let id = made_one(id)?;
        let seen = self.to_be_changed(&id).await?;
        if let (Some(is_meant), Some(row)) = (&is_meant, &seen)
            && !is_meant(&row::read_strictly(row.clone())?)
        {
            return Err(ChangeError::Changed);
        }
        if let Some(name) = &patch.name {
            row::check_name(name)?;
        }
        self.check_parts(patch.scopes.as_ref(), patch.policy.as_ref(), patch.expires_at.flatten(), self.now())?;
        let expires_at = patch.expires_at.map(|at| at.map(row::to_the_millisecond));
        let mut detail = Map::new();
        let mut note = |part: &str, value: Option<Value>| detail.extend(value.map(|value| (part.to_owned(), value)));
        note("name", patch.name.as_deref().map(Value::from));
        note("scopes", patch.scopes.map(|scopes| row::words(scopes).into()));
        note("policy", patch.policy.as_ref().map(|policy| json!(policy)));
        note("expires_at", expires_at.map(|at| json!(at.map(|at| at.to_string()))));
        let update = Update {
            id: id.to_string(),
            seen: seen.filter(|_| is_meant.is_some()),
            name: patch.name,
            scopes: patch.scopes.map(row::scopes_text),
            policy: patch.policy.as_ref().map(row::policy_text),
            expires_at: expires_at.map(|at| at.map(Timestamp::as_millisecond)),
            audit: self.entry(by, Action::KeyUpdated, &id, detail.into()),
        };
        changed(&id, self.change(by, update).await?)
    }

    /// Gives a key a new secret. The one that it replaces counts for `overlap` more, and none at all if that is zero; one
    /// that was replaced earlier counts no more, so that no key ever has three.
    pub async fn rotate(&self, id: &str, overlap: Duration, by: &Actor) -> Result<Made, ChangeError> {
        let id = made_one(id)?;
        self.to_be_changed(&id).await?;
        let now = self.now().as_millisecond();
        let token = Token::make(id.uuid().unwrap_or_default(), &self.ambient);
        let until = now.saturating_add(i64::try_from(overlap.as_millis()).unwrap_or(i64::MAX));
        let detail = json!({"overlap_seconds": overlap.as_secs()});
        let audit = self.entry(by, Action::KeyRotated, &id, detail);
        let rotate = Rotate { id: id.to_string(), hash: hex(&token.hash()), now, until, audit };
        let key = changed(&id, self.change(by, rotate).await?)?;
        Ok(Made { key, token: token.reveal() })
    }

    /// Revokes a key, at once and for good, also one that this server cannot read. One that was revoked before stays as it
    /// is. What is to become of its runs is only noted here.
    pub async fn revoke(&self, id: &str, runs: RunsOfRevoked, by: &Actor) -> Result<Entry, ChangeError> {
        let id = made_one(id)?;
        let audit = self.entry(by, Action::KeyRevoked, &id, json!({"runs": runs.as_str()}));
        let revoke = Revoke { id: id.to_string(), now: self.now().as_millisecond(), audit };
        let row = self.change(by, revoke).await?.ok_or_else(|| ChangeError::Unknown(id.to_string()))?;
        Ok(row::read(row))
    }

    /// Notes that a key is used now. [`Keys::keep_uses`] stores it.
    pub fn note_use(&self, id: &KeyId, address: Option<IpAddr>) {
        if !id.is_admin() {
            self.uses.note(id, self.now(), address);
        }
    }

    /// Stores when keys were last used. What the store does not take, or has not taken when this is dropped, is tried again
    /// with the next.
    pub async fn keep_uses(&self) {
        let mut uses = self.uses.take();
        while let Some(some) = uses.next(USES).map(<[_]>::to_vec) {
            let count = some.len();
            if let Err(error) = self.store.write(NoteUses(some)).await {
                tracing::warn!(%error, "cannot note when keys were last used");
                return;
            }
            uses.stored(count);
        }
    }

    /// The row of a key that is to be changed, if there is one. One that cannot be read stays as it is: its answer could not
    /// be given, and a secret that nobody is told is lost.
    async fn to_be_changed(&self, id: &KeyId) -> Result<Option<KeyRow>, ChangeError> {
        match self.store.key(id.as_str()).await? {
            Some(row) if row::read(row.clone()).key().is_none() => Err(ChangeError::Unreadable),
            row => Ok(row),
        }
    }

    /// Changes something in the store, if the key of whoever does it still counts then and may.
    async fn change<O: Operation>(&self, by: &Actor, operation: O) -> Result<O::Output, ChangeError> {
        match by.key_id.as_deref().filter(|id| *id != self.admin().id.as_str()) {
            // API_KEY, and whoever is at the server itself.
            None => Ok(self.store.write(operation).await?),
            Some(key) => {
                let (key, scope, now) = (key.to_owned(), Scope::Admin.as_str(), self.now().as_millisecond());
                self.store.write(By { key, scope, now, operation }).await?.ok_or(ChangeError::Actor)
            }
        }
    }

    fn check_parts(
        &self,
        scopes: Option<&super::Scopes>,
        policy: Option<&super::Policy>,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), ChangeError> {
        let invalid =
            |field: &str, message: &str| ChangeError::Invalid { field: field.into(), message: message.into() };
        if scopes.is_some_and(|scopes| scopes.is_empty()) {
            return Err(invalid("scopes", "must not be empty"));
        }
        let settings = self.settings.now();
        if let Some(Err((field, message))) =
            policy.map(|policy| policy.check(&settings.models, settings.limits.budget_margin))
        {
            return Err(ChangeError::Invalid { field, message });
        }
        if expires_at.is_some_and(|at| at <= now) {
            return Err(invalid("expires_at", "must be in the future"));
        }
        Ok(())
    }

    fn entry(&self, by: &Actor, action: Action, id: &KeyId, detail: Value) -> crate::store::audit::AuditRow {
        self.audit.entry(by, Event { action, subject: Some(id.to_string()), detail })
    }

    /// To the millisecond, as the store has it.
    fn now(&self) -> Timestamp {
        row::to_the_millisecond(self.ambient.now())
    }
}

/// The id of a key that can be changed.
fn made_one(id: &str) -> Result<KeyId, ChangeError> {
    match KeyId::parse(id) {
        None => Err(ChangeError::Unknown(id.to_owned())),
        Some(id) if id.is_admin() => Err(ChangeError::Admin),
        Some(id) => Ok(id),
    }
}

fn changed(id: &KeyId, changed: Changed) -> Result<Key, ChangeError> {
    match changed {
        Changed::Done(row) => Ok(row::read_strictly(*row)?),
        Changed::Revoked => Err(ChangeError::Revoked),
        Changed::Otherwise => Err(ChangeError::Changed),
        Changed::Unknown => Err(ChangeError::Unknown(id.to_string())),
    }
}
