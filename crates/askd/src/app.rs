//! Every long-lived handle. Tests build the same type with parts of their own.

use crate::lifecycle::Lifecycle;
use crate::runs::shared::Shared;
use crate::runs::submit::Runs;
use crate::settings::Settings;

/// What request handlers work with.
#[derive(Debug, Clone)]
pub struct App {
    runs: Runs,
}

impl App {
    /// The application over what its runs need.
    pub fn new(shared: Shared) -> Self {
        Self { runs: Runs::new(shared) }
    }

    /// The server's options.
    pub fn settings(&self) -> &Settings {
        &self.runs.shared().settings
    }

    /// Takes runs in.
    pub fn runs(&self) -> &Runs {
        &self.runs
    }

    /// Drain, stop, kill.
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.runs.shared().lifecycle
    }
}
