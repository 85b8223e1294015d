//! A machine in small, for views: folders of a run, and what the run is not to see.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use supervisor::confinement::{Access, Bind, Bubblewrap, Confinement, Folders, Resources, View};
use supervisor::landlock;
use supervisor::spawn::{Child, Launch, SpawnError, spawn};
use tempfile::TempDir;

use crate::support::{LAUNCHER, limits, rest, script};

/// Where [`World`]s are made; set when the tests run again as another user.
pub(crate) const FOLDER_VARIABLE: &str = "SUPERVISOR_TEST_FOLDER";

/// How a view is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bubblewrap,
    Landlock,
}

impl Kind {
    /// Those that work on this machine; says which do not.
    pub(crate) fn working() -> Vec<Self> {
        [Self::Bubblewrap, Self::Landlock].into_iter().filter(|kind| kind.works()).collect()
    }

    pub(crate) fn works(self) -> bool {
        let works = match self {
            #[expect(clippy::disallowed_methods, reason = "the tests' own look at the machine")]
            Self::Bubblewrap => Command::new("bwrap")
                .args(["--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", "true"])
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success()),
            Self::Landlock => landlock::abi() >= landlock::NEEDED_ABI,
        };
        if !works {
            not_run(&format!("{self:?} does not work on this machine"));
        }
        works
    }
}

/// Past the harness, which shows nothing of a test that passes.
pub(crate) fn not_run(why: &str) {
    std::io::stderr().write_all(format!("NOT RUN: {why}\n").as_bytes()).unwrap();
}

/// ```text
/// data/           hidden
///   secret
///   homes/one/    the run's home, writable
///   homes/two/    of somebody else
///   login         a file, writable
/// work/           hidden
///   shop/         to be read
///     site/       writable, and where the run begins
///   other/        of somebody else
/// key             a hidden file
/// empty/          hidden
/// open/           what anybody may read
/// temporary/      the run's own
/// ```
pub(crate) struct World {
    folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the tests' way to themselves, run as another user")]
        let base = std::env::var_os(FOLDER_VARIABLE).unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into());
        let folder = tempfile::tempdir_in(fs::canonicalize(base).unwrap()).unwrap();
        let world = Self { folder };
        for name in ["data/homes/one", "data/homes/two", "work/shop/site", "work/other", "open", "empty", "temporary"] {
            fs::create_dir_all(world.path(name)).unwrap();
            fs::write(world.path(name).join("file"), format!("in {name}")).unwrap();
        }
        for name in ["data/secret", "data/login", "key"] {
            fs::write(world.path(name), format!("in {name}")).unwrap();
        }
        world
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn open(&self, name: &str) -> OwnedFd {
        File::open(self.path(name)).unwrap().into()
    }

    pub(crate) fn bind(&self, name: &str, access: Access) -> Bind {
        Bind { descriptor: self.open(name), path: self.path(name), access }
    }

    pub(crate) fn folders(&self) -> Folders {
        Folders {
            hidden: ["data", "work", "key", "empty", "missing"].map(|name| self.path(name)).into(),
            binds: vec![
                self.bind("data/homes/one", Access::ReadWrite),
                self.bind("data/login", Access::ReadWrite),
                self.bind("work/shop/site", Access::ReadWrite),
                self.bind("work/shop", Access::ReadOnly),
            ],
            temporary: self.open("temporary"),
        }
    }

    pub(crate) fn view(&self, kind: Kind) -> View {
        let folders = self.folders();
        match kind {
            Kind::Bubblewrap => View::Bubblewrap(Bubblewrap { program: "bwrap".into(), folders }),
            Kind::Landlock => View::Landlock(folders),
        }
    }

    /// The launcher by another name, by which it does something else than to launch.
    pub(crate) fn launcher_named(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::os::unix::fs::symlink(LAUNCHER, &path).unwrap();
        path
    }

    /// The same view, made by something that stands in for bubblewrap.
    pub(crate) fn view_by(&self, name: &str) -> View {
        View::Bubblewrap(Bubblewrap { program: self.launcher_named(name), folders: self.folders() })
    }

    /// A script in a view of this world. It begins in `work/shop/site`, and `$W` is the world's folder.
    pub(crate) fn launch(&self, kind: Kind, text: &str) -> Launch {
        let mut launch = script(text);
        launch.env.push(("W".into(), self.root().into()));
        launch.cwd = self.open("work/shop/site");
        launch.cwd_path = self.path("work/shop/site");
        launch.confinement = Confinement { view: self.view(kind), resources: Resources::default(), cgroup: None };
        launch
    }

    pub(crate) async fn start(&self, kind: Kind, text: &str) -> Result<Child, SpawnError> {
        spawn(self.launch(kind, text), limits()).await
    }

    /// What a script prints in a view, to its end.
    pub(crate) async fn says(&self, kind: Kind, text: &str) -> Vec<String> {
        said(self.launch(kind, text)).await
    }
}

/// What a child prints, to its end.
pub(crate) async fn said(launch: Launch) -> Vec<String> {
    let mut child = spawn(launch, limits()).await.unwrap();
    let lines = rest(&mut child.lines).await;
    child.process.wait_gone().await;
    child.stderr.ended().await;
    lines
}
