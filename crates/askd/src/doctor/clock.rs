//! The clock: keys and uploads end by it, certificates count by it, and servers that share a database compare theirs.

use std::path::Path;

use jiff::Timestamp;

use super::Check;

const NAME: &str = "clock";

/// This askd was written later: a clock that shows less has never been set.
const WRITTEN: &str = "2026-11-01T00:00:00Z";

/// No binary is used for so long, in seconds.
const USED: i64 = 30 * 365 * 24 * 3600;

/// More than this is seen in the ends of keys and leases, in milliseconds.
const APART: i64 = 2_000;

/// systemd-timesyncd makes it when the clock was set for the first time.
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";

/// Folders of other programs that keep the clock, while they run.
const KEEPERS: [&str; 3] = ["/run/chrony", "/run/ntpd.pid", "/run/openntpd"];

/// `difference`: of the database's clock to ours, in milliseconds.
pub(super) fn clock(now: Timestamp, difference: Option<i64>) -> Check {
    let keeper = if Path::new(SYNCHRONISED).exists() {
        "systemd-timesyncd has set it"
    } else if KEEPERS.iter().any(|path| Path::new(path).exists()) {
        "a program keeps it"
    } else {
        "nobody here says whether it is kept; a container has its host's"
    };
    judge(now, difference, keeper)
}

fn judge(now: Timestamp, difference: Option<i64>, keeper: &str) -> Check {
    let written: i64 = WRITTEN.parse::<Timestamp>().map_or(0, Timestamp::as_second);
    if !(written..written + USED).contains(&now.as_second()) {
        let message =
            format!("it shows {now:.0}, which cannot be: keys, certificates and logins do not count as they should");
        return Check::fail(NAME, message, "set the clock (timedatectl set-ntp true), and keep it so");
    }
    if let Some(difference) = difference.filter(|difference| difference.abs() > APART) {
        let seconds = difference.abs() / 1_000;
        let word = if difference > 0 { "ahead" } else { "behind" };
        let message =
            format!("the database's clock is {seconds} s {word} of ours: keys end at other times than they say");
        return Check::warn(NAME, message, "let both machines keep their clocks by NTP");
    }
    Check::ok(NAME, format!("{now:.0}; {keeper}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn a_clock_that_was_never_set_is_a_failure() {
        for (time, is_right) in [
            ("1970-01-01T00:00:09Z", false),
            ("2026-10-31T23:59:59Z", false),
            ("2026-11-23T12:00:00Z", true),
            ("2106-02-07T06:28:15Z", false),
        ] {
            let check = judge(time.parse().unwrap(), None, "kept");
            assert_eq!(check.status == Status::Ok, is_right, "{check:?}");
            assert_eq!(check.status == Status::Fail, !is_right, "{check:?}");
        }
    }

    #[test]
    fn a_database_with_another_time_is_a_warning() {
        let judge = |difference| judge("2026-11-23T12:00:00Z".parse().unwrap(), Some(difference), "kept");
        let ahead = judge(90_500);
        assert!(ahead.status == Status::Warn && ahead.message.contains("90 s ahead"), "{ahead:?}");
        assert!(judge(-3_000).message.contains("3 s behind"));
        assert_eq!(judge(-1_000).status, Status::Ok);
    }
}
