//! Where a request comes from: the other end of the connection, or, when that is a trusted proxy, whoever it asks for.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use ipnet::IpNet;

use super::Front;
use crate::settings::ForwardedHeader;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Proxies behind one another. A client can write as many entries as it likes to the left of what the proxies write.
const MAX_HOPS: usize = 16;

/// The client's address, canonical. It is an extension of every request that came over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) struct ClientAddress(pub(in crate::api) IpAddr);

/// Finds it.
pub(super) async fn find(State(front): State<Arc<Front>>, mut request: Request, next: Next) -> Response {
    if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() {
        let address = front.proxies.client(peer.ip(), request.headers());
        if let Some(header) = front.proxies.disbelieved(peer.ip(), request.headers()) {
            tracing::warn!(
                peer = %peer.ip(), header,
                "a peer that is not trusted says for whom it asks; if it is a proxy of yours, name it in \
                 ASKD_TRUSTED_PROXIES, or all its clients count as one; this is told once"
            );
        }
        request.extensions_mut().insert(ClientAddress(address));
    }
    next.run(request).await
}

/// Whom to believe, and which header.
#[derive(Debug)]
pub(super) struct Proxies {
    pub(super) trusted: Vec<IpNet>,
    pub(super) header: ForwardedHeader,
    /// Whether somebody was told that a header was not believed.
    pub(super) told: AtomicBool,
}

impl Proxies {
    /// Walks from the connection backwards, for as long as whoever is there is trusted. What nobody trusted has
    /// written is not looked at, so a client cannot make anything of itself but by what it writes to a proxy that
    /// passes it on, and that stands to the left of what the proxy adds.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut address = peer.to_canonical();
        let mut entries = self.entries(headers).into_iter();
        while self.trusts(address) {
            // Something that is no address, such as `unknown`: further left nothing can be believed.
            let Some(Some(previous)) = entries.next() else { break };
            address = previous.to_canonical();
        }
        address
    }

    /// The header in which somebody says for whom it asks, and is not trusted; for the first one of all. A stranger may send
    /// one as well, and shall not fill the log with it.
    fn disbelieved(&self, peer: IpAddr, headers: &HeaderMap) -> Option<&'static str> {
        let header = [(X_FORWARDED_FOR, "x-forwarded-for"), (header::FORWARDED, "forwarded")];
        let (_, name) = header.into_iter().find(|(header, _)| headers.contains_key(header))?;
        let is_first = !self.trusts(peer.to_canonical()) && !self.told.swap(true, Ordering::Relaxed);
        is_first.then_some(name)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address))
    }

    /// The addresses in the header, the nearest first; `None` is one that cannot be read. Several headers are one
    /// list.
    fn entries(&self, headers: &HeaderMap) -> Vec<Option<IpAddr>> {
        if self.trusted.is_empty() {
            return Vec::new();
        }
        let name = match self.header {
            ForwardedHeader::XForwardedFor => X_FORWARDED_FOR,
            ForwardedHeader::Forwarded => header::FORWARDED,
        };
        let read = |line: &HeaderValue| match (line.to_str(), self.header) {
            (Err(_), _) => vec![None],
            (Ok(line), ForwardedHeader::XForwardedFor) => x_forwarded_for(line),
            (Ok(line), ForwardedHeader::Forwarded) => forwarded(line),
        };
        let lines: Vec<_> = headers.get_all(name).iter().collect();
        lines.into_iter().rev().flat_map(read).take(MAX_HOPS).collect()
    }
}

/// `203.0.113.7, 10.0.0.1`, backwards.
fn x_forwarded_for(line: &str) -> Vec<Option<IpAddr>> {
    line.rsplit(',').take(MAX_HOPS).map(|entry| address_of(entry.trim())).collect()
}

/// `for=203.0.113.7;proto=https, for="[2001:db8::1]:4711"`, backwards.
fn forwarded(line: &str) -> Vec<Option<IpAddr>> {
    split_unquoted(line, b',').take(MAX_HOPS).map(forwarded_for).collect()
}

/// The address in one element of `Forwarded`. One that names two clients, or none, says nothing.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in split_unquoted(element, b';') {
        let (name, value) = pair.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("for") {
            continue;
        }
        let value = value.trim();
        let unquoted = value.strip_prefix('"').map_or(Some(value), |quoted| quoted.strip_suffix('"'))?;
        if found.replace(address_of(unquoted)?).is_some() {
            return None;
        }
    }
    found
}

/// The parts between separators that are not quoted, from the right: what a client has left unquoted on the left does
/// not reach what a proxy wrote behind it.
fn split_unquoted(line: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let mut quoted = false;
        let at = line.bytes().rposition(|byte| {
            quoted ^= byte == b'"';
            byte == separator && !quoted
        });
        let (before, part) = match at {
            Some(at) => (line.get(..at), line.get(at + 1..)?),
            None => (None, line),
        };
        rest = before;
        Some(part)
    })
}

/// An address as proxies write it: with a port or without, IPv6 in brackets or plain.
fn address_of(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::from);
    text.parse().ok().or_else(with_port).or_else(in_brackets)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::settings::network::network;

    fn client(header: ForwardedHeader, peer: &str, lines: &[(&str, &str)]) -> String {
        let trusted = ["10.0.0.0/8", "fd00::/8", "127.0.0.1"].map(|text| network(text).unwrap()).into();
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Proxies { trusted, header, told: AtomicBool::new(false) }.client(peer.parse().unwrap(), &headers).to_string()
    }

    fn x_forwarded(peer: &str, lines: &[&str]) -> String {
        let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
        client(ForwardedHeader::XForwardedFor, peer, &lines)
    }

    fn forwarded(peer: &str, lines: &[&str]) -> String {
        let lines: Vec<_> = lines.iter().map(|line| ("forwarded", *line)).collect();
        client(ForwardedHeader::Forwarded, peer, &lines)
    }

    #[test]
    fn nobody_but_a_trusted_proxy_says_for_whom_it_asks() {
        assert_eq!(x_forwarded("198.51.100.9", &["203.0.113.7"]), "198.51.100.9");
        assert_eq!(x_forwarded("10.0.0.1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(x_forwarded("::ffff:10.0.0.1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(x_forwarded("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(x_forwarded("::ffff:198.51.100.9", &[]), "198.51.100.9");
    }

    #[test]
    fn the_first_stranger_that_says_for_whom_it_asks_is_told_to_the_operator_and_no_other() {
        let trusted = vec![network("10.0.0.0/8").unwrap()];
        let proxies = Proxies { trusted, header: ForwardedHeader::XForwardedFor, told: AtomicBool::new(false) };
        let headers =
            |name: &'static str| HeaderMap::from_iter([(HeaderName::from_static(name), "1.1.1.1".parse().unwrap())]);
        let (stranger, proxy) = ("198.51.100.9".parse().unwrap(), "10.0.0.1".parse().unwrap());
        assert_eq!(proxies.disbelieved(proxy, &headers("x-forwarded-for")), None);
        assert_eq!(proxies.disbelieved(stranger, &headers("accept")), None);
        assert_eq!(proxies.disbelieved(stranger, &headers("forwarded")), Some("forwarded"));
        assert_eq!(proxies.disbelieved(stranger, &headers("x-forwarded-for")), None);
    }

    #[test]
    fn what_a_client_writes_stands_left_of_what_the_proxies_add() {
        assert_eq!(x_forwarded("10.0.0.1", &["1.1.1.1, 203.0.113.7"]), "203.0.113.7");
        assert_eq!(x_forwarded("10.0.0.1", &["1.1.1.1", "203.0.113.7, 10.0.0.2"]), "203.0.113.7");
        assert_eq!(x_forwarded("10.0.0.1", &["10.0.0.9, 203.0.113.7, 10.0.0.2"]), "203.0.113.7");
        assert_eq!(x_forwarded("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3", "a client of the inner network");
    }

    #[test]
    fn what_is_no_address_ends_the_walk() {
        for line in
            ["unknown", "203.0.113.7, unknown", "1.1.1.1, ", "203.0.113.7, 10.0.0.300", "203.0.113.7, \u{e4}", ""]
        {
            assert_eq!(x_forwarded("10.0.0.1", &[line]), "10.0.0.1", "{line:?}");
        }
        assert_eq!(x_forwarded("10.0.0.1", &["203.0.113.7, junk, 10.0.0.2"]), "10.0.0.2");
    }

    #[test]
    fn addresses_may_have_ports_and_brackets() {
        for (entry, address) in [
            ("203.0.113.7:4711", "203.0.113.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:DB8:0::7]:4711", "2001:db8::7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            (" 203.0.113.7\t", "203.0.113.7"),
        ] {
            assert_eq!(x_forwarded("10.0.0.1", &[entry]), address, "{entry:?}");
        }
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_has_it() {
        for (line, address) in [
            ("for=203.0.113.7", "203.0.113.7"),
            ("For=\"203.0.113.7:4711\"", "203.0.113.7"),
            ("for=\"[2001:db8::7]:4711\";proto=https;by=10.0.0.1", "2001:db8::7"),
            ("proto=https; for=203.0.113.7", "203.0.113.7"),
            ("for=1.1.1.1, for=203.0.113.7;host=\"a,b;c\"", "203.0.113.7"),
            ("for=203.0.113.7, for=\"[fd00::2]\"", "203.0.113.7"),
            ("for=_hidden", "10.0.0.1"),
            ("for=unknown, for=10.0.0.2", "10.0.0.2"),
            ("proto=https", "10.0.0.1"),
            ("for=203.0.113.7;for=203.0.113.8", "10.0.0.1"),
            ("for=\"203.0.113.7", "10.0.0.1"),
            ("203.0.113.7", "10.0.0.1"),
        ] {
            assert_eq!(forwarded("10.0.0.1", &[line]), address, "{line}");
        }
    }

    #[test]
    fn a_quote_that_a_client_leaves_open_does_not_swallow_what_the_proxy_adds() {
        assert_eq!(forwarded("10.0.0.1", &["for=\"1.1.1.1, for=203.0.113.7"]), "203.0.113.7");
        assert_eq!(forwarded("10.0.0.1", &["for=\"1.1.1.1\\\", for=\"[2001:db8::7]:1\""]), "2001:db8::7");
    }

    #[test]
    fn only_the_header_that_the_proxies_write_is_read() {
        let both = [("forwarded", "for=1.1.1.1"), ("x-forwarded-for", "203.0.113.7")];
        assert_eq!(client(ForwardedHeader::XForwardedFor, "10.0.0.1", &both), "203.0.113.7");
        assert_eq!(client(ForwardedHeader::Forwarded, "10.0.0.1", &both), "1.1.1.1");
    }

    #[test]
    fn a_walk_has_an_end() {
        let line = vec!["10.0.0.1"; 10_000].join(",");
        assert_eq!(x_forwarded("10.0.0.1", &[&line]), "10.0.0.1");
        assert_eq!(x_forwarded("10.0.0.1", &[&format!("1.1.1.1, {line}")]), "10.0.0.1");
    }

    proptest! {
        #[test]
        fn whatever_a_client_writes_the_proxys_own_entry_is_found(text in "[ -~\\t]{0,200}") {
            prop_assert_eq!(x_forwarded("10.0.0.1", &[&format!("{text}, 203.0.113.7")]), "203.0.113.7");
            prop_assert_eq!(x_forwarded("10.0.0.1", &[&text, "203.0.113.7"]), "203.0.113.7");
            prop_assert_eq!(forwarded("10.0.0.1", &[&format!("{text}, for=203.0.113.7")]), "203.0.113.7");
            let quoted = format!("{text}, proto=https;for=\"[2001:db8::7]:4711\"");
            prop_assert_eq!(forwarded("10.0.0.1", &[&quoted]), "2001:db8::7");
            prop_assert_eq!(forwarded("10.0.0.1", &[&text, "for=203.0.113.7"]), "203.0.113.7");
        }
    }
}
