//! Who calls, and what its key may do.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;

use super::error::ApiError;
use super::error::code::ErrorCode;
use crate::settings::ConfigChanges;

/// The id of the one key that there is.
pub(super) const KEY_ID: &str = "admin";

/// What a key may do, as far as not every key may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Read the configuration: names, texts and history, but not what may hold secrets.
    ConfigRead,
    /// Change texts that cannot run anything.
    ConfigWrite,
    /// Change what can run programs or widen what runs may do, and read what may hold secrets.
    ConfigExec,
}

impl Permission {
    /// As it is called in texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConfigRead => "config:read",
            Self::ConfigWrite => "config:write",
            Self::ConfigExec => "config:exec",
        }
    }
}

/// Whoever has shown a key. Only [`super::auth`] makes one, from the key; a handler that takes it is closed to all who
/// have none, such as the holder of a stream's token.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    key_id: &'static str,
    address: Option<IpAddr>,
    changes: ConfigChanges,
}

impl Caller {
    /// The holder of the one key, which may do all that the operator leaves to keys.
    pub(super) fn admin(peer: Option<&ConnectInfo<SocketAddr>>, changes: ConfigChanges) -> Self {
        // On a socket for both, an IPv4 address comes dressed as an IPv6 one.
        let address = peer.map(|ConnectInfo(peer)| peer.ip().to_canonical());
        Self { key_id: KEY_ID, address, changes }
    }

    /// The id of the key.
    pub(super) fn key_id(&self) -> &str {
        self.key_id
    }

    /// Where the request came from: the other end of its connection, which may be a proxy.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Whether the key has a permission.
    pub(super) fn may(&self, permission: Permission) -> bool {
        match permission {
            Permission::ConfigRead => true,
            Permission::ConfigWrite => self.changes != ConfigChanges::None,
            Permission::ConfigExec => self.changes == ConfigChanges::All,
        }
    }

    /// Refuses a key without the permission.
    pub(super) fn require(&self, permission: Permission) -> Result<(), ApiError> {
        if self.may(permission) {
            return Ok(());
        }
        let name = permission.as_str();
        let error =
            ApiError::new(ErrorCode::Forbidden, format!("this needs the permission {name}, which the key has not"));
        Err(error.with_hint(format!("the operator has set ASKD_CONFIG_CHANGES to {}", self.changes)))
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| ApiError::new(ErrorCode::Unauthorized, "this needs a key"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_takes_permissions_away_from_every_key() {
        use Permission::{ConfigExec, ConfigRead, ConfigWrite};
        for (changes, has) in [
            (ConfigChanges::All, &[ConfigRead, ConfigWrite, ConfigExec][..]),
            (ConfigChanges::Texts, &[ConfigRead, ConfigWrite]),
            (ConfigChanges::None, &[ConfigRead]),
        ] {
            let caller = Caller::admin(None, changes);
            for permission in [ConfigRead, ConfigWrite, ConfigExec] {
                assert_eq!(caller.require(permission).is_ok(), has.contains(&permission), "{changes} {permission:?}");
            }
        }
    }

    #[test]
    fn an_address_is_written_as_what_it_is() {
        let peer = ConnectInfo("[::ffff:192.0.2.7]:4711".parse().unwrap());
        let caller = Caller::admin(Some(&peer), ConfigChanges::All);
        assert_eq!(caller.address().unwrap().to_string(), "192.0.2.7");
    }
}
