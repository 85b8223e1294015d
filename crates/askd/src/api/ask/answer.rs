//! The answer in one piece: the CLI's `result` object, or an error.

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::super::error::ApiError;
use super::super::error::code::ErrorCode;
use super::super::headers;
use super::super::standing::Standing;
use crate::ambient::Ambient;
use crate::encode::fold::{Fold, Folded, RunResult};
use crate::runs::follow::{FollowError, Follower};
use crate::runs::live::Holder;
use crate::runs::readers::ReaderKind;
use crate::runs::{Finished, RunErrorKind};

/// How many tool calls were denied; the result lists them.
const DENIALS_HEADER: HeaderName = HeaderName::from_static("x-askd-permission-denials");
/// Events are looked at and not copied: as many as there are.
const BATCH: usize = usize::MAX;

/// Follows the run to its end. Dropped with the connection, it drops the holder and so may cancel the run. `unread` makes
/// an answer of what keeps the run from being read.
pub(super) async fn respond(
    events: Follower,
    holder: Option<Holder>,
    mut standing: Standing,
    ambient: &Ambient,
    unread: impl Fn(FollowError) -> ApiError,
) -> Response {
    let folded = tokio::select! {
        folded = fold(events.read_as(ReaderKind::Ask)) => folded,
        why = standing.lost() => {
            // Whether the run ends with its key was decided when the key was revoked.
            if let Some(holder) = holder {
                holder.release();
            }
            return why.into_response();
        }
    };
    drop(holder);
    let Folded { result, finished, warnings } = match folded {
        Ok(folded) => folded,
        Err(error) => return unread(error).into_response(),
    };
    if matches!(&finished, Some(Finished { error: Some(error), .. }) if error.kind == RunErrorKind::Cancelled)
        && let Some(why) = standing.lost_by_now().await
    {
        return why.into_response();
    }
    let denials = result.as_ref().map_or(0, RunResult::denials);
    let answered = match (finished, result) {
        (Some(Finished { error: Some(error), .. }), result) => Err(ApiError::of_run(error, result, ambient.now())),
        (Some(Finished { error: None, .. }), Some(result)) => Ok(success(result)),
        // A run without a result has failed, and every run says how it ended: these are mistakes of ours.
        (Some(_), None) => Err(ApiError::new(ErrorCode::InternalError, "the run completed without a result")),
        (None, _) => Err(ApiError::new(ErrorCode::InternalError, "the run ended without saying how")),
    };
    let mut response = answered.unwrap_or_else(ApiError::into_response);
    if denials > 0 {
        response.headers_mut().insert(DENIALS_HEADER, HeaderValue::from(denials));
    }
    headers::warn(response.headers_mut(), &warnings);
    response
}

async fn fold(mut events: Follower) -> Result<Folded, FollowError> {
    let mut fold = Fold::default();
    while let Some(batch) = events.next_events(BATCH).await? {
        fold.take(&batch);
    }
    Ok(fold.finish())
}

/// The body is the result itself and no copy: it may be tens of megabytes long.
fn success(result: RunResult) -> Response {
    let mut response = Response::new(Body::from(Bytes::from_owner(result)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
