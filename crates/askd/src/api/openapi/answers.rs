//! What every operation can answer besides its success: statuses, errors, headers, and what it needs of a key.

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::super::scopes::{Need, need};
use super::each_operation;

/// What an operation is about, as far as its answers depend on it.
struct Operation {
    id: String,
    is_v1: bool,
    has_body: bool,
    /// Names of its parameters.
    parameters: Vec<String>,
    need: Option<Need>,
}

/// What stands before every route: an unreadable path or query, a page that may not ask, another server's name, a mistake.
const FRONT: [u16; 4] = [400, 403, 421, 500];
/// What stands behind it where a key is needed: no key, too many requests, no store.
const KEYED: [u16; 3] = [401, 429, 503];
/// Of a body: it does not come, is too large, is of another type.
const BODY: [u16; 3] = [408, 413, 415];
/// Of a document that is looked for.
const READ: [u16; 2] = [404, 409];
/// Of a change of the configuration.
const CHANGED: [u16; 4] = [404, 409, 412, 413];

/// What the operations have of their own.
const OWN: &[(&str, &[u16])] = &[
    ("create_answer", &[402, 404, 409, 422, 502, 504]),
    ("create_run", &[402, 404, 406, 409, 410, 422, 502, 504]),
    ("get_run", &[404]),
    ("list_events", &[404, 406, 410]),
    ("create_stream_token", &[404]),
    ("cancel_run", &[404, 409, 422]),
    ("interrupt_run", &[404, 409, 422]),
    ("create_input", &[404, 409, 422]),
    ("create_key", &[409]),
    ("get_own_key", &[]),
    ("get_key", &[404]),
    ("update_key", &[404, 409, 412]),
    ("rotate_key", &[404, 409]),
    ("revoke_key", &[404, 409]),
    ("get_upload", &[404]),
    ("delete_upload", &[404, 409]),
    ("get_claude_md", &[409]),
    ("put_claude_md", &CHANGED),
    ("list_legacy_documents", &READ),
    ("get_legacy_document", &READ),
    ("put_legacy_document", &CHANGED),
    ("delete_legacy_document", &CHANGED),
    ("get_config", &READ),
    ("validate_config", &READ),
    ("list_config_changes", &[404]),
    ("get_config_change", &[404]),
    ("get_config_diff", &[404, 409, 410]),
    ("restore_config", &CHANGED),
    ("export_config", &READ),
    ("import_config", &CHANGED),
    ("get_mcp_server", &READ),
    ("put_mcp_server", &CHANGED),
    ("delete_mcp_server", &CHANGED),
    ("get_skill_file", &READ),
    ("put_skill_file", &CHANGED),
    ("delete_skill_file", &CHANGED),
    ("list_documents", &READ),
    ("put_single_document", &[404, 405, 409, 412, 413]),
    ("delete_single_document", &[404, 405, 409, 412, 413]),
    ("get_document", &READ),
    ("put_document", &CHANGED),
    ("delete_document", &CHANGED),
    ("get_docs_file", &[404]),
];

/// The operations that have statuses of their own.
#[cfg(test)]
pub(super) fn ids() -> impl Iterator<Item = &'static str> {
    OWN.iter().map(|(id, _)| *id)
}

/// Headers by name: what they say, and whether every answer has them.
const HEADERS: &[(&str, &str, &str)] = &[
    ("x-request-id", "string", "The request's id: the client's own, if it sent a harmless one."),
    ("request-id", "string", "The same, by the name that clients of the Messages API know."),
    ("retry-after", "integer", "After how many seconds to try again."),
    ("etag", "string", "The tag of what is there."),
    ("location", "string", "Where it is."),
    (
        "ratelimit-policy",
        "string",
        "The limit of requests, as draft-ietf-httpapi-ratelimit-headers has it; absent where there is none.",
    ),
    ("ratelimit", "string", "What is left of it."),
    ("anthropic-ratelimit-requests-limit", "integer", "The same limit, as clients of the Messages API know it."),
    ("anthropic-ratelimit-requests-remaining", "integer", "How many requests are left of it."),
    ("anthropic-ratelimit-requests-reset", "string", "When all of them are there again, as RFC 3339 has times."),
    ("allow", "string", "The methods that the path takes."),
    ("content-disposition", "string", "That it is to be kept as a file, and under which name."),
    ("idempotency-replayed", "string", "`true` if an earlier request with the same key has done it."),
    ("x-askd-run-id", "string", "The run's id."),
    ("x-askd-session-id", "string", "The session's id, for a further run."),
    ("x-askd-warning", "string", "What a person wants to know besides; one header a warning."),
    ("x-askd-permission-denials", "integer", "How many calls of tools were denied; absent if none was."),
    ("preference-applied", "string", "How long the answer waited at most."),
    (
        "traceresponse",
        "string",
        "The trace and the span of the request, written like `traceparent`, if there are traces.",
    ),
];

/// Of an answer to a request that counts: what is left of the limit of requests.
const LEFT: [&str; 2] = ["ratelimit-policy", "ratelimit"];
/// Below `/v1` besides.
const LEFT_V1: [&str; 3] = [
    "anthropic-ratelimit-requests-limit",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-requests-reset",
];

/// Of an answer that tells what became of a run, or of an earlier request.
const OF_A_RUN: [&str; 5] =
    ["x-askd-run-id", "x-askd-session-id", "x-askd-warning", "x-askd-permission-denials", "idempotency-replayed"];
/// Below `/v1` besides.
const OF_A_RUN_V1: [&str; 2] = ["location", "preference-applied"];

/// Completes every operation, and declares what they refer to.
pub(super) fn complete(document: &mut Value) {
    let mut named = Vec::new();
    each_operation(document, |path, method, operation| {
        let about = Operation::of(path, method, operation);
        about.secure(operation);
        let mut statuses = about.statuses();
        statuses.sort_unstable();
        statuses.dedup();
        let responses = operation.entry("responses").or_insert_with(|| json!({}));
        for response in responses.as_object_mut().into_iter().flat_map(|all| all.values_mut()) {
            about.head(response);
        }
        for status in statuses {
            let name = about.error(status);
            let response = &mut responses[status.to_string()];
            if response.is_null() {
                *response = json!({"$ref": format!("#/components/responses/{name}")});
                if status == 304 {
                    *response = json!({"description": "The client has it already."});
                    about.head(response);
                }
            }
            if status != 304 {
                named.push((name, error(status, about.is_v1, about.is_of_a_run())));
            }
        }
    });
    document["components"]["responses"] = Value::Object(named.into_iter().collect::<Map<_, _>>());
    let headers = HEADERS
        .iter()
        .map(|(name, kind, what)| ((*name).to_owned(), json!({"description": what, "schema": {"type": kind}})));
    document["components"]["headers"] = Value::Object(headers.collect::<Map<_, _>>());
    document["components"]["headers"]["x-request-id"]["required"] = json!(true);
}

impl Operation {
    fn of(path: &str, method: &str, operation: &Map<String, Value>) -> Self {
        let parameters = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap_or_default();
        // The rest of a path is marked in routes, and not in the file.
        let routes = [path.to_owned(), rest_marked(path)];
        Self {
            id: operation.get("operationId").and_then(Value::as_str).unwrap_or_default().to_owned(),
            is_v1: path.starts_with("/v1/"),
            has_body: operation.contains_key("requestBody"),
            parameters: parameters.filter_map(|it| it["name"].as_str().map(str::to_owned)).collect(),
            need: routes.iter().find_map(|route| need(&method, route)),
        }
    }

    fn has(&self, parameter: &str) -> bool {
        self.parameters.iter().any(|name| name == parameter)
    }

    fn statuses(&self) -> Vec<u16> {
        let mut all = FRONT.to_vec();
        if self.need.is_some() {
            all.extend(KEYED);
            if self.is_v1 {
                all.push(529);
            }
        }
        if self.has_body {
            all.extend(BODY);
        }
        if self.has("If-None-Match") && !self.has("If-Match") {
            all.push(304);
        }
        all.extend(OWN.iter().filter(|(id, _)| *id == self.id).flat_map(|(_, own)| *own));
        all
    }

    /// What it needs of a key.
    fn secure(&self, operation: &mut Map<String, Value>) {
        let (any, scope) = match self.need {
            None => (json!([]), None),
            Some(_) if self.is_documentation() => (json!([{}, {"api_key": []}, {"bearer": []}]), Some("any")),
            Some(Need::Key) => (json!([{"api_key": []}, {"bearer": []}]), Some("any")),
            Some(Need::Scope(scope)) if self.id == "list_events" => {
                (json!([{"api_key": []}, {"bearer": []}, {"stream_token": []}]), Some(scope.as_str()))
            }
            Some(Need::Scope(scope)) => (json!([{"api_key": []}, {"bearer": []}]), Some(scope.as_str())),
        };
        operation.insert("security".into(), any);
        if let Some(scope) = scope {
            operation.insert("x-askd-scope".into(), scope.into());
        }
    }

    /// Whether `ASKD_DOCS` says who may see it.
    fn is_documentation(&self) -> bool {
        matches!(self.id.as_str(), "get_openapi" | "get_docs" | "get_docs_file")
    }

    /// The headers of a success.
    fn head(&self, response: &mut Value) {
        let mut names = Vec::new();
        if self.has("If-None-Match")
            || self.has("If-Match")
            || matches!(self.id.as_str(), "create_key" | "get_key" | "rotate_key")
        {
            names.push("etag");
        }
        if matches!(self.id.as_str(), "create_run" | "create_key" | "create_upload") {
            names.push("location");
        }
        if self.has("Idempotency-Key") {
            names.push("idempotency-replayed");
        }
        if matches!(self.id.as_str(), "create_answer" | "create_run") {
            names.extend(["x-askd-run-id", "x-askd-session-id"]);
        }
        match self.id.as_str() {
            "create_answer" => names.extend(["x-askd-warning", "x-askd-permission-denials"]),
            "create_run" => names.push("preference-applied"),
            "export_config" => names.extend(["x-askd-warning", "content-disposition"]),
            "get_skill_file" => names.push("content-disposition"),
            _ => {}
        }
        if self.need.is_some() {
            names.push("traceresponse");
            if !self.is_documentation() {
                names.extend(LEFT);
                if self.is_v1 {
                    names.extend(LEFT_V1);
                }
            }
        }
        let own = response["headers"].take();
        response["headers"] = self.headers(&names);
        if let (Some(all), Value::Object(own)) = (response["headers"].as_object_mut(), own) {
            all.extend(own);
        }
    }

    fn headers(&self, names: &[&str]) -> Value {
        let always = ["x-request-id"].into_iter().chain(self.is_v1.then_some("request-id"));
        let all = always.chain(names.iter().copied());
        Value::Object(all.map(|name| (name.to_owned(), header(name))).collect::<Map<_, _>>())
    }

    /// Whether its answers may be about a run that it has begun or changed, or that an earlier request has.
    fn is_of_a_run(&self) -> bool {
        self.has("Idempotency-Key")
    }

    /// The name of an error in the file.
    fn error(&self, status: u16) -> String {
        let form = if self.is_v1 { "Error" } else { "LegacyError" };
        let about = if self.is_of_a_run() { "OfRun" } else { "" };
        format!("{form}{status}{about}")
    }
}

fn header(name: &str) -> Value {
    json!({"$ref": format!("#/components/headers/{name}")})
}

/// The route of a path of the file, if the last part is the rest of a path.
fn rest_marked(path: &str) -> String {
    match path.rsplit_once('{') {
        Some((before, rest)) => format!("{before}{{*{rest}"),
        None => path.to_owned(),
    }
}

/// An error as every operation answers it, or every one that is about a run.
fn error(status: u16, is_v1: bool, is_of_a_run: bool) -> Value {
    let schema = if is_v1 { "Error" } else { "LegacyError" };
    let mut headers = Map::from_iter([("x-request-id".to_owned(), header("x-request-id"))]);
    if is_v1 {
        headers.insert("request-id".into(), header("request-id"));
    }
    let mut names = Vec::new();
    // Whoever has no right key leaves no span.
    if status != 401 {
        names.push("traceresponse");
    }
    if status != 421 {
        names.extend(LEFT);
        if is_v1 {
            names.extend(LEFT_V1);
        }
    }
    // A key that counts no more while its run is waited for is a 401 of a run.
    if is_of_a_run && !matches!(status, 403 | 405 | 406 | 408 | 412 | 415 | 421) {
        names.extend(OF_A_RUN);
        if is_v1 {
            names.extend(OF_A_RUN_V1);
        }
    }
    if matches!(status, 402 | 429 | 502 | 503 | 529) {
        names.push("retry-after");
    }
    if status == 405 {
        names.push("allow");
    }
    headers.extend(names.into_iter().map(|name| (name.to_owned(), header(name))));
    json!({
        "description": what(status),
        "headers": headers,
        "content": {"application/json": {"schema": {"$ref": format!("#/components/schemas/{schema}")}}},
    })
}

fn what(status: u16) -> &'static str {
    match status {
        400 => "The request cannot be understood, or is not allowed.",
        401 => "The key is missing, wrong, or counts no more.",
        402 => "What the key or the run may cost is used up.",
        403 => "The key may not do this, or a web page may not ask.",
        404 => "There is none, or it belongs to another key.",
        405 => "The path does not take this method.",
        406 => "None of the forms that are accepted can be had.",
        408 => "The body did not come in time.",
        409 => "It contradicts what is there.",
        410 => "It is no longer kept.",
        412 => "What is there is not what the condition says.",
        413 => "It is too large.",
        415 => "The body is of another type.",
        421 => "The server is not called so.",
        422 => "The Idempotency-Key was used for another request, or the run met a limit.",
        429 => "Too many requests, or no room for more of this key.",
        500 => "The run failed, or the server made a mistake.",
        502 => "The provider of the model refused or failed.",
        503 => "The server is shutting down, or cannot store anything now.",
        504 => "A deadline of the run passed.",
        529 => "The server has too much to do now.",
        other => StatusCode::from_u16(other).ok().and_then(|status| status.canonical_reason()).unwrap_or("An error."),
    }
}
