//! `docs/reference/metrics.md`, made of the table.

use std::fmt::Write as _;

use super::kinds::Kind;
use super::table::{DECLARED, Declared, LABELS};
use super::words::WORDS;

const HEAD: &str = "\
<!-- Generated from crates/askd/src/metrics/table.rs. Do not edit. -->

# Metrics

What `GET /metrics` tells. How to scrape it, the dashboard and the alerts: [metrics](../metrics.md). Counters begin at 0 when
the server starts. Histograms have `_bucket`, `_sum` and `_count`.

| Name | Type | Labels | What it tells |
|---|---|---|---|
";

const LABELS_HEAD: &str = "
## Labels

No label has an id of a run or session, a path or a text. Keys and models come from outside, so only the first ones are told
apart.

| Label | Values |
|---|---|
";

const WORDS_HEAD: &str = "
## Words

All values of labels that are words of askd's own. The series of each are there from the start.

| Name | Label | Values |
|---|---|---|
";

const BUCKETS_HEAD: &str = "
## Buckets

| Histogram | Upper bounds |
|---|---|
";

/// The whole page, as Markdown.
pub fn reference_markdown() -> String {
    let mut page = HEAD.to_owned();
    for metric in DECLARED {
        // A string takes whatever is written to it.
        let _ = writeln!(page, "{}", row(metric));
    }
    page.push_str(LABELS_HEAD);
    for (label, values) in LABELS {
        let _ = writeln!(page, "| `{label}` | {values} |");
    }
    page.push_str(WORDS_HEAD);
    for (metric, label, words) in WORDS {
        let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
        let _ = writeln!(page, "| `{metric}` | `{label}` | {} |", words.join(", "));
    }
    page.push_str(BUCKETS_HEAD);
    for metric in DECLARED.iter().filter(|metric| metric.kind == Kind::Histogram) {
        let bounds: Vec<_> = metric.buckets.iter().map(ToString::to_string).collect();
        let _ = writeln!(page, "| `{}` | {} |", metric.name(), bounds.join(", "));
    }
    page
}

fn row(metric: &Declared) -> String {
    let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
    format!("| `{}` | {} | {} | {} |", metric.name(), metric.kind.as_str(), labels.join(", "), metric.help)
}
