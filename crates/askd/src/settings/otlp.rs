//! Where traces go: the address of a collector, what is sent with them, and what they say of this server.

use hyper::Uri;
use hyper::header::HeaderName;
use secrecy::{ExposeSecret as _, SecretString};

use super::network::Misread;

/// What the OpenTelemetry specification appends to a collector's address.
const TRACES: &str = "/v1/traces";

/// What an address looks like.
const LIKE: &str = "give an address such as `http://127.0.0.1:4318`";

/// Headers and attributes: so many of each.
const MOST: usize = 32;

/// The address of a collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Whether connections are encrypted.
    pub encrypted: bool,
    /// A name or an address, an IPv6 one without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Host and port as a request names them.
    pub authority: String,
    /// What traces are sent to there.
    pub path: String,
}

impl Collector {
    /// Reads an address such as `https://collector.example.com:4318/otlp`.
    pub fn read(text: &str) -> Result<Self, Misread> {
        let misread = |what: &str, hint: &str| Misread { what: what.to_owned(), hint: Some(hint.to_owned()) };
        let uri: Uri = text.parse().map_err(|_| misread("is no address", LIKE))?;
        let encrypted = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(misread("does not begin with http:// or https://", LIKE)),
        };
        let authority = uri.authority().ok_or_else(|| misread("names no host", LIKE))?;
        if authority.as_str().contains('@') {
            let hint = "send credentials as a header, with ASKD_OTLP_HEADERS";
            return Err(misread("holds a user or a password", hint));
        }
        if uri.query().is_some() {
            return Err(misread("has a query", LIKE));
        }
        let base = uri.path().trim_end_matches('/');
        if base.ends_with(TRACES) {
            return Err(misread("ends with /v1/traces", "leave that off: it is appended"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(misread("names no host", LIKE));
        }
        let port = authority.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        Ok(Self { encrypted, host, port, authority: authority.to_string(), path: format!("{base}{TRACES}") })
    }
}

/// Reads headers as `OTEL_EXPORTER_OTLP_HEADERS` has them: `name=value,…`, values percent-encoded where they must be. The
/// error shows nothing of them.
pub fn headers(written: &SecretString) -> Result<Vec<(HeaderName, SecretString)>, &'static str> {
    let mut headers = Vec::new();
    for (name, value) in pairs(written.expose_secret())? {
        let name: HeaderName = name.parse().map_err(|_| "holds a name that no header has")?;
        if value.bytes().any(|byte| byte.is_ascii_control()) {
            return Err("holds a value with a control character");
        }
        headers.push((name, value.into()));
    }
    Ok(headers)
}

/// Reads attributes as `OTEL_RESOURCE_ATTRIBUTES` has them.
pub fn attributes(text: &str) -> Result<Vec<(String, String)>, &'static str> {
    pairs(text)
}

/// `name=value,…`, percent-decoded.
fn pairs(text: &str) -> Result<Vec<(String, String)>, &'static str> {
    let mut pairs = Vec::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or("holds something that is not written name=value")?;
        let (name, value) =
            (name.trim(), decoded(value.trim()).ok_or("holds a value that is not percent-encoded UTF-8")?);
        if name.is_empty() || pairs.len() == MOST {
            return Err("holds an empty name, or more than 32 pairs");
        }
        pairs.push((name.to_owned(), value));
    }
    Ok(pairs)
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_for_traces_is_appended_to_the_collectors_address() {
        for (text, authority, port, path) in [
            ("http://127.0.0.1:4318", "127.0.0.1:4318", 4318, "/v1/traces"),
            ("https://otlp.example.com", "otlp.example.com", 443, "/v1/traces"),
            ("https://otlp.example.com/base/", "otlp.example.com", 443, "/base/v1/traces"),
            ("http://[::1]:4318/", "[::1]:4318", 4318, "/v1/traces"),
        ] {
            let collector = Collector::read(text).unwrap();
            assert_eq!((&*collector.authority, collector.port, &*collector.path), (authority, port, path), "{text}");
        }
        assert_eq!(Collector::read("http://[::1]:4318").unwrap().host, "::1");
    }

    #[test]
    fn what_is_no_address_of_a_collector_is_refused_and_says_what_to_do() {
        for text in [
            "127.0.0.1:4318",
            "grpc://127.0.0.1:4317",
            "http://",
            "https://user:secret@otlp.example.com",
            "http://127.0.0.1:4318/v1/traces",
            "http://127.0.0.1:4318/?a=b",
            "http://a b",
        ] {
            assert!(Collector::read(text).unwrap_err().hint.is_some(), "{text}");
        }
    }

    #[test]
    fn headers_are_pairs_whose_values_may_be_percent_encoded() {
        let read = |text: &str| headers(&text.to_owned().into());
        let found = read("authorization=Bearer%20a%2Cb, x-scope=team=1,").unwrap();
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
        assert_eq!(found, [("authorization", "Bearer a,b"), ("x-scope", "team=1")]);
        for wrong in ["authorization", "a b=c", "=c", "a=%0a", "a=%ff", "a=%2", "a=%+1"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
