//! Where the next page of a list begins: behind a thing with a time and an id. Clients are not to read it.

use std::fmt::Display;

use uuid::Uuid;

use super::super::error::ApiError;

/// The longest id in a place.
const MAX_ID: usize = 64;

/// The place behind a thing. The id has letters, digits, `_` and `-`.
pub(super) fn token(created_at: i64, id: impl Display) -> String {
    format!("{created_at:x}-{id}")
}

/// The place behind a thing whose id is known by its UUID alone.
pub(super) fn token_of(created_at: i64, id: Uuid) -> String {
    token(created_at, id.simple())
}

/// The place that a client gives back.
pub(super) fn read(token: &str) -> Result<(i64, String), ApiError> {
    let place = || {
        let (time, id) = token.split_once('-')?;
        let time = i64::from_str_radix(time, 16).ok()?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let fits = (1..=MAX_ID).contains(&id.len()) && id.bytes().all(plain);
        (fits && self::token(time, id) == token).then(|| (time, id.to_owned()))
    };
    place().ok_or_else(wrong)
}

/// The place that a client gives back, of a [`token_of`].
pub(super) fn read_of(token: &str) -> Result<(i64, Uuid), ApiError> {
    let (time, id) = read(token)?;
    let uuid = Uuid::try_parse(&id).ok().filter(|uuid| token_of(time, *uuid) == token);
    uuid.map(|uuid| (time, uuid)).ok_or_else(wrong)
}

/// What is no place.
pub(super) fn wrong() -> ApiError {
    ApiError::param("page", "must be the next_page of an earlier answer")
}
