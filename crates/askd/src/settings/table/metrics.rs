//! Settings of metrics: where else they are told, and how many names they tell apart.

use crate::settings::declaration::Fallback::{Unset, Value};
use crate::settings::declaration::Kind::{Address, Integer};
use crate::settings::declaration::Setting;

pub(super) const METRICS: &[Setting] = &[
    Setting::new(
        "metrics_listen",
        "ASKD_METRICS_LISTEN",
        Address,
        Unset,
        "A second address and port, which answers `/metrics`, `/livez`, `/readyz` and `/startupz` without a key, not encrypted, and nothing else. Choose one that only the monitoring can reach.",
    ),
    Setting::new(
        "metrics_max_connections",
        "ASKD_METRICS_MAX_CONNECTIONS",
        Integer(1, 1_000),
        Value("32"),
        "Connections to that address that are open at the same time.",
    ),
    Setting::new(
        "metrics_max_models",
        "ASKD_METRICS_MAX_MODELS",
        Integer(1, 1_000),
        Value("50"),
        "Models that metrics tell apart, the first that are used since the start; further ones count as `other` together.",
    ),
    Setting::new(
        "metrics_max_keys",
        "ASKD_METRICS_MAX_KEYS",
        Integer(1, 10_000),
        Value("200"),
        "Keys that metrics tell apart, in the same way.",
    ),
];
