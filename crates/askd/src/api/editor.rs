//! What the routes of the configuration need of a request: who it is, and what it may do.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::caller::Caller;
use super::error::ApiError;
use super::error::code::ErrorCode;
use super::request_id::RequestId;
use crate::app::App;
use crate::config::Config;
use crate::config::change::{Author, May};
use crate::config::document::Content;
use crate::config::kind::Kind;
use crate::config::problem::Problem;
use crate::config::scope::Scope;
use crate::config::validate::{all_may_hold_secrets, may_hold_secrets};
use crate::keys;
use crate::project_config::{Finding, HOW_TO_TRUST};
use crate::runs::own_config::{self, Loading};
use crate::settings::Settings;
use crate::settings::groups::Server;

/// Whoever reads or changes the configuration. That its key has the scope of the route, [`super::scopes`] has seen to.
#[derive(Debug)]
pub(super) struct Editor {
    app: Arc<App>,
    /// As they were when the request came.
    settings: Arc<Settings>,
    caller: Caller,
    request_id: RequestId,
}

impl Editor {
    /// The configuration.
    pub(super) fn config(&self) -> &Config {
        &self.app.runs().shared().config
    }

    /// The bounds of requests.
    pub(super) fn server(&self) -> &Server {
        &self.settings.server
    }

    /// The workspaces that the key's policy leaves to it; `None`: all of them, and what holds for all runs.
    fn workspaces(&self) -> Option<&[String]> {
        self.caller.key().policy.workspaces.as_deref()
    }

    /// Whether the key's policy lets it see this configuration: that of its own workspaces, and that of all runs.
    pub(super) fn may_reach(&self, scope: &Scope) -> bool {
        match (self.workspaces(), scope.workspace()) {
            (Some(own), Some(workspace)) => own.iter().any(|own| own == workspace),
            (None, _) | (_, None) => true,
        }
    }

    /// Refuses a key whose policy does not let it see this configuration.
    pub(super) fn must_reach(&self, scope: &Scope) -> Result<(), ApiError> {
        match scope.workspace() {
            Some(workspace) if !self.may_reach(scope) => Err(not_its(&format!("the workspace `{workspace}`"))),
            _ => Ok(()),
        }
    }

    /// Refuses a key that is for some workspaces and asks for what holds for all of them.
    pub(super) fn must_reach_all(&self) -> Result<(), ApiError> {
        if self.workspaces().is_none() { Ok(()) } else { Err(not_its("the configuration of all runs")) }
    }

    /// Refuses whoever may change nothing at all. Asked before it is known what is to be changed.
    pub(super) fn must_write_somewhere(&self) -> Result<(), ApiError> {
        self.caller.require(keys::Scope::ConfigWrite)
    }

    /// Refuses whoever may change nothing of this scope.
    pub(super) fn must_write(&self, scope: &Scope) -> Result<(), ApiError> {
        self.must_write_somewhere()?;
        self.must_own(scope)
    }

    /// Refuses whoever may not change everything of this scope, or see its secrets.
    pub(super) fn must_execute(&self, scope: &Scope) -> Result<(), ApiError> {
        self.caller.require(keys::Scope::ConfigExec)?;
        self.must_own(scope)
    }

    /// What holds for all runs is not changed with a key that is for some workspaces.
    fn must_own(&self, scope: &Scope) -> Result<(), ApiError> {
        match scope {
            Scope::User => self.must_reach_all(),
            Scope::Workspace(_) => self.must_reach(scope),
        }
    }

    /// Refuses whoever may not see any content of a kind: keys of services stand in some. Asked before anything is read.
    pub(super) fn must_see_kind(&self, scope: &Scope, kind: Kind) -> Result<(), ApiError> {
        if all_may_hold_secrets(kind) { self.must_execute(scope) } else { Ok(()) }
    }

    /// Refuses whoever may not see this content: also an agent can hold keys of services.
    pub(super) fn must_see(&self, scope: &Scope, kind: Kind, content: &Content) -> Result<(), ApiError> {
        if may_hold_secrets(kind, content) { self.must_execute(scope) } else { Ok(()) }
    }

    /// What keeps runs from loading the configuration of this scope. Empty where they load it, and for that of all runs.
    pub(super) async fn kept_out(&self, scope: &Scope) -> Vec<Problem> {
        let Some(workspace) = scope.workspace() else { return Vec::new() };
        match own_config::of_workspace(self.app.runs().shared(), workspace).await {
            Loading::Loaded | Loading::Nothing => Vec::new(),
            Loading::Never(why) => vec![Problem::new(format!("runs load no workspace's configuration: {why}"))],
            Loading::LeftOut(findings) => {
                let told = format!(
                    "runs do not load this workspace's configuration, but for its deny and ask rules; {HOW_TO_TRUST}"
                );
                let each = findings.into_iter().map(|Finding { path, line, what }| Problem {
                    file: Some(path),
                    line,
                    field: None,
                    message: format!("keeps the workspace's configuration out of runs: {what}"),
                });
                std::iter::once(Problem::new(told)).chain(each).collect()
            }
        }
    }

    /// Whose change it is, for the history.
    pub(super) fn author(&self) -> Author {
        let may = if self.caller.may(keys::Scope::ConfigExec) { May::Everything } else { May::Texts };
        let (key_id, request_id) = (self.caller.key_id().to_owned(), self.request_id.0.clone());
        Author { key_id, address: self.caller.address(), request_id, may }
    }
}

fn not_its(what: &str) -> ApiError {
    let error = ApiError::new(ErrorCode::Forbidden, format!("the key's policy does not let it do this to {what}"));
    error.with_param("workspace").with_hint("the policy of the key names its workspaces: GET /v1/keys/self")
}

impl FromRequestParts<Arc<App>> for Editor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let request_id = parts.extensions.get().cloned().unwrap_or(RequestId(String::new()));
        Ok(Self { app: Arc::clone(app), settings: app.settings(), caller, request_id })
    }
}
