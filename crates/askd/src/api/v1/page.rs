//! A page of events: what is there now, bounded in number, in bytes, and in what is looked through for it.

use axum::http::StatusCode;
use axum::response::Response;

use super::super::error::ApiError;
use super::json;
use crate::app::App;
use crate::encode::events::envelope;
use crate::encode::types::Types;
use crate::runs::RunId;
use crate::runs::follow::FollowError;
use crate::store::chunk::EventRef;
use crate::store::runs::RunRow;

/// Events on a page.
pub(in crate::api) const DEFAULT_LIMIT: u64 = 100;
/// As many at most.
pub(in crate::api) const MAX_LIMIT: u64 = 1_000;
/// The most that a page holds, in bytes, or one event.
const MAX_BYTES: usize = 1 << 20;
/// The most that is looked through for events of the wanted types, in bytes of their data.
const MAX_LOOKED_THROUGH: usize = 16 << 20;
/// Looked at at once, in bytes.
const BATCH: usize = 256 * 1024;

/// The events after a number.
pub(super) async fn page(
    app: &App,
    id: RunId,
    row: &RunRow,
    after: u64,
    limit: Option<u64>,
    types: &Types,
) -> Result<Response, ApiError> {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(ApiError::param("limit", format_args!("must be from 1 to {MAX_LIMIT}")));
    }
    if row.events_expired {
        return Err(FollowError::Expired.into());
    }
    let mut page = Page { run: id.to_string(), limit, types, body: br#"{"data":["#.to_vec(), shown: 0, at: after };
    let mut looked_through = 0;
    if after != row.last_seq {
        let mut events = app.runs().follow(id, after).await?;
        // Not further than to the last event of the row: a page does not wait.
        while page.at < row.last_seq && looked_through < MAX_LOOKED_THROUGH {
            let Some(batch) = events.next_events(BATCH).await? else { break };
            if !page.take(batch.events().inspect(|event| looked_through += event.data.len())) {
                break;
            }
        }
    }
    let last = row.last_seq.max(page.at);
    let next = if page.at < last { format!("\"{}\"", page.at) } else { "null".to_owned() };
    page.body.extend_from_slice(format!(r#"],"next_page":{next},"last_seq":{last}}}"#).as_bytes());
    Ok(json(StatusCode::OK, page.body))
}

struct Page<'a> {
    run: String,
    limit: u64,
    types: &'a Types,
    body: Vec<u8>,
    shown: u64,
    /// The number of the last event that was looked at.
    at: u64,
}

impl Page<'_> {
    /// Takes events; whether there is room for more.
    fn take<'e>(&mut self, events: impl Iterator<Item = EventRef<'e>>) -> bool {
        for event in events {
            if self.types.want(event.kind) {
                let full = self.shown == self.limit || self.body.len() + event.data.len() > MAX_BYTES;
                if full && self.shown > 0 {
                    return false;
                }
                if self.shown > 0 {
                    self.body.push(b',');
                }
                envelope(&self.run, &event, &mut self.body);
                self.shown += 1;
            }
            self.at = event.seq;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(limit: u64, types: &str, events: &[(&str, usize)]) -> (u64, u64, bool) {
        let types = if types.is_empty() { Types::default() } else { Types::parse(types).unwrap() };
        let mut page = Page { run: "run_x".into(), limit, types: &types, body: Vec::new(), shown: 0, at: 0 };
        let data: Vec<_> = events.iter().map(|(_, size)| format!("\"{}\"", "x".repeat(*size))).collect();
        let events = events.iter().zip(&data).zip(1..);
        let room = page.take(events.map(|(((kind, _), data), seq)| EventRef { seq, time_ms: 0, kind, data }));
        (page.shown, page.at, room)
    }

    #[test]
    fn a_page_ends_at_its_limit_or_its_size_and_holds_one_event_at_least() {
        let small = [("a", 1), ("b", 1), ("a", 1)];
        assert_eq!(taken(100, "", &small), (3, 3, true));
        assert_eq!(taken(2, "", &small), (2, 2, false));
        assert_eq!(taken(1, "b", &small), (1, 3, true), "what is not wanted is passed by");
        assert_eq!(taken(100, "", &[("a", 1 << 20), ("a", 1)]), (1, 1, false));
        assert_eq!(taken(100, "", &[("a", 1), ("a", 1 << 20)]), (1, 1, false));
    }
}
