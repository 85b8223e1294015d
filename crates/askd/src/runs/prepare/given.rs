//! What a run is given of the operator's configuration, by its profile.

use claude::profile::Profile;
use serde_json::{Map, Value};

use super::super::shared::Shared;
use crate::config::dir::restrained::Restrained;
use crate::config::dir::{SeedError, Seeded};
use crate::config::validate::settings::restrictions::Restrictions;
use crate::guard::Policy;
use crate::homes::Home;

/// What is given besides the files in the home.
pub(super) struct Given {
    /// What its tools are kept from.
    pub(super) policy: Policy,
    /// The operator's MCP servers.
    pub(super) servers: Map<String, Value>,
    /// Whether the settings in its home have hooks of the operator's.
    pub(super) has_hooks: bool,
    /// Rules of the operator's settings that are to be said in the run's own.
    pub(super) restrictions: Restrictions,
    /// What else of them is to be said there.
    pub(super) kept: Map<String, Value>,
}

impl Given {
    /// Fills the home. What of the operator's settings holds a bare or restricted run back stands in its own settings file,
    /// which is the only one that its CLI reads. The other files are there for the operator's hooks, and for nobody else.
    pub(super) fn of(shared: &Shared, profile: Profile, home: &Home) -> Result<Self, SeedError> {
        if profile == Profile::Default {
            let Seeded { policy, mcp_servers, has_hooks } = shared.config.seed(home.path())?;
            return Ok(Self {
                policy,
                servers: mcp_servers,
                has_hooks,
                restrictions: Restrictions::default(),
                kept: Map::new(),
            });
        }
        let Restrained { policy, mcp_servers, restrictions, kept } = shared.config.restrain(home.path())?;
        let servers = if profile == Profile::Restricted { mcp_servers } else { Map::new() };
        Ok(Self { policy, servers, has_hooks: kept.contains_key("hooks"), restrictions, kept })
    }
}
