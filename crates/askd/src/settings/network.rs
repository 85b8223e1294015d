//! Hosts, origins and networks, as settings and requests write them: read once, then compared.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use ipnet::IpNet;

/// A name in the DNS is shorter.
const MAX_NAME: usize = 255;

/// Requests a minute; `None`: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Of each key, to `/ask`.
    pub ask: Option<NonZeroU32>,
    /// Of each key, to `/config` and `/v1/config`.
    pub config: Option<NonZeroU32>,
    /// Of each key, to `POST /v1/runs`.
    pub runs: Option<NonZeroU32>,
    /// Of each key, to the rest of `/v1`.
    pub v1: Option<NonZeroU32>,
    /// Wrong keys from each address.
    pub failures: Option<NonZeroU32>,
}

/// Why a text is none of these: a fragment that follows it, and what to do when that is not the usual.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misread {
    /// What is wrong with it.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Misread {
    fn new(what: &str) -> Self {
        Self { what: what.to_owned(), hint: None }
    }

    fn with_hint(what: &str, hint: &str) -> Self {
        Self { what: what.to_owned(), hint: Some(hint.to_owned()) }
    }
}

/// A host as a URL and the header `Host` name it, in one form: lower case, no dot at the end, addresses canonical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// A name, an IPv4 address, or an IPv6 address in brackets.
    pub name: String,
    /// The port, if one is named.
    pub port: Option<u16>,
}

impl Host {
    /// The host that is written so; `None`: it is not written as one.
    pub fn read(text: &str) -> Option<Self> {
        let (name, port) = if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']')?;
            let address: Ipv6Addr = address.parse().ok()?;
            let port = if rest.is_empty() { "" } else { rest.strip_prefix(':')? };
            (name_of(address.into()), port)
        } else {
            let (name, port) = text.split_once(':').unwrap_or((text, ""));
            (plain_name(name)?, port)
        };
        // RFC 3986 allows a colon without a port.
        let port = if port.is_empty() { None } else { Some(port_number(port)?) };
        Some(Self { name, port })
    }

    /// The host of an address, without a port.
    pub fn of_address(address: IpAddr) -> Self {
        Self { name: name_of(address), port: None }
    }
}

/// As it stands in a URL. On a socket for both, an IPv4 address comes dressed as an IPv6 one.
fn name_of(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

fn plain_name(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_whole = name.split('.').all(|label| !label.is_empty() && label.bytes().all(allowed));
    let fits = name.len() <= MAX_NAME && is_whole;
    fits.then(|| name.to_ascii_lowercase())
}

/// Digits only: `parse` would also take a plus sign.
fn port_number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A host under which the server may be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost(Host);

impl AllowedHost {
    /// Reads an item of `ASKD_ALLOWED_HOSTS`.
    pub fn read(text: &str) -> Result<Self, Misread> {
        if text.contains('*') {
            let hint = "name each host; one without a port is allowed with any port";
            return Err(Misread::with_hint("is a pattern", hint));
        }
        if text.contains("://") {
            let hint = "leave out the scheme: `askd.example.com`, not `https://askd.example.com`";
            return Err(Misread::with_hint("is a URL", hint));
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            let hint = "write it as URLs do, such as `[::1]`";
            return Err(Misread::with_hint("is an IPv6 address without brackets", hint));
        }
        Host::read(text).map(Self).ok_or_else(|| Misread::new("is not a host"))
    }

    /// This machine's own name for itself, with any port.
    pub fn localhost() -> Self {
        Self(Host { name: "localhost".to_owned(), port: None })
    }

    /// An address, with any port.
    pub fn of_address(address: IpAddr) -> Self {
        Self(Host::of_address(address))
    }

    /// Whether it is this one. Without a port of its own it is the host with any port.
    pub fn allows(&self, host: &Host) -> bool {
        self.0.name == host.name && (self.0.port.is_none() || self.0.port == host.port)
    }
}

/// The origin of a web page: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    name: String,
    /// With the usual port of the scheme filled in.
    port: Option<u16>,
}

impl Origin {
    /// Reads an item of `ASKD_ALLOWED_ORIGINS`, or the header `Origin`.
    pub fn read(text: &str) -> Result<Self, Misread> {
        if text.contains('*') {
            let hint = "name each origin: with a pattern, any page of the web could use a key that a browser holds";
            return Err(Misread::with_hint("is a pattern", hint));
        }
        if text.eq_ignore_ascii_case("null") {
            let hint =
                "serve the page over HTTP and name its origin: every file, sandboxed frame and redirect is `null`";
            return Err(Misread::with_hint("is the origin of anybody", hint));
        }
        let without_scheme =
            || Misread::with_hint("has no scheme", "write it as a browser does: `https://app.example.com`");
        let (scheme, rest) = text.split_once("://").ok_or_else(without_scheme)?;
        let scheme = scheme.to_ascii_lowercase();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.bytes().all(allowed) {
            return Err(without_scheme());
        }
        if rest.contains('/') {
            return Err(Misread::with_hint("has a path", "an origin ends with its host or port, without a slash"));
        }
        let host = Host::read(rest).ok_or_else(|| Misread::new("is not an origin"))?;
        let port = host.port.or_else(|| usual_port(&scheme));
        Ok(Self { scheme, name: host.name, port })
    }

    /// Whether a page of this origin asks the very host that it came from. The scheme is not known: a proxy may have
    /// taken TLS away.
    pub fn is_of(&self, host: &Host) -> bool {
        let usual = usual_port(&self.scheme);
        usual.is_some() && self.name == host.name && self.port == host.port.or(usual)
    }
}

fn usual_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Reads an item of `ASKD_TRUSTED_PROXIES`: a network, or an address, which is a network of one.
pub fn network(text: &str) -> Result<IpNet, Misread> {
    let address = || text.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()));
    let network = || text.parse::<IpNet>().ok().map(|network| network.trunc());
    address().or_else(network).ok_or_else(|| {
        let hint = "write an address or a network: a name could come to mean another machine";
        Misread::with_hint("is neither an IP address nor a network", hint)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(text: &str) -> Host {
        Host::read(text).unwrap()
    }

    #[test]
    fn a_host_is_read_in_one_form() {
        for (text, name, port) in [
            ("Askd.Example.com", "askd.example.com", None),
            ("askd.example.com.:80", "askd.example.com", Some(80)),
            ("localhost:", "localhost", None),
            ("10.0.0.5:3000", "10.0.0.5", Some(3000)),
            ("[::1]:3000", "[::1]", Some(3000)),
            ("[0:0::1]", "[::1]", None),
            ("[::ffff:127.0.0.1]", "127.0.0.1", None),
        ] {
            assert_eq!(host(text), Host { name: name.to_owned(), port }, "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_not_guessed_at() {
        let odd = [
            "",
            ".",
            "a..",
            "a..b",
            ".a",
            ":80",
            "a b",
            "a/b",
            "user@host",
            "a%00",
            "ä",
            "[host]",
            "::1",
            "[fe80::1%eth0]",
        ];
        let odd_ports = ["host:+80", "host:65536", "host:80:80", "[::1", "[::1]80"];
        for text in odd.into_iter().chain(odd_ports) {
            assert_eq!(Host::read(text), None, "{text:?}");
        }
        assert_eq!(Host::read(&"a".repeat(256)), None);
    }

    #[test]
    fn an_allowed_host_without_a_port_is_allowed_with_any() {
        let any = AllowedHost::read("Askd.example.com").unwrap();
        assert!(any.allows(&host("askd.example.com")) && any.allows(&host("askd.EXAMPLE.com:8443")));
        assert!(!any.allows(&host("example.com")) && !any.allows(&host("askd.example.com.evil.example")));
        let one = AllowedHost::read("askd.example.com:8443").unwrap();
        assert!(one.allows(&host("askd.example.com:8443")));
        assert!(!one.allows(&host("askd.example.com")) && !one.allows(&host("askd.example.com:443")));
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let origin = |text| Origin::read(text).unwrap();
        assert_eq!(origin("https://App.example.com"), origin("HTTPS://app.example.com:443"));
        assert_ne!(origin("https://app.example.com"), origin("http://app.example.com"));
        assert_ne!(origin("https://app.example.com"), origin("https://app.example.com:8443"));
        assert_ne!(origin("tauri://localhost"), origin("http://localhost"));
        for (text, what) in [
            ("*", "is a pattern"),
            ("https://*.example.com", "is a pattern"),
            ("null", "is the origin of anybody"),
            ("app.example.com", "has no scheme"),
            ("://app.example.com", "has no scheme"),
            ("https://app.example.com/", "has a path"),
            ("https://user@app.example.com", "is not an origin"),
            ("https://", "is not an origin"),
        ] {
            assert_eq!(Origin::read(text).unwrap_err().what, what, "{text}");
        }
    }

    #[test]
    fn a_page_is_of_a_host_with_the_same_name_and_port() {
        for (origin, of, same) in [
            ("http://localhost:3000", "localhost:3000", true),
            ("http://localhost:3000", "localhost:3001", false),
            ("http://localhost:3000", "127.0.0.1:3000", false),
            ("https://askd.example.com", "askd.example.com", true),
            ("https://askd.example.com", "askd.example.com:443", true),
            ("https://askd.example.com", "askd.example.com:80", false),
            ("http://askd.example.com", "askd.example.com", true),
            ("chrome-extension://abc", "abc", false),
        ] {
            assert_eq!(Origin::read(origin).unwrap().is_of(&host(of)), same, "{origin} {of}");
        }
    }

    #[test]
    fn a_network_may_be_one_address() {
        let contains = |text: &str, address: &str| network(text).unwrap().contains(&address.parse::<IpAddr>().unwrap());
        assert!(contains("10.0.0.1", "10.0.0.1") && !contains("10.0.0.1", "10.0.0.2"));
        assert!(contains("10.1.2.3/8", "10.200.0.1") && contains("fd00::/8", "fd12::1"));
        assert!(contains("::ffff:10.0.0.1", "10.0.0.1"));
        for text in ["proxy.example.com", "10.0.0.0/33", "10.0.0", ""] {
            assert!(network(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_what_is_read_has_one_form(text in "\\PC*|[a-zA-Z0-9:.\\[\\]/@*%-]{0,40}") {
            drop((AllowedHost::read(&text), network(&text)));
            if let Some(host) = Host::read(&text) {
                let again = host.port.map_or_else(|| host.name.clone(), |port| format!("{}:{port}", host.name));
                prop_assert_eq!(Host::read(&again), Some(host));
            }
            if let Ok(origin) = Origin::read(&text) {
                let port = origin.port.map(|port| format!(":{port}")).unwrap_or_default();
                prop_assert_eq!(Origin::read(&format!("{}://{}{port}", origin.scheme, origin.name)), Ok(origin));
            }
        }
    }
}
