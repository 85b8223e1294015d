//! What the runs of a key are held to.
//!
//! A policy is enforced by what the CLI is given and by the run's isolation, never by trusting a request: see
//! [`crate::runs::resolve`]. A request that asks for more is refused, and the answer names the field.

use claude::permission_mode::PermissionMode;
use claude::profile::Profile;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::priority::Priority;
use crate::usd::Usd;

mod check;
pub mod tools;

/// The weight of a key that has none of its own.
pub const USUAL_WEIGHT: u32 = 1;

/// What the runs of a key are held to. A part that is absent holds them to nothing but the server's own settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// The workspaces that its runs and its configuration may lie in; the root of all is none of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub workspaces: Option<Vec<String>>,
    /// A folder below the root of workspaces: its runs write nowhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub write_root: Option<String>,
    /// The models that its runs may use, subagents included; the first is the one of a run that names none, unless the
    /// server's default is among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub models: Option<Vec<String>>,
    /// The permission modes that its runs may have; the first is the one of a run that names none, unless the server's
    /// default is among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Vec<String>>)]
    pub permission_modes: Option<Vec<PermissionMode>>,
    /// The profiles that its runs may have; the first is the one of a run that names none, unless `default` is among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Vec<String>>)]
    pub profiles: Option<Vec<Profile>>,
    /// The names of the tools that its runs have, e.g. `Read`, `mcp__tracker`; all others are taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tools: Option<Vec<String>>,
    /// The rules that a request may give as `allowed_tools`, word for word. Absent: any rule for a tool that it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub allowed_tools: Option<Vec<String>>,
    /// Rules for calls that are always denied, e.g. `Bash(curl:*)`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub denied_tools: Vec<String>,
    /// The names of variables that a request may set (`env`); empty: none. Absent: any that requests may set, or none if
    /// the policy keeps its runs from `Bash`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub env: Option<Vec<String>>,
    /// `false`: a repository's own configuration is never loaded for its runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub project_config: Option<bool>,
    /// Runs at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub max_concurrent: Option<u32>,
    /// Runs that may wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub max_waiting: Option<u32>,
    /// Its share of the turns when others wait too: a key of weight 2 gets two for each of a key of weight 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub weight: Option<u32>,
    /// The highest priority that its runs may have among themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>)]
    pub max_priority: Option<Priority>,
    /// The most that one run may cost, by the CLI's estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<f64>)]
    pub max_usd_per_run: Option<Usd>,
    /// The most that all its runs of one day (UTC) may cost, by the CLI's estimate. Needs `max_usd_per_run`, which is what
    /// is set aside for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<f64>)]
    pub max_usd_per_day: Option<Usd>,
}
