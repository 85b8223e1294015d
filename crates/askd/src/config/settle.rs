//! What became of changes that nobody has said it of: their server died, or could not reach the store. The disk knows.

use std::collections::BTreeMap;

use super::change::{Change, ChangeId, State};
use super::document::Etag;
use super::edit::Entries;
use super::error::ConfigError;
use super::files::write::{Applied, Step};
use super::files::{Links, OnDisk};
use super::history::{self, found_to_store};
use super::manager::Config;
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
    /// The disk has something else, or it cannot be said.
    Other,
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
        let ids: Vec<_> = changes.iter().map(|change| change.id).collect();
        let _in_flight = self.in_flight(ids);
        let mut entries = Entries::default();
        let mut stands = Vec::new();
        for change in &changes {
            stands.push(self.stand(scope, change, &mut entries).await?);
        }
        let is_begun = stands.iter().any(|(stand, _)| *stand == Stand::Made);
        let (mut done, mut abandoned, mut steps) = (Vec::new(), Vec::new(), Vec::new());
        for (change, (stand, found)) in changes.iter().zip(stands) {
            match stand {
                Stand::Made => done.push(change.id),
                Stand::NotMade if is_begun => match self.step(change, found.as_ref()).await? {
                    Some(step) => steps.push(step),
                    None => abandoned.push(change.id),
                },
                Stand::NotMade => abandoned.push(change.id),
                Stand::Other => {
                    abandoned.push(change.id);
                    if let Some(found) = &found {
                        entries.contents.extend(found_to_store(found)?);
                    }
                    let after = found.map(|found| found.etag);
                    entries.changes.push(self.outside(scope, &change.document, change.before, after));
                }
            }
        }
        if !steps.is_empty() {
            let made: Vec<_> = steps.iter().map(|step| step.change).collect();
            let (there, steps) = (scope.clone(), steps);
            let applied = self.writing(scope, move |inner, root| root.apply(&steps, || inner.alone(&there))).await?;
            if applied == Applied::Changed {
                // Somebody is at work there; the next look finds out more.
                return Err(ConfigError::Busy);
            }
            done.extend(made);
        }
        tracing::warn!(%scope, done = done.len(), abandoned = abandoned.len(), "settled changes of the configuration");
        // What was found comes first: afterwards nobody looks again.
        self.store_noted(entries).await?;
        for (ids, state) in [(done, State::Done), (abandoned, State::Abandoned)] {
            if !ids.is_empty() {
                let ids = ids.iter().map(ChangeId::to_string).collect();
                self.inner.parts.store.write(Settle { ids, state: state.as_str() }).await?;
            }
        }
        Ok(())
    }

    /// How one change stands. What lies beside the document because of it goes; it is noted first if only it has it.
    async fn stand(
        &self,
        scope: &Scope,
        change: &Change,
        entries: &mut Entries,
    ) -> Result<(Stand, Option<OnDisk>), ConfigError> {
        let change = change.clone();
        let (id, before) = (change.document.clone(), change.before);
        let looked = self.writing(scope, move |_, root| look(root, &change)).await;
        let (stand, found, displaced) = match looked {
            Ok(looked) => looked,
            // A link in its place, or the workspace is gone: nobody will ever know better.
            Err(ConfigError::NoWorkspace(_) | ConfigError::Link { .. } | ConfigError::Conflict(_)) => {
                return Ok((Stand::NotMade, None));
            }
            Err(error) => return Err(error),
        };
        if let Some(displaced) = displaced {
            entries.contents.extend(found_to_store(&displaced)?);
            entries.changes.push(self.outside(scope, &id, before, Some(displaced.etag)));
        }
        Ok((stand, found))
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
        Ok(Some(Step { change: change.id, id, before: change.before, mode, after }))
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

/// How a change stands, what is there, and what only the file beside it has. Blocking.
fn look(root: &super::files::Root, change: &Change) -> Result<(Stand, Option<OnDisk>, Option<OnDisk>), ConfigError> {
    root.put_old_back(change.id, &change.document)?;
    let found = root.read(&change.document, Links::Refuse)?;
    let stand = stand(found.as_ref().map(|found| found.etag), change);
    let beside = root.read_displaced(change.id, &change.document);
    // Had the change not been made, it would be the new version, perhaps a part of it.
    let displaced = beside.ok().flatten().filter(|beside| stand == Stand::Made && Some(beside.etag) != change.before);
    root.remove_temporary(change.id, &change.document)?;
    Ok((stand, found, displaced))
}

fn stand(found: Option<Etag>, change: &Change) -> Stand {
    match found {
        found if found == change.after => Stand::Made,
        found if found == change.before => Stand::NotMade,
        _ => Stand::Other,
    }
}
