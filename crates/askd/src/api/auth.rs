//! Who may call.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use super::again::LookAgain;
use super::caller::{Caller, Reader};
use super::error::ApiError;
use super::error::body::ErrorBody;
use super::error::code::ErrorCode;
use super::front::client_address::ClientAddress;
use super::front::failures::Failures;
use super::front::{Front, shown_key};
use super::idempotency::pepper::Pepper;
use super::request_id::RequestId;
use super::scopes::{Need, need};
use super::v1::events::ROUTE as EVENTS;
use super::v1::stream_token;
use crate::app::App;
use crate::audit::{Action, Actor, Audit, Event, Whose};
use crate::keys::manager::Checked;
use crate::keys::token::Token;
use crate::keys::{Key, KeyId};
use crate::runs::RunId;

/// The header that carries the key.
pub const KEY_HEADER: &str = "x-api-key";

/// An `API_KEY` of so many characters is not guessed, and so is compared whatever came from the address before: a run can show
/// as many wrong keys from the server's own address as it likes, and must not lock its operator out with them.
const NOT_GUESSED: usize = 32;

/// Lets a request through only with a key that counts, or to the events of one run with a token for them. What is refused,
/// here or further in, is noted in the audit.
pub(super) async fn require_key(
    State((app, front)): State<(Arc<App>, Arc<Front>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let asked = Asked::of(&request);
    let admitted = match token(&request) {
        Some((path, token)) => by_token(&app, &path, &token).await,
        None => by_key(&app, front.failures(), &asked, request.headers()).await,
    };
    let (key, shown) = match admitted {
        Ok(admitted) => admitted,
        Err(Refused { error, shown }) => {
            count_refused(&app, &error, shown.as_deref());
            if let Some(tried) = shown {
                let Tried { detail, whose } = *tried;
                let key_id = match &whose {
                    Whose::Key(id) | Whose::Ended(id) => Some(id.clone()),
                    Whose::Strangers | Whose::StreamTokens => None,
                };
                let (actor, subject) = (asked.actor(key_id), asked.whole_route());
                app.runs().shared().audit.refused_to(whose, &actor, event(subject, &error, detail));
            }
            return error.into_response();
        }
    };
    shown_key::note(&mut request, &key.id);
    let actor = asked.actor(Some(key.id.to_string()));
    if shown == Shown::Key {
        request.extensions_mut().insert(LookAgain(Arc::clone(&app)));
    }
    let changes = app.settings().auth.config_changes;
    let pepper = match made_key(request.headers()) {
        Some(secret) if !key.id.is_admin() => Pepper::of_key(secret),
        // Whoever has shown a token has no use for one.
        _ => Pepper::Operators(front.operators_pepper()),
    };
    let caller = Caller::new(key, asked.address, changes, asked.request_id.clone(), pepper);
    request.extensions_mut().insert(Admitted { caller, shown });
    let response = next.run(request).await;
    note_refusal(&app.runs().shared().audit, actor, asked.target(), &response);
    response
}

/// Counts a request without a key that counts. A store that does not answer is no such thing.
fn count_refused(app: &App, error: &ApiError, shown: Option<&Tried>) {
    let metrics = &app.runs().shared().metrics;
    let reason = match (shown.map(|tried| &tried.whose), error.v1_status()) {
        (Some(Whose::Strangers | Whose::Key(_)), _) => "wrong",
        (Some(Whose::Ended(_)), _) => "ended",
        (Some(Whose::StreamTokens), _) => "stream_token",
        (None, StatusCode::UNAUTHORIZED) => "missing",
        (None, StatusCode::TOO_MANY_REQUESTS) => {
            metrics.rate_limited.of(["wrong_keys"]).inc();
            "not_looked_at"
        }
        (None, _) => return,
    };
    metrics.auth_failures.of([reason]).inc();
}

/// Notes in the audit what a key may not do.
fn note_refusal(audit: &Audit, actor: Actor, target: String, response: &Response) {
    let Some(error) = response.extensions().get::<ErrorBody>().map(ErrorBody::error) else { return };
    match response.status() {
        // Unauthorized: the key does not count any more.
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => {
            audit.refused(&actor, event(target, error, json!({})));
        }
        // Something is there, and belongs to another key; or there is nothing. The answer's delay does not say which.
        StatusCode::NOT_FOUND => {
            let (kind, id) = error.of_others().unwrap_or_default();
            audit.perhaps_refused(!id.is_empty(), actor, event(target, error, json!({kind: id})));
        }
        _ => {}
    }
}

/// Lets a request through to its route only with the scope that the route needs, which makes a [`Caller`] of the holder of
/// a key, and a [`Reader`] also of that of a token. Behind the rate limit: what is refused here counts as well.
pub(super) async fn require_scope(mut request: Request, next: Next) -> Response {
    let needed = request.extensions().get::<MatchedPath>().and_then(|route| need(request.method(), route.as_str()));
    // No route, or one that does not take the method; a handler that nobody has listed finds no caller and is closed.
    let Some(needed) = needed else { return next.run(request).await };
    let Some(Admitted { caller, shown }) = request.extensions_mut().remove() else { return next.run(request).await };
    if let Need::Scope(scope) = needed
        && let Err(error) = caller.require_scope(scope)
    {
        return error.into_response();
    }
    request.extensions_mut().insert(Reader::new(Arc::clone(caller.key())));
    if shown == Shown::Key {
        request.extensions_mut().insert(caller);
    }
    next.run(request).await
}

/// Whoever has shown a key or a token that counts; what for is not known yet.
#[derive(Clone)]
struct Admitted {
    caller: Caller,
    shown: Shown,
}

/// By what a request was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Key,
    Token,
}

/// Why a request was not let in.
struct Refused {
    error: ApiError,
    /// `None`: nothing was shown that could be a guess. Boxed, for an error is passed on by value.
    shown: Option<Box<Tried>>,
}

/// What was shown in vain.
struct Tried {
    /// What the audit says of it.
    detail: Value,
    /// Among whose refusals it counts there.
    whose: Whose,
}

impl Refused {
    fn quietly(error: impl Into<ApiError>) -> Self {
        Self { error: error.into(), shown: None }
    }

    fn wrong(message: impl Into<String>, detail: Value, whose: Whose) -> Self {
        Self { error: ApiError::new(ErrorCode::Unauthorized, message), shown: Some(Box::new(Tried { detail, whose })) }
    }
}

/// What is known of a request before anybody has looked at its key.
struct Asked {
    method: Method,
    /// The route that it fits; `None`: there is no such route.
    route: Option<String>,
    path: String,
    address: Option<IpAddr>,
    request_id: String,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let extensions = request.extensions();
        Self {
            method: request.method().clone(),
            route: extensions.get::<MatchedPath>().map(|path| path.as_str().to_owned()),
            path: request.uri().path().to_owned(),
            address: extensions.get().map(|ClientAddress(address)| *address),
            request_id: extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default(),
        }
    }

    fn actor(&self, key_id: Option<String>) -> Actor {
        Actor { key_id, address: self.address, request_id: self.request_id.clone() }
    }

    /// Method and route: a path may hold what somebody considers secret.
    fn whole_route(&self) -> String {
        format!("{} {}", self.method, self.route.as_deref().unwrap_or("-"))
    }

    /// The same with the ids of runs and keys that stand in the path.
    fn target(&self) -> String {
        let route = self.route.as_deref().unwrap_or("-");
        let parts = route.split('/').zip(self.path.split('/')).map(|(part, given)| {
            let is_id = part == "{id}" && (RunId::parse(given).is_some() || KeyId::parse(given).is_some());
            if is_id { given } else { part }
        });
        format!("{} {}", self.method, parts.collect::<Vec<_>>().join("/"))
    }
}

/// What is noted of a refusal.
fn event(subject: String, error: &ApiError, mut detail: Value) -> Event {
    const MAX_MESSAGE: usize = 300;
    let message: String = error.message().chars().take(MAX_MESSAGE).collect();
    detail["status"] = error.v1_status().as_u16().into();
    detail["message"] = message.into();
    if let Some(field) = error.at_fault() {
        detail["field"] = field.into();
    }
    Event { action: Action::RequestRefused, subject: Some(subject), detail }
}

/// The path and the token of a request that may come with one.
fn token(request: &Request) -> Option<(String, String)> {
    let route = request.extensions().get::<MatchedPath>()?;
    if request.method() != Method::GET || route.as_str() != EVENTS {
        return None;
    }
    Some((request.uri().path().to_owned(), stream_token::of_query(request.uri())?))
}

async fn by_token(app: &App, path: &str, token: &str) -> Result<(Arc<Key>, Shown), Refused> {
    match stream_token::check(app, path, token).await {
        Ok(key) => Ok((key, Shown::Token)),
        Err(error) if error.v1_status() == StatusCode::UNAUTHORIZED => {
            let tried = Tried { detail: json!({"shown": "a stream token"}), whose: Whose::StreamTokens };
            Err(Refused { error, shown: Some(Box::new(tried)) })
        }
        Err(error) => Err(Refused::quietly(error)),
    }
}

async fn by_key(
    app: &App,
    failures: &Failures,
    asked: &Asked,
    headers: &HeaderMap,
) -> Result<(Arc<Key>, Shown), Refused> {
    let Given { key: given, place } = given(headers)?;
    let keys = &app.runs().shared().keys;
    // A key that a person has thought of might be guessed. What has the form of those that askd makes cannot be: their
    // holders are served whoever else comes from the same address, and a forgotten job with a secret that was replaced
    // locks nobody out.
    let made = of_askd(given);
    let blocked = asked.address.filter(|_| made.is_none()).and_then(|address| failures.blocked(address));
    // Before the settings: the key of an earlier API_KEY is never taken for that of the one in force.
    let (admin, settings) = (keys.admin(), app.settings());
    let api_key = settings.auth.api_key.expose_secret().as_bytes();
    if (blocked.is_none() || api_key.len() >= NOT_GUESSED) && is_same(given, api_key) {
        return Ok((admin, Shown::Key));
    }
    if let Some(made) = made {
        match keys.check(made).await.map_err(Refused::quietly)? {
            Checked::Valid(key) => {
                keys.note_use(&key.id, asked.address);
                return Ok((key, Shown::Key));
            }
            Checked::Invalid { id, why } => {
                let message = format!("the key {id} {}", why.as_str());
                // Among its own: the secret was right, and strangers with wrong ones are not to hide that.
                let whose = Whose::Ended(id.to_string());
                return Err(Refused::wrong(message, json!({"shown": "a key", "key": id.as_str()}), whose));
            }
            Checked::Unknown => {}
        }
    }
    if let Some(left) = blocked {
        return Err(Refused::quietly(too_many_failures(left)));
    }
    if let Some(address) = asked.address.filter(|_| made.is_none()) {
        failures.note(address, settings.network.rates.failures);
    }
    Err(Refused::wrong(format!("the key in {place} is not valid"), json!({"shown": "a key"}), Whose::Strangers))
}

/// It does not say whether the key is right: nobody has looked.
fn too_many_failures(left: Duration) -> ApiError {
    ApiError::new(ErrorCode::RateLimited, "too many wrong keys came from this address; this one was not looked at")
        .with_hint("wait as long as Retry-After says; the operator's limit is ASKD_RATE_FAILURES")
        .with_retry_after(left)
}

/// In constant time, so that the answer's delay says nothing of how much of a guess was right; of the hashes, so that it
/// says nothing of the length either.
fn is_same(given: &[u8], key: &[u8]) -> bool {
    Sha256::digest(given).as_slice().ct_eq(Sha256::digest(key).as_slice()).into()
}

/// The key of a request, if it looks like one that askd makes.
pub(super) fn made_key(headers: &HeaderMap) -> Option<&str> {
    of_askd(given(headers).ok()?.key)
}

fn of_askd(given: &[u8]) -> Option<&str> {
    std::str::from_utf8(given).ok().filter(|given| Token::parse(given).is_some())
}

/// A key, and where it stood.
#[derive(Debug, PartialEq, Eq)]
struct Given<'a> {
    key: &'a [u8],
    place: &'static str,
}

fn given(headers: &HeaderMap) -> Result<Given<'_>, Refused> {
    if let Some(value) = only(headers, &HeaderName::from_static(KEY_HEADER))? {
        return Ok(Given { key: value, place: KEY_HEADER });
    }
    let bearer = only(headers, &AUTHORIZATION)?.and_then(|value| value.split_at_checked(7));
    match bearer {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"bearer ") => {
            Ok(Given { key, place: "the header authorization" })
        }
        _ => {
            let message = "the key is missing: send it in the header x-api-key, or as authorization: Bearer KEY";
            Err(Refused::quietly(ApiError::new(ErrorCode::Unauthorized, message)))
        }
    }
}

/// The value of a header. Of two it would be anybody's guess which one counts, and a proxy may guess otherwise.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a [u8]>, Refused> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        let message = format!("the header {name} is there more than once; send one key");
        return Err(Refused::quietly(ApiError::new(ErrorCode::Unauthorized, message)));
    }
    Ok(first.map(axum::http::HeaderValue::as_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_of_a_request_names_runs_and_keys_and_nothing_else_that_stands_in_the_path() {
        let id = "00000000-0000-7000-8000-000000000001";
        for (route, path, target) in [
            ("/v1/runs/{id}/events", format!("/v1/runs/run_{id}/events"), format!("GET /v1/runs/run_{id}/events")),
            ("/v1/keys/{id}", format!("/v1/keys/key_{id}"), format!("GET /v1/keys/key_{id}")),
            ("/v1/keys/{id}", "/v1/keys/secret".to_owned(), "GET /v1/keys/{id}".to_owned()),
            (
                "/v1/config/{kind}/{*name}",
                "/v1/config/agents/a/b".to_owned(),
                "GET /v1/config/{kind}/{*name}".to_owned(),
            ),
        ] {
            let mut request = Request::new(axum::body::Body::empty());
            *request.uri_mut() = path.parse().unwrap();
            let asked = Asked { route: Some(route.to_owned()), ..Asked::of(&request) };
            assert_eq!(asked.target(), target);
        }
    }

    fn headers(values: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_the_exact_key_passes() {
        for (shown, ok) in [("right", true), ("righ", false), ("right ", false), ("", false), ("Right", false)] {
            assert_eq!(is_same(shown.as_bytes(), b"right"), ok, "{shown:?}");
        }
    }

    #[test]
    fn a_bearer_is_as_good_and_the_own_header_counts_first() {
        for (values, key) in [
            (&[("x-api-key", "a")][..], Some("a")),
            (&[("x-api-key", "")], Some("")),
            (&[("authorization", "Bearer b")], Some("b")),
            (&[("authorization", "bearer b")], Some("b")),
            (&[("authorization", "Basic b")], None),
            (&[("authorization", "b")], None),
            (&[("x-api-key", "a"), ("authorization", "Bearer b")], Some("a")),
            (&[], None),
        ] {
            let headers = headers(values);
            let given = given(&headers).ok().map(|given| given.key);
            assert_eq!(given, key.map(str::as_bytes), "{values:?}");
        }
    }

    #[test]
    fn of_two_headers_of_one_name_none_counts() {
        for values in [
            [("x-api-key", "a"), ("x-api-key", "a")],
            [("x-api-key", "a"), ("x-api-key", "b")],
            [("authorization", "Bearer a"), ("authorization", "Bearer b")],
        ] {
            let headers = headers(&values);
            let refused = given(&headers).map(|_| ()).unwrap_err();
            assert!(refused.error.message().contains("more than once"), "{:?}", refused.error);
            assert_eq!(refused.error.v1_status(), StatusCode::UNAUTHORIZED);
        }
    }
}
