//! Times as clients see them: RFC 3339 in UTC, to the millisecond.

use jiff::Timestamp;

/// The time so many milliseconds after 1970.
pub fn rfc3339(milliseconds: i64) -> String {
    let time = Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{time:.3}")
}

/// The milliseconds of a time that a client has written.
pub fn milliseconds(text: &str) -> Option<i64> {
    // jiff also takes times without an offset with a zone in brackets, and years of six digits: more than is promised.
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_to_the_millisecond() {
        assert_eq!(rfc3339(1_795_000_000_005), "2026-11-18T11:06:40.005Z");
        assert_eq!(milliseconds("2026-11-18T12:06:40.005+01:00"), Some(1_795_000_000_005));
        assert_eq!(milliseconds("yesterday"), None);
    }
}
