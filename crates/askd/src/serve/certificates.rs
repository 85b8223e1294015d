//! New certificates for a server at work.

use std::sync::Arc;

use crate::http_server::tls::{Certificates, Reloaded};

/// Who wanted the files to be looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// The operator, who wants to hear what came of it.
    ByHand,
    /// Nobody: it was time.
    ByTheClock,
}

/// Looks at the files, one after the other.
#[derive(Default)]
pub(super) struct Looks {
    /// What is wrong is said once, not at every look.
    told: String,
}

impl Looks {
    /// Looks at them once, and takes what is new.
    pub(super) async fn at(&mut self, certificates: Option<&Arc<Certificates>>, asked: Asked) {
        let Some(certificates) = certificates else {
            return tracing::info!("SIGHUP: there are no certificates to look at (ASKD_TLS_CERT is not set)");
        };
        let there = Arc::clone(certificates);
        let said = match tokio::task::spawn_blocking(move || there.reload()).await {
            Ok(Ok(Reloaded::Unchanged)) => {
                if asked == Asked::ByHand {
                    tracing::info!("SIGHUP: the certificates are what they were");
                }
                String::new()
            }
            Ok(Ok(Reloaded::New)) => {
                tracing::info!("new certificates: they count for new connections");
                String::new()
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        if !said.is_empty() && (asked == Asked::ByHand || said != self.told) {
            tracing::error!("the new certificates cannot be used, those in use stay: {said}");
        }
        self.told = said;
    }
}
