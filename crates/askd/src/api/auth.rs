//! Who may call.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;

use super::caller::Caller;
use super::error::ApiError;
use super::error::code::ErrorCode;
use super::v1::events::ROUTE as EVENTS;
use super::v1::stream_token;
use crate::app::App;

/// The header that carries the key.
pub const KEY_HEADER: &str = "x-api-key";

/// Lets a request through only with the right key, which makes a [`Caller`] of whoever sent it, or to the events of one
/// run with a token for them, whose holder is none.
pub(super) async fn require_key(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let allowed = match token(&request) {
        Some((path, token)) => stream_token::check(&app, &path, &token).await,
        None => admit(&app, &mut request).map_err(|message| ApiError::new(ErrorCode::Unauthorized, message)),
    };
    match allowed {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

fn admit(app: &App, request: &mut Request) -> Result<(), &'static str> {
    let auth = &app.settings().auth;
    check(request.headers(), auth.api_key.expose_secret())?;
    let caller = Caller::admin(request.extensions().get::<ConnectInfo<SocketAddr>>(), auth.config_changes);
    request.extensions_mut().insert(caller);
    Ok(())
}

/// The path and the token of a request that may come with one.
fn token(request: &Request) -> Option<(String, String)> {
    let route = request.extensions().get::<MatchedPath>()?;
    if request.method() != Method::GET || route.as_str() != EVENTS {
        return None;
    }
    Some((request.uri().path().to_owned(), stream_token::of_query(request.uri())?))
}

fn check(headers: &HeaderMap, key: &str) -> Result<(), &'static str> {
    let bearer = || headers.get(header::AUTHORIZATION)?.as_bytes().split_at_checked(7);
    let (given, wrong) = match (headers.get(KEY_HEADER), bearer()) {
        (Some(given), _) => (given.as_bytes(), "the key in x-api-key is not valid"),
        (None, Some((scheme, given))) if scheme.eq_ignore_ascii_case(b"bearer ") => {
            (given, "the key in the header authorization is not valid")
        }
        (None, _) => {
            return Err("the key is missing: send it in the header x-api-key, or as authorization: Bearer KEY");
        }
    };
    // In constant time, so that the answer's delay says nothing of how much of a guess was right.
    let same: bool = given.ct_eq(key.as_bytes()).into();
    if same { Ok(()) } else { Err(wrong) }
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

    #[test]
    fn a_bearer_is_as_good_and_the_own_header_counts_first() {
        for (key, bearer, ok) in [
            (None, "Bearer right", true),
            (None, "bearer right", true),
            (None, "Bearer wrong", false),
            (None, "Basic right", false),
            (None, "right", false),
            (Some("wrong"), "Bearer right", false),
            (Some("right"), "Bearer wrong", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, bearer.parse().unwrap());
            if let Some(key) = key {
                headers.insert(KEY_HEADER, key.parse().unwrap());
            }
            assert_eq!(check(&headers, "right").is_ok(), ok, "{key:?} {bearer}");
        }
    }
}
