//! A key is looked at when the head of a request is there, and once more when its body is: a client may let as long pass
//! between the two as `ASKD_BODY_TIMEOUT`, and the key may be revoked, changed or given another secret meanwhile.

use std::sync::Arc;

use axum::extract::MatchedPath;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use super::auth::made_key;
use super::caller::Caller;
use super::error::ApiError;
use super::error::code::ErrorCode;
use super::scopes::{Need, need};
use crate::app::App;
use crate::keys::Key;
use crate::keys::manager::Checked;

/// Goes with a request whose key may change: where it is looked up.
#[derive(Clone)]
pub(super) struct LookAgain(pub(super) Arc<App>);

/// What the second look has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// What the key may do is what it was.
    Same,
    /// It may do something else, by its scopes or its policy.
    Changed,
}

/// Looks at the key of a request whose body is there. From then on the [`Caller`], and whatever was made of it, is held to
/// what the key says now. Refuses it if the key counts no more, or has lost the scope of the route. One indexed read.
pub(super) async fn look(head: &Parts) -> Result<Seen, ApiError> {
    let extensions = &head.extensions;
    let (Some(LookAgain(app)), Some(caller)) = (extensions.get(), extensions.get::<Caller>()) else {
        return Ok(Seen::Same);
    };
    let before = Arc::clone(caller.key());
    if before.id.is_admin() {
        let replaced = app.runs().shared().keys.is_replaced(&before);
        return if replaced { Err(no_more()) } else { Ok(Seen::Same) };
    }
    let now = counting(app, &head.headers).await?;
    let seen = if (&now.scopes, &now.policy) == (&before.scopes, &before.policy) { Seen::Same } else { Seen::Changed };
    caller.is_now(now);
    let needed = extensions.get::<MatchedPath>().and_then(|route| need(&head.method, route.as_str()));
    if let Some(Need::Scope(scope)) = needed {
        caller.require_scope(scope)?;
    }
    Ok(seen)
}

/// The key of the headers, if it still counts.
async fn counting(app: &App, headers: &HeaderMap) -> Result<Arc<Key>, ApiError> {
    let refused = |why: String| ApiError::new(ErrorCode::Unauthorized, why);
    match app.runs().shared().keys.check(made_key(headers).ok_or_else(no_more)?).await? {
        Checked::Valid(key) => Ok(key),
        Checked::Invalid { id, why } => Err(refused(format!("the key {id} {}", why.as_str()))),
        Checked::Unknown => Err(no_more()),
    }
}

fn no_more() -> ApiError {
    ApiError::new(ErrorCode::Unauthorized, "the key is not valid any more")
}
