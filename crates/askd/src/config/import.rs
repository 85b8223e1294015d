//! Many documents at once: all of them, or none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::change::{Action, Author, Condition, Import, Imported};
use super::document::{Content, Etag};
use super::edit::{Entries, Look, Newest};
use super::error::ConfigError;
use super::files::write::{Applied, Step};
use super::files::{Links, OnDisk, Root};
use super::history::{self, to_store};
use super::judge::Case;
use super::kind::Kind;
use super::manager::{Config, Inner};
use super::name::DocumentId;
use super::problem::{Problem, Report};
use super::read::{Member, of_hooks, whole};
use super::scope::Scope;
use super::twins::{self, Names};
use super::validate;
use crate::store::config::StoredContent;

/// How often an import is tried whose documents others change at the same moment.
const ATTEMPTS: usize = 5;

/// Problems of one import that are told.
const MOST_PROBLEMS: usize = 200;

/// What is to be brought, and how.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) documents: Vec<(DocumentId, Arc<Content>)>,
    pub(super) mode: Import,
    pub(super) dry_run: bool,
    pub(super) condition: Condition,
    pub(super) by: Author,
}

/// One document that changes.
struct Planned {
    id: DocumentId,
    /// What is there.
    found: Option<Arc<OnDisk>>,
    /// What shall be there, and its hash.
    after: Option<(Arc<Content>, Etag)>,
}

/// What is to be done.
#[derive(Default)]
struct Plan {
    imported: Imported,
    changes: Vec<Planned>,
    /// For the store.
    contents: Vec<StoredContent>,
}

impl Config {
    /// Imports when the scope's turn comes.
    pub(super) async fn import_in_turn(&self, scope: &Scope, request: Request) -> Result<Imported, ConfigError> {
        let _turn = self.turn(scope).await?;
        self.settle_scope(scope).await?;
        let request = Arc::new(request);
        for _ in 0..ATTEMPTS {
            let planned = Arc::clone(&request);
            let plan = self.judging(scope, move |inner, root| plan(inner, root, &planned)).await?;
            let Some(plan) = plan else { continue };
            if request.dry_run || plan.changes.is_empty() {
                return Ok(plan.imported);
            }
            let Plan { imported, changes, contents } = plan;
            if self.import_planned(scope, changes, contents, &request.by).await? == Applied::Done {
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
        changes: Vec<Planned>,
        contents: Vec<StoredContent>,
        by: &Author,
    ) -> Result<Applied, ConfigError> {
        let store = &self.inner.parts.store;
        let rows = store.newest_config_changes(&history::workspace_text(scope)).await?;
        let mut newest: BTreeMap<_, _> =
            rows.into_iter().map(|row| ((row.kind.clone(), row.name.clone()), row)).collect();
        let (mut entries, mut steps, mut intents) = (Entries::default(), Vec::new(), Vec::new());
        let batch = self.new_id();
        for Planned { id, found, after } in changes {
            let newest = newest.remove(&(id.kind().as_str().to_owned(), history::name_text(&id)));
            let look = Look { found, newest: newest.as_ref().map(Newest::of) };
            self.note(scope, &id, &look, &mut entries).await?;
            let (before, mode) = (look.etag(), look.found.map(|found| found.mode));
            let (after, etag) = after.unzip();
            let step = Step { change: self.new_id(), id, before, mode, after };
            intents.push(self.intent(scope, &step, etag, Action::Imported, by, Some(batch)));
            steps.push(step);
        }
        entries.changes.extend(intents);
        entries.contents.extend(contents);
        self.carry_out(scope, entries, steps).await
    }
}

/// A document that is there, without what it holds: all together they may be more than there is memory for.
struct Present {
    /// Its hash and its size; `None` when there is none after all.
    found: Result<Option<(Etag, u64)>, ConfigError>,
    /// What it counts with in the hash of the whole.
    counted: Option<Etag>,
    /// If it is an agent.
    name: Option<String>,
}

/// Why there is no plan.
enum Stop {
    /// Somebody changes a document while it is looked at.
    Changed,
    Error(ConfigError),
}

impl From<ConfigError> for Stop {
    fn from(error: ConfigError) -> Self {
        Self::Error(error)
    }
}

/// Looks at everything, and says what would change; `None`: somebody else changes something meanwhile. Blocking.
fn plan(inner: &Inner, root: &Root, request: &Request) -> Result<Option<Plan>, ConfigError> {
    match plan_closely(inner, root, request) {
        Ok(plan) => Ok(Some(plan)),
        Err(Stop::Changed) => Ok(None),
        Err(Stop::Error(error)) => Err(error),
    }
}

fn plan_closely(inner: &Inner, root: &Root, request: &Request) -> Result<Plan, Stop> {
    let (mut present, mut bytes) = (BTreeMap::new(), 0);
    let whole = whole(inner, root, Links::Refuse, |Member { id, found, etag: counted }| {
        let agent = found.as_ref().ok().and_then(Option::as_ref).filter(|_| id.kind() == Kind::Agent);
        let name = agent.and_then(OnDisk::content).and_then(|content| twins::name(&id, &content));
        let found = found.map(|found| found.map(|found| (found.etag, found.size() as u64)));
        bytes += found.as_ref().ok().and_then(Option::as_ref).map_or(0, |(_, size)| *size);
        present.insert(id, Present { found, counted, name });
        Ok(())
    })?;
    if !request.condition.holds(Some(whole.etag)) {
        let (current, condition) = (Some(whole.etag), request.condition.clone());
        return Err(ConfigError::Precondition { current, condition }.into());
    }
    // Nobody may remove what they cannot have seen.
    if whole.is_cut && request.mode == Import::Replace {
        return Err(ConfigError::TooMany(inner.parts.limits.documents).into());
    }
    let count = present.len();
    let mut planner = Planner {
        inner,
        root,
        is_dry: request.dry_run,
        by: &request.by,
        present,
        count,
        bytes,
        plan: Plan::default(),
        names: Names::default(),
        refused: Refused::default(),
    };
    planner.plan.imported.etag = Some(whole.etag);
    planner.bring(&request.documents)?;
    if request.mode == Import::Replace {
        planner.remove_the_rest()?;
    }
    planner.compare_names();
    Ok(planner.finish()?)
}

/// Why an import is refused, of all its documents.
#[derive(Default)]
struct Refused {
    problems: Vec<Problem>,
    needs_exec: Vec<String>,
    forbidden: Vec<Problem>,
}

impl Refused {
    /// The answer; the first kind of reasons is told alone.
    fn error(mut self) -> Result<(), ConfigError> {
        self.problems.truncate(MOST_PROBLEMS);
        self.needs_exec.truncate(MOST_PROBLEMS);
        if !self.problems.is_empty() {
            return Err(ConfigError::Invalid(Report { errors: self.problems, ..Report::default() }));
        }
        if !self.forbidden.is_empty() {
            return Err(ConfigError::Forbidden(self.forbidden));
        }
        if !self.needs_exec.is_empty() {
            return Err(ConfigError::NeedsExec(self.needs_exec));
        }
        Ok(())
    }
}

struct Planner<'a> {
    inner: &'a Inner,
    root: &'a Root,
    is_dry: bool,
    by: &'a Author,
    /// What is there and was not brought.
    present: BTreeMap<DocumentId, Present>,
    /// Documents and bytes that there will be.
    count: usize,
    bytes: u64,
    plan: Plan,
    /// Of agents that stay as they are.
    names: Names,
    refused: Refused,
}

impl Planner<'_> {
    fn bring(&mut self, documents: &[(DocumentId, Arc<Content>)]) -> Result<(), Stop> {
        let mut brought = BTreeSet::new();
        for (id, new) in documents {
            if brought.insert(id) {
                self.one(id, new)?;
            } else {
                self.refused.problems.push(Problem::new("is there twice").in_file(self.file(id)));
            }
        }
        Ok(())
    }

    /// One document that is brought.
    fn one(&mut self, id: &DocumentId, new: &Arc<Content>) -> Result<(), Stop> {
        let (after, present) = (new.etag(), self.present.remove(id));
        let (seen, counted) = present.map_or((Ok(None), None), |present| (present.found, present.counted));
        // Nothing to change: also what lies behind a link, or was broken before, is no reason to refuse the rest.
        if counted == Some(after) {
            self.stays(id, new);
            return Ok(());
        }
        let seen = seen?;
        let found = seen.map(|(etag, _)| self.again(id, etag)).transpose()?;
        let old = found.as_ref().and_then(OnDisk::content);
        self.judge(id, found.is_some(), old.as_ref(), Some(new))?;
        let old_size = seen.map_or(0, |(_, size)| size);
        self.bytes = self.bytes.saturating_sub(old_size) + new.size() as u64;
        if found.is_some() {
            self.plan.imported.updated.push(id.clone());
        } else {
            self.count += 1;
            self.plan.imported.created.push(id.clone());
        }
        self.change(id.clone(), found, Some((Arc::clone(new), after)));
        Ok(())
    }

    /// What was seen, with what it holds.
    fn again(&self, id: &DocumentId, seen: Etag) -> Result<OnDisk, Stop> {
        let found = self.root.read(id, Links::Refuse)?;
        found.filter(|found| found.etag == seen).ok_or(Stop::Changed)
    }

    fn change(&mut self, id: DocumentId, found: Option<OnDisk>, after: Option<(Arc<Content>, Etag)>) {
        // What is only shown needs no more than the names.
        let found = found.filter(|_| !self.is_dry).map(Arc::new);
        self.plan.changes.push(Planned { id, found, after });
    }

    fn stays(&mut self, id: &DocumentId, content: &Content) {
        let report = validate::check(id, content);
        let file = self.file(id);
        let problems = report.errors.into_iter().chain(report.warnings).chain(of_hooks(self.root, id, content));
        let told = problems.map(|problem| within(&file, problem));
        let room = MOST_PROBLEMS.saturating_sub(self.plan.imported.warnings.len());
        self.plan.imported.warnings.extend(told.take(room));
        self.plan.imported.unchanged += 1;
        self.names.add(id, content);
    }

    /// What was not brought goes.
    fn remove_the_rest(&mut self) -> Result<(), Stop> {
        for (id, present) in std::mem::take(&mut self.present) {
            let Some((etag, size)) = present.found? else { continue };
            let found = self.again(&id, etag)?;
            let Some(content) = found.content() else {
                // No export can have held it, so nobody has a copy.
                let file = self.file(&id);
                let text = format!("`{file}` is not UTF-8 text and would be lost; hint: move it away, or remove it");
                return Err(ConfigError::Conflict(text).into());
            };
            self.judge(&id, true, Some(&content), None)?;
            self.count -= 1;
            self.bytes = self.bytes.saturating_sub(size);
            self.plan.imported.removed.push(id.clone());
            self.change(id, Some(found), None);
        }
        Ok(())
    }

    fn judge(
        &mut self,
        id: &DocumentId,
        has_old: bool,
        old: Option<&Content>,
        new: Option<&Content>,
    ) -> Result<(), ConfigError> {
        let (limits, file) = (&self.inner.parts.limits, self.file(id));
        let secrets = self.inner.secrets();
        let case = Case { scope: self.root.scope(), id, by: self.by, limits, secrets: &secrets };
        let named = |problems: Vec<Problem>| problems.into_iter().map(|problem| within(&file, problem));
        match case.judge(has_old, old, new) {
            Ok(mut warnings) => {
                // No archive brings scripts of hooks: those that count are there.
                warnings.extend(new.into_iter().flat_map(|new| of_hooks(self.root, id, new)));
                self.plan.imported.warnings.extend(named(warnings));
            }
            Err(ConfigError::Invalid(report)) => self.refused.problems.extend(named(report.errors)),
            Err(ConfigError::NeedsExec(reasons)) => {
                self.refused.needs_exec.extend(reasons.into_iter().map(|reason| format!("{file}: {reason}")));
            }
            Err(ConfigError::Forbidden(keys)) => self.refused.forbidden.extend(named(keys)),
            Err(ConfigError::TooLarge { what, most, unit }) => {
                return Err(ConfigError::TooLarge { what: format!("{file}: {what}"), most, unit });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Agents that are brought may have no name that another one has. Those that stay are as they were.
    fn compare_names(&mut self) {
        for (id, present) in &self.present {
            if let Some(name) = &present.name {
                self.names.add_name(id, name.clone());
            }
        }
        for Planned { id, after, .. } in &self.plan.changes {
            let problem = after.as_ref().and_then(|(content, _)| self.names.problem(id, content));
            if let Some(problem) = problem {
                self.refused.problems.push(problem.in_file(self.file(id)));
            }
        }
    }

    /// The plan, if it may be.
    fn finish(self) -> Result<Plan, ConfigError> {
        self.refused.error()?;
        let limits = &self.inner.parts.limits;
        if self.count > limits.documents {
            return Err(ConfigError::TooMany(limits.documents));
        }
        if self.bytes > limits.total_bytes {
            let (what, most) = ("the whole configuration (ASKD_MAX_CONFIG)".to_owned(), limits.total_bytes);
            return Err(ConfigError::TooLarge { what, most, unit: "bytes" });
        }
        let mut plan = self.plan;
        for ids in [&mut plan.imported.created, &mut plan.imported.updated, &mut plan.imported.removed] {
            ids.sort();
        }
        if !self.is_dry {
            let contents = plan.changes.iter().filter_map(|planned| planned.after.as_ref());
            plan.contents = contents.map(|(content, _)| to_store(content)).collect::<Result<Vec<_>, _>>()?.concat();
        }
        Ok(plan)
    }

    fn file(&self, id: &DocumentId) -> String {
        id.path(self.root.scope()).display().to_string()
    }
}

/// A problem of a document among others; a skill's names one of its files already.
fn within(document: &str, problem: Problem) -> Problem {
    let file = match &problem.file {
        Some(file) => format!("{document}/{file}"),
        None => document.to_owned(),
    };
    problem.in_file(file)
}
