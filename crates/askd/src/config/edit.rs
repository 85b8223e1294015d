//! One change of one document, from condition to audit entry.
//!
//! The store hears of it before the disk does, so that whoever comes after a crash knows what was meant. What is on the disk
//! is read again at the last moment: an edit by hand in between is never overwritten unseen.

use std::sync::Arc;

use super::change::{Action, Author, ChangeId, Condition, Edit, Outcome, State, Written};
use super::document::{Content, Etag};
use super::error::ConfigError;
use super::files::write::{Applied, Step};
use super::files::{Links, OnDisk, Root};
use super::history::{self, NewChange, found_to_store, to_store};
use super::judge::{Case, edited};
use super::manager::{Config, Inner};
use super::name::DocumentId;
use super::problem::Problem;
use super::scope::Scope;
use crate::store::config::{ChangeRow, Record, Settle, StoredContent};

/// How often a document that others change at the same moment is tried.
const ATTEMPTS: usize = 10;

/// A document before its change, and what the store knows of it.
pub(super) struct Look {
    pub(super) found: Option<OnDisk>,
    pub(super) content: Option<Content>,
    /// The last change that may have been made.
    pub(super) newest: Option<ChangeRow>,
}

/// What is to be stored before a change.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) changes: Vec<ChangeRow>,
    pub(super) contents: Vec<StoredContent>,
}

/// How one attempt went.
enum Attempt {
    Written(Written),
    Changed,
}

impl Look {
    pub(super) fn etag(&self) -> Option<Etag> {
        self.found.as_ref().map(|found| found.etag)
    }

    /// Whether the disk has something else than the last change has left; or, while another server is at it, may leave.
    fn is_news(&self) -> bool {
        let found = self.etag().map(|etag| etag.to_string());
        match &self.newest {
            None => found.is_some(),
            Some(row) if row.state == State::Pending.as_str() => found != row.after && found != row.before,
            Some(row) => found != row.after,
        }
    }
}

impl Config {
    /// Changes one document when the scope's turn comes. `action` is what the history says; by itself it says what became
    /// of the document.
    pub(super) async fn edit_in_turn(
        &self,
        scope: &Scope,
        id: &DocumentId,
        edit: Edit,
        action: Option<Action>,
        condition: &Condition,
        by: &Author,
    ) -> Result<Written, ConfigError> {
        let _turn = self.turn(scope).await?;
        self.settle_scope(scope).await?;
        for _ in 0..ATTEMPTS {
            match self.attempt(scope, id, edit.clone(), action, condition, by).await? {
                Attempt::Written(written) => return Ok(written),
                Attempt::Changed => {}
            }
        }
        Err(ConfigError::Conflict("the document is being changed on the disk all the time; try again later".to_owned()))
    }

    async fn attempt(
        &self,
        scope: &Scope,
        id: &DocumentId,
        edit: Edit,
        action: Option<Action>,
        condition: &Condition,
        by: &Author,
    ) -> Result<Attempt, ConfigError> {
        let look = self.look(scope, id).await?;
        let mut entries = Entries::default();
        self.note(scope, id, &look, &mut entries).await?;
        let current = look.etag();
        if !condition.holds(current) {
            self.store_noted(entries).await?;
            return Err(ConfigError::Precondition { current });
        }
        if edit == Edit::Remove && current.is_none() {
            self.store_noted(entries).await?;
            return Err(ConfigError::NotFound);
        }
        let new = edited(id, look.content.as_ref(), edit)?;
        let after = new.as_ref().map(Content::etag);
        let warnings = self.judge(scope, id, &look, new.clone(), by).await?;
        if let Some(etag) = after.filter(|_| after == current) {
            self.store_noted(entries).await?;
            return Ok(Attempt::Written(Written { outcome: Outcome::Unchanged(etag), warnings, change: None }));
        }
        let change = self.new_id();
        let step =
            Step { change, id: id.clone(), before: current, mode: look.found.map(|found| found.mode), after: new };
        let action = action.unwrap_or(action_of(current, after));
        self.intend(scope, std::slice::from_ref(&step), action, by, &mut entries, None).await?;
        if self.carry_out(scope, entries, vec![step]).await? == Applied::Changed {
            return Ok(Attempt::Changed);
        }
        let outcome = match (current, after) {
            (_, None) => Outcome::Removed,
            (None, Some(etag)) => Outcome::Created(etag),
            (Some(_), Some(etag)) => Outcome::Updated(etag),
        };
        Ok(Attempt::Written(Written { outcome, warnings, change: Some(change) }))
    }

    /// What is on the disk and what the store knows of it.
    pub(super) async fn look(&self, scope: &Scope, id: &DocumentId) -> Result<Look, ConfigError> {
        let (kind, name) = (id.kind().as_str(), history::name_text(id));
        let store = &self.inner.parts.store;
        // First: what does not answer must not be found out later.
        let newest = store.newest_config_change(&history::workspace_text(scope), kind, &name).await?;
        let wanted = id.clone();
        let found = self.reading(scope, move |_, root| root.read(&wanted, Links::Refuse)).await?;
        let content = found.as_ref().and_then(OnDisk::content);
        Ok(Look { found, content, newest })
    }

    /// Adds what somebody has done on the disk.
    pub(super) async fn note(
        &self,
        scope: &Scope,
        id: &DocumentId,
        look: &Look,
        entries: &mut Entries,
    ) -> Result<(), ConfigError> {
        if !look.is_news() || self.is_explained(scope, id, look.etag()).await? {
            return Ok(());
        }
        let before = look.newest.as_ref().and_then(|row| Etag::parse(row.after.as_deref()?));
        entries.changes.push(self.outside(scope, id, before, look.etag()));
        if let Some(found) = &look.found {
            entries.contents.extend(found_to_store(found)?);
        }
        Ok(())
    }

    /// Whether a server has made what is on the disk, or is at it: asked after the disk was read, and an intent is stored
    /// before its change is made.
    async fn is_explained(&self, scope: &Scope, id: &DocumentId, found: Option<Etag>) -> Result<bool, ConfigError> {
        let (workspace, name) = (history::workspace_text(scope), history::name_text(id));
        let store = &self.inner.parts.store;
        let found = found.map(|etag| etag.to_string());
        for row in store.recent_config_changes(&workspace, id.kind().as_str(), &name).await? {
            let is_pending = row.state == State::Pending.as_str();
            if row.after == found || (is_pending && row.before == found) {
                return Ok(true);
            }
            // What comes before the last that was made is over.
            if !is_pending {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// An entry of the history for what happened on the disk.
    pub(super) fn outside(
        &self,
        scope: &Scope,
        document: &DocumentId,
        before: Option<Etag>,
        after: Option<Etag>,
    ) -> ChangeRow {
        let parts = &self.inner.parts;
        let new = NewChange {
            id: self.new_id(),
            owner: &parts.owner,
            batch: None,
            scope,
            document,
            action: Action::Outside,
            state: State::Done,
            before,
            after,
            by: None,
            at: parts.ambient.now(),
        };
        new.row()
    }

    /// Stores what was noted, if anything was.
    pub(super) async fn store_noted(&self, entries: Entries) -> Result<(), ConfigError> {
        if entries.changes.is_empty() {
            return Ok(());
        }
        self.record(entries).await
    }

    async fn record(&self, entries: Entries) -> Result<(), ConfigError> {
        let parts = &self.inner.parts;
        let Entries { changes, contents } = entries;
        parts.store.write(Record { changes, contents, now: parts.ambient.now().as_millisecond() }).await?;
        Ok(())
    }

    async fn judge(
        &self,
        scope: &Scope,
        id: &DocumentId,
        look: &Look,
        new: Option<Content>,
        by: &Author,
    ) -> Result<Vec<Problem>, ConfigError> {
        let (scope_, id, by) = (scope.clone(), id.clone(), by.clone());
        let (has_old, old) = (look.found.is_some(), look.content.clone());
        let (old_size, grows_from) = (look.found.as_ref().map_or(0, |found| found.size() as u64), has_old);
        self.writing(scope, move |inner, root| {
            let limits = inner.parts.limits;
            let case = Case { scope: &scope_, id: &id, by: &by, limits: &limits, secrets: &inner.secrets };
            let warnings = case.judge(has_old, old.as_ref(), new.as_ref())?;
            if let Some(new) = &new
                && (!grows_from || new.size() as u64 > old_size)
            {
                check_whole(inner, root, !grows_from, (new.size() as u64).saturating_sub(old_size))?;
            }
            Ok(warnings)
        })
        .await
    }

    /// Adds the intended changes with what they will leave.
    pub(super) async fn intend(
        &self,
        scope: &Scope,
        steps: &[Step],
        action: Action,
        by: &Author,
        entries: &mut Entries,
        batch: Option<ChangeId>,
    ) -> Result<(), ConfigError> {
        let parts = &self.inner.parts;
        let contents: Vec<_> = steps.iter().filter_map(|step| step.after.clone()).collect();
        let compress = move |_: &Inner, _: &Root| {
            contents.iter().map(to_store).collect::<Result<Vec<_>, _>>().map(|stored| stored.concat())
        };
        entries.contents.extend(self.writing(scope, compress).await?);
        entries.contents.sort_by(|one, other| one.hash.cmp(&other.hash));
        entries.contents.dedup_by(|one, other| one.hash == other.hash);
        for step in steps {
            let new = NewChange {
                id: step.change,
                owner: &parts.owner,
                batch,
                scope,
                document: &step.id,
                action,
                state: State::Pending,
                before: step.before,
                after: step.after.as_ref().map(Content::etag),
                by: Some(by),
                at: parts.ambient.now(),
            };
            entries.changes.push(new.row());
        }
        Ok(())
    }

    /// Stores the intent, changes the disk, and says in the store what became of it.
    pub(super) async fn carry_out(
        &self,
        scope: &Scope,
        entries: Entries,
        steps: Vec<Step>,
    ) -> Result<Applied, ConfigError> {
        let changes: Vec<_> = steps.iter().map(|step| step.change).collect();
        let ids: Vec<_> = changes.iter().map(ToString::to_string).collect();
        let in_flight = self.in_flight(changes);
        self.record(entries).await?;
        let (there, steps) = (scope.clone(), Arc::new(steps));
        let applied = self.writing(scope, move |inner, root| root.apply(&steps, || inner.alone(&there))).await;
        drop(in_flight);
        let store = &self.inner.parts.store;
        match applied {
            Ok(Applied::Done) => {
                let settled = store.write(Settle { ids, state: State::Done.as_str() }).await;
                settled.map_err(|error| {
                    tracing::warn!(%error, "a change of the configuration is in force and not yet noted as done");
                    ConfigError::Unnoted(error)
                })?;
                Ok(Applied::Done)
            }
            Ok(Applied::Changed) => {
                store.write(Settle { ids, state: State::Abandoned.as_str() }).await?;
                Ok(Applied::Changed)
            }
            Err(error) => {
                // By what is on the disk; if not now, then before the next change.
                if let Err(error) = self.settle_scope(scope).await {
                    tracing::debug!(%error, "what became of a change is found out later");
                }
                Err(error)
            }
        }
    }
}

/// What the history says of a change that says nothing else.
fn action_of(before: Option<Etag>, after: Option<Etag>) -> Action {
    match (before, after) {
        (None, _) => Action::Created,
        (Some(_), Some(_)) => Action::Updated,
        (Some(_), None) => Action::Removed,
    }
}

/// The bounds of the scope as a whole.
fn check_whole(inner: &Inner, root: &Root, is_new: bool, more: u64) -> Result<(), ConfigError> {
    let limits = &inner.parts.limits;
    let measure = root.measure(limits.documents)?;
    if is_new && measure.documents >= limits.documents {
        return Err(ConfigError::TooMany(limits.documents));
    }
    if measure.bytes + more > limits.total_bytes {
        let most = limits.total_bytes;
        return Err(ConfigError::TooLarge {
            what: "the whole configuration (ASKD_MAX_CONFIG)".to_owned(),
            most,
            unit: "bytes",
        });
    }
    Ok(())
}
