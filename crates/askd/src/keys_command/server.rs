//! Where the server is, and what is shown to it: from the command line, or from the settings that it was started with.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ArgMatches;
use hyper::Uri;
use rustls::ClientConfig;
use secrecy::{ExposeSecret as _, SecretString};

use super::{KeysError, tls};
use crate::settings::{Door, Settings, Sources};
use crate::small_file;

/// The largest file with a key, in bytes.
const MAX_KEY: u64 = 4096;

/// A server, and the key that is shown to it.
pub(super) struct Server {
    /// Its URL, without a slash at the end.
    pub(super) url: String,
    /// Host and port, as the URL has them.
    pub(super) authority: String,
    /// The host, for a certificate.
    pub(super) host: String,
    /// Host and port, for a connection: it is at one of them.
    pub(super) places: Vec<String>,
    /// What stands before each path.
    pub(super) prefix: String,
    /// The key.
    pub(super) key: SecretString,
    /// `None`: the connection is not encrypted.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// It has a certificate of ours to show.
    pub(super) shows_certificate: bool,
}

/// What the command line names, and what it does not name from the settings. These are read only if they are needed.
pub(super) fn of(matches: &ArgMatches) -> Result<Server, KeysError> {
    let given = |name: &str| matches.get_one::<String>(name);
    let path = |name: &str| given(name).map(PathBuf::from);
    let key = path("key-file").map(|path| key_file(&path)).transpose()?;
    let url = given("url").cloned();
    let is_plain = url.as_deref().is_some_and(|url| !is_encrypted(url));
    let needless = ["ca", "client-cert"].into_iter().find(|option| is_plain && given(option).is_some());
    if let Some(option) = needless {
        let message =
            format!("--{option} is for a URL that begins with https://; this one would send the key in clear");
        return Err(KeysError::Usage(message));
    }
    let enough = key.is_some() && url.is_some() && (is_plain || given("ca").is_some());
    let settings = if enough { None } else { Some(settings(matches, key.is_some())?) };
    let own_certificate =
        settings.as_ref().and_then(|settings| settings.server.tls.as_ref()).map(|tls| tls.files.certificate.clone());
    let mut own_places = Vec::new();
    let url = match (url, &settings) {
        (Some(url), _) => url,
        (None, Some(settings)) => {
            let scheme = if own_certificate.is_some() { "https" } else { "http" };
            own_places = Door::reachable(settings.server.listen);
            format!("{scheme}://{}", own_places[0])
        }
        (None, None) => unreachable_without_settings()?,
    };
    let key = match (key, settings) {
        (Some(key), _) => key,
        (None, Some(settings)) => settings.auth.api_key,
        (None, None) => unreachable_without_settings()?,
    };
    let trusted = path("ca").map(|path| ("--ca", path)).or(own_certificate.map(|path| ("ASKD_TLS_CERT", path)));
    let tls = if is_encrypted(&url) { Some(tls::client(trusted, path("client-cert"))?) } else { None };
    let mut server = Server { shows_certificate: given("client-cert").is_some(), ..parse(&url, key, tls)? };
    server.places.extend(own_places.iter().skip(1).map(SocketAddr::to_string));
    Ok(server)
}

/// As the URL is read afterwards, in which `HTTPS` is `https`.
fn is_encrypted(url: &str) -> bool {
    url.parse::<Uri>().is_ok_and(|uri| uri.scheme_str() == Some("https"))
}

fn unreachable_without_settings<T>() -> Result<T, KeysError> {
    Err(KeysError::Usage("give --url and --key-file, or the settings of the server".to_owned()))
}

fn settings(matches: &ArgMatches, has_key: bool) -> Result<Settings, KeysError> {
    let mut sources = Sources::of_process(matches);
    if has_key {
        sources = sources.without_api_key();
    }
    Ok(Settings::load(&sources)?.settings)
}

fn key_file(path: &Path) -> Result<SecretString, KeysError> {
    // The path is not shown: who mixes up the two has put the key there.
    let unreadable = |error| KeysError::Usage(format!("the file of --key-file cannot be read: {error}"));
    let text = SecretString::from(small_file::read_text(path, MAX_KEY).map_err(unreadable)?);
    let key = text.expose_secret().trim_end_matches(['\r', '\n']);
    if key.is_empty() {
        return Err(KeysError::Usage("the file of --key-file is empty".to_owned()));
    }
    Ok(key.into())
}

fn parse(url: &str, key: SecretString, tls: Option<Arc<ClientConfig>>) -> Result<Server, KeysError> {
    let wrong =
        || KeysError::Usage(format!("`{}` is no URL; write e.g. https://askd.example:3000", url.escape_default()));
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let usual = match uri.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return Err(wrong()),
    };
    let (Some(authority), None) = (uri.authority(), uri.query()) else { return Err(wrong()) };
    if authority.as_str().contains('@') {
        return Err(wrong());
    }
    let host = authority.host();
    Ok(Server {
        url: url.trim_end_matches('/').to_owned(),
        authority: authority.to_string(),
        places: vec![format!("{host}:{}", authority.port_u16().unwrap_or(usual))],
        host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
        prefix: uri.path().trim_end_matches('/').to_owned(),
        key,
        tls,
        shows_certificate: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_host_port_and_what_stands_before_paths() {
        for (url, host, place, prefix) in [
            ("http://127.0.0.1:3000", "127.0.0.1", "127.0.0.1:3000", ""),
            ("https://askd.example", "askd.example", "askd.example:443", ""),
            ("http://[::1]:80/", "::1", "[::1]:80", ""),
            ("http://proxy/askd/", "proxy", "proxy:80", "/askd"),
        ] {
            let server = parse(url, "k".into(), None).unwrap();
            assert_eq!((server.host.as_str(), server.prefix.as_str()), (host, prefix), "{url}");
            assert_eq!(server.places, [place], "{url}");
        }
        for wrong in ["", "askd", "ftp://askd", "http://", "http://me:secret@askd", "http://askd?x=1", "/v1"] {
            assert!(parse(wrong, "k".into(), None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_scheme_means_the_same_however_it_is_written() {
        for (url, encrypted) in [
            ("https://askd", true),
            ("HTTPS://askd", true),
            ("Https://askd:3000", true),
            ("http://askd", false),
            ("HTTP://askd", false),
            ("httpsx://askd", false),
        ] {
            assert_eq!(is_encrypted(url), encrypted, "{url}");
        }
    }
}
