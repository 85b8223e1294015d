//! What became of changes that nobody has said it of: their server died, or could not reach the store. The disk knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::change::{Change, ChangeId, State};
use super::document::Etag;
use super::edit::Entries;
use super::error::ConfigError;
use super::files::write::{Applied, Step};
use super::files::{Links, OnDisk, Root};
use super::history;
use super::in_flight::InFlight;
use super::manager::{Config, Inner};
use super::name::DocumentId;
use super::scope::Scope;
use crate::store::config::{ChangeRow, Settle};

/// A pending change of another server that is so old is nobody's any more: no change takes so long.
const FORSAKEN_MS: i64 = 10 * 60 * 1000;

/// How a change stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    /// The disk has what it leaves.
    Made,
    /// The disk has what was there before.
    NotMade,
    /// The disk has something else.
    Other,
    /// Something is in its place that is never changed, such as a link. Nobody will ever know better.
    Unknown,
}

/// A change and what was found of it.
struct Found {
    change: Change,
    stand: Stand,
    there: Option<Arc<OnDisk>>,
    /// What only the file beside it has.
    displaced: Option<Arc<OnDisk>>,
}

impl Config {
    /// Settles what an earlier server has left. For the start, before anybody is served.
    pub async fn settle(&self) -> Result<u64, ConfigError> {
        let mut settled = 0;
        let mut scopes: Vec<_> = self.pending().await?.into_iter().map(|(change, _)| change.scope).collect();
        scopes.sort();
        scopes.dedup();
        for scope in scopes {
            let _turn = self.turn(&scope).await?;
            settled += self.settle_scope(&scope).await?;
        }
        Ok(settled)
    }

    /// Settles what nobody works on, in the scope whose turn the caller has. Cheap when there is nothing.
    pub(super) async fn settle_scope(&self, scope: &Scope) -> Result<u64, ConfigError> {
        let mut groups: BTreeMap<String, Vec<Change>> = BTreeMap::new();
        for (change, row) in self.pending().await?.into_iter().filter(|(change, _)| change.scope == *scope) {
            groups.entry(row.batch.unwrap_or(row.id)).or_default().push(change);
        }
        let mut settled = 0;
        for changes in groups.into_values() {
            settled += changes.len() as u64;
            self.settle_together(scope, changes).await?;
        }
        Ok(settled)
    }

    /// Pending changes that no task of this process works on.
    async fn pending(&self) -> Result<Vec<(Change, ChangeRow)>, ConfigError> {
        let parts = &self.inner.parts;
        let forsaken = parts.ambient.now().as_millisecond() - FORSAKEN_MS;
        let rows = parts.store.pending_config_changes(&parts.owner, forsaken).await?;
        let in_flight = self.inner.in_flight.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let read = |row: ChangeRow| Some((history::change(&row)?, row));
        Ok(rows.into_iter().filter_map(read).filter(|(change, _)| !in_flight.contains(&change.id)).collect())
    }

    /// One change, or those of an import: if a part of it was made, the rest is made now.
    async fn settle_together(&self, scope: &Scope, changes: Vec<Change>) -> Result<(), ConfigError> {
        let in_flight = Arc::new(self.in_flight(changes.iter().map(|change| change.id).collect()));
        let mut entries = Entries::default();
        let found = self.stands(scope, changes, &in_flight).await?;
        let is_begun = found.iter().any(|found| found.stand == Stand::Made);
        let (mut done, mut abandoned, mut steps, mut beside) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for Found { change, stand, there, displaced } in found {
            let (id, etag) = (&change.document, there.as_ref().map(|found| found.etag));
            if let Some(displaced) = displaced {
                beside.push((change.id, id.clone()));
                entries.changes.push(self.outside(scope, id, change.before, Some(displaced.etag)));
                entries.found.push(displaced);
            }
            match stand {
                Stand::Made => done.push(change.id),
                Stand::NotMade if is_begun => match self.step(&change, there.as_deref()).await? {
                    Some(step) => steps.push(step),
                    None => abandoned.push(change.id),
                },
                Stand::NotMade | Stand::Unknown => abandoned.push(change.id),
                Stand::Other => {
                    abandoned.push(change.id);
                    if !self.is_explained(scope, id, etag).await? {
                        entries.changes.push(self.outside(scope, id, change.before, etag));
                        entries.found.extend(there);
                    }
                }
            }
        }
        if !steps.is_empty() {
            let made: Vec<_> = steps.iter().map(|step| step.change).collect();
            if self.finish(scope, steps, &in_flight).await? { done.extend(made) } else { abandoned.extend(made) }
        }
        tracing::warn!(%scope, done = done.len(), abandoned = abandoned.len(), "settled changes of the configuration");
        // What was found comes first: afterwards nobody looks again.
        self.store_noted(entries).await?;
        if !beside.is_empty() {
            let remove = move |_: &Inner, root: &Root| {
                beside.iter().try_for_each(|(change, id)| root.remove_temporary(*change, id))
            };
            self.writing(scope, remove).await?;
        }
        for (ids, state) in [(done, State::Done), (abandoned, State::Abandoned)] {
            if !ids.is_empty() {
                let ids = ids.iter().map(ChangeId::to_string).collect();
                self.inner.parts.store.write(Settle { ids, state: state.as_str() }).await?;
            }
        }
        Ok(())
    }

    /// Makes the rest of an import. `false`: it can never be made, since something is in the way that is not changed here;
    /// to wait for that would keep the scope from every later change.
    async fn finish(&self, scope: &Scope, steps: Vec<Step>, in_flight: &Arc<InFlight>) -> Result<bool, ConfigError> {
        let (there, in_flight) = (scope.clone(), Arc::clone(in_flight));
        let applied = self.writing(scope, move |inner, root| {
            let applied = root.apply(&steps, || inner.alone(&there));
            drop(in_flight);
            applied
        });
        match applied.await {
            Ok(Applied::Done) => Ok(true),
            // Somebody is at work there; the next look finds out more.
            Ok(Applied::Changed) => Err(ConfigError::Busy),
            Err(
                error @ (ConfigError::Link { .. }
                | ConfigError::Conflict(_)
                | ConfigError::NotAFolder { .. }
                | ConfigError::Outside { .. }),
            ) => {
                tracing::error!(%scope, %error, "the rest of an import cannot be made");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// How the changes stand. What lies beside the documents because of them goes, unless only it has
    /// what it is.
    async fn stands(
        &self,
        scope: &Scope,
        changes: Vec<Change>,
        in_flight: &Arc<InFlight>,
    ) -> Result<Vec<Found>, ConfigError> {
        let (theirs, in_flight) = (changes.clone(), Arc::clone(in_flight));
        let looked = self.writing(scope, move |_, root| {
            let found = theirs.into_iter().map(|change| look(root, change)).collect();
            drop(in_flight);
            found
        });
        match looked.await {
            // The workspace is gone, and what was in it.
            Err(ConfigError::NoWorkspace(_)) => {
                let gone = |change| Found { change, stand: Stand::Unknown, there: None, displaced: None };
                Ok(changes.into_iter().map(gone).collect())
            }
            looked => looked,
        }
    }

    /// The rest of an import that was begun; `None`, with a line in the log, when its content is lost.
    async fn step(&self, change: &Change, found: Option<&OnDisk>) -> Result<Option<Step>, ConfigError> {
        let store = &self.inner.parts.store;
        let after = match change.after {
            None => None,
            Some(etag) => history::load(store, change.document.kind(), etag).await?,
        };
        if after.is_none() && change.after.is_some() {
            tracing::error!(change = %change.id, "a part of an import cannot be finished: its content is lost");
            return Ok(None);
        }
        let (id, mode) = (change.document.clone(), found.map(|found| found.mode));
        Ok(Some(Step { change: change.id, id, before: change.before, mode, after: after.map(Arc::new) }))
    }

    /// Notes what was changed on the disk since the last look: of one document, or of all that have a history.
    pub(super) async fn notice_in_turn(&self, scope: &Scope, id: Option<&DocumentId>) -> Result<(), ConfigError> {
        let _turn = self.turn(scope).await?;
        self.settle_scope(scope).await?;
        let ids = if let Some(id) = id {
            vec![id.clone()]
        } else {
            let rows = self.inner.parts.store.newest_config_changes(&history::workspace_text(scope)).await?;
            let known: Vec<_> = rows.iter().filter_map(history::change).collect();
            self.changed_since(scope, known).await?
        };
        let mut entries = Entries::default();
        for id in ids {
            match self.look(scope, &id).await {
                // A file that nobody has touched through askd has no history yet.
                Ok(look) if look.newest.is_none() => {}
                Ok(look) => self.note(scope, &id, &look, &mut entries).await?,
                Err(error) => tracing::debug!(document = %id, %error, "a document cannot be looked at"),
            }
        }
        self.store_noted(entries).await
    }

    /// Those of the known documents whose content is another one, in one look.
    async fn changed_since(&self, scope: &Scope, known: Vec<Change>) -> Result<Vec<DocumentId>, ConfigError> {
        self.reading(scope, move |_, root| {
            let is_other = |change: &Change| {
                let found = root.read(&change.document, Links::Refuse);
                found.is_ok_and(|found| found.map(|found| found.etag) != change.after)
            };
            Ok(known.into_iter().filter(is_other).map(|change| change.document).collect())
        })
        .await
    }
}

/// How a change stands. Blocking.
fn look(root: &Root, change: Change) -> Result<Found, ConfigError> {
    let looked = look_closely(root, &change);
    let (stand, there, displaced) = match looked {
        Ok(looked) => looked,
        Err(ConfigError::Link { .. } | ConfigError::Conflict(_) | ConfigError::NotAFolder { .. }) => {
            (Stand::Unknown, None, None)
        }
        Err(error) => return Err(error),
    };
    Ok(Found { change, stand, there: there.map(Arc::new), displaced: displaced.map(Arc::new) })
}

type Looked = (Stand, Option<OnDisk>, Option<OnDisk>);

fn look_closely(root: &Root, change: &Change) -> Result<Looked, ConfigError> {
    root.put_old_back(change.id, &change.document)?;
    let found = root.read(&change.document, Links::Refuse)?;
    let stand = stand(found.as_ref().map(|found| found.etag), change);
    let beside = root.read_displaced(change.id, &change.document);
    // Had the change not been made, it would be the new version, perhaps a part of it.
    let displaced = beside.ok().flatten().filter(|beside| stand == Stand::Made && Some(beside.etag) != change.before);
    if displaced.is_none() {
        root.remove_temporary(change.id, &change.document)?;
    }
    Ok((stand, found, displaced))
}

fn stand(found: Option<Etag>, change: &Change) -> Stand {
    match found {
        found if found == change.after => Stand::Made,
        found if found == change.before => Stand::NotMade,
        _ => Stand::Other,
    }
}
