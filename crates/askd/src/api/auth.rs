//! Who may call.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;

use super::error::{ApiError, ErrorCode};
use crate::app::App;

/// The header that carries the key.
pub const KEY_HEADER: &str = "x-api-key";

/// Lets a request through only with the right key.
pub(super) async fn require_key(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match check(request.headers(), app.settings().auth.api_key.expose_secret()) {
        Ok(()) => next.run(request).await,
        Err(message) => ApiError::new(ErrorCode::Unauthorized, message).into_response(),
    }
}

fn check(headers: &HeaderMap, key: &str) -> Result<(), &'static str> {
    let given = headers.get(KEY_HEADER).ok_or("the header x-api-key is missing")?;
    // In constant time, so that the answer's delay says nothing of how much of a guess was right.
    let same: bool = given.as_bytes().ct_eq(key.as_bytes()).into();
    if same { Ok(()) } else { Err("the key in x-api-key is not valid") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_key_passes() {
        for (given, ok) in
            [(Some("right"), true), (Some("righ"), false), (Some("right "), false), (Some(""), false), (None, false)]
        {
            let mut headers = HeaderMap::new();
            if let Some(given) = given {
                headers.insert(KEY_HEADER, given.parse().unwrap());
            }
            assert_eq!(check(&headers, "right").is_ok(), ok, "{given:?}");
        }
    }
}
