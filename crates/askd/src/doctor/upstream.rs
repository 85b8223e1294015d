//! Whether the provider of the model can be reached: its name, a connection, and its certificate. Nothing is asked, and no
//! credential is shown.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use secrecy::ExposeSecret as _;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::Check;
use crate::credentials::CredentialSource;
use crate::dial;
use crate::settings::Settings;
use crate::small_file;

const NAME: &str = "upstream";

/// Where the CLI asks if nothing else is said.
const USUAL: &str = "https://api.anthropic.com";

/// From the name to the certificate.
const PATIENCE: Duration = Duration::from_secs(5);

/// The largest file with authorities, in bytes.
const MAX_AUTHORITIES: u64 = 4 << 20;

/// Where systems keep the authorities that they trust.
const OF_SYSTEM: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// How the provider is reached from here. A warning at most: the server starts without it.
pub(super) async fn upstream(settings: &Settings, is_offline: bool) -> Check {
    if is_offline {
        return Check::skip(NAME, "not tried (--offline)");
    }
    if CredentialSource::names_cloud(settings) {
        return Check::skip(NAME, "not tried: a cloud provider is chosen, whose addresses only the CLI knows");
    }
    let given = |name: &str| settings.child.get(name).map(|value| value.expose_secret().to_owned());
    let written = given("ANTHROPIC_BASE_URL");
    let Some(place) = Place::of(written.as_deref().unwrap_or(USUAL)) else {
        return Check::warn(
            NAME,
            "ANTHROPIC_BASE_URL is no URL that can be asked",
            "write e.g. https://gateway.example",
        );
    };
    let proxy = match proxy(&place, given) {
        Ok(proxy) => proxy,
        Err(variable) => {
            let hint = "write e.g. http://proxy.example:3128";
            return Check::warn(NAME, format!("{variable} is no URL of a proxy"), hint);
        }
    };
    let begun = Instant::now();
    let until = begun + PATIENCE;
    let reached = timeout_at(until, async {
        match &proxy {
            Some(proxy) => connect(proxy, until).await.map(|_| String::new()),
            None => reach(&place, &authorities(settings), until).await,
        }
    });
    let reached = reached.await.unwrap_or(Err(Trouble::Late));
    let took = begun.elapsed().as_millis();
    match (reached, proxy) {
        (Ok(_), Some(proxy)) => Check::ok(
            NAME,
            format!("{place} is asked through the proxy {proxy}, which answers; it was not looked beyond"),
        ),
        (Ok(how), None) => Check::ok(NAME, format!("{place} answers ({how}{took} ms)")),
        (Err(trouble), proxy) => {
            let by = proxy.map_or_else(|| place.to_string(), |proxy| format!("the proxy {proxy}"));
            Check::warn(NAME, format!("{by} {trouble}: runs will fail"), trouble.remedy())
        }
    }
}

/// Host and port. `Display` shows neither a user nor a path.
struct Place {
    host: String,
    port: u16,
    is_encrypted: bool,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Place {
    fn of(url: &str) -> Option<Self> {
        let uri: Uri = url.trim().parse().ok()?;
        let (is_encrypted, usual) = match uri.scheme_str()? {
            "https" => (true, 443),
            "http" => (false, 80),
            _ => return None,
        };
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Self { host, port: uri.port_u16().unwrap_or(usual), is_encrypted })
    }
}

/// The proxy that stands before a place, if one does; the variable that cannot be read.
fn proxy(place: &Place, given: impl Fn(&str) -> Option<String>) -> Result<Option<Place>, &'static str> {
    let excepted = given("no_proxy").or_else(|| given("NO_PROXY")).unwrap_or_default();
    if excepted.split([',', ' ']).any(|rule| is_excepted(rule, place)) {
        return Ok(None);
    }
    let names = if place.is_encrypted {
        ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
    } else {
        ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
    };
    let Some((name, url)) = names.into_iter().find_map(|name| Some((name, given(name)?))) else { return Ok(None) };
    let url = if url.contains("://") { url } else { format!("http://{url}") };
    Place::of(&url).map(Some).ok_or(name)
}

fn is_excepted(rule: &str, place: &Place) -> bool {
    let rule = rule.trim();
    if rule == "*" {
        return true;
    }
    let (rule, port) = match rule.rsplit_once(':') {
        Some((rule, port)) if !rule.contains(':') => (rule, Some(port)),
        _ => (rule, None),
    };
    let rule = rule.trim_start_matches('*').trim_start_matches('.').to_ascii_lowercase();
    let host = place.host.to_ascii_lowercase();
    let is_of_port = port.is_none_or(|port| port.parse() == Ok(place.port));
    is_of_port && !rule.is_empty() && (host == rule || host.ends_with(&format!(".{rule}")))
}

/// What is in the way.
#[derive(Debug)]
enum Trouble {
    Unknown,
    Late,
    Unconnected(io::Error),
    Unencrypted(io::Error),
    Authority,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown => f.write_str("is a name that nobody here knows"),
            Self::Late => write!(f, "does not answer within {} s", PATIENCE.as_secs()),
            Self::Unconnected(error) => write!(f, "cannot be connected to ({error})"),
            Self::Unencrypted(error) => write!(f, "makes no encrypted connection ({error})"),
            Self::Authority => f.write_str("shows a certificate of an authority that is not trusted here"),
        }
    }
}

impl Trouble {
    fn remedy(&self) -> &'static str {
        match self {
            Self::Unknown => "see whether DNS works here, and ANTHROPIC_BASE_URL; behind a proxy set HTTPS_PROXY",
            Self::Late | Self::Unconnected(_) => {
                "see whether a firewall keeps this machine from it, and ANTHROPIC_BASE_URL; behind a proxy set HTTPS_PROXY"
            }
            Self::Authority => {
                "a gateway or proxy of your own answers: set NODE_EXTRA_CA_CERTS to the file of its authority"
            }
            Self::Unencrypted(_) => "see whether ANTHROPIC_BASE_URL should begin with http:// or names another port",
        }
    }
}

async fn connect(place: &Place, until: Instant) -> Result<TcpStream, Trouble> {
    let found = lookup_host((place.host.as_str(), place.port)).await.map_err(|_| Trouble::Unknown)?;
    dial::connect(&found.collect::<Vec<_>>(), until).await.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => Trouble::Late,
        _ => Trouble::Unconnected(error),
    })
}

/// Connects, and looks at the certificate; what is to be said of it.
async fn reach(place: &Place, trusted: &RootCertStore, until: Instant) -> Result<String, Trouble> {
    let stream = connect(place, until).await?;
    if !place.is_encrypted {
        return Ok("not encrypted, ".to_owned());
    }
    let name = ServerName::try_from(place.host.clone()).map_err(|_| Trouble::Unknown)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| Trouble::Unencrypted(io::Error::other(error)))?;
    let config = config.with_root_certificates(trusted.clone()).with_no_client_auth();
    match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        Ok(stream) => Ok(match stream.get_ref().1.protocol_version() {
            Some(version) => format!("{version:?}, "),
            None => String::new(),
        }),
        Err(error) if is_of_authority(&error) => Err(Trouble::Authority),
        Err(error) => Err(Trouble::Unencrypted(error)),
    }
}

fn is_of_authority(error: &io::Error) -> bool {
    let found = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(found, Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)))
}

/// Those that the CLI brings, those of the system, and those that the operator has named.
fn authorities(settings: &Settings) -> RootCertStore {
    let mut trusted = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect::<RootCertStore>();
    let named = ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"]
        .map(|name| settings.child.get(name).map(|path| path.expose_secret().to_owned()));
    let files = named.into_iter().flatten().chain(OF_SYSTEM.map(str::to_owned));
    for text in files.filter_map(|path| small_file::read_text(Path::new(&path), MAX_AUTHORITIES).ok()) {
        let found = CertificateDer::pem_slice_iter(text.as_bytes()).filter_map(Result::ok);
        trusted.add_parsable_certificates(found);
    }
    trusted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(url: &str, variables: &[(&str, &str)]) -> Option<String> {
        let given =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        proxy(&Place::of(url).unwrap(), given).unwrap().map(|place| place.to_string())
    }

    #[test]
    fn the_proxy_of_the_scheme_counts_unless_the_host_is_excepted() {
        let https = ("HTTPS_PROXY", "http://me:secret@proxy.example:3128");
        assert_eq!(through(USUAL, &[https]).unwrap(), "proxy.example:3128");
        assert_eq!(through("http://gateway", &[https]), None);
        assert_eq!(through("http://gateway", &[("ALL_PROXY", "proxy.example")]).unwrap(), "proxy.example:80");
        for excepted in ["anthropic.com", ".anthropic.com", "*.anthropic.com", "x, API.anthropic.com:443"] {
            assert_eq!(through(USUAL, &[https, ("NO_PROXY", excepted)]), None, "{excepted}");
        }
        for other in ["nthropic.com", "api.anthropic.com:80", ""] {
            assert!(through(USUAL, &[https, ("NO_PROXY", other)]).is_some(), "{other}");
        }
        assert_eq!(through(USUAL, &[https, ("NO_PROXY", "*")]), None);
    }

    #[test]
    fn a_place_shows_no_user_and_no_path() {
        let place = Place::of("https://me:secret@gateway.example/tenant/key").unwrap();
        assert_eq!(place.to_string(), "gateway.example:443");
        assert!(Place::of("gateway").is_none() && Place::of("ftp://gateway").is_none());
    }
}
