//! In which form a client wants events: `Accept`.

use axum::http::{HeaderMap, StatusCode, header};

use super::super::error::ApiError;
use crate::encode::events::Wire;

/// The forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON value.
    Json,
    /// Piece by piece.
    Stream(Wire),
}

const SSE: &str = "text/event-stream";
const NDJSON: &str = "application/x-ndjson";

/// The form that a request asks for; JSON if it does not say.
pub(super) fn form(headers: &HeaderMap) -> Result<Form, ApiError> {
    let values = headers.get_all(header::ACCEPT).iter().map(|value| value.to_str().unwrap_or("?"));
    let accept = values.collect::<Vec<_>>().join(",");
    choose(&accept).ok_or_else(|| {
        let message = format!("Accept must allow application/json, {SSE} or {NDJSON}");
        ApiError::request(message).with_status(StatusCode::NOT_ACCEPTABLE).with_param("Accept")
    })
}

/// The best of what is accepted: by weight, then a name before a wildcard, then the first.
fn choose(accept: &str) -> Option<Form> {
    if accept.trim().is_empty() {
        return Some(Form::Json);
    }
    let ranges = accept.split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next()?.to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        let weight = weight.map_or(Some(1.0), |weight| weight.parse::<f32>().ok())?;
        let (form, named) = match name.as_str() {
            "application/json" => (Form::Json, true),
            SSE => (Form::Stream(Wire::Sse), true),
            NDJSON => (Form::Stream(Wire::Ndjson), true),
            "*/*" | "application/*" => (Form::Json, false),
            "text/*" => (Form::Stream(Wire::Sse), false),
            _ => return None,
        };
        (weight > 0.0).then_some((form, (weight, named)))
    });
    let best = ranges.reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map(|(form, _)| form)
}

/// The media type of a stream.
pub(super) fn media_type(wire: Wire) -> &'static str {
    match wire {
        Wire::Sse => SSE,
        Wire::Ndjson => NDJSON,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_form_is_chosen() {
        let (json, sse, ndjson) = (Some(Form::Json), Some(Form::Stream(Wire::Sse)), Some(Form::Stream(Wire::Ndjson)));
        let table = [
            ("", json),
            ("*/*", json),
            ("application/json", json),
            ("TEXT/event-stream; charset=utf-8", sse),
            ("application/x-ndjson", ndjson),
            ("text/event-stream, */*", sse),
            ("*/*, text/event-stream", sse),
            ("text/event-stream;q=0.5, application/json", json),
            ("application/json;q=0.5, application/x-ndjson;q=0.9", ndjson),
            ("text/html, text/*;q=0.1", sse),
            ("text/event-stream;q=0", None),
            ("text/event-stream;q=much", None),
            ("text/html", None),
            ("application/xml, image/*", None),
        ];
        for (accept, form) in table {
            assert_eq!(choose(accept), form, "{accept}");
        }
    }
}
