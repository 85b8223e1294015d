//! The CLI's configuration as callers see it: documents that are read, changed on conditions, and remembered.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use secrecy::SecretString;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncGuard, Semaphore, SemaphorePermit, oneshot};
use tokio::time::timeout;

use super::change::{
    Action, Author, Change, ChangeId, Condition, Document, Edit, Export, Import, Imported, Listed, Overview, Page,
    Written,
};
use super::dir::restrained::Restrained;
use super::dir::{ConfigDir, SeedError, Seeded};
use super::document::Content;
use super::edit::Order;
use super::error::ConfigError;
use super::files::Root;
#[cfg(test)]
use super::files::write::Applied;
use super::history;
use super::judge::Secrets;
use super::kind::Kind;
use super::limits::Limits;
use super::lock::{FileLock, Held};
use super::name::DocumentId;
use super::problem::Report;
use super::scope::Scope;
use crate::ambient::Ambient;
use crate::aside::Gate;
use crate::lifecycle::Lifecycle;
use crate::store::Store;
use crate::store::config::Filter;
use crate::workspaces::Workspaces;

/// The configuration. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Config {
    pub(super) inner: Arc<Inner>,
}

/// What it is made of.
#[derive(Debug)]
pub struct Parts {
    /// `CONFIG_DIR`.
    pub dir: ConfigDir,
    /// Where workspaces are found.
    pub workspaces: Arc<Workspaces>,
    /// Where history is kept.
    pub store: Store,
    /// Time and ids.
    pub ambient: Ambient,
    /// Changes are tasks that the shutdown waits for.
    pub lifecycle: Lifecycle,
    /// The name under which this server works in the store.
    pub owner: String,
    /// Bounds.
    pub limits: Limits,
    /// Values that must not come into a document; more may come later.
    pub secrets: Vec<SecretString>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) parts: Parts,
    secrets: ArcSwap<Secrets>,
    /// Between those who copy or read `CONFIG_DIR` and those who rename in it.
    lock: FileLock,
    /// Changes of one scope come one after the other. Workspaces that meet in one place wait for each other,
    /// too; the first place is the user's.
    turns: [AsyncMutex<()>; TURNS],
    /// The last id that was given out: milliseconds, and a number within them.
    last_id: Mutex<(u64, u16)>,
    /// Changes that a task of this process works on.
    pub(super) in_flight: Mutex<BTreeSet<ChangeId>>,
    /// What tests let go wrong when all steps are done.
    #[cfg(test)]
    pub(super) spoil: Mutex<Option<Spoil>>,
}

#[cfg(test)]
type Spoil = fn(Result<Applied, ConfigError>) -> Result<Applied, ConfigError>;

const TURNS: usize = 32;

/// How long a change waits for those before it.
const TURN_PATIENCE: Duration = Duration::from_secs(30);

/// Work for a processor, to bounded sizes.
static WORK: Gate = Gate::new(4, Duration::from_secs(30), STACK);
/// Judging, and comparing with what is there.
static JUDGING: Gates = Gates::new(4, Duration::from_secs(30));
/// A read takes microseconds to a second; on a mount that hangs, for ever.
static READS: Gates = Gates::new(4, Duration::from_secs(20));
/// Up to some thousand files that are brought to the disk.
static WRITES: Gates = Gates::new(2, Duration::from_mins(2));
/// Folders are listed and JSON and YAML are checked recursively, to bounded depths.
const STACK: usize = 4 << 20;

/// Where work waits for its turn. What is an agent's, and may be on any disk, has its own: it holds up nobody but others of
/// its kind.
#[derive(Debug)]
struct Gates {
    user: Gate,
    workspaces: Gate,
}

impl Gates {
    const fn new(turns: usize, patience: Duration) -> Self {
        Self { user: Gate::new(turns, patience, STACK), workspaces: Gate::new(turns, patience, STACK) }
    }

    fn of(&self, scope: &Scope) -> &Gate {
        match scope {
            Scope::User => &self.user,
            Scope::Workspace(_) => &self.workspaces,
        }
    }
}

impl Config {
    /// Over what it is made of.
    pub fn new(parts: Parts) -> Self {
        let inner = Inner {
            secrets: ArcSwap::from_pointee(Secrets::default().and(&parts.secrets)),
            lock: FileLock::new(parts.dir.path()),
            turns: std::array::from_fn(|_| AsyncMutex::default()),
            last_id: Mutex::default(),
            in_flight: Mutex::default(),
            #[cfg(test)]
            spoil: Mutex::default(),
            parts,
        };
        Self { inner: Arc::new(inner) }
    }

    /// `CONFIG_DIR`, as runs get it.
    pub fn dir(&self) -> &ConfigDir {
        &self.inner.parts.dir
    }

    /// Keeps these values out of documents as well, besides those of before: who has an old one may not know that it is one.
    pub fn keep_out(&self, values: &[SecretString]) {
        self.inner.secrets.rcu(|secrets| secrets.and(values));
    }

    /// The bounds.
    pub fn limits(&self) -> &Limits {
        &self.inner.parts.limits
    }

    /// Copies the configuration into a run's home, and reads what a run is given of it in other ways: all from one moment,
    /// and never half of a change. Blocking.
    pub fn seed(&self, home: &Path) -> Result<Seeded, SeedError> {
        let _held = self.inner.lock.share().map_err(SeedError::Copy)?;
        self.dir().seed(home)
    }

    /// What a run is given that is to have nothing of the configuration but what holds it back. Blocking.
    pub fn restrain(&self, home: &Path) -> Result<Restrained, SeedError> {
        let _held = self.inner.lock.share().map_err(SeedError::Copy)?;
        self.dir().restrain(home)
    }

    /// A page of the documents of a kind, by name. Names that are none of ours are left out.
    pub async fn list(&self, scope: &Scope, kind: Kind, page: Page) -> Result<Listed, ConfigError> {
        self.reading(scope, move |inner, root| super::read::list(inner, root, kind, &page)).await
    }

    /// One document.
    pub async fn read(&self, scope: &Scope, id: &DocumentId) -> Result<Option<Document>, ConfigError> {
        let id = id.clone();
        self.reading(scope, move |_, root| super::read::one(root, &id)).await
    }

    /// Changes one document. Once begun it goes on, whether or not anybody still waits for it.
    pub async fn edit(
        &self,
        scope: &Scope,
        id: &DocumentId,
        edit: Edit,
        condition: &Condition,
        by: &Author,
    ) -> Result<Written, ConfigError> {
        let (condition, by) = (condition.clone(), by.clone());
        let order = Order { id: id.clone(), wanted: edit.into(), action: None, condition, by };
        let (config, scope) = (self.clone(), scope.clone());
        self.in_task(order.wanted.size(), async move { config.edit_in_turn(&scope, order).await }).await
    }

    /// Everything on the disk that the CLI would not take, or that is odd. Without an id: what is no document, such as a
    /// file with a name that is none of ours; its problems name the file.
    pub async fn problems(&self, scope: &Scope) -> Result<Vec<(Option<DocumentId>, Report)>, ConfigError> {
        self.reading(scope, super::read::problems).await
    }

    /// The scope as a whole.
    pub async fn overview(&self, scope: &Scope) -> Result<Overview, ConfigError> {
        self.reading(scope, super::read::overview).await
    }

    /// Every document, by kind and name, and what stands for the whole of exactly these. An error if one cannot be read.
    pub async fn export(&self, scope: &Scope) -> Result<Export, ConfigError> {
        self.reading(scope, super::read::export).await
    }

    /// Brings many documents at once: all or none. The condition is on the whole's hash ([`Overview::etag`]).
    pub async fn replace(
        &self,
        scope: &Scope,
        documents: Vec<(DocumentId, Content)>,
        mode: Import,
        dry_run: bool,
        condition: &Condition,
        by: &Author,
    ) -> Result<Imported, ConfigError> {
        let (config, scope) = (self.clone(), scope.clone());
        let (condition, by) = (condition.clone(), by.clone());
        let size = documents.iter().map(|(_, content)| content.size()).sum();
        let documents = documents.into_iter().map(|(id, content)| (id, Arc::new(content))).collect();
        let import = super::import::Request { documents, mode, dry_run, condition, by };
        self.in_task(size, async move { config.import_in_turn(&scope, import).await }).await
    }

    /// Changes, the newest first. What was changed on the disk since the last look is noted first.
    pub async fn history(
        &self,
        scope: Option<&Scope>,
        id: Option<&DocumentId>,
        before: Option<ChangeId>,
        limit: u64,
    ) -> Result<Vec<Change>, ConfigError> {
        // Later pages are about what was.
        if before.is_none() {
            let (config, scope, id) = (self.clone(), scope.cloned().unwrap_or(Scope::User), id.cloned());
            let noticed = self.in_task(0, async move { config.notice_in_turn(&scope, id.as_ref()).await }).await;
            if let Err(error) = noticed {
                // What is known is shown all the same: of a workspace that is gone, on a disk that does not answer.
                tracing::debug!(%error, "cannot look for changes on the disk");
            }
        }
        let filter = Filter {
            workspace: scope.map(history::workspace_text),
            document: id.map(|id| (id.kind().as_str().to_owned(), history::name_text(id))),
            before: before.map(|id| id.to_string()),
            limit,
        };
        let rows = self.inner.parts.store.config_changes(&filter).await?;
        Ok(rows.iter().filter_map(history::change).collect())
    }

    /// One change, and the content that it left: `None` after a removal, or when that version is no longer kept.
    pub async fn change(&self, id: &ChangeId) -> Result<Option<(Change, Option<Content>)>, ConfigError> {
        let store = &self.inner.parts.store;
        let row = store.config_change(&id.to_string()).await?;
        let Some(change) = row.as_ref().and_then(history::change) else { return Ok(None) };
        let content = match change.after {
            Some(etag) => history::load(store, change.document.kind(), etag).await?,
            None => None,
        };
        Ok(Some((change, content)))
    }

    /// Puts back what a change left, which [`Self::change`] has found.
    pub async fn restore(
        &self,
        (change, content): (Change, Option<Content>),
        condition: &Condition,
        by: &Author,
    ) -> Result<Written, ConfigError> {
        let edit = match (change.after, content) {
            (None, _) => Edit::Remove,
            (Some(_), Some(content)) => Edit::Put(content),
            (Some(_), None) => {
                let text = "that version is no longer kept, or is no text (ASKD_CONFIG_VERSIONS)";
                return Err(ConfigError::Conflict(text.to_owned()));
            }
        };
        let (id, wanted, action) = (change.document, edit.into(), Some(Action::Restored));
        let order = Order { id, wanted, action, condition: condition.clone(), by: by.clone() };
        let config = self.clone();
        self.in_task(order.wanted.size(), async move { config.edit_in_turn(&change.scope, order).await }).await
    }

    /// Does something in a task of its own: a client that leaves must not leave half of it. `size` is of what it holds,
    /// in bytes.
    async fn in_task<T: Send + 'static>(
        &self,
        size: usize,
        work: impl Future<Output = Result<T, ConfigError>> + Send + 'static,
    ) -> Result<T, ConfigError> {
        let place = place(size).await?;
        let (answer, answered) = oneshot::channel();
        self.inner.parts.lifecycle.spawn(async move {
            let done = work.await;
            drop(place);
            drop(answer.send(done));
        });
        answered.await.unwrap_or_else(|_| Err(ConfigError::Io("the server made a mistake; see its log".to_owned())))
    }

    /// The scope's turn.
    pub(super) async fn turn(&self, scope: &Scope) -> Result<AsyncGuard<'_, ()>, ConfigError> {
        let place = match scope {
            Scope::User => 0,
            Scope::Workspace(name) => {
                let mut hasher = DefaultHasher::new();
                name.hash(&mut hasher);
                1 + usize::try_from(hasher.finish() % (TURNS as u64 - 1)).unwrap_or(0)
            }
        };
        timeout(TURN_PATIENCE, self.inner.turns[place].lock()).await.map_err(|_| ConfigError::Busy)
    }

    /// Reads in a scope's folder, apart from who renames there.
    pub(super) async fn reading<T>(
        &self,
        scope: &Scope,
        read: impl FnOnce(&Inner, &Root) -> Result<T, ConfigError> + Send + 'static,
    ) -> Result<T, ConfigError>
    where
        T: Default + Send + 'static,
    {
        let (inner, scope) = (Arc::clone(&self.inner), scope.clone());
        let gate = READS.of(&scope);
        gate.run(move || {
            // First: to wait takes none of the look's time.
            let _held = inner.shared(&scope)?;
            let Some(root) = inner.root(&scope)? else { return Ok(T::default()) };
            inner.looking(root, |root| read(&inner, root))
        })
        .await?
    }

    /// Changes something in a scope's folder, which is there.
    pub(super) async fn writing<T: Send + 'static>(
        &self,
        scope: &Scope,
        write: impl FnOnce(&Inner, &Root) -> Result<T, ConfigError> + Send + 'static,
    ) -> Result<T, ConfigError> {
        let (inner, scope) = (Arc::clone(&self.inner), scope.clone());
        WRITES.of(&scope).run(move || write(&inner, &inner.present(&scope)?)).await?
    }

    /// Judges something that is to come into a scope's folder, which is there.
    pub(super) async fn judging<T: Send + 'static>(
        &self,
        scope: &Scope,
        judge: impl FnOnce(&Inner, &Root) -> Result<T, ConfigError> + Send + 'static,
    ) -> Result<T, ConfigError> {
        let (inner, scope) = (Arc::clone(&self.inner), scope.clone());
        let gate = JUDGING.of(&scope);
        gate.run(move || inner.looking(inner.present(&scope)?, |root| judge(&inner, root))).await?
    }

    /// Work for a processor, away from the threads that serve.
    pub(super) async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ConfigError> + Send + 'static,
    ) -> Result<T, ConfigError> {
        WORK.run(work).await?
    }

    /// An id that is greater than every one before.
    pub(super) fn new_id(&self) -> ChangeId {
        let ambient = &self.inner.parts.ambient;
        let now = u64::try_from(ambient.now().as_millisecond()).unwrap_or(0);
        let mut last = self.inner.last_id.lock().unwrap_or_else(PoisonError::into_inner);
        *last = match *last {
            (millis, number) if millis >= now && number < MOST_IN_A_MILLISECOND => (millis, number + 1),
            (millis, _) if millis >= now => (millis + 1, 0),
            _ => (now, 0),
        };
        let mut bytes = [0; 10];
        bytes.copy_from_slice(&ambient.uuid().into_bytes()[..10]);
        // The twelve bits that come first after the time.
        bytes[..2].copy_from_slice(&last.1.to_be_bytes());
        ChangeId(uuid::Builder::from_unix_timestamp_millis(last.0, &bytes).into_uuid())
    }
}

/// What changes may hold at once in all, in kilobytes. Whoever leaves takes the bounds of their request with them, and
/// the change goes on.
const HELD: u32 = 64 << 10;
/// What each change counts with at least, so that there is a bounded number of them.
const LEAST_HELD: u32 = 64;

static HOLDING: Semaphore = Semaphore::const_new(HELD as usize);

/// A place for a change that holds so many bytes. One that holds more than all may waits until it is alone.
async fn place(size: usize) -> Result<SemaphorePermit<'static>, ConfigError> {
    let kilobytes = u32::try_from(size >> 10).unwrap_or(HELD).clamp(LEAST_HELD, HELD);
    let place = timeout(TURN_PATIENCE, HOLDING.acquire_many(kilobytes)).await;
    place.ok().and_then(Result::ok).ok_or(ConfigError::Busy)
}

/// A UUID has twelve bits behind the time.
const MOST_IN_A_MILLISECOND: u16 = 0xfff;

impl Inner {
    /// Values that must not come into a document.
    pub(super) fn secrets(&self) -> Arc<Secrets> {
        self.secrets.load_full()
    }

    /// The folder of a scope; `None`: there is no `CONFIG_DIR`.
    fn root(&self, scope: &Scope) -> Result<Option<Root>, ConfigError> {
        match scope {
            Scope::User => Root::user(self.parts.dir.path()),
            Scope::Workspace(name) => Root::workspace(&self.parts.workspaces, name).map(Some),
        }
    }

    /// The folder of a scope that something is to be written to.
    fn present(&self, scope: &Scope) -> Result<Root, ConfigError> {
        self.root(scope)?.ok_or_else(|| {
            let hint = "CONFIG_DIR does not exist; hint: create the folder that it names, and start askd again";
            ConfigError::ReadOnly(hint.to_owned())
        })
    }

    /// One look at a scope, within its budget. What did not see everything has no answer, whatever it has made of that.
    fn looking<T>(&self, root: Root, look: impl FnOnce(&Root) -> Result<T, ConfigError>) -> Result<T, ConfigError> {
        let root = root.for_a_look(self.parts.limits.total_bytes);
        let answer = look(&root);
        root.within_budget()?;
        answer
    }

    #[cfg(test)]
    pub(super) fn spoilt(&self, applied: Result<Applied, ConfigError>) -> Result<Applied, ConfigError> {
        let spoil = self.spoil.lock().unwrap_or_else(PoisonError::into_inner).take();
        match spoil {
            Some(spoil) => spoil(applied),
            None => applied,
        }
    }

    /// Keeps renames away. In a workspace each document changes at once, and an agent may not hold anybody up.
    fn shared(&self, scope: &Scope) -> Result<Option<Held<'_>>, ConfigError> {
        held(scope, || self.lock.share())
    }

    /// Keeps readers away.
    pub(super) fn alone(&self, scope: &Scope) -> Result<Option<Held<'_>>, ConfigError> {
        held(scope, || self.lock.alone())
    }
}

fn held<'a>(scope: &Scope, lock: impl FnOnce() -> io::Result<Held<'a>>) -> Result<Option<Held<'a>>, ConfigError> {
    match scope {
        Scope::User => lock().map(Some).map_err(|_| ConfigError::Busy),
        Scope::Workspace(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests;
