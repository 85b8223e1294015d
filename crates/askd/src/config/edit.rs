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
use super::judge::Case;
use super::manager::{Config, Inner};
use super::name::DocumentId;
use super::problem::Problem;
use super::read::of_hooks;
use super::scope::Scope;
use super::twins;
use super::wanted::{Made, Wanted};
use crate::store::config::{ChangeRow, Record, Settle, StoredContent};

/// How often a document that others change at the same moment is tried.
const ATTEMPTS: usize = 10;

/// A document before its change, and what the store knows of it.
pub(super) struct Look {
    pub(super) found: Option<Arc<OnDisk>>,
    /// The last change that may have been made.
    pub(super) newest: Option<Newest>,
}

/// What the last change may have left.
pub(super) struct Newest {
    is_pending: bool,
    before: Option<Etag>,
    after: Option<Etag>,
}

impl Newest {
    pub(super) fn of(row: &ChangeRow) -> Self {
        let etag = |text: &Option<String>| text.as_deref().and_then(Etag::parse);
        let is_pending = State::parse(&row.state) == Some(State::Pending);
        Self { is_pending, before: etag(&row.before), after: etag(&row.after) }
    }

    /// Whether it explains what is there: it left that or, while a server is at it, has found that.
    fn explains(&self, found: Option<Etag>) -> bool {
        self.after == found || (self.is_pending && self.before == found)
    }
}

/// What is to be stored before a change.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) changes: Vec<ChangeRow>,
    pub(super) contents: Vec<StoredContent>,
    /// Contents that were found. They are compressed when they are stored.
    pub(super) found: Vec<Arc<OnDisk>>,
}

/// One change of one document, as its caller wants it.
pub(super) struct Order {
    pub(super) id: DocumentId,
    pub(super) wanted: Wanted,
    /// What the history says; by itself it says what became of the document.
    pub(super) action: Option<Action>,
    pub(super) condition: Condition,
    pub(super) by: Author,
}

/// How one attempt went.
enum Attempt {
    Written(Written),
    Changed,
}

/// A change that may be made.
struct Judged {
    made: Made,
    after: Option<Etag>,
    warnings: Vec<Problem>,
    /// For the store; nothing if the content stays what it is.
    contents: Vec<StoredContent>,
}

impl Look {
    pub(super) fn etag(&self) -> Option<Etag> {
        self.found.as_ref().map(|found| found.etag)
    }

    /// Whether the disk has something else than the last change has left; or, while another server is at it, may leave.
    fn is_news(&self) -> bool {
        match &self.newest {
            None => self.found.is_some(),
            Some(newest) => !newest.explains(self.etag()),
        }
    }
}

impl Config {
    /// Changes one document when the scope's turn comes.
    pub(super) async fn edit_in_turn(&self, scope: &Scope, order: Order) -> Result<Written, ConfigError> {
        let _turn = self.turn(scope).await?;
        self.settle_scope(scope).await?;
        let order = Arc::new(order);
        for _ in 0..ATTEMPTS {
            match self.attempt(scope, &order).await? {
                Attempt::Written(written) => return Ok(written),
                Attempt::Changed => {}
            }
        }
        Err(ConfigError::Conflict("the document is being changed on the disk all the time; try again later".to_owned()))
    }

    async fn attempt(&self, scope: &Scope, order: &Arc<Order>) -> Result<Attempt, ConfigError> {
        let id = &order.id;
        let look = self.look(scope, id).await?;
        let mut entries = Entries::default();
        self.note(scope, id, &look, &mut entries).await?;
        let current = look.etag();
        let judged = match order.refusal(current) {
            Some(refusal) => Err(refusal),
            None => self.judge(scope, order, &look).await,
        };
        let Judged { made, after, warnings, contents } = match judged {
            Ok(judged) => judged,
            // What was found is noted, so that the caller finds it in the history.
            Err(error @ (ConfigError::Precondition { .. } | ConfigError::NotFound)) => {
                self.store_noted(entries).await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        let Made { content, part } = made;
        if let Some(etag) = after.filter(|_| after == current) {
            self.store_noted(entries).await?;
            return Ok(Attempt::Written(Written { outcome: Outcome::Unchanged(etag), part, warnings, change: None }));
        }
        let (change, mode) = (self.new_id(), look.found.map(|found| found.mode));
        let step = Step { change, id: id.clone(), before: current, mode, after: content };
        entries.contents.extend(contents);
        let action = order.action.unwrap_or(action_of(current, after));
        entries.changes.push(self.intent(scope, &step, after, action, &order.by, None));
        if self.carry_out(scope, entries, vec![step]).await? == Applied::Changed {
            return Ok(Attempt::Changed);
        }
        let outcome = match (current, after) {
            (_, None) => Outcome::Removed,
            (None, Some(etag)) => Outcome::Created(etag),
            (Some(_), Some(etag)) => Outcome::Updated(etag),
        };
        Ok(Attempt::Written(Written { outcome, part, warnings, change: Some(change) }))
    }

    /// Says whether an edit of this caller would be taken as things are now, and changes nothing.
    pub async fn try_edit(&self, scope: &Scope, id: &DocumentId, edit: Edit, by: &Author) -> Result<(), ConfigError> {
        let (id, wanted, by) = (id.clone(), edit.into(), by.clone());
        let order = Arc::new(Order { id, wanted, action: None, condition: Condition::None, by });
        let look = self.look(scope, &order.id).await?;
        self.judge(scope, &order, &look).await.map(|_| ())
    }

    /// What is on the disk and what the store knows of it.
    pub(super) async fn look(&self, scope: &Scope, id: &DocumentId) -> Result<Look, ConfigError> {
        let (kind, name) = (id.kind().as_str(), history::name_text(id));
        let store = &self.inner.parts.store;
        // First: what does not answer must not be found out later.
        let newest = store.newest_config_change(&history::workspace_text(scope), kind, &name).await?;
        let wanted = id.clone();
        let found = self.reading(scope, move |_, root| root.read(&wanted, Links::Refuse)).await?;
        Ok(Look { found: found.map(Arc::new), newest: newest.as_ref().map(Newest::of) })
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
        let before = look.newest.as_ref().and_then(|newest| newest.after);
        entries.changes.push(self.outside(scope, id, before, look.etag()));
        entries.found.extend(look.found.clone());
        Ok(())
    }

    /// Whether a server has made what is on the disk, or is at it: asked after the disk was read, and an intent is stored
    /// before its change is made.
    pub(super) async fn is_explained(
        &self,
        scope: &Scope,
        id: &DocumentId,
        found: Option<Etag>,
    ) -> Result<bool, ConfigError> {
        let (workspace, name) = (history::workspace_text(scope), history::name_text(id));
        let store = &self.inner.parts.store;
        let rows = store.recent_config_changes(&workspace, id.kind().as_str(), &name).await?;
        let recent: Vec<_> = rows.iter().map(Newest::of).collect();
        // What comes before the last that was made is over.
        let last = recent.iter().position(|change| !change.is_pending).map_or(recent.len(), |last| last + 1);
        Ok(recent[..last].iter().any(|change| change.explains(found)))
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
        let actions = actions(&entries);
        self.record(entries).await?;
        self.count(actions);
        Ok(())
    }

    /// Counts changes that are in force.
    fn count(&self, actions: Vec<String>) {
        let metrics = self.inner.parts.store.metrics();
        for action in actions {
            metrics.config_changes.of([action]).inc();
        }
    }

    async fn record(&self, entries: Entries) -> Result<(), ConfigError> {
        let parts = &self.inner.parts;
        let Entries { changes, mut contents, found } = entries;
        if !found.is_empty() {
            let compress = move || found.iter().map(|found| found_to_store(found)).collect::<Result<Vec<_>, _>>();
            contents.extend(self.aside(compress).await?.concat());
        }
        contents.sort_by(|one, other| one.hash.cmp(&other.hash));
        contents.dedup_by(|one, other| one.hash == other.hash);
        parts.store.write(Record { changes, contents, now: parts.ambient.now().as_millisecond() }).await?;
        Ok(())
    }

    /// Applies the edit to what was found, and says whether that may be put.
    async fn judge(&self, scope: &Scope, order: &Arc<Order>, look: &Look) -> Result<Judged, ConfigError> {
        let (there, order, found) = (scope.clone(), Arc::clone(order), look.found.clone());
        self.judging(scope, move |inner, root| order.judge(inner, root, &there, found.as_deref())).await
    }

    /// An intended change, for the store.
    pub(super) fn intent(
        &self,
        scope: &Scope,
        step: &Step,
        after: Option<Etag>,
        action: Action,
        by: &Author,
        batch: Option<ChangeId>,
    ) -> ChangeRow {
        let parts = &self.inner.parts;
        let new = NewChange {
            id: step.change,
            owner: &parts.owner,
            batch,
            scope,
            document: &step.id,
            action,
            state: State::Pending,
            before: step.before,
            after,
            by: Some(by),
            at: parts.ambient.now(),
        };
        new.row()
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
        let actions: Vec<_> = entries.changes.iter().map(|change| change.action.clone()).collect();
        self.record(entries).await?;
        let there = scope.clone();
        let applied = self.writing(scope, move |inner, root| {
            let applied = root.apply(&steps, || inner.alone(&there));
            #[cfg(test)]
            let applied = inner.spoilt(applied);
            // Not earlier: nobody may settle what this thread still works on, should all others have given up on it.
            drop(in_flight);
            applied
        });
        let applied = applied.await;
        let store = &self.inner.parts.store;
        match applied {
            Ok(Applied::Done) => {
                self.count(actions);
                let settled = store.write(Settle { ids, state: State::Done.as_str() }).await;
                settled.map_err(|error| {
                    tracing::warn!(%error, "a change of the configuration is in force and not yet noted as done");
                    let when = "the history will have it after the next change, or the next start";
                    ConfigError::Unnoted(format!("{error}: {when}"))
                })?;
                Ok(Applied::Done)
            }
            Ok(Applied::Changed) => {
                store.write(Settle { ids, state: State::Abandoned.as_str() }).await?;
                Ok(Applied::Changed)
            }
            Err(error) => Err(self.what_became(scope, &ids, error).await),
        }
    }

    /// After an error: whether the change is on the disk all the same.
    async fn what_became(&self, scope: &Scope, ids: &[String], error: ConfigError) -> ConfigError {
        // By what is on the disk; if not now, then before the next change.
        if let Err(error) = self.settle_scope(scope).await {
            tracing::debug!(%error, "what became of a change is found out later");
        }
        let (mut done, mut unknown) = (0, false);
        for id in ids {
            let row = self.inner.parts.store.config_change(id).await.ok().flatten();
            match row.and_then(|row| State::parse(&row.state)) {
                Some(State::Done) => done += 1,
                Some(State::Abandoned) => {}
                Some(State::Pending) | None => unknown = true,
            }
        }
        if unknown {
            tracing::error!(%error, "what becomes of a change of the configuration is not known yet");
            let text = "the disk or the store does not answer, and the change may still be made; \
                read the configuration before you try again";
            return ConfigError::Io(text.to_owned());
        }
        if done == 0 {
            return error;
        }
        tracing::error!(%error, done, of = ids.len(), "a change of the configuration is in force after an error");
        let part = if done == ids.len() { "" } else { "only a part of it, and " };
        ConfigError::Unnoted(format!("{part}something failed while it was made; the server's log says what"))
    }
}

impl Order {
    /// Why it is refused before anything is made of it.
    fn refusal(&self, current: Option<Etag>) -> Option<ConfigError> {
        if !self.condition.holds(current) {
            return Some(ConfigError::Precondition { current, condition: self.condition.clone() });
        }
        (matches!(self.wanted, Wanted::Gone) && current.is_none()).then_some(ConfigError::NotFound)
    }

    /// Makes and judges the new content, and compresses it for the store. Blocking.
    fn judge(&self, inner: &Inner, root: &Root, scope: &Scope, found: Option<&OnDisk>) -> Result<Judged, ConfigError> {
        let limits = inner.parts.limits;
        let made = self.wanted.made(&self.id, found)?;
        let new = made.content.as_deref();
        let secrets = inner.secrets();
        let case = Case { scope, id: &self.id, by: &self.by, limits: &limits, secrets: &secrets };
        let old = found.and_then(OnDisk::content);
        let mut warnings = case.judge(found.is_some(), old.as_ref(), new)?;
        warnings.extend(new.and_then(|_| twins::hidden_command(root, &self.id)));
        warnings.extend(new.into_iter().flat_map(|new| of_hooks(root, &self.id, new)));
        let after = new.map(Content::etag);
        let is_same = after.is_some() && after == found.map(|found| found.etag);
        let mut contents = Vec::new();
        if let Some(new) = new.filter(|_| !is_same) {
            twins::refuse(root, &self.id, new, limits.documents)?;
            let (size, old_size) = (new.size() as u64, found.map_or(0, |found| found.size() as u64));
            if found.is_none() || size > old_size {
                check_whole(inner, root, found.is_none(), size.saturating_sub(old_size))?;
            }
            contents = to_store(new)?;
        }
        Ok(Judged { made, after, warnings, contents })
    }
}

/// What the history says of them, for metrics.
fn actions(entries: &Entries) -> Vec<String> {
    entries.changes.iter().map(|change| change.action.clone()).collect()
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
