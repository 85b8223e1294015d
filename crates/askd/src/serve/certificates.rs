//! New certificates for a server at work.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::http_server::tls::{Certificates, Reloaded};

/// Who wanted the files to be looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// The operator, who wants to hear what came of it.
    ByHand,
    /// Nobody: it was time.
    ByTheClock,
}

/// Looks at the files now and then, and whenever `hangup` says so, for ever.
pub(super) async fn keep(certificates: Option<&Arc<Certificates>>, hangup: &Notify) {
    let Some(certificates) = certificates else {
        loop {
            hangup.notified().await;
            tracing::info!("SIGHUP: there are no certificates to look at (ASKD_TLS_CERT is not set)");
        }
    };
    // What is wrong is said once, not at every look.
    let mut told = String::new();
    loop {
        let asked = tokio::select! {
            () = hangup.notified() => Asked::ByHand,
            () = sleep(certificates.every()) => Asked::ByTheClock,
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
        if !said.is_empty() && (asked == Asked::ByHand || said != told) {
            tracing::error!("the new certificates cannot be used, those in use stay: {said}");
        }
        told = said;
    }
}
