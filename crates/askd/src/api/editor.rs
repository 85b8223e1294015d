//! What the routes of the configuration need of a request: who it is, and what it may do.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::caller::{Caller, Permission};
use super::error::ApiError;
use super::request_id::RequestId;
use crate::app::App;
use crate::config::Config;
use crate::config::change::{Author, May};
use crate::config::document::Content;
use crate::config::kind::Kind;
use crate::config::problem::Problem;
use crate::config::scope::Scope;
use crate::config::validate::{all_may_hold_secrets, may_hold_secrets};
use crate::project_config::{Finding, HOW_TO_TRUST};
use crate::runs::own_config::{self, Loading};
use crate::settings::groups::Server;

/// Whoever reads or changes the configuration. There is none without a key that may at least read it.
#[derive(Debug)]
pub(super) struct Editor {
    app: Arc<App>,
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
        &self.app.settings().server
    }

    /// Refuses whoever may change nothing.
    pub(super) fn must_write(&self) -> Result<(), ApiError> {
        self.caller.require(Permission::ConfigWrite)
    }

    /// Refuses whoever may not change everything, or see secrets.
    pub(super) fn must_execute(&self) -> Result<(), ApiError> {
        self.caller.require(Permission::ConfigExec)
    }

    /// Refuses whoever may not see any content of a kind: keys of services stand in some. Asked before anything is read.
    pub(super) fn must_see_kind(&self, kind: Kind) -> Result<(), ApiError> {
        if all_may_hold_secrets(kind) { self.must_execute() } else { Ok(()) }
    }

    /// Refuses whoever may not see this content: also an agent can hold keys of services.
    pub(super) fn must_see(&self, kind: Kind, content: &Content) -> Result<(), ApiError> {
        if may_hold_secrets(kind, content) { self.must_execute() } else { Ok(()) }
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
        let may = if self.caller.may(Permission::ConfigExec) { May::Everything } else { May::Texts };
        let (key_id, request_id) = (self.caller.key_id().to_owned(), self.request_id.0.clone());
        Author { key_id, address: self.caller.address(), request_id, may }
    }
}

impl FromRequestParts<Arc<App>> for Editor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, app).await?;
        caller.require(Permission::ConfigRead)?;
        let request_id = parts.extensions.get().cloned().unwrap_or(RequestId(String::new()));
        Ok(Self { app: Arc::clone(app), caller, request_id })
    }
}
