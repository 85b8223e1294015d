//! Every long-lived handle. Tests build the same type with parts of their own.

use std::sync::Arc;

use crate::lifecycle::Lifecycle;
use crate::runs::shared::Shared;
use crate::runs::submit::Runs;
use crate::settings::Settings;

pub mod readiness;

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

    /// The server's options, as they are now.
    pub fn settings(&self) -> Arc<Settings> {
        self.runs.shared().settings.now()
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
