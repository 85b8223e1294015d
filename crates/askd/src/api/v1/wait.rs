//! How long a request is held open until its run has ended: `?wait=` or `Prefer: wait=`.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::timeout;

use super::super::error::ApiError;
use super::super::query::{Query, digits};
use crate::app::App;
use crate::runs::follow::FollowError;
use crate::runs::readers::{ReaderKind, Reading};
use crate::runs::submit::Submitted;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// A wait that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait(Duration);

impl Wait {
    /// The parameter wins over the header.
    pub(super) fn of(query: &mut Query, headers: &HeaderMap, most: Duration) -> Result<Option<Self>, ApiError> {
        let seconds = match query.number("wait")? {
            Some(seconds) => Some(seconds),
            None => preferred(headers)?,
        };
        Ok(seconds.map(|seconds| Self(Duration::from_secs(seconds).min(most))))
    }

    /// Says how long the wait was to be at most.
    pub(super) fn applied(self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::from_str(&format!("wait={}", self.0.as_secs())) {
            headers.insert(APPLIED, value);
        }
    }

    /// Waits for the end of a run, or until the time is over, or the run is no longer in the hands of this server.
    pub(super) async fn until_end(self, app: &App, submitted: &Submitted) -> Result<(), ApiError> {
        let _reading = Reading::begin(&app.runs().shared().metrics, ReaderKind::Wait);
        match timeout(self.0, end(app, submitted)).await {
            // The run goes on, here or after the restart: it is shown as it is.
            Err(_) | Ok(Ok(()) | Err(FollowError::Interrupted(_) | FollowError::LetGo(_))) => Ok(()),
            Ok(Err(error)) => Err(error.into()),
        }
    }
}

/// No event is read for it, as far as that can be.
async fn end(app: &App, submitted: &Submitted) -> Result<(), FollowError> {
    if let Some(live) = &submitted.live {
        live.log().closed().await;
        return Ok(());
    }
    let row = app.runs().shared().store.run(&submitted.id.to_string()).await?;
    let last = row.map_or(0, |row| row.last_seq);
    let mut events = match app.runs().follow(submitted.id, last).await {
        // Events go only after the end.
        Err(FollowError::Expired) => return Ok(()),
        events => events?,
    };
    while events.next_events(usize::MAX).await?.is_some() {}
    Ok(())
}

/// `wait` of the header, in seconds. Other preferences are not ours.
fn preferred(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    for value in headers.get_all(PREFER) {
        for preference in value.to_str().unwrap_or_default().split(',') {
            // Parameters of a preference follow a semicolon.
            let preference = preference.split(';').next().unwrap_or_default().trim();
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            if name.trim().eq_ignore_ascii_case("wait") {
                let seconds = digits(value.trim().trim_matches('"'));
                let wrong = || ApiError::param("Prefer", "must name whole seconds, such as wait=30");
                return seconds.map(Some).ok_or_else(wrong);
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(query: &str, prefer: &str) -> Result<Option<u64>, ApiError> {
        let mut headers = HeaderMap::new();
        if !prefer.is_empty() {
            headers.insert(PREFER, prefer.parse().unwrap());
        }
        let mut query = Query::of(&format!("/v1/runs?{query}").parse().unwrap()).unwrap();
        let wait = Wait::of(&mut query, &headers, Duration::from_mins(1))?;
        Ok(wait.map(|wait| wait.0.as_secs()))
    }

    #[test]
    fn a_wait_is_whole_seconds_and_bounded() {
        let table = [
            ("", "", None),
            ("wait=30", "", Some(30)),
            ("", "wait=30", Some(30)),
            ("", "respond-async, Wait = \"5\"; x=1", Some(5)),
            ("", "respond-async", None),
            ("wait=2", "wait=3", Some(2)),
            ("wait=100000", "", Some(60)),
            ("wait=0", "", Some(0)),
        ];
        for (query, prefer, seconds) in table {
            assert_eq!(wait(query, prefer).unwrap(), seconds, "{query} {prefer}");
        }
        for (query, prefer, param) in [
            ("wait=", "", "wait"),
            ("wait=soon", "", "wait"),
            ("wait=-1", "", "wait"),
            ("wait=1.5", "", "wait"),
            ("", "wait", "Prefer"),
            ("", "wait=soon", "Prefer"),
        ] {
            assert_eq!(wait(query, prefer).unwrap_err().at_fault(), Some(param), "{query} {prefer}");
        }
    }
}
