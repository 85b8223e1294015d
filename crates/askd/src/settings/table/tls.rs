//! Settings of encrypted connections.

use std::time::Duration;

use crate::settings::declaration::Fallback::{Unset, Value};
use crate::settings::declaration::Kind::{Duration as Period, Path};
use crate::settings::declaration::Setting;

pub(super) const TLS: &[Setting] = &[
    Setting::new(
        "tls_cert",
        "ASKD_TLS_CERT",
        Path,
        Unset,
        "PEM file with the server's certificate and those between it and its authority. With it and `ASKD_TLS_KEY` the server takes encrypted connections and no others.",
    ),
    Setting::new(
        "tls_key",
        "ASKD_TLS_KEY",
        Path,
        Unset,
        "PEM file with the private key of that certificate, not encrypted. No run can read it.",
    ),
    Setting::new(
        "tls_client_ca",
        "ASKD_TLS_CLIENT_CA",
        Path,
        Unset,
        "PEM file with authorities. Every client then needs a certificate of one of them, besides its key.",
    ),
    Setting::new(
        "tls_reload",
        "ASKD_TLS_RELOAD",
        Period(Duration::from_millis(100), Duration::from_hours(24)),
        Value("1m"),
        "How often these files are looked at: new ones count for new connections. SIGHUP has them looked at once.",
    ),
];
