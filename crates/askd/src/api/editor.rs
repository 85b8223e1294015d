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
use crate::config::kind::Kind;
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

    /// Refuses whoever may not see the content of such a document: keys of services stand in some.
    pub(super) fn must_see(&self, kind: Kind) -> Result<(), ApiError> {
        match kind {
            Kind::Settings | Kind::McpServers => self.must_execute(),
            _ => Ok(()),
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
