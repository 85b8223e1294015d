//! Changes that somebody of this process works on.

use std::sync::{Arc, PoisonError};

use super::change::ChangeId;
use super::manager::{Config, Inner};

/// Kept in [`Inner::in_flight`] as long as it lives.
pub(super) struct InFlight {
    inner: Arc<Inner>,
    ids: Vec<ChangeId>,
}

impl Config {
    /// Says that whoever holds this works on these changes: nobody else is to settle them.
    pub(super) fn in_flight(&self, ids: Vec<ChangeId>) -> InFlight {
        self.inner.in_flight.lock().unwrap_or_else(PoisonError::into_inner).extend(ids.iter().copied());
        InFlight { inner: Arc::clone(&self.inner), ids }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut in_flight = self.inner.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        for id in &self.ids {
            in_flight.remove(id);
        }
    }
}
