//! Ends answers that would outlive the right to them: a stream goes on for hours, and its key may be revoked meanwhile.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::error::ApiError;
use super::error::code::ErrorCode;
use crate::app::App;
use crate::keys::{Key, Scope};

/// Looks at every heartbeat whether a key may still see a run.
pub(super) struct Standing {
    of: Of,
    lost: Pin<Box<dyn Future<Output = String> + Send>>,
}

/// A key, and what it follows.
#[derive(Clone)]
struct Of {
    app: Arc<App>,
    key: Arc<Key>,
    scope: Scope,
    owner: String,
}

impl Standing {
    /// Of a key that follows a run of the key `owner`, which takes a scope.
    pub(super) fn of(app: &Arc<App>, key: &Arc<Key>, scope: Scope, owner: &str) -> Self {
        let period = app.settings().server.heartbeat;
        let of = Of { app: Arc::clone(app), key: Arc::clone(key), scope, owner: owner.to_owned() };
        Self { lost: Box::pin(watch(of.clone(), period)), of }
    }

    /// Waits until it may not any more, and says why. Safe to cancel; not to be asked again afterwards.
    pub(super) async fn lost(&mut self) -> ApiError {
        let why = self.lost.as_mut().await;
        ApiError::new(ErrorCode::Unauthorized, why)
    }

    /// Why it may not any more at this moment: its run may have ended because of that, before a heartbeat has told.
    pub(super) async fn lost_by_now(&mut self) -> Option<ApiError> {
        let why = self.of.look().await?;
        Some(ApiError::new(ErrorCode::Unauthorized, why))
    }
}

async fn watch(of: Of, period: Duration) -> String {
    loop {
        sleep(period).await;
        if let Some(why) = of.look().await {
            return why;
        }
    }
}

impl Of {
    /// Why the key may not see the run, if that is so and can be known.
    async fn look(&self) -> Option<String> {
        let Self { app, key, scope, owner } = self;
        let (shared, id) = (app.runs().shared(), &key.id);
        if id.is_admin() {
            // A setting: it counts until a reload brings another one.
            return shared.keys.is_replaced(key).then(|| format!("the key {id} has another secret now"));
        }
        match shared.keys.look(id.as_str()).await {
            Ok(Some(now)) => {
                if let Some(why) = now.invalid_at(shared.ambient.now()) {
                    return Some(format!("the key {id} {}", why.as_str()));
                }
                // One that a later version of the server has changed may see nothing here any more.
                let may = now.key().is_some_and(|now| now.scopes.has(*scope) && now.sees(owner));
                (!may).then(|| format!("the key {id} may no longer see this run"))
            }
            Ok(None) => Some(format!("the key {id} is gone")),
            // What cannot be known now is known at the next heartbeat: a store that is away for a moment must not end
            // every stream.
            Err(error) => {
                tracing::debug!(key = %id, %error, "cannot look whether a key still counts");
                None
            }
        }
    }
}
