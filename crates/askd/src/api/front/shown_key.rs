//! Which key a request has shown: for what stands before and behind the comparison, the request log and the rate
//! limits.

use std::sync::{Arc, OnceLock};

use axum::extract::Request;

use crate::keys::KeyId;

/// The right key of a request, or the one whose holder made its stream token.
#[derive(Debug, Clone)]
pub(super) struct ShownKey(pub(super) KeyId);

/// Where the request log looks for it: the log's layer is around everything, and a request that ends early has no
/// answer.
#[derive(Debug, Clone, Default)]
pub(super) struct ForTheLog(pub(super) Arc<OnceLock<KeyId>>);

/// Says that the request came with this key.
pub(in crate::api) fn note(request: &mut Request, id: &KeyId) {
    if let Some(ForTheLog(cell)) = request.extensions().get() {
        // Only a second call would find it filled, and there is none.
        drop(cell.set(id.clone()));
    }
    request.extensions_mut().insert(ShownKey(id.clone()));
}
