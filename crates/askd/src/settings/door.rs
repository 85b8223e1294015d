//! What it takes to find a server with these settings: none of its secrets, and no file but the settings file.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Settings;
use super::load::one;
use super::problem::SettingsErrors;
use super::sources::{Layers, Sources};
use super::table;
use super::value::Value;

/// Where a server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Door {
    /// Address and port.
    pub listen: SocketAddr,
    /// Connections are encrypted.
    pub is_encrypted: bool,
    /// Clients need a certificate.
    pub asks_certificate: bool,
    /// Where monitoring is answered, in the clear.
    pub monitoring: Option<SocketAddr>,
}

impl Door {
    /// Reads the few settings that say so; what is wrong with the others is not looked at.
    pub fn read(sources: &Sources) -> Result<Self, SettingsErrors> {
        let mut problems = Vec::new();
        let layers = Layers::read(sources, &mut problems);
        let mut value = |key: &str| {
            let setting = table::all().find(|setting| setting.key == key)?;
            one(setting, &layers).map_err(|problem| problems.push(*problem)).ok().and_then(|(value, _)| value)
        };
        let (listen, certificate, client_ca) = (value("listen"), value("tls_cert"), value("tls_client_ca"));
        let monitoring = match value("metrics_listen") {
            Some(Value::Address(address)) => Some(address),
            _ => None,
        };
        SettingsErrors::none_of(problems)?;
        let Some(Value::Address(listen)) = listen else {
            unreachable!("`listen` is declared as an address with a default")
        };
        Ok(Self { listen, is_encrypted: certificate.is_some(), asks_certificate: client_ca.is_some(), monitoring })
    }

    /// Of settings that are read already.
    pub fn of(settings: &Settings) -> Self {
        let (server, tls) = (&settings.server, settings.server.tls.as_ref());
        Self {
            listen: server.listen,
            is_encrypted: tls.is_some(),
            asks_certificate: tls.is_some_and(|tls| tls.files.client_ca.is_some()),
            monitoring: settings.metrics.listen,
        }
    }

    /// Where it is reached from this machine, the likeliest place first: one that listens everywhere, on loopback. One that
    /// takes IPv6 takes IPv4 as well, as a rule, and the loopback of many a container has no IPv6.
    pub fn reachable(listen: SocketAddr) -> Vec<SocketAddr> {
        let loopback = match listen {
            _ if !listen.ip().is_unspecified() => return vec![listen],
            SocketAddr::V4(_) => vec![Ipv4Addr::LOCALHOST.into()],
            SocketAddr::V6(_) => vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()],
        };
        loopback.into_iter().map(|ip| SocketAddr::new(ip, listen.port())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Door, String> {
        let env = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let sources = Sources { env, current_dir: "/".into(), ..Sources::default() };
        Door::read(&sources).map_err(|errors| errors.to_string())
    }

    #[test]
    fn it_is_found_without_a_key_and_whatever_else_is_wrong() {
        let door =
            read(&[("ASKD_LISTEN", "0.0.0.0:1"), ("MAX_CONCURRENT", "many"), ("API_KEY_FILE", "/nowhere")]).unwrap();
        assert_eq!((door.listen.to_string().as_str(), door.is_encrypted), ("0.0.0.0:1", false));
        // The files need not be readable.
        let door = read(&[("ASKD_TLS_CERT", "/nowhere"), ("ASKD_TLS_CLIENT_CA", "/nowhere")]).unwrap();
        assert!(door.is_encrypted && door.asks_certificate);
        assert!(read(&[("ASKD_LISTEN", "here")]).unwrap_err().contains("listen"));
    }

    #[test]
    fn a_server_that_listens_everywhere_is_reached_on_loopback() {
        for (listens, reached) in [
            ("0.0.0.0:1", &["127.0.0.1:1"][..]),
            ("[::]:1", &["[::1]:1", "127.0.0.1:1"]),
            ("192.0.2.1:1", &["192.0.2.1:1"]),
            ("[fe80::1%2]:1", &["[fe80::1%2]:1"]),
        ] {
            let found = Door::reachable(listens.parse().unwrap());
            assert_eq!(found.iter().map(SocketAddr::to_string).collect::<Vec<_>>(), reached);
        }
    }
}
