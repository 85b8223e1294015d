//! The text that Prometheus has always read, made of the newer one.
//!
//! Samples are the same in both. What differs is what is said of them: the older form calls a counter by the name of its
//! samples, with `_total`, and knows neither units nor an end.

/// The older form.
pub(super) fn from_open(open: &str) -> String {
    let mut classic = String::with_capacity(open.len());
    let mut lines = open.lines().peekable();
    while let Some(line) = lines.next() {
        match Said::of(line) {
            Said::Sample => put(&mut classic, &[line]),
            Said::UnitOrEnd => {}
            Said::Type { name, kind } => put(&mut classic, &["# TYPE ", name, suffix(kind), " ", kind]),
            Said::Help { name, text } => {
                // What it is said of comes in the next line.
                let kind = lines.peek().map(|next| Said::of(next));
                let suffix = if let Some(Said::Type { kind, .. }) = kind { suffix(kind) } else { "" };
                put(&mut classic, &["# HELP ", name, suffix, " ", text]);
            }
        }
    }
    classic
}

fn suffix(kind: &str) -> &'static str {
    if kind == "counter" { "_total" } else { "" }
}

fn put(text: &mut String, parts: &[&str]) {
    text.extend(parts.iter().copied().chain(["\n"]));
}

/// A line of the newer form.
enum Said<'a> {
    Help { name: &'a str, text: &'a str },
    Type { name: &'a str, kind: &'a str },
    UnitOrEnd,
    Sample,
}

impl<'a> Said<'a> {
    fn of(line: &'a str) -> Self {
        let Some(said) = line.strip_prefix("# ") else { return Self::Sample };
        let (what, rest) = said.split_once(' ').unwrap_or((said, ""));
        let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        match what {
            "HELP" => Self::Help { name, text: rest },
            "TYPE" => Self::Type { name, kind: rest },
            _ => Self::UnitOrEnd,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_called_by_the_name_of_its_samples_and_units_and_the_end_are_left_out() {
        let open = "\
# HELP askd_cost_usd What runs have cost.
# TYPE askd_cost_usd counter
# UNIT askd_cost_usd usd
askd_cost_usd_total{model=\"# TYPE x counter\"} 1.5
# HELP askd_queue_waiting Runs that wait.
# TYPE askd_queue_waiting gauge
askd_queue_waiting 3
# HELP askd_wait_seconds Waits.
# TYPE askd_wait_seconds histogram
# UNIT askd_wait_seconds seconds
askd_wait_seconds_sum 0.1
askd_wait_seconds_count 1
askd_wait_seconds_bucket{le=\"+Inf\"} 1
# EOF
";
        let classic = "\
# HELP askd_cost_usd_total What runs have cost.
# TYPE askd_cost_usd_total counter
askd_cost_usd_total{model=\"# TYPE x counter\"} 1.5
# HELP askd_queue_waiting Runs that wait.
# TYPE askd_queue_waiting gauge
askd_queue_waiting 3
# HELP askd_wait_seconds Waits.
# TYPE askd_wait_seconds histogram
askd_wait_seconds_sum 0.1
askd_wait_seconds_count 1
askd_wait_seconds_bucket{le=\"+Inf\"} 1
";
        assert_eq!(from_open(open), classic);
    }
}
