//! Whether the CLI keeps to the terms: what it asks before calls, and what it says of its work.

use claude::frame::Frame;
use claude::said::{Said, said};

use super::{Models, Terms, Tools, shown};

/// Whose bounds the run would leave.
const POLICY: &str = "policy of its key";

impl Terms {
    /// Why a tool may not be called, if so. `mode` is the permission mode of whoever calls; a CLI that does not tell it
    /// is not trusted to keep to it.
    pub fn objection(&self, tool: &str, mode: Option<&str>) -> Option<String> {
        if let Some(tools) = self.tools.as_ref().filter(|tools| !tools.may_be_called(tool)) {
            let whose = if tools.is_of_request() { "request of the run" } else { "policy of the run's key" };
            return Some(format!("the {whose} does not have the tool {}", shown(tool)));
        }
        let mode = mode.unwrap_or("unknown");
        (!self.has_mode(mode)).then(|| {
            let mode = shown(mode);
            format!("the policy of the run's key does not have the permission mode {mode}, in which this agent works")
        })
    }

    /// Whether the tool is one that the request itself, and not the policy of its key, has left out.
    pub fn leaves_out_by_request(&self, tool: &str) -> bool {
        self.tools.as_ref().is_some_and(|tools| tools.is_of_request() && !tools.may_be_called(tool))
    }

    /// What the CLI does beyond the terms, by its own words. The run has to be ended.
    pub fn breach(&self, frame: &Frame) -> Option<String> {
        if self.models.is_none() && self.tools.is_none() && self.modes.is_none() {
            return None;
        }
        match said(frame)? {
            Said::Init { model, permission_mode, tools } => {
                self.foreign_model(&model).or_else(|| self.foreign_tool(&tools)).or_else(|| {
                    (!self.has_mode(&permission_mode))
                        .then(|| (POLICY, format!("the permission mode {}", shown(&permission_mode))))
                })
            }
            // A model of an opaque name may answer by any name. The result tells what was asked.
            Said::Message { .. } if self.models.as_ref().is_some_and(Models::has_opaque_name) => None,
            Said::Message { model } => self.foreign_model(&model),
            Said::Result { models } => models.iter().find_map(|model| self.foreign_model(model)),
        }
        .map(|(whose, what)| format!("the run was ended: the CLI used {what}, which the {whose} does not have"))
    }

    fn foreign_model(&self, model: &str) -> Option<(&'static str, String)> {
        let is_foreign = self.models.as_ref().is_some_and(|models| !models.has(model));
        is_foreign.then(|| (POLICY, format!("the model {}", shown(model))))
    }

    fn foreign_tool(&self, listed: &[String]) -> Option<(&'static str, String)> {
        let tools: &Tools = self.tools.as_ref()?;
        let foreign = listed.iter().find(|tool| !tools.may_be_listed(tool))?;
        let whose = if tools.is_of_request() { "request of the run" } else { POLICY };
        Some((whose, format!("the tool {}", shown(foreign))))
    }

    fn has_mode(&self, mode: &str) -> bool {
        self.modes.as_ref().is_none_or(|modes| modes.iter().any(|allowed| allowed.as_str() == mode))
    }
}
