//! New certificates for a server at work.

use std::sync::Arc;
use std::time::Duration;

use crate::aside::Gate;
use crate::http_server::tls::Certificates;
use crate::settings::tls::{Encryption, TlsError};

/// They may be on a mount that hangs: that costs one thread, and no reload.
static LOOKS: Gate = Gate::new(1, Duration::from_secs(10), 2 << 20);

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
        let said = match look(&LOOKS, move || there.read_again()).await {
            Ok(None) => {
                if asked == Asked::ByHand {
                    tracing::info!("SIGHUP: the certificates are what they were");
                }
                String::new()
            }
            Ok(Some(encryption)) => {
                certificates.replace(encryption);
                tracing::info!("new certificates: they count for new connections");
                String::new()
            }
            Err(why) => why,
        };
        if !said.is_empty() && (asked == Asked::ByHand || said != self.told) {
            tracing::error!("the new certificates cannot be used, those in use stay: {said}");
        }
        self.told = said;
    }
}

/// What is read counts only if it is there in time.
async fn look(
    gate: &'static Gate,
    read: impl FnOnce() -> Result<Option<Encryption>, TlsError> + Send + 'static,
) -> Result<Option<Encryption>, String> {
    match gate.run(read).await {
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(why) => Err(format!("their files cannot be read: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn files_that_hang_are_not_waited_for() {
        static GATE: Gate = Gate::new(1, Duration::from_millis(50), 2 << 20);
        let (hung, hangs) = mpsc::channel::<()>();
        let hanging = move || {
            hangs.recv().unwrap_err();
            Ok(None)
        };
        let told = look(&GATE, hanging).await.unwrap_err();
        assert_eq!(told, "their files cannot be read: no answer in time");
        drop(hung);
    }
}
