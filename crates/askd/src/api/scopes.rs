//! What each route needs of a key, in one table. A route that does not stand in it is closed to all.

use axum::http::Method;

use crate::keys::Scope;

/// What a route needs of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Any that counts.
    Key,
    /// One with this scope.
    Scope(Scope),
}

const ASK: Need = Need::Scope(Scope::Ask);
const RUNS_READ: Need = Need::Scope(Scope::RunsRead);
const RUNS_WRITE: Need = Need::Scope(Scope::RunsWrite);
const CONFIG_READ: Need = Need::Scope(Scope::ConfigRead);
const CONFIG_WRITE: Need = Need::Scope(Scope::ConfigWrite);
const CONFIG_EXEC: Need = Need::Scope(Scope::ConfigExec);
const ADMIN: Need = Need::Scope(Scope::Admin);

/// Method, path and need of every route behind the key. Some want more once they have seen what it is about: see
/// [`super::editor`].
pub const ROUTES: &[(&str, &str, Need)] = &[
    ("POST", "/ask", ASK),
    ("GET", "/config/claude-md", CONFIG_READ),
    ("PUT", "/config/claude-md", CONFIG_WRITE),
    ("GET", "/config/claude-md/", CONFIG_READ),
    ("PUT", "/config/claude-md/", CONFIG_WRITE),
    ("GET", "/config/{kind}", CONFIG_READ),
    ("GET", "/config/{kind}/", CONFIG_READ),
    ("GET", "/config/{kind}/{name}", CONFIG_READ),
    ("PUT", "/config/{kind}/{name}", CONFIG_WRITE),
    ("DELETE", "/config/{kind}/{name}", CONFIG_WRITE),
    ("GET", "/config/{kind}/{name}/", CONFIG_READ),
    ("PUT", "/config/{kind}/{name}/", CONFIG_WRITE),
    ("DELETE", "/config/{kind}/{name}/", CONFIG_WRITE),
    ("GET", "/v1/runs", RUNS_READ),
    ("POST", "/v1/runs", RUNS_WRITE),
    ("GET", "/v1/runs/{id}", RUNS_READ),
    ("GET", "/v1/runs/{id}/events", RUNS_READ),
    ("POST", "/v1/runs/{id}/stream-token", RUNS_READ),
    ("POST", "/v1/runs/{id}/cancel", RUNS_WRITE),
    ("POST", "/v1/runs/{id}/interrupt", RUNS_WRITE),
    ("POST", "/v1/runs/{id}/input", RUNS_WRITE),
    ("GET", "/v1/uploads", RUNS_READ),
    ("POST", "/v1/uploads", RUNS_WRITE),
    ("GET", "/v1/uploads/{id}", RUNS_READ),
    ("DELETE", "/v1/uploads/{id}", RUNS_WRITE),
    ("GET", "/v1/info", Need::Key),
    ("GET", "/v1/isolation", Need::Key),
    ("GET", "/v1/config", CONFIG_READ),
    ("POST", "/v1/config/validate", CONFIG_READ),
    ("GET", "/v1/config/history", CONFIG_READ),
    ("GET", "/v1/config/history/{id}", CONFIG_READ),
    ("GET", "/v1/config/history/{id}/diff", CONFIG_READ),
    ("POST", "/v1/config/history/{id}/restore", CONFIG_WRITE),
    ("GET", "/v1/config/export", CONFIG_EXEC),
    ("POST", "/v1/config/import", CONFIG_WRITE),
    ("GET", "/v1/config/mcp-servers/{server}", CONFIG_EXEC),
    ("PUT", "/v1/config/mcp-servers/{server}", CONFIG_EXEC),
    ("DELETE", "/v1/config/mcp-servers/{server}", CONFIG_EXEC),
    ("GET", "/v1/config/skills/{name}/files/{*path}", CONFIG_READ),
    ("PUT", "/v1/config/skills/{name}/files/{*path}", CONFIG_WRITE),
    ("DELETE", "/v1/config/skills/{name}/files/{*path}", CONFIG_WRITE),
    ("GET", "/v1/config/{kind}", CONFIG_READ),
    ("PUT", "/v1/config/{kind}", CONFIG_WRITE),
    ("DELETE", "/v1/config/{kind}", CONFIG_WRITE),
    ("GET", "/v1/config/{kind}/{*name}", CONFIG_READ),
    ("PUT", "/v1/config/{kind}/{*name}", CONFIG_WRITE),
    ("DELETE", "/v1/config/{kind}/{*name}", CONFIG_WRITE),
    ("GET", "/metrics", Need::Scope(Scope::MetricsRead)),
    ("GET", "/v1/usage", Need::Scope(Scope::UsageRead)),
    ("GET", "/v1/keys", ADMIN),
    ("POST", "/v1/keys", ADMIN),
    ("GET", "/v1/keys/self", Need::Key),
    ("GET", "/v1/keys/{id}", ADMIN),
    ("PATCH", "/v1/keys/{id}", ADMIN),
    ("POST", "/v1/keys/{id}/rotate", ADMIN),
    ("POST", "/v1/keys/{id}/revoke", ADMIN),
    ("GET", "/v1/audit", ADMIN),
    // Where `ASKD_DOCS` wants a key for them.
    ("GET", "/openapi.json", Need::Key),
    ("GET", "/docs", Need::Key),
    ("GET", "/docs/", Need::Key),
    ("GET", "/docs/{file}", Need::Key),
];

/// What a request to this route needs; `None` for what stands in no line of the table.
pub(super) fn need(method: &Method, route: &str) -> Option<Need> {
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let found = ROUTES.iter().find(|(known, path, _)| (*known, *path) == (method, route));
    found.map(|(_, _, need)| *need)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_needs_what_a_get_does_and_what_is_not_listed_has_no_need_that_could_be_met() {
        assert_eq!(need(&Method::HEAD, "/v1/runs"), Some(RUNS_READ));
        assert_eq!(need(&Method::POST, "/v1/runs"), Some(RUNS_WRITE));
        assert_eq!(need(&Method::DELETE, "/v1/runs"), None);
        assert_eq!(need(&Method::GET, "/v1/runs/{name}"), None);
    }
}
