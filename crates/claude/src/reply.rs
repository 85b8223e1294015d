//! The reply to `initialize`: what the CLI found before the first prompt.

use serde::Deserialize;

use crate::frame::Frame;
use crate::input::INITIALIZE_ID;

/// What of the reply a server needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Initialized {
    /// Names of the agents that can be used.
    pub agents: Vec<String>,
    /// Where the CLI found an API key; `None` when it found none.
    pub api_key_source: Option<String>,
}

/// The reply, or the CLI's refusal; `None` when the frame is something else.
pub fn initialized(frame: &Frame) -> Option<Result<Initialized, String>> {
    #[derive(Deserialize)]
    struct Envelope {
        response: Response,
    }
    #[derive(Deserialize)]
    struct Response {
        subtype: String,
        request_id: String,
        #[serde(default)]
        error: Option<String>,
        #[serde(default, rename = "response")]
        body: Option<Body>,
    }
    #[derive(Deserialize, Default)]
    struct Body {
        #[serde(default)]
        agents: Vec<Agent>,
        #[serde(default)]
        account: Account,
    }
    #[derive(Deserialize)]
    struct Agent {
        name: String,
    }
    #[derive(Deserialize, Default)]
    struct Account {
        #[serde(default, rename = "apiKeySource")]
        api_key_source: Option<String>,
    }

    if frame.kind != "control_response" {
        return None;
    }
    let response = frame.body::<Envelope>()?.response;
    if response.request_id != INITIALIZE_ID {
        return None;
    }
    if response.subtype != "success" {
        return Some(Err(response.error.unwrap_or_else(|| "no reason given".into())));
    }
    let body = response.body.unwrap_or_default();
    Some(Ok(Initialized {
        agents: body.agents.into_iter().map(|agent| agent.name).collect(),
        api_key_source: body.account.api_key_source.filter(|source| source != "none"),
    }))
}

/// The id of a request that the CLI makes of us; `None` when the frame is something else.
pub fn request_id(frame: &Frame) -> Option<String> {
    #[derive(Deserialize)]
    struct Request {
        request_id: String,
    }
    (frame.kind == "control_request").then(|| frame.body::<Request>().map(|request| request.request_id))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Result<Initialized, String>> {
        initialized(&Frame::parse(line.into()).unwrap())
    }

    #[test]
    fn names_agents_and_key() {
        let reply = parse(
            r#"{"type":"control_response","response":{"subtype":"success","request_id":"askd-initialize","response":
            {"agents":[{"name":"Explore","description":"d"},{"name":"reviewer"}],"account":{"apiKeySource":"ANTHROPIC_API_KEY"}}}}"#,
        );
        let expected = Initialized {
            agents: vec!["Explore".into(), "reviewer".into()],
            api_key_source: Some("ANTHROPIC_API_KEY".into()),
        };
        assert_eq!(reply, Some(Ok(expected)));
    }

    #[test]
    fn a_refusal_carries_its_reason_and_other_replies_are_not_ours() {
        let refusal = r#"{"type":"control_response","response":{"subtype":"error","request_id":"askd-initialize","error":"bad"}}"#;
        assert_eq!(parse(refusal), Some(Err("bad".into())));
        assert_eq!(parse(&refusal.replace("askd-initialize", "other")), None);
        assert_eq!(parse(r#"{"type":"result"}"#), None);
    }
}
