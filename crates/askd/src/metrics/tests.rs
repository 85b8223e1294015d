use std::collections::BTreeSet;

use super::table::{DECLARED, LABELS, Unit};
use super::*;

#[test]
fn a_name_says_what_its_numbers_are_and_is_there_once() {
    let mut names = BTreeSet::new();
    for metric in DECLARED {
        let name = metric.name();
        assert!(name.starts_with("askd_") || name.starts_with("process_"), "{name}");
        assert!(name.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()), "{name}");
        assert!(metric.unit != Unit::Number || !name.ends_with("_ms"), "{name}");
        assert_eq!(name.ends_with("_total"), metric.kind == kinds::Kind::Counter, "{name}");
        assert!(names.insert(name.clone()), "{name} is declared twice");
        assert!(metric.buckets.is_sorted_by(|low, high| low < high), "{name}");
        assert_eq!(metric.buckets.is_empty(), metric.kind != kinds::Kind::Histogram, "{name}");
        // Helps are written as they are.
        assert!(!metric.help.contains(['\n', '\\', '|']) && !metric.help.ends_with('.'), "{name}");
    }
}

#[test]
fn what_the_values_of_each_label_are_is_said() {
    let used: BTreeSet<_> = DECLARED.iter().flat_map(|metric| metric.labels).copied().collect();
    let said: BTreeSet<_> = LABELS.iter().map(|(label, _)| *label).collect();
    assert_eq!(used, said);
}

#[test]
fn a_fresh_server_has_a_series_for_each_word() {
    let fresh = Metrics::new(1, 1).text(Form::Classic);
    for (metric, label, words) in words::WORDS {
        for word in *words {
            let pair = format!("{label}=\"{word}\"");
            let is_there = fresh.lines().any(|line| line.starts_with(metric) && line.contains(&pair));
            assert!(is_there, "a fresh server has no {metric} with {pair}");
        }
    }
}

#[test]
fn both_forms_tell_the_same_samples() {
    let metrics = Metrics::new(2, 2);
    metrics.cost.of([metrics.model("large"), metrics.key("admin")]).inc_by(money::Money(1_250_001));
    metrics.store_commit.observe(0.003);
    metrics.queue_oldest.set(1.5);
    let samples = |text: &str| {
        let stays = |line: &&str| !line.starts_with('#') && !line.starts_with("process_");
        text.lines().filter(stays).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let (open, classic) = (metrics.text(Form::OpenMetrics), metrics.text(Form::Classic));
    assert_eq!(samples(&open), samples(&classic));
    assert!(open.ends_with("# EOF\n") && open.contains("# UNIT askd_cost_usd usd\n"));
    assert!(!classic.contains("# EOF") && !classic.contains("# UNIT"));
    assert!(classic.contains("# TYPE askd_cost_usd_total counter\n"));
    assert!(classic.contains("askd_cost_usd_total{model=\"large\",key=\"admin\"} 1.250001\n"), "{classic}");
    assert!(classic.contains("askd_store_commit_seconds_bucket{le=\"0.005\"} 1\n"), "{classic}");
}

#[test]
fn names_beyond_the_bound_are_one_series() {
    let metrics = Metrics::new(2, 1);
    for number in 0..100 {
        let (model, key) = (metrics.model(&format!("m{number}")), metrics.key(&format!("k{number}")));
        metrics.tokens.of([model, key, "input".into()]).inc_by(1);
    }
    let text = metrics.text(Form::OpenMetrics);
    let series: Vec<_> = text.lines().filter(|line| line.starts_with("askd_tokens_total{")).collect();
    assert_eq!(series.len(), 3, "{series:?}");
    assert!(series.contains(&"askd_tokens_total{model=\"other\",key=\"other\",kind=\"input\"} 98"), "{series:?}");
    assert_eq!(metrics.names_beyond.of(["model"]).get(), 98);
}
