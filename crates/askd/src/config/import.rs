//! Many documents at once: all of them, or none.

use std::collections::{BTreeMap, BTreeSet};

use super::change::{Action, Author, Condition, Import, Imported};
use super::document::{Content, Etag};
use super::edit::{Entries, Look};
use super::error::ConfigError;
use super::files::write::{Applied, Step};
use super::files::{Links, OnDisk, Root};
use super::history;
use super::judge::Case;
use super::manager::{Config, Inner};
use super::name::DocumentId;
use super::problem::{Problem, Report};
use super::read::{kinds, line};
use super::scope::Scope;

/// How often an import is tried whose documents others change at the same moment.
const ATTEMPTS: usize = 5;

/// Problems of one import that are told.
const MOST_PROBLEMS: usize = 200;

/// What is to be brought, and how.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) documents: Vec<(DocumentId, Content)>,
    pub(super) mode: Import,
    pub(super) dry_run: bool,
    pub(super) condition: Condition,
    pub(super) by: Author,
}

/// What is to be done.
struct Plan {
    imported: Imported,
    /// What is there, by document, of those that change.
    changes: Vec<(DocumentId, Option<OnDisk>, Option<Content>)>,
}

impl Config {
    /// Imports when the scope's turn comes.
    pub(super) async fn import_in_turn(&self, scope: &Scope, request: Request) -> Result<Imported, ConfigError> {
        let _turn = self.turn(scope).await?;
        self.settle_scope(scope).await?;
        for _ in 0..ATTEMPTS {
            let (there, planned) = (scope.clone(), request.clone());
            let Plan { imported, changes } =
                self.writing(scope, move |inner, root| plan(inner, root, &there, planned)).await?;
            if request.dry_run || changes.is_empty() {
                return Ok(imported);
            }
            if self.import_planned(scope, changes, &request.by).await? == Applied::Done {
                let etag = self.overview(scope).await.ok().map(|overview| overview.etag);
                return Ok(Imported { etag, ..imported });
            }
        }
        Err(ConfigError::Conflict(
            "the documents are being changed on the disk all the time; try again later".to_owned(),
        ))
    }

    async fn import_planned(
        &self,
        scope: &Scope,
        changes: Vec<(DocumentId, Option<OnDisk>, Option<Content>)>,
        by: &Author,
    ) -> Result<Applied, ConfigError> {
        let store = &self.inner.parts.store;
        let rows = store.newest_config_changes(&history::workspace_text(scope)).await?;
        let mut newest: BTreeMap<_, _> =
            rows.into_iter().map(|row| ((row.kind.clone(), row.name.clone()), row)).collect();
        let (mut entries, mut steps) = (Entries::default(), Vec::new());
        for (id, found, after) in changes {
            let newest = newest.remove(&(id.kind().as_str().to_owned(), history::name_text(&id)));
            let look = Look { found, content: None, newest };
            self.note(scope, &id, &look, &mut entries).await?;
            let (before, mode) = (look.etag(), look.found.map(|found| found.mode));
            steps.push(Step { change: self.new_id(), id, before, mode, after });
        }
        let batch = self.new_id();
        self.intend(scope, &steps, Action::Imported, by, &mut entries, Some(batch)).await?;
        self.carry_out(scope, entries, steps).await
    }
}

/// Looks at everything, and says what would change. Blocking.
fn plan(inner: &Inner, root: &Root, scope: &Scope, request: Request) -> Result<Plan, ConfigError> {
    let limits = inner.parts.limits;
    let (mut present, mut lines, mut bytes) = (BTreeMap::new(), String::new(), 0);
    let mut count = 0;
    for kind in kinds(scope) {
        for id in root.list(kind, limits.documents)?.ids {
            count += 1;
            let found = root.read(&id, Links::Refuse);
            if let Ok(Some(found)) = &found {
                line(&mut lines, &id, found.etag);
                bytes += found.size() as u64;
            }
            present.insert(id, found);
        }
    }
    let whole = Etag::of_bytes(lines.as_bytes());
    if !request.condition.holds(Some(whole)) {
        return Err(ConfigError::Precondition { current: Some(whole) });
    }
    let mut plan = Plan { imported: Imported { etag: Some(whole), ..Imported::default() }, changes: Vec::new() };
    let (mut problems, mut needs_exec, mut forbidden) = (Vec::new(), Vec::new(), Vec::new());
    let mut brought = BTreeSet::new();
    for (id, new) in request.documents {
        let file = id.path(scope).display().to_string();
        if !brought.insert(id.clone()) {
            problems.push(Problem::new("is there twice").in_file(file));
            continue;
        }
        let found = present.remove(&id).transpose()?.flatten();
        let old = found.as_ref().and_then(OnDisk::content);
        let case = Case { scope, id: &id, by: &request.by, limits: &limits, secrets: &inner.secrets };
        match case.judge(found.is_some(), old.as_ref(), Some(&new)) {
            Ok(warnings) => plan.imported.warnings.extend(warnings.into_iter().map(|warning| within(&file, warning))),
            Err(ConfigError::Invalid(report)) => {
                problems.extend(report.errors.into_iter().map(|problem| within(&file, problem)));
            }
            Err(ConfigError::NeedsExec(reasons)) => {
                needs_exec.extend(reasons.into_iter().map(|reason| format!("{file}: {reason}")));
            }
            Err(ConfigError::Forbidden(keys)) => forbidden.extend(keys.into_iter().map(|key| within(&file, key))),
            Err(ConfigError::TooLarge { what, most, unit }) => {
                return Err(ConfigError::TooLarge { what: format!("{file}: {what}"), most, unit });
            }
            Err(error) => return Err(error),
        }
        let (before, after) = (found.as_ref().map(|found| found.etag), new.etag());
        let old_size = found.as_ref().map_or(0, |found| found.size() as u64);
        bytes = bytes.saturating_sub(old_size) + new.size() as u64;
        match before {
            Some(before) if before == after => {
                plan.imported.unchanged += 1;
                continue;
            }
            Some(_) => plan.imported.updated.push(id.clone()),
            None => {
                count += 1;
                plan.imported.created.push(id.clone());
            }
        }
        plan.changes.push((id, found, Some(new)));
    }
    if request.mode == Import::Replace {
        for (id, found) in present {
            let Some(found) = found? else { continue };
            let case = Case { scope, id: &id, by: &request.by, limits: &limits, secrets: &inner.secrets };
            match case.judge(true, found.content().as_ref(), None) {
                Ok(_) => {}
                Err(ConfigError::NeedsExec(reasons)) => {
                    needs_exec.extend(reasons.into_iter().map(|reason| format!("{id}: {reason}")));
                }
                Err(error) => return Err(error),
            }
            count -= 1;
            bytes = bytes.saturating_sub(found.size() as u64);
            plan.imported.removed.push(id.clone());
            plan.changes.push((id, Some(found), None));
        }
    }
    problems.truncate(MOST_PROBLEMS);
    needs_exec.truncate(MOST_PROBLEMS);
    if !problems.is_empty() {
        return Err(ConfigError::Invalid(Report { errors: problems, ..Report::default() }));
    }
    if !forbidden.is_empty() {
        return Err(ConfigError::Forbidden(forbidden));
    }
    if !needs_exec.is_empty() {
        return Err(ConfigError::NeedsExec(needs_exec));
    }
    if count > limits.documents {
        return Err(ConfigError::TooMany(limits.documents));
    }
    if bytes > limits.total_bytes {
        let (what, most) = ("the whole configuration (ASKD_MAX_CONFIG)".to_owned(), limits.total_bytes);
        return Err(ConfigError::TooLarge { what, most, unit: "bytes" });
    }
    for ids in [&mut plan.imported.created, &mut plan.imported.updated, &mut plan.imported.removed] {
        ids.sort();
    }
    Ok(plan)
}

/// A problem of a document among others; a skill's names one of its files already.
fn within(document: &str, problem: Problem) -> Problem {
    let file = match &problem.file {
        Some(file) => format!("{document}/{file}"),
        None => document.to_owned(),
    };
    problem.in_file(file)
}
