//! The settings in force. A reload puts others in their place; whoever has taken them keeps what it has.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Settings;

/// Where everybody finds the settings of the moment. Clones show the same ones.
///
/// A run or a request that takes them once is held to one state of them from then on. Who reads them twice may see two.
#[derive(Clone)]
pub struct InForce(Arc<ArcSwap<Settings>>);

impl InForce {
    /// These, until others are put in their place.
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(settings)))
    }

    /// Those of the moment. Cheap.
    pub fn now(&self) -> Arc<Settings> {
        self.0.load_full()
    }

    /// Puts others in their place.
    pub fn replace(&self, settings: Settings) {
        self.0.store(Arc::new(settings));
    }
}

impl fmt::Debug for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.now().fmt(f)
    }
}
