//! When a certificate ends. Of all that stands in it this is the only thing that is read here: the rest is rustls' business.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Kinds of things in a certificate (DER, ITU-T X.690).
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// In seconds since 1970; `None` for what is no certificate, or has a time of no calendar.
pub(super) fn of(certificate: &[u8]) -> Option<i64> {
    let (whole, _) = take(certificate, SEQUENCE)?;
    let (mut body, _) = take(whole, SEQUENCE)?;
    if body.first() == Some(&VERSION) {
        body = next(body)?.2;
    }
    // Serial number, algorithm, issuer; then from when until when.
    for _ in 0..3 {
        body = next(body)?.2;
    }
    let (validity, _) = take(body, SEQUENCE)?;
    let (_, _, after_begin) = next(validity)?;
    let (kind, end, _) = next(after_begin)?;
    time(kind, std::str::from_utf8(end).ok()?)
}

/// The next thing, if it is of this kind: its content, and what follows.
fn take(bytes: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    next(bytes).filter(|(its, ..)| *its == kind).map(|(_, content, rest)| (content, rest))
}

/// The next thing: its kind, its content, and what follows.
fn next(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&kind, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        // So many bytes hold the length. A certificate of gigabytes is none.
        let (digits, rest) =
            rest.split_at_checked(usize::from(first & 0x7f)).filter(|(digits, _)| digits.len() <= 4)?;
        (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((kind, content, rest))
}

/// RFC 5280: in UTC, to the second, up to 2049 with two digits of the year.
fn time(kind: u8, text: &str) -> Option<i64> {
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))?;
    let (year, rest) = match kind {
        UTC_TIME if digits.len() == 12 => {
            let year: i16 = digits.get(..2)?.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        GENERALIZED_TIME if digits.len() == 14 => (digits.get(..4)?.parse().ok()?, &digits[4..]),
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
    let time = DateTime::new(year, part(0)?, part(2)?, part(4)?, part(6)?, part(8)?, 0).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_found_in_both_forms_of_a_time() {
        for (year, seconds) in [(2031, 1_925_078_400), (2071, 3_187_382_400)] {
            let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            params.not_after = date_time_ymd(year, 1, 2);
            let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            assert_eq!(of(certificate.der()), Some(seconds), "{year}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(2031, 1, 2);
        let whole = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
        for length in 0..whole.len() {
            let _ = of(&whole[..length]);
        }
        for byte in 0..whole.len().min(300) {
            for value in [0, 0x7f, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[byte] = value;
                let _ = of(&changed);
            }
        }
        assert_eq!(of(b"no certificate"), None);
        assert_eq!(time(UTC_TIME, "310231000000Z"), None);
    }
}
