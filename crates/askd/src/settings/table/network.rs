//! Settings of who may reach the server from where, and how often.

use crate::settings::choices::ForwardedHeader;
use crate::settings::declaration::Fallback::Value;
use crate::settings::declaration::Kind::{Choice, Hosts, Integer, Networks, Origins};
use crate::settings::declaration::Setting;

/// Requests a minute; 0 turns a limit off.
const RATE: super::super::declaration::Kind = Integer(0, 1_000_000);

pub(super) const NETWORK: &[Setting] = &[
    Setting::new(
        "allowed_hosts",
        "ASKD_ALLOWED_HOSTS",
        Hosts,
        Value(""),
        "Names under which the server may be called (the header `Host`), each with any port unless it has one, such as `askd.example.com` or `10.0.0.5:3000`. The names of loopback and the address of `ASKD_LISTEN` are always among them. Empty, a server that listens on loopback has no other, and any other server is called by any name.",
    ),
    Setting::new(
        "allowed_origins",
        "ASKD_ALLOWED_ORIGINS",
        Origins,
        Value(""),
        "Web pages that may call the server from a browser, by origin, such as `https://app.example.com`. Empty, only pages of the server's own host and port may.",
    ),
    Setting::new(
        "trusted_proxies",
        "ASKD_TRUSTED_PROXIES",
        Networks,
        Value(""),
        "Proxies that say truly for whom they ask, by address or network, such as `10.0.0.0/8`. From anybody else the header of `ASKD_FORWARDED_HEADER` is ignored.",
    ),
    Setting::new(
        "forwarded_header",
        "ASKD_FORWARDED_HEADER",
        Choice(ForwardedHeader::WORDS),
        Value("x-forwarded-for"),
        "The header in which the trusted proxies say it. The other one is ignored: a client could have sent it.",
    ),
    Setting::new(
        "rate_ask",
        "ASKD_RATE_ASK",
        RATE,
        Value("60"),
        "Requests a minute of each key to `/ask`; 0 turns the limit off.",
    ).reloadable(),
    Setting::new(
        "rate_config",
        "ASKD_RATE_CONFIG",
        RATE,
        Value("60"),
        "Requests a minute of each key to `/config` and `/v1/config`, both together; 0 turns the limit off.",
    ).reloadable(),
    Setting::new(
        "rate_runs",
        "ASKD_RATE_RUNS",
        RATE,
        Value("120"),
        "Requests a minute of each key to `POST /v1/runs` and `POST /v1/uploads`; 0 turns the limit off.",
    ).reloadable(),
    Setting::new(
        "rate_v1",
        "ASKD_RATE_V1",
        RATE,
        Value("1200"),
        "Requests a minute of each key to everything else below `/v1`; 0 turns the limit off.",
    ).reloadable(),
    Setting::new(
        "rate_failures",
        "ASKD_RATE_FAILURES",
        RATE,
        Value("20"),
        "Wrong keys a minute from each address (of IPv6, from each /64); beyond it `API_KEY` is not compared for a while. 0 turns the limit off.",
    ).reloadable(),
];
