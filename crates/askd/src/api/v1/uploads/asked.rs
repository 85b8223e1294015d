//! What the head of an upload says: of what type it is, how it is called, how large it is.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};

use super::super::super::body::media_type;
use super::super::super::error::ApiError;
use super::super::super::idempotency;
use super::super::super::query::Query;
use crate::app::App;
use crate::keys::name::is_unseen;
use crate::runs::content::media::MediaType;
use crate::settings::groups::Uploads;
use crate::settings::show_size;

/// The longest name, in characters: that of a file on the usual file systems.
pub(in crate::api) const MAX_NAME: usize = 255;

/// What an upload is said to be.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) media_type: MediaType,
    pub(super) name: Option<String>,
    /// Its size in bytes, if that is said.
    pub(super) size: Option<u64>,
}

impl Asked {
    pub(super) fn of(request: &Request, app: &App) -> Result<Self, ApiError> {
        let headers = request.headers();
        let mut query = Query::of(request.uri())?;
        let name = query.take("name")?.map(checked_name).transpose()?;
        query.finish(&["name"])?;
        idempotency::none_for_uploads(headers)?;
        let media_type = of_headers(headers)?;
        as_they_are(headers)?;
        let size = announced(headers);
        if size.is_some_and(|size| size > app.settings().uploads.max_size) {
            return Err(too_large(&app.settings().uploads));
        }
        Ok(Self { media_type, name, size })
    }
}

fn checked_name(name: String) -> Result<String, ApiError> {
    let fits = (1..=MAX_NAME).contains(&name.chars().count());
    if !fits || name.chars().any(|character| is_unseen(character) && !joins(character)) {
        let what = format!(
            "must have 1 to {MAX_NAME} characters, and none that controls, breaks or turns the line around or is not seen"
        );
        return Err(ApiError::param("name", what));
    }
    Ok(name)
}

/// Within words of many scripts these join and keep apart.
fn joins(character: char) -> bool {
    matches!(character, '\u{200c}' | '\u{200d}')
}

/// Bytes that are packed for the way would be stored packed.
fn as_they_are(headers: &HeaderMap) -> Result<(), ApiError> {
    let is_plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(header::CONTENT_ENCODING).iter().all(is_plain) {
        return Ok(());
    }
    Err(ApiError::request("an upload is taken as it is, without the header content-encoding")
        .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
        .with_param("content-encoding")
        .with_hint("send the bytes themselves, not compressed"))
}

fn of_headers(headers: &HeaderMap) -> Result<MediaType, ApiError> {
    let word = media_type(headers);
    let refused = |message: String| {
        let known = MediaType::ALL.map(MediaType::as_str).join(", ");
        ApiError::request(message)
            .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
            .with_param("content-type")
            .with_hint(format!("send the bytes themselves, with the type that they have: {known}"))
    };
    let found = MediaType::from_word(&word).ok_or_else(|| {
        let short: String = word.chars().take(60).collect();
        let said = if word.is_empty() { "is missing".to_owned() } else { format!("says `{short}`") };
        refused(format!("the header content-type {said}, which is no type of an upload"))
    })?;
    if charset(headers).is_some_and(|charset| !matches!(charset.as_str(), "utf-8" | "utf8" | "us-ascii")) {
        return Err(refused("an upload of the type text/plain must be in UTF-8".to_owned()));
    }
    Ok(found)
}

/// The parameter `charset` of the type, in lower case.
fn charset(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let parameters = kind.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let mut charsets = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    charsets.next().map(|(_, value)| value.trim().trim_matches('"').to_ascii_lowercase())
}

/// The size that a request announces, in bytes.
fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// More than one upload may have.
pub(super) fn too_large(uploads: &Uploads) -> ApiError {
    let message = format!("the upload is larger than {} (ASKD_MAX_UPLOAD)", show_size(uploads.max_size));
    ApiError::request(message).with_status(StatusCode::PAYLOAD_TOO_LARGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content_type: &'static str) -> Result<MediaType, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        of_headers(&headers)
    }

    #[test]
    fn a_type_is_read_with_its_parameters() {
        for (word, media) in [
            ("image/png", MediaType::Png),
            ("IMAGE/PNG", MediaType::Png),
            ("text/plain", MediaType::PlainText),
            ("text/plain; charset=UTF-8", MediaType::PlainText),
            ("text/plain;format=flowed; Charset=\"utf-8\"", MediaType::PlainText),
        ] {
            assert_eq!(of(word).unwrap(), media, "{word}");
        }
    }

    #[test]
    fn other_types_are_refused_with_a_list() {
        for word in ["", "image/svg+xml", "application/json", "text/plain; charset=latin1", "multipart/form-data"] {
            let error = of(word).unwrap_err();
            assert_eq!((error.at_fault(), error.v1_status().as_u16()), (Some("content-type"), 415), "{word}");
        }
        assert!(of_headers(&HeaderMap::new()).unwrap_err().message().contains("is missing"));
    }

    #[test]
    fn a_name_is_one_line() {
        assert_eq!(checked_name("a b.png".to_owned()).unwrap(), "a b.png");
        assert!(checked_name("ä".repeat(MAX_NAME)).is_ok());
        for wrong in [String::new(), "a\nb".to_owned(), "x".repeat(MAX_NAME + 1)] {
            assert_eq!(checked_name(wrong).unwrap_err().at_fault(), Some("name"));
        }
    }

    #[test]
    fn a_name_is_what_it_looks_like() {
        for wrong in ["invoice\u{202e}fdp.exe", "a\u{2028}b", "a\u{2067}b", "a\u{200b}b", "\u{feff}a", "a\u{e0041}"] {
            assert_eq!(checked_name(wrong.to_owned()).unwrap_err().at_fault(), Some("name"), "{wrong:?}");
        }
        for right in ["\u{645}\u{6cc}\u{200c}\u{62e}.png", "\u{1f468}\u{200d}\u{1f469}.png", "\u{5e9}\u{5dc}.pdf"] {
            assert!(checked_name(right.to_owned()).is_ok(), "{right:?}");
        }
    }

    #[test]
    fn what_is_packed_is_refused() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            as_they_are(&headers)
        };
        assert!(of(&[]).is_ok() && of(&["identity"]).is_ok());
        for wrong in [&["gzip"][..], &["identity", "br"], &["identity, gzip"], &[""]] {
            let error = of(wrong).unwrap_err();
            assert_eq!((error.at_fault(), error.v1_status().as_u16()), (Some("content-encoding"), 415), "{wrong:?}");
        }
    }
}
