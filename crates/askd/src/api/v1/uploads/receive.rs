//! Bytes on their way into the store: a part at a time, so that no upload is ever in memory as a whole.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::http::request::Parts;
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, timeout_at};

use super::super::super::again;
use super::super::super::caller::Caller;
use super::super::super::error::ApiError;
use super::super::super::error::code::ErrorCode;
use super::asked::{Asked, too_large};
use super::spelling::Spelling;
use super::{clear, now, unknown};
use crate::app::App;
use crate::hex::hex;
use crate::runs::limits::too_little_disk;
use crate::runs::uploads::UploadId;
use crate::settings::groups::Uploads;
use crate::settings::show_size;
use crate::store::uploads::{AbandonUpload, AddPart, BeginUpload, Begun, CompleteUpload, LEAST, PART, UploadRow};

/// The slowest client that is waited for, in bytes a second: half a megabit.
const SLOWEST: u64 = 64 << 10;

/// How long after its time an upload that has not come is taken for one that nobody sends any more.
const MARGIN: Duration = Duration::from_hours(1);

/// Receives an upload. Of one that does not come to its end nothing is left.
pub(super) async fn receive(
    app: &Arc<App>,
    caller: &Caller,
    asked: Asked,
    head: &Parts,
    body: Body,
) -> Result<UploadRow, ApiError> {
    let shared = app.runs().shared();
    let uploads = &app.settings().uploads;
    if shared.lifecycle.draining().is_cancelled() {
        return Err(ApiError::new(ErrorCode::ShuttingDown, "the server is shutting down"));
    }
    if let Some(low) = shared.free_disk.low() {
        let message =
            format!("the upload was not taken in: on the server's disk {}; try again later", too_little_disk(&low));
        return Err(ApiError::new(ErrorCode::StoreUnavailable, message));
    }
    // Of a size that is not said the most is set aside.
    let size = asked.size.unwrap_or(uploads.max_size);
    let patience = app.settings().server.body_timeout + Duration::from_secs(size / SLOWEST);
    let now_ms = now(app);
    let upload = UploadRow {
        id: UploadId(shared.ambient.ordered_uuid()).to_string(),
        key_id: caller.key_id().to_owned(),
        media_type: asked.media_type.as_str().to_owned(),
        name: asked.name,
        size,
        sha256: String::new(),
        created_at: now_ms,
        expires_at: now_ms.saturating_add(milliseconds(patience + MARGIN)),
    };
    let until = Instant::now() + patience;
    let mut incoming = Incoming { app: Arc::clone(app), id: upload.id.clone(), is_complete: false };
    begin(app, upload).await?;
    let mut parts = Parted { app, id: &incoming.id, next: 0, pending: BytesMut::new() };
    let (mut spelling, mut hash, mut received) = (Spelling::new(asked.media_type), Sha256::new(), 0_u64);
    let wrong = |what: String| ApiError::request(format!("the upload {what}"));
    let mut body = body;
    let idle = app.settings().server.body_timeout;
    while let Some(piece) = next(&mut body, until, patience, idle).await? {
        received += piece.len() as u64;
        if received > uploads.max_size {
            return Err(too_large(uploads));
        }
        spelling.take(&piece).map_err(wrong)?;
        hash.update(&piece);
        parts.add(&piece).await?;
    }
    spelling.end().map_err(wrong)?;
    parts.end().await?;
    // The key may have been revoked while the bytes came in.
    again::look(head).await?;
    let complete = CompleteUpload {
        id: incoming.id.clone(),
        size: received,
        sha256: hex(&hash.finalize()),
        expires_at: now(app).saturating_add(milliseconds(uploads.retention)),
    };
    let upload = shared.store.write(complete).await?.ok_or_else(|| unknown(&incoming.id))?;
    incoming.is_complete = true;
    shared.metrics.uploads.inc_by(upload.size);
    tracing::info!(upload = upload.id, media_type = upload.media_type, size = upload.size, "upload stored");
    Ok(upload)
}

/// The next bytes of a body; `None` at its end. Who sends nothing for as long as a whole body of another route may take has
/// gone, and holds one of its key's places.
async fn next(body: &mut Body, until: Instant, patience: Duration, idle: Duration) -> Result<Option<Bytes>, ApiError> {
    loop {
        let silent_until = Instant::now() + idle;
        let frame = timeout_at(until.min(silent_until), body.frame()).await.map_err(|_| {
            let (message, hint) = if silent_until < until {
                (format!("nothing of the upload arrived for {idle:?}"), "ASKD_BODY_TIMEOUT")
            } else {
                let hint =
                    "ASKD_BODY_TIMEOUT, and a second more for each 64 KiB; the header content-length says how many";
                (format!("the upload did not arrive within {patience:?}"), hint)
            };
            ApiError::request(message).with_hint(hint).with_status(StatusCode::REQUEST_TIMEOUT)
        })?;
        match frame {
            None => return Ok(None),
            Some(Err(_)) => return Err(ApiError::request("the request's body could not be read")),
            Some(Ok(frame)) => {
                if let Ok(piece) = frame.into_data() {
                    return Ok(Some(piece));
                }
            }
        }
    }
}

/// Claims the room.
async fn begin(app: &App, upload: UploadRow) -> Result<(), ApiError> {
    let Uploads { max_of_key, max_of_all, .. } = app.settings().uploads;
    let wanted = upload.size.max(LEAST);
    let begun =
        app.runs().shared().store.write(BeginUpload { upload, most_of_key: max_of_key, most: max_of_all }).await?;
    let most = show_size(max_of_key);
    match begun {
        Begun::Room => Ok(()),
        Begun::KeyFull { .. } if wanted > max_of_key => {
            let message =
                format!("the upload is larger than all uploads of a key may be, {most} (ASKD_MAX_UPLOADS_PER_KEY)");
            Err(ApiError::request(message).with_status(StatusCode::PAYLOAD_TOO_LARGE))
        }
        Begun::KeyFull { used } => {
            let message = format!(
                "the key's uploads take up {used} bytes, and with this one they would be more than {most} \
                 (ASKD_MAX_UPLOADS_PER_KEY)"
            );
            let hint = "delete uploads that are not needed any more (DELETE /v1/uploads/{id}), or wait until they expire; \
                of an upload without the header content-length the largest size is set aside while it comes in";
            Err(ApiError::new(ErrorCode::RateLimited, message).with_hint(hint))
        }
        Begun::Full => {
            let message = "the server has no room for further uploads (ASKD_MAX_UPLOADS); try again later";
            Err(ApiError::new(ErrorCode::StoreUnavailable, message))
        }
    }
}

/// Bytes that gather until they are a part.
struct Parted<'a> {
    app: &'a App,
    id: &'a str,
    next: u64,
    pending: BytesMut,
}

impl Parted<'_> {
    async fn add(&mut self, mut piece: &[u8]) -> Result<(), ApiError> {
        while self.pending.len() + piece.len() >= PART {
            let (now, rest) = piece.split_at(PART - self.pending.len());
            self.pending.extend_from_slice(now);
            piece = rest;
            self.store().await?;
        }
        self.pending.extend_from_slice(piece);
        Ok(())
    }

    async fn end(&mut self) -> Result<(), ApiError> {
        if self.pending.is_empty() { Ok(()) } else { self.store().await }
    }

    async fn store(&mut self) -> Result<(), ApiError> {
        let bytes = std::mem::take(&mut self.pending).into();
        let part = AddPart { upload_id: self.id.to_owned(), part: self.next, bytes };
        self.next += 1;
        let stored = self.app.runs().shared().store.write(part).await?;
        if stored { Ok(()) } else { Err(unknown(self.id)) }
    }
}

/// An upload that comes in. Dropped before it is complete, it is given up: its client went away, or it was refused.
struct Incoming {
    app: Arc<App>,
    id: String,
    is_complete: bool,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if self.is_complete {
            return;
        }
        let (app, id) = (Arc::clone(&self.app), std::mem::take(&mut self.id));
        self.app.lifecycle().spawn(async move {
            if let Err(error) = app.runs().shared().store.write(AbandonUpload { id: id.clone() }).await {
                tracing::debug!(upload = id, %error, "an upload that was cut off is left until its time is over");
            }
            clear(&app);
        });
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 2)
}
