//! Under which names the server answers.
//!
//! A web page can make a browser send requests to any address: it has its own name lead there (DNS rebinding). The
//! browser then takes the answers for the page's own. What gives it away is the header `Host`, in which the page's
//! name still stands.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::extract::Request;
use axum::http::{StatusCode, Version, header};

use crate::api::error::ApiError;
use crate::settings::groups::{Network, Server};
use crate::settings::network::{AllowedHost, Host};

/// The names.
#[derive(Debug)]
pub(super) enum Hosts {
    /// All: it listens to a network, and nobody has said what it is called there.
    Any,
    /// These.
    These(Vec<AllowedHost>),
}

impl Hosts {
    pub(super) fn new(network: &Network, server: &Server) -> Self {
        let listen = server.listen.ip();
        if network.allowed_hosts.is_empty() && !listen.to_canonical().is_loopback() {
            return Self::Any;
        }
        // A page that a browser has under a name of loopback comes from the browser's own machine. So these names are always
        // good, and what looks after the server from beside it needs no setting.
        let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        // `0.0.0.0` is nobody's name, and browsers take it for this machine.
        let addresses = loopback.into_iter().chain((!listen.is_unspecified()).then_some(listen));
        let own = addresses.map(AllowedHost::of_address).chain([AllowedHost::localhost()]);
        Self::These(own.chain(network.allowed_hosts.iter().cloned()).collect())
    }

    /// The host that a request is for, if the server is called so. `None`: the request names none, as only HTTP/1.0
    /// may, and no browser does.
    pub(super) fn check(&self, request: &Request) -> Result<Option<Host>, ApiError> {
        let mut values = request.headers().get_all(header::HOST).iter();
        let given = match (values.next(), values.next()) {
            (_, Some(_)) => return Err(ApiError::param("host", "is there more than once")),
            (None, _) if request.version() > Version::HTTP_10 => return Err(ApiError::param("host", "is missing")),
            (None, _) => None,
            (Some(value), _) => {
                let host = value.to_str().ok().and_then(Host::read);
                Some(host.ok_or_else(|| ApiError::param("host", "names no host"))?)
            }
        };
        // A whole URL in the first line, as to a proxy. It would count more than the header, so it may not differ.
        let authority = request.uri().authority().map(|authority| Host::read(authority.as_str()));
        let host = match (given, authority) {
            (given, None) => given,
            (None, Some(Some(authority))) => Some(authority),
            (Some(given), Some(Some(authority))) if given == authority => Some(given),
            (_, Some(_)) => return Err(ApiError::param("host", "is not the host of the request's URL")),
        };
        match &host {
            Some(host) if !self.allow(host) => Err(refusal(host)),
            _ => Ok(host),
        }
    }

    fn allow(&self, host: &Host) -> bool {
        match self {
            Self::Any => true,
            Self::These(hosts) => hosts.iter().any(|allowed| allowed.allows(host)),
        }
    }
}

fn refusal(host: &Host) -> ApiError {
    ApiError::request(format!("this server is not called {}", host.name))
        .with_status(StatusCode::MISDIRECTED_REQUEST)
        .with_param("host")
        .with_hint("if it is, its operator adds the name to ASKD_ALLOWED_HOSTS")
}
