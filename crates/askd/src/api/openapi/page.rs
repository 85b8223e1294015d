//! `GET /openapi.json`, and `GET /docs`: the same for people. The page loads what is in this program and nothing else.

use std::io::Read as _;
use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Redirect, Response};
use axum::routing::get;
use flate2::read::GzDecoder;
use utoipa_swagger_ui::Config;

use super::super::conditions;
use super::super::error::ApiError;
use super::super::error::code::ErrorCode;
use super::super::path::PathOf;
use super::parameters;
use super::routes::{Routes, routes};
use crate::config::document::Etag;

/// The routes, without what stands before them.
pub(in crate::api) fn routes() -> Routes {
    Routes::default()
        .routes(routes!(file))
        .routes(routes!(page))
        .routes(routes!(asset))
        // Typed by hand. What the page loads is named relative to `/docs`, and a proxy may have put more before it.
        .untold("/docs/", get(async || Redirect::permanent("../docs")))
}

/// What the page may load: scripts, styles and pictures of this server. Pictures within its styles are `data:`.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

/// It may be kept, and is asked about again: the next version may be another.
const KEPT: HeaderValue = HeaderValue::from_static("private, no-cache");

const PAGE: &str = include_str!("page/docs.html");
const START: &str = include_str!("page/start.js");

/// What the page refers to, and of which type it is.
const ASSETS: [(&str, &str); 4] = [
    ("start.js", "text/javascript; charset=utf-8"),
    ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    ("swagger-ui.css", "text/css; charset=utf-8"),
    ("favicon-32x32.png", "image/png"),
];

#[utoipa::path(
    get, path = "/openapi.json", operation_id = "get_openapi", tag = "system",
    summary = "Read this file",
    description = "Whether that needs a key says `ASKD_DOCS`.",
    params(parameters::IfNoneMatch),
    responses((status = 200, description = "The OpenAPI file.", body = std::collections::BTreeMap<String, serde_json::Value>)),
)]
async fn file(headers: HeaderMap) -> Result<Response, ApiError> {
    /// The same for every server of this version, and large: written once it is asked for.
    static TEXT: OnceLock<(String, Etag)> = OnceLock::new();
    let (text, etag) = TEXT.get_or_init(|| {
        let text = super::document().to_string();
        let etag = Etag::of_bytes(text.as_bytes());
        (text, etag)
    });
    answer(&headers, "application/json", || Ok(text.as_str().into()), etag)
}

#[utoipa::path(
    get, path = "/docs", operation_id = "get_docs", tag = "system",
    summary = "Read the documentation of this API in a browser",
    description = "Whether that needs a key says `ASKD_DOCS`.",
    params(parameters::IfNoneMatch),
    responses((status = 200, description = "The page.", body = String, content_type = "text/html")),
)]
async fn page(headers: HeaderMap) -> Result<Response, ApiError> {
    answer(&headers, "text/html; charset=utf-8", || Ok(PAGE.into()), &Etag::of_bytes(PAGE.as_bytes()))
}

#[utoipa::path(
    get, path = "/docs/{file}", operation_id = "get_docs_file", tag = "system",
    summary = "Read what the page of the documentation is made of",
    description = "Whether that needs a key says `ASKD_DOCS`.",
    params(("file" = String, Path, description = "The name of the file."), parameters::IfNoneMatch),
    responses((status = 200, description = "The file.", content(
        (String = "text/javascript"), (String = "text/css"), (Vec<u8> = "image/png"),
    ))),
)]
async fn asset(PathOf(name): PathOf<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    let unknown = || ApiError::new(ErrorCode::NotFound, "the documentation has no such file");
    let (name, kind) = ASSETS.into_iter().find(|(known, _)| *known == name).ok_or_else(unknown)?;
    if name == "start.js" {
        return answer(&headers, kind, || Ok(START.into()), &Etag::of_bytes(START.as_bytes()));
    }
    let found = utoipa_swagger_ui::serve(name, Arc::new(Config::from(""))).ok().flatten().ok_or_else(unknown)?;
    // Its bytes are those of a version of askd: a hash of them would be worked out for each answer.
    let etag = Etag::of_bytes(concat!("askd ", env!("CARGO_PKG_VERSION")).as_bytes());
    // In the program they are compressed.
    let inflated = || {
        let mut bytes = Vec::new();
        GzDecoder::new(&*found.bytes).read_to_end(&mut bytes).map_err(|_| unknown())?;
        Ok(bytes.into())
    };
    answer(&headers, kind, inflated, &etag)
}

/// The `body` is made only for a client that does not have it.
fn answer(
    headers: &HeaderMap,
    kind: &'static str,
    body: impl FnOnce() -> Result<Body, ApiError>,
    etag: &Etag,
) -> Result<Response, ApiError> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::OK;
    if !conditions::is_known(headers, etag)? {
        *response.body_mut() = body()?;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    let mut response = conditions::tagged(headers, etag, response)?;
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, POLICY);
    response.headers_mut().insert(header::CACHE_CONTROL, KEPT);
    Ok(response)
}
