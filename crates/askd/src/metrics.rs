//! What the server counts and measures of itself, for Prometheus.
//!
//! Every metric is declared once, in [`table`]: there are its name, its unit, its labels and what it means. From that come the
//! fields of [`table::Table`], which the rest of the server counts with, the reference page, and the tests of the dashboard and
//! of the alerts.
//!
//! An [`App`](crate) has one [`Metrics`], and a test with two servers has two. Whoever counts often keeps the handle of its own
//! counter; nothing here is done for a single event. What is a state rather than a count (the queue, the disk) is read when
//! somebody asks, by whoever answers (`api::metrics`).

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

pub mod kinds;
pub mod money;
pub mod names;
pub mod reference;
pub mod table;
pub mod words;

mod classic;
mod process;

use kinds::Word;
use names::Names;
use table::Table;

/// The form in which metrics are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `application/openmetrics-text`, version 1.0.0.
    OpenMetrics,
    /// `text/plain`, version 0.0.4: what Prometheus has always read.
    Classic,
}

impl Form {
    /// Its media type, as the answer names it.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// All metrics of one server. Clones are the same.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    table: Table,
    models: Names,
    keys: Names,
    /// Lines of the log that were dropped, where there is somebody who counts them.
    dropped_lines: OnceLock<Arc<AtomicU64>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// With so many models and keys that are told apart; further ones count as `other` together.
    pub fn new(most_models: usize, most_keys: usize) -> Self {
        let mut registry = Registry::default();
        let table = Table::register(&mut registry);
        table.begin_at_zero();
        let (models, keys) = (Names::new(most_models), Names::new(most_keys));
        Self { inner: Arc::new(Inner { registry, table, models, keys, dropped_lines: OnceLock::new() }) }
    }

    /// A model as a label: its name, `unknown` for what belongs to none, `other` for one too many.
    pub fn model(&self, name: &str) -> Word {
        self.inner.models.label(name, &self.names_beyond.of(["model"]))
    }

    /// A key as a label: its id, or `other` for one too many.
    pub fn key(&self, id: &str) -> Word {
        self.inner.keys.label(id, &self.names_beyond.of(["key"]))
    }

    /// Tells from now on how many lines of the log were dropped: the log is the process's, and counts by itself.
    pub fn tell_dropped_lines(&self, count: Arc<AtomicU64>) {
        // A process has one log.
        drop(self.inner.dropped_lines.set(count));
    }

    /// All of them, as text.
    pub fn text(&self, form: Form) -> String {
        process::look(self);
        if let Some(count) = self.inner.dropped_lines.get() {
            self.log_lines_dropped.inner().store(count.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        let mut told = String::with_capacity(64 << 10);
        // A string takes whatever is written to it.
        let _ = text::encode(&mut told, &self.inner.registry);
        match form {
            Form::OpenMetrics => told,
            Form::Classic => classic::from_open(&told),
        }
    }
}

impl Default for Metrics {
    /// For parts of a server that nobody asks for metrics, such as a store in a test.
    fn default() -> Self {
        Self::new(0, 0)
    }
}

impl Deref for Metrics {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.inner.table
    }
}

#[cfg(test)]
mod tests;
