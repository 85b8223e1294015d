//! The programs and files without which no run can work, where they lie in something hidden.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::Access as Mode;
use secrecy::ExposeSecret as _;
use supervisor::confinement::Access;

use super::hidden::Hidden;
use super::{LetIn, ViewError};
use crate::privileges;
use crate::settings::Settings;
use crate::settings::child_env::FILES;
use crate::small_file;

/// How names are resolved; on many machines a link into `/run`.
const RESOLVER: &str = "/etc/resolv.conf";

/// The kernel reads no more of a script's first line.
const MAX_FIRST_LINE: u64 = 256;

/// Looks for them.
pub(super) struct Installation<'a> {
    pub(super) settings: &'a Settings,
    pub(super) hidden: &'a Hidden,
}

impl Installation<'_> {
    /// What has to be let in, and the programs that a run must be able to execute, without links. The server's user must
    /// be able to reach them, since the runs are the same user.
    pub(super) fn all(&self, program: &Path, launcher: &Path) -> Result<(Vec<LetIn>, Vec<PathBuf>), ViewError> {
        let mut found = Vec::new();
        let mut programs = Vec::new();
        let cli = self.program("ASKD_CLAUDE_BIN", program, &mut found)?;
        programs.push(cli.clone());
        if let Some(interpreter) = interpreter(&cli, self.settings) {
            let real = self.program("ASKD_CLAUDE_BIN", &interpreter, &mut found)?;
            programs.push(real.clone());
            // It is looked for by this name, and links on the way may be hidden.
            if let Some(path) = self.hidden.place_of(&interpreter).filter(|path| *path != real) {
                found.push(LetIn { path, source: real, access: Access::ReadOnly });
            }
        }
        // A launcher whose file was removed since the start still runs, by its descriptor.
        if launcher.canonicalize().is_ok() {
            self.program("the executable of askd", launcher, &mut found)?;
        }
        Ok((found, programs))
    }

    /// A program, without links; notes what of it has to be let in.
    fn program(&self, setting: &'static str, program: &Path, found: &mut Vec<LetIn>) -> Result<PathBuf, ViewError> {
        let wrong = |path: &Path, error: &io::Error| {
            let what = format!(
                "cannot be used by the server's user, as whom agents run: {error}; install it where this user may read \
                 it, or choose another user"
            );
            ViewError { setting, path: path.to_owned(), what }
        };
        let at_fault = |error: io::Error| wrong(&privileges::obstacle(program), &error);
        let real = program.canonicalize().map_err(at_fault)?;
        let source = if self.hidden.covers(&real) { self.folder_of(&real) } else { real.clone() };
        for path in [&source, &real] {
            let access = privileges::access(path, Mode::READ_OK | Mode::EXEC_OK);
            access.map_err(|error| wrong(&privileges::obstacle(path), &error))?;
        }
        if source != real || self.hidden.covers(&real) {
            found.push(LetIn { path: source.clone(), source, access: Access::ReadOnly });
        }
        Ok(real)
    }

    /// What has to be there for a program to work: the folder in which it was installed, as far as that does not show
    /// anything hidden, else the file alone.
    fn folder_of(&self, program: &Path) -> PathBuf {
        let outermost =
            program.ancestors().filter(|folder| folder.file_name().is_some_and(|name| name == "node_modules"));
        let candidates = outermost.last().into_iter().chain(program.parent());
        let mut fit = candidates.filter(|folder| folder.parent().is_some() && !self.hidden.lies_in(folder));
        fit.next().unwrap_or(program).to_owned()
    }
}

/// A file that a run reads if it is there, by the name that is looked for.
///
/// It is looked up anew for every run: what it leads to may be replaced while the server works.
#[derive(Clone, Debug)]
pub(super) struct NamedFile {
    name: PathBuf,
    /// The variable that names it; its absence is worth a word.
    variable: Option<&'static str>,
    /// The absence was told.
    is_told: Arc<AtomicBool>,
}

impl NamedFile {
    /// Those of these settings.
    pub(super) fn all(settings: &Settings) -> Vec<Self> {
        let of_variables = Self::names(settings).map(|(variable, name)| (Some(variable), name));
        let all = of_variables.chain([(None, RESOLVER.into())]);
        all.map(|(variable, name)| Self { name, variable, is_told: Arc::default() }).collect()
    }

    /// The files that variables name.
    pub(super) fn names(settings: &Settings) -> impl Iterator<Item = (&'static str, PathBuf)> {
        let of_variable = |variable: &&'static str| {
            let name = PathBuf::from(settings.child.get(variable)?.expose_secret());
            name.is_absolute().then_some((*variable, name))
        };
        FILES.iter().filter_map(of_variable)
    }

    /// What of it has to be let in for a run that starts now; `None`: it is not there, or nothing hides it.
    pub(super) fn now(&self, hidden: &Hidden) -> Option<LetIn> {
        let path = hidden.place_of(&self.name)?;
        match self.name.canonicalize() {
            Ok(source) => {
                self.is_told.store(false, Ordering::Relaxed);
                let volume = volume_of(&path).filter(|volume| !hidden.lies_in(&volume.source));
                let alone = || (!hidden.lies_in(&source)).then_some(LetIn { path, source, access: Access::ReadOnly });
                volume.or_else(alone)
            }
            Err(error) => {
                if let Some(variable) = self.variable
                    && !self.is_told.swap(true, Ordering::Relaxed)
                {
                    let file = self.name.display();
                    tracing::warn!(%error, "{variable} names `{file}`, which cannot be found: runs do without it");
                }
                None
            }
        }
    }
}

/// The folder of a file in a volume of Kubernetes, which replaces all its files by turning the link `..data`: only as a whole
/// does a run see it turned.
fn volume_of(file: &Path) -> Option<LetIn> {
    let folder = file.parent()?;
    let is_volume = folder.join("..data").is_symlink();
    let source = is_volume.then(|| folder.canonicalize().ok()).flatten()?;
    Some(LetIn { path: folder.to_owned(), source, access: Access::ReadOnly })
}

/// What runs need of the machine, without links, wherever it lies: programs, the folders that they are looked for in, and
/// the files that variables name.
pub(super) fn needed(settings: &Settings, program: &Path, launcher: &Path) -> Vec<PathBuf> {
    let mut needed = vec![program.to_owned(), launcher.to_owned(), RESOLVER.into()];
    needed.extend(program.canonicalize().ok().and_then(|cli| interpreter(&cli, settings)));
    needed.extend(FILES.iter().filter_map(|name| Some(settings.child.get(name)?.expose_secret().into())));
    let path = settings.child.get("PATH").map(|path| path.expose_secret().to_owned()).unwrap_or_default();
    needed.extend(std::env::split_paths(&path).filter(|folder| folder.is_absolute()));
    needed.iter().filter_map(|path| path.canonicalize().ok()).collect()
}

/// The program that a script names in its first line; what `env` would find for it.
fn interpreter(script: &Path, settings: &Settings) -> Option<PathBuf> {
    let file = rustix::fs::open(script, small_file::FLAGS, rustix::fs::Mode::empty()).ok()?;
    let beginning = small_file::beginning(file, MAX_FIRST_LINE).ok()?;
    let line = beginning.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let mut words = str::from_utf8(line).ok()?.split_ascii_whitespace();
    let named = Path::new(words.next()?);
    if named.file_name()? != "env" {
        return Some(named.to_owned());
    }
    let program = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
    settings.child.find_program(Path::new(program))
}
