//! Why MCP servers are missing. `init` says only that they are; the CLI tells the reason when it is asked (checked with
//! 2.1.261, 2.1.276 and 2.1.330).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::json;

use crate::frame::Frame;
use crate::input::control_request;

/// The request id of the question; its reply carries it back.
const STATUS_ID: &str = "askd-mcp-status";

/// So many missing servers are asked about.
const MAX_SERVERS: usize = 100;

/// Servers that failed, until it is known why.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// Each is told once.
    known: BTreeSet<String>,
    waiting: BTreeSet<String>,
    asks: bool,
}

impl Missing {
    /// Notes one.
    pub(super) fn note(&mut self, name: String) {
        if self.known.len() < MAX_SERVERS && self.known.insert(name.clone()) {
            self.waiting.insert(name);
            self.asks = true;
        }
    }

    /// The question for the CLI, once for each time that there is something to ask.
    pub(super) fn question(&mut self) -> Option<String> {
        std::mem::take(&mut self.asks).then(|| control_request(STATUS_ID, &json!({"subtype": "mcp_status"})))
    }

    /// What an answer to it says: names and texts. A refusal says it without reasons.
    pub(super) fn hear(&mut self, frame: &Frame) -> Vec<(String, String)> {
        if self.waiting.is_empty() || frame.kind != "control_response" {
            return Vec::new();
        }
        let Some(errors) = reply(frame) else { return Vec::new() };
        self.told(&errors)
    }

    /// What is told of those to which no answer came.
    pub(super) fn rest(&mut self) -> Vec<(String, String)> {
        self.told(&BTreeMap::new())
    }

    fn told(&mut self, errors: &BTreeMap<String, String>) -> Vec<(String, String)> {
        let tell = |name: String| {
            let why = errors.get(&name).and_then(|error| reason(error));
            let why = why.unwrap_or("its command or its address may not be there, seen from where the run is");
            let message =
                format!("the MCP server `{name}` could not be started or reached, and its tools are missing: {why}");
            (name, message)
        };
        std::mem::take(&mut self.waiting).into_iter().map(tell).collect()
    }
}

/// Errors by the name of their server; `None` when the frame is something else.
fn reply(frame: &Frame) -> Option<BTreeMap<String, String>> {
    #[derive(Deserialize)]
    struct Envelope {
        response: Response,
    }
    #[derive(Deserialize)]
    struct Response {
        request_id: String,
        #[serde(default)]
        response: Option<Status>,
    }
    #[derive(Deserialize)]
    struct Status {
        #[serde(default, rename = "mcpServers")]
        servers: Vec<Server>,
    }
    #[derive(Deserialize)]
    struct Server {
        name: String,
        #[serde(default)]
        error: Option<String>,
    }
    // Other answers may have other forms.
    if !frame.as_str().contains(STATUS_ID) {
        return None;
    }
    let Response { request_id, response } = frame.body::<Envelope>()?.response;
    let servers = response.map(|status| status.servers).unwrap_or_default();
    let errors = servers.into_iter().filter_map(|server| Some((server.name, server.error?))).collect();
    (request_id == STATUS_ID).then_some(errors)
}

/// What an error of the CLI means. Its own words may name files and hosts of the server, which are not for everybody who may
/// read a warning.
fn reason(error: &str) -> Option<&'static str> {
    let has = |texts: &[&str]| texts.iter().any(|text| error.contains(text));
    // 2.1.261 and 2.1.276 say so of a command without `args`, whatever it is (checked).
    let no_command = has(&["ENOENT", "Spread syntax"]);
    Some(match () {
        () if no_command => {
            "there is no such command where the run is; isolated, a run sees only some of the server's folders"
        }
        () if has(&["EACCES", "EPERM"]) => "its command may not be run",
        () if has(&["ENOTFOUND", "EAI_AGAIN"]) => "the host of its address is not known where the run is",
        () if has(&["ECONNREFUSED", "ConnectionRefused", "Unable to connect"]) => {
            "nobody answers at its address, or the run's network does not lead there"
        }
        () if has(&["Connection closed", "ECONNRESET"]) => "it ended, or closed the connection, before it had answered",
        () if has(&["endpoint not found", "404"]) => "there is no MCP server at its address: 404",
        () if has(&["401", "403", "Unauthorized", "Forbidden"]) => {
            "it does not accept the credentials, or there are none"
        }
        () if has(&["timed out", "timeout", "ETIMEDOUT"]) => "it did not answer in time",
        () if has(&["certificate", "CERT_", "SSL", "TLS"]) => "its certificate is not trusted where the run is",
        () => return None,
    })
}
