//! `ETag`, `If-Match` and `If-None-Match` (RFC 9110, sections 8.8.3 and 13.1).

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::error::ApiError;
use crate::config::change::Condition;
use crate::config::document::Etag;

/// More tags than any client sends.
const MAX_TAGS: usize = 50;

/// What a header lists.
#[derive(Debug, PartialEq, Eq)]
enum Tags {
    /// `*`
    Any,
    /// Tags, each with whether it is weak.
    List(Vec<(String, bool)>),
}

/// Under which condition a document may be changed.
pub(super) fn of_change(headers: &HeaderMap) -> Result<Condition, ApiError> {
    let (if_match, if_none_match) = (tags(headers, &header::IF_MATCH)?, tags(headers, &header::IF_NONE_MATCH)?);
    match (if_match, if_none_match) {
        (None, None) => Ok(Condition::None),
        (Some(Tags::Any), None) => Ok(Condition::IfExists),
        // A weak tag never matches, nor does one that is not of our making. With none left nothing matches.
        (Some(Tags::List(list)), None) => {
            let strong = list.iter().filter(|(_, weak)| !weak);
            Ok(Condition::IfMatch(strong.filter_map(|(tag, _)| Etag::parse(tag)).collect()))
        }
        (None, Some(Tags::Any)) => Ok(Condition::IfAbsent),
        (None, Some(Tags::List(_))) => Err(wrong(&header::IF_NONE_MATCH, "takes only `*` where something is changed")),
        (Some(_), Some(_)) => Err(wrong(&header::IF_NONE_MATCH, "contradicts If-Match: send one of them")),
    }
}

/// Whether the client of a GET has what it would get.
pub(super) fn is_known(headers: &HeaderMap, etag: &Etag) -> Result<bool, ApiError> {
    Ok(match tags(headers, &header::IF_NONE_MATCH)? {
        None => false,
        Some(Tags::Any) => true,
        Some(Tags::List(list)) => list.iter().any(|(tag, _)| Etag::parse(tag) == Some(*etag)),
    })
}

/// An answer with its tag; 304 and no body if the client has it already.
pub(super) fn tagged(headers: &HeaderMap, etag: &Etag, mut response: Response) -> Result<Response, ApiError> {
    if is_known(headers, etag)? {
        response = Response::default();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    tag(&mut response, etag);
    Ok(response)
}

/// Says which content an answer is about.
pub(super) fn tag(response: &mut Response, etag: &Etag) {
    if let Ok(value) = HeaderValue::from_str(&format!("\"{etag}\"")) {
        response.headers_mut().insert(header::ETAG, value);
    }
}

fn wrong(name: &HeaderName, what: &str) -> ApiError {
    let name = if *name == header::IF_MATCH { "If-Match" } else { "If-None-Match" };
    ApiError::param(name, what)
}

/// The tags of a header, which may come in several lines. Besides the form of the standard one of ours without quotes.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, ApiError> {
    if !headers.contains_key(name) {
        return Ok(None);
    }
    let malformed = || wrong(name, "must be `*` or a list of tags in quotes");
    let lines: Option<Vec<_>> = headers.get_all(name).iter().map(|line| line.to_str().ok()).collect();
    let text = lines.ok_or_else(malformed)?.join(",");
    if text.trim() == "*" {
        return Ok(Some(Tags::Any));
    }
    let list = list(&text).ok_or_else(malformed)?;
    match list.len() {
        0 => Err(malformed()),
        1..=MAX_TAGS => Ok(Some(Tags::List(list))),
        _ => Err(wrong(name, "lists too many tags")),
    }
}

/// A tag as bodies have it, without quotes, at the beginning of a text: clients copy it from there.
fn bare(text: &str) -> Option<(&str, &str)> {
    let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
    let (tag, behind) = text.split_at(end);
    Etag::parse(tag).map(|_| (tag, behind))
}

/// A comma may stand in a tag, so the text is read from tag to tag. Empty elements are allowed in lists.
fn list(text: &str) -> Option<Vec<(String, bool)>> {
    let (mut rest, mut tags) = (text, Vec::new());
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(tags);
        }
        let (weak, quoted) = rest.strip_prefix("W/").map_or((false, rest), |quoted| (true, quoted));
        let (tag, behind) = match bare(rest) {
            Some(bare) => bare,
            None => quoted.strip_prefix('"')?.split_once('"')?,
        };
        if !tag.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        tags.push((tag.to_owned(), weak));
        rest = behind.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    fn change(lines: &[(HeaderName, &str)]) -> Result<Condition, ApiError> {
        of_change(&headers(lines))
    }

    #[test]
    fn a_condition_is_any_of_the_strong_tags_that_are_listed() {
        let (one, two) = (Etag::of_bytes(b"1"), Etag::of_bytes(b"2"));
        let list = |text: &str| match change(&[(header::IF_MATCH, text)]).unwrap() {
            Condition::IfMatch(tags) => tags,
            other => panic!("{other:?}"),
        };
        assert_eq!(list(&format!("\"{one}\"")), [one]);
        assert_eq!(list(&format!(" , \"{one}\" ,, \"{two}\"")), [one, two]);
        assert_eq!(list(&format!("W/\"{one}\", \"{two}\"")), [two], "a weak tag never matches");
        assert_eq!(list(&format!("{one},\"{two}\" , {two}")), [one, two, two], "as it stands in a body");
        assert_eq!(list("\"\", \"a,b\", \"xyz\""), [], "what is not of our making never matches");
        let lines = [(header::IF_MATCH, &*format!("\"{one}\"")), (header::IF_MATCH, &*format!("\"{two}\""))];
        assert!(matches!(change(&lines).unwrap(), Condition::IfMatch(tags) if tags == [one, two]));
        assert!(matches!(change(&[(header::IF_MATCH, "*")]), Ok(Condition::IfExists)));
        assert!(matches!(change(&[(header::IF_NONE_MATCH, "*")]), Ok(Condition::IfAbsent)));
        assert!(matches!(change(&[]), Ok(Condition::None)));
    }

    #[test]
    fn what_is_malformed_is_refused_and_names_the_header() {
        let many = "\"a\",".repeat(MAX_TAGS + 1);
        let bare = "A".repeat(64);
        for text in [
            "",
            " ",
            ",",
            "abc",
            "\"a",
            "a\"",
            "\"a\"\"b\"",
            "\"a\" \"b\"",
            "w/\"a\"",
            "\"a b\"",
            "*, \"a\"",
            &bare,
            &many,
        ] {
            assert_eq!(change(&[(header::IF_MATCH, text)]).unwrap_err().at_fault(), Some("If-Match"), "{text}");
        }
        let none = |lines: &[_]| assert_eq!(change(lines).unwrap_err().at_fault(), Some("If-None-Match"));
        none(&[(header::IF_NONE_MATCH, "\"a\"")]);
        none(&[(header::IF_MATCH, "*"), (header::IF_NONE_MATCH, "*")]);
    }

    #[test]
    fn a_reader_has_it_already_also_by_a_weak_tag() {
        let etag = Etag::of_bytes(b"1");
        for (text, known) in
            [("*", true), (&*format!("\"x\", \"{etag}\""), true), (&*format!("W/\"{etag}\""), true), ("\"x\"", false)]
        {
            assert_eq!(is_known(&headers(&[(header::IF_NONE_MATCH, text)]), &etag).unwrap(), known, "{text}");
        }
    }
}
