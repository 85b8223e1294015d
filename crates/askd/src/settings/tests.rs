//! What an operator may rely on, told as a specification.

mod errors;
mod precedence;
mod printing;
mod reload;
mod secrets;
mod tls;

use super::{Loaded, Problem, Settings, Sources};

/// A server's surroundings: what must be set is set, and a folder for files.
struct Surroundings {
    folder: tempfile::TempDir,
    sources: Sources,
}

impl Surroundings {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let current_dir = folder.path().to_owned();
        let env = vec![("HOME".to_owned(), "/home/somebody".to_owned())];
        let sources = Sources { env, current_dir, ..Sources::default() };
        Self { folder, sources }.env("API_KEY", "a-long-enough-key")
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.sources.env.retain(|(known, _)| known != name);
        self.sources.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn flag(mut self, key: &str, value: &str) -> Self {
        self.sources.flags.push((key.to_owned(), value.to_owned()));
        self
    }

    /// The settings file `askd.toml`.
    fn toml(mut self, text: &str) -> Self {
        self.sources.file = Some("askd.toml".into());
        self.file("askd.toml", text)
    }

    fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    /// A pipe that nobody writes to.
    fn pipe(&self, name: &str) {
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, self.folder.path().join(name), rustix::fs::FileType::Fifo, mode, 0)
            .unwrap();
    }

    fn load(&self) -> Loaded {
        Settings::load(&self.sources).unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn settings(&self) -> Settings {
        self.load().settings
    }

    fn problems(&self) -> Vec<Problem> {
        Settings::load(&self.sources).unwrap_err().problems().to_owned()
    }

    /// The one problem that there is, as it is printed.
    fn problem(&self) -> String {
        let problems = self.problems();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        problems[0].to_string()
    }
}
