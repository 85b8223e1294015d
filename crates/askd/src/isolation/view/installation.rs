//! The programs and files without which no run can work, where they lie in something hidden.

use std::io;
use std::path::{Path, PathBuf};

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
                found.push(LetIn { path, source: real, access: Access::ReadOnly, optional: false });
            }
        }
        // A launcher whose file was removed since the start still runs, by its descriptor.
        if launcher.canonicalize().is_ok() {
            self.program("the executable of askd", launcher, &mut found)?;
        }
        let named = FILES.iter().filter_map(|name| self.settings.child.get(name));
        let files = named.map(|value| PathBuf::from(value.expose_secret())).filter(|path| path.is_absolute());
        for file in files.chain([PathBuf::from(RESOLVER)]) {
            if let (Some(path), Ok(source)) = (self.hidden.place_of(&file), file.canonicalize())
                && !self.hidden.lies_in(&source)
            {
                found.push(LetIn { path, source, access: Access::ReadOnly, optional: true });
            }
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
            found.push(LetIn { path: source.clone(), source, access: Access::ReadOnly, optional: false });
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
