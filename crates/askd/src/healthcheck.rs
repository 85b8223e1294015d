//! `askd healthcheck`: asks the server of this machine whether it is ready, for images and scripts that have no other way.
//!
//! It needs no key and reads no secret: what it wants to know of the settings is where the server listens.

use std::io::{self, Write};

use clap::{Arg, ArgAction, ArgMatches, Command};
use hyper::Uri;

use crate::own_server::{OwnServer, Unreached};
use crate::settings::{Door, SettingsErrors, Sources};

/// Why there is no answer to the question.
#[derive(Debug, thiserror::Error)]
pub enum HealthcheckError {
    /// What was typed cannot be.
    #[error("{0}")]
    Usage(String),
    /// Where the server listens cannot be read.
    #[error(transparent)]
    Settings(#[from] SettingsErrors),
    /// The terminal.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// The command line.
pub fn command() -> Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    Command::new("healthcheck")
        .about("Asks the running server whether it is ready; ends with 0 if it is, with 1 if not")
        .args([
            flag("live", "Asks only whether the process answers (/livez)"),
            flag("verbose", "Prints every check, also of a server that is ready"),
            option("url", "URL", "Where the server is, by address [default: ASKD_LISTEN of the settings]"),
            // Under the names by which all settings are read.
            option("listen", "ADDRESS", "The server's ASKD_LISTEN"),
            option("tls_cert", "FILE", "The server's ASKD_TLS_CERT: its connections are encrypted").long("tls-cert"),
            option("config", "FILE", "The settings file [env: ASKD_CONFIG]"),
        ])
}

/// Asks, and prints what is wrong, or everything if that is wanted. Whether all is well.
pub async fn run(matches: &ArgMatches, out: &mut impl Write) -> Result<bool, HealthcheckError> {
    let (server, wants_certificate) = if let Some(url) = matches.get_one::<String>("url") {
        (of_url(url)?, false)
    } else {
        let door = Door::read(&Sources::of_process(matches))?;
        (OwnServer::behind(&door), door.asks_certificate && door.monitoring.is_none())
    };
    let verbose = matches.get_flag("verbose");
    let path = match (matches.get_flag("live"), verbose) {
        (true, _) => "/livez",
        (false, true) => "/readyz?verbose",
        (false, false) => "/readyz",
    };
    let (is_well, text) = match server.get(path).await {
        Ok(answer) => (answer.status == 200, answer.text),
        Err(error @ Unreached::Odd(..)) if wants_certificate => (
            false,
            format!(
                "{error}; it asks clients for a certificate (ASKD_TLS_CLIENT_CA), and this one has none: set ASKD_METRICS_LISTEN, where \
                 it needs none"
            ),
        ),
        Err(error) => (false, error.to_string()),
    };
    if verbose || !is_well {
        writeln!(out, "{text}")?;
    }
    out.flush()?;
    Ok(is_well)
}

fn of_url(url: &str) -> Result<OwnServer, HealthcheckError> {
    let wrong =
        || HealthcheckError::Usage(format!("`{}` is no URL; write e.g. http://127.0.0.1:3000", url.escape_default()));
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let (is_encrypted, usual) = match uri.scheme_str() {
        Some("http") => (false, 80),
        Some("https") => (true, 443),
        _ => return Err(wrong()),
    };
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
    if uri.query().is_some() || !matches!(uri.path(), "" | "/") {
        return Err(wrong());
    }
    let place = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(usual));
    Ok(OwnServer::at([place], is_encrypted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn a_url_names_where_the_server_is() {
        for (url, reached) in [
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("https://127.0.0.1/", "https://127.0.0.1:443"),
            ("http://[::1]", "http://[::1]:80"),
            ("http://localhost:3000", "http://localhost:3000"),
        ] {
            assert_eq!(of_url(url).unwrap().url(), reached);
        }
        for wrong in ["", "127.0.0.1:3000", "ftp://127.0.0.1", "http://me@127.0.0.1", "http://127.0.0.1/readyz?x"] {
            assert!(of_url(wrong).is_err(), "{wrong}");
        }
    }
}
