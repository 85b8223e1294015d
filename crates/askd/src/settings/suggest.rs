//! "Did you mean …": the known name that is closest to a mistyped one.

/// The closest of `known`, or `None` when nothing is close enough to be worth naming.
///
/// Case, `-` for `_` and the `ASKD_` prefix do not count: `ASKD_MAX_CONCURRENT` means
/// `MAX_CONCURRENT`, and a variable's name in the settings file means that setting's key.
pub fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    closest_within(3, name, known)
}

/// The same, with at most so many edits between them; fewer in a short name, in which each edit makes another word.
pub fn closest_within<'a>(most: usize, name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = plain(name);
    let most = (wanted.len() / 3).min(most);
    known
        .into_iter()
        .map(|candidate| (plain(candidate), candidate))
        // At least that many edits lie between them, and to count them all takes the product of both lengths.
        .filter(|(plain, _)| plain.len().abs_diff(wanted.len()) <= most)
        .map(|(plain, candidate)| (distance(&wanted, &plain), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn plain(name: &str) -> Vec<char> {
    let name = name.to_lowercase().replace('-', "_");
    name.strip_prefix("askd_").unwrap_or(&name).chars().collect()
}

/// Edits between two names, two swapped neighbours being one edit (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (above[j] + 1).min(row[j - 1] + 1).min(above[j - 1] + changed);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["MAX_CONCURRENT", "ASKD_LISTEN", "queue_length", "queue_timeout"];

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        assert_eq!(closest("MAX_CONCURENT", KNOWN), Some("MAX_CONCURRENT"));
        assert_eq!(closest("ASKD_LITSEN", KNOWN), Some("ASKD_LISTEN"));
        assert_eq!(closest("queue_lenght", KNOWN), Some("queue_length"));
    }

    #[test]
    fn case_dashes_and_the_prefix_do_not_count() {
        assert_eq!(closest("ASKD_MAX_CONCURRENT", KNOWN), Some("MAX_CONCURRENT"));
        assert_eq!(closest("queue-timeout", KNOWN), Some("queue_timeout"));
        assert_eq!(closest("QUEUE_TIMEOUT", KNOWN), Some("queue_timeout"));
    }

    #[test]
    fn who_acts_on_a_suggestion_may_want_a_closer_one() {
        assert_eq!(closest("TaskStart", ["TaskStop"]), Some("TaskStop"));
        assert_eq!(closest_within(2, "TaskStart", ["TaskStop"]), None);
        assert_eq!(closest_within(2, "Bsah", ["Bash"]), Some("Bash"));
        assert_eq!(closest_within(2, "REPL", ["Read"]), None);
    }

    #[test]
    fn nothing_is_suggested_for_something_else() {
        assert_eq!(closest("ASKD_DATABASE_URL", KNOWN), None);
        assert_eq!(closest("", KNOWN), None);
        assert_eq!(closest("x", KNOWN), None);
    }
}
