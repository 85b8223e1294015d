//! Durations (`30s`) and sizes (`64MiB`): how they are read, and how they are printed.
//!
//! Whole numbers only. A fraction would have to be rounded, and a limit that is not the one written
//! down is worse than an error.

use std::time::Duration;

/// Longest first, so that printing uses the largest unit that divides the value.
const DURATION_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads `500ms`, `30s`, `15m`, `24h`, or a bare number of milliseconds, as the Node server took it.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    scaled(text, &DURATION_UNITS).map(Duration::from_millis)
}

/// Prints a duration so that [`parse_duration`] reads it back.
pub(super) fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 { "0ms".to_owned() } else { in_units(millis, &DURATION_UNITS) }
}

/// Reads `64MiB`, `256KiB`, `1GiB`, or a bare number of bytes.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    scaled(text, &SIZE_UNITS)
}

/// Prints a size as a setting is written, such as `64MiB`.
pub fn show_size(bytes: u64) -> String {
    if bytes == 0 { "0B".to_owned() } else { in_units(bytes, &SIZE_UNITS) }
}

/// Digits and an optional unit, and nothing else; `None` also when the product does not fit.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor = if unit.is_empty() { 1 } else { units.iter().find(|(name, _)| *name == unit)?.1 };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

fn in_units(amount: u64, units: &[(&str, u64)]) -> String {
    let whole = units.iter().find(|(_, factor)| amount.is_multiple_of(*factor));
    whole.map_or_else(|| amount.to_string(), |(name, factor)| format!("{}{name}", amount / factor))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_duration_has_a_unit_or_is_in_milliseconds() {
        let read = |text| parse_duration(text).map(|d| d.as_millis());
        assert_eq!(read("500ms"), Some(500));
        assert_eq!(read("30s"), Some(30_000));
        assert_eq!(read("15m"), Some(900_000));
        assert_eq!(read("24h"), Some(86_400_000));
        assert_eq!(read("30000"), Some(30_000));
    }

    #[test]
    fn anything_else_is_not_a_duration() {
        for text in ["", "s", "-1", "+5s", "1.5s", "5 s", "5S", "5sec", "5d", " 5s", "1h30m", "٣s"] {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
        assert_eq!(parse_duration("18446744073709551615h"), None, "does not fit");
        assert_eq!(parse_duration("18446744073709551616"), None, "does not fit");
    }

    #[test]
    fn a_size_has_a_binary_unit_or_is_in_bytes() {
        assert_eq!(parse_size("64MiB"), Some(64 << 20));
        assert_eq!(parse_size("256KiB"), Some(256 << 10));
        assert_eq!(parse_size("1GiB"), Some(1 << 30));
        assert_eq!(parse_size("1048576"), Some(1 << 20));
        for text in ["64MB", "64M", "64 MiB", "64mib", "1.5GiB", "-1", "17179869184GiB"] {
            assert_eq!(parse_size(text), None, "{text:?}");
        }
    }

    #[test]
    fn printing_takes_the_largest_unit_that_fits_exactly() {
        assert_eq!(show_duration(Duration::from_mins(15)), "15m");
        assert_eq!(show_duration(Duration::from_secs(90)), "90s");
        assert_eq!(show_duration(Duration::from_millis(1_500)), "1500ms");
        assert_eq!(show_duration(Duration::ZERO), "0ms");
        assert_eq!(show_size(64 << 20), "64MiB");
        assert_eq!(show_size(1_000), "1000B");
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(amount: u64) {
            let duration = Duration::from_millis(amount);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Some(duration));
            prop_assert_eq!(parse_size(&show_size(amount)), Some(amount));
        }

        #[test]
        fn a_unit_multiplies_or_is_refused(amount in 0..u64::MAX, unit in 0..4_usize) {
            let (name, factor) = DURATION_UNITS[unit];
            let expected = amount.checked_mul(factor).map(Duration::from_millis);
            prop_assert_eq!(parse_duration(&format!("{amount}{name}")), expected);
            let (name, factor) = SIZE_UNITS[unit];
            prop_assert_eq!(parse_size(&format!("{amount}{name}")), amount.checked_mul(factor));
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = (parse_duration(&text), parse_size(&text));
        }
    }
}
