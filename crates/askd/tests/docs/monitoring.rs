//! The dashboard and the alerts ask for metrics and labels that there are, and the alerts say what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use askd::api::error::code::ErrorCode;
use askd::metrics::kinds::Kind;
use askd::metrics::table::{DECLARED, Declared};
use askd::metrics::words::WORDS;
use askd::metrics::{Form, Metrics};
use askd::runs::warning::WarningCode;
use askd::runs::{RunErrorKind, RunState};
use claude::outcome::table::{ROWS, Verdict};
use serde_json::Value;

use super::promql::{Matcher, Named, named};

const DASHBOARD: &str = "deploy/grafana/askd.json";
const ALERTS: &str = "deploy/prometheus/alerts.yaml";
/// What has to have happened for some of them.
const ALERTS_FIRE: &str = "crates/askd/tests/docs/alerts_fire.yaml";

/// Labels that Prometheus gives every metric.
const GIVEN: [&str; 2] = ["instance", "job"];

const FUNCTIONS: [&str; 11] =
    ["absent", "avg", "histogram_quantile", "increase", "label_values", "max", "min", "rate", "sum", "time", "count"];

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).expect("the dashboard is JSON");
    let mut asked = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().expect("it has panels") {
        let title = panel["title"].as_str().expect("a panel has a title");
        assert!(ids.insert(panel["id"].as_i64()), "two panels have the id of {title}");
        assert!(!title.is_empty());
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().expect("a target has an expression");
            let labels = check(expression, title, &mut asked);
            for label in variables(target["legendFormat"].as_str().unwrap_or_default(), "") {
                assert!(labels.contains(&*label), "{title}: {{{{{label}}}}} of {expression}");
            }
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
    let variables = dashboard["templating"]["list"].as_array().expect("it has variables");
    let query = variables.iter().find_map(|it| it["query"]["query"].as_str()).expect("one is asked for");
    check(query, "variables", &mut asked);
    let all: BTreeSet<_> = DECLARED.iter().map(|metric| metric.name()).collect();
    let unseen: Vec<_> = all.difference(&asked).collect();
    // These are for a look by hand.
    let by_hand = ["askd_log_lines_dropped_total", "askd_trace_spans_total"];
    assert_eq!(unseen, by_hand, "metrics that no panel shows");
}

#[test]
fn the_alerts_ask_for_what_there_is_and_say_what_to_do() {
    let alerts: BTreeMap<String, Value> = serde_norway::from_str(&read(ALERTS)).expect("the alerts are YAML");
    let page = read("docs/metrics.md");
    let headings: BTreeSet<_> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let mut names = BTreeSet::new();
    for group in alerts["groups"].as_array().expect("there are groups") {
        for rule in group["rules"].as_array().expect("a group has rules") {
            let name = rule["alert"].as_str().expect("every rule is an alert").to_owned();
            let labels = check(rule["expr"].as_str().expect("with an expression"), &name, &mut BTreeSet::new());
            let severity = rule["labels"]["severity"].as_str();
            assert!(matches!(severity, Some("page" | "ticket" | "info")), "{name}: {severity:?}");
            for annotation in ["summary", "description"] {
                let text = rule["annotations"][annotation].as_str().unwrap_or_default();
                assert!(text.len() > 10, "{name} has no {annotation}");
                for label in variables(text, "$labels.") {
                    assert!(labels.contains(&*label), "{name}: {label} in its {annotation}");
                }
            }
            let runbook = rule["annotations"]["runbook"].as_str();
            assert_eq!(runbook, Some(&*format!("docs/metrics.md#{}", name.to_lowercase())), "{name}");
            assert!(headings.contains(&*name), "docs/metrics.md has no `### {name}`");
            assert!(names.insert(name.clone()), "two alerts are called {name}");
        }
    }
    let spoken: BTreeSet<_> = headings.iter().filter(|it| it.starts_with("Askd")).map(|it| (*it).to_owned()).collect();
    assert_eq!(spoken, names, "docs/metrics.md (left) and the alerts speak of different ones");
}

/// `increase` of a series that its first event makes is 0: an alert on it would not see the first.
#[test]
fn what_alerts_look_at_is_there_before_it_happens() {
    let alerts: Value = serde_norway::from_str(&read(ALERTS)).expect("the alerts are YAML");
    let groups = alerts["groups"].as_array().expect("there are groups").iter();
    let fresh = Metrics::new(1, 1).text(Form::Classic);
    let mut looked_at = 0;
    for rule in groups.flat_map(|group| group["rules"].as_array().expect("a group has rules")) {
        let expression = rule["expr"].as_str().expect("with an expression");
        for (name, matchers) in named(expression).selectors {
            let is_counter = find(&name).is_some_and(|metric| metric.kind == Kind::Counter);
            if !is_counter {
                continue;
            }
            looked_at += 1;
            let series = fresh.lines().filter(|line| line.split(['{', ' ']).next() == Some(&*name));
            assert!(series.clone().count() > 0, "{}: a fresh server has no {name}", rule["alert"]);
            for Matcher { label, words } in matchers {
                for word in words {
                    let there = series.clone().any(|line| line.contains(&format!("{label}=\"{word}\"")));
                    assert!(there, "{}: a fresh server has no {name} with {label}=\"{word}\"", rule["alert"]);
                }
            }
        }
    }
    assert!(looked_at > 10, "{looked_at}");
}

#[test]
fn what_a_fresh_server_tells_are_words_of_runs_and_errors() {
    let kinds: Vec<_> = RunErrorKind::ALL.into_iter().map(RunErrorKind::as_str).chain(["none"]).collect();
    let states: Vec<_> = RunState::ALL.into_iter().map(RunState::as_str).collect();
    let codes: Vec<_> = ErrorCode::ALL.into_iter().map(|code| code.describe().0).collect();
    let warnings: Vec<_> = WarningCode::ALL.into_iter().map(WarningCode::as_str).collect();
    let fresh = Metrics::new(1, 1).text(Form::Classic);
    let mut looked_at = 0;
    for (metric, label, known) in [
        ("askd_runs_ended_total{", "reason", kinds),
        ("askd_runs_ended_total{", "state", states),
        ("askd_errors_total{", "code", codes),
        ("askd_run_warnings_total{", "code", warnings),
    ] {
        for line in fresh.lines().filter(|line| line.starts_with(metric)) {
            let word = line.split_once(&format!("{label}=\"")).and_then(|(_, rest)| rest.split('"').next());
            assert!(word.is_some_and(|word| known.contains(&word)), "{line}");
            looked_at += 1;
        }
    }
    assert!(looked_at > 20, "{looked_at}");
}

#[test]
fn every_way_to_be_incomplete_is_there_from_the_start() {
    let fresh = Metrics::new(1, 1).text(Form::Classic);
    let there = fresh.lines().filter(|line| line.starts_with("askd_runs_ended_total{state=\"incomplete\""));
    let there: BTreeSet<_> = there.filter_map(|line| line.split("reason=\"").nth(1)?.split('"').next()).collect();
    let judged: BTreeSet<_> = ROWS
        .iter()
        .filter_map(|row| match row.then {
            Verdict::Incomplete(kind) => Some(RunErrorKind::from(kind).as_str()),
            Verdict::Completed | Verdict::Cancelled | Verdict::Failed(_) => None,
        })
        .collect();
    assert_eq!(there, judged, "a fresh server (left) and the table of outcomes");
}

/// Names the program; `scripts/test` sets it. Whoever sets it wants the test to be run.
const PROMTOOL: &str = "ASKD_TEST_PROMTOOL";

/// Prometheus' own reader of rules, as `scripts/promtool` finds or fetches it.
fn promtool() -> Option<PathBuf> {
    let of = |wanted: &str| std::env::vars_os().find(|(name, value)| name == wanted && !value.is_empty());
    if let Some((_, path)) = of(PROMTOOL) {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "{PROMTOOL} names {}, which is no file", path.display());
        return Some(path);
    }
    let fetched = root().join("target/tools/promtool/promtool");
    let (_, path) = of("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join("promtool")).chain([fetched]).find(|it| it.is_file())
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a tool for tests, outside of the server")]
fn promtool_accepts_the_alerts_and_sees_them_fire() {
    let Some(tool) = promtool() else {
        let line =
            "NOT RUN: promtool_accepts_the_alerts_and_sees_them_fire: there is no promtool; run scripts/promtool\n";
        drop(std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()));
        return;
    };
    for (does, path) in [("check", ALERTS), ("test", ALERTS_FIRE)] {
        let ran = std::process::Command::new(&tool).args([does, "rules"]).arg(root().join(path)).output();
        let ran = ran.expect("promtool can be run");
        let told = [ran.stdout, ran.stderr].concat();
        assert!(ran.status.success(), "{does} {path}: {}", String::from_utf8_lossy(&told));
    }
    // It is asked whether it sees a bracket that is missing.
    let slip = tempfile::NamedTempFile::new().expect("a file can be made");
    fs::write(slip.path(), read(ALERTS).replacen("absent(", "absent((", 1)).expect("it can be written");
    let ran = std::process::Command::new(&tool).args(["check", "rules"]).arg(slip.path()).output();
    assert!(
        !ran.expect("promtool can be run").status.success(),
        "promtool takes an expression without its last bracket"
    );
}

/// Notes the metrics that an expression asks for, and returns the labels that its result may have.
fn check(expression: &str, of: &str, asked: &mut BTreeSet<String>) -> BTreeSet<String> {
    let Named { selectors, groupings, functions } = named(expression);
    for function in &functions {
        assert!(FUNCTIONS.contains(&&**function), "{of}: the function {function} in {expression}");
    }
    let mut there: BTreeSet<String> = GIVEN.iter().map(ToString::to_string).collect();
    // Every program with a client library has these.
    let is_of_askd =
        groupings.contains(&"job".to_owned()) && selectors.iter().any(|(name, _)| name.starts_with("askd_"));
    let is_of_all = selectors.iter().any(|(name, _)| name.starts_with("process_"));
    assert!(!is_of_all || is_of_askd, "{of}: other programs are in it: {expression}");
    for (name, matchers) in &selectors {
        // The variable of a dashboard names a label as a second argument.
        if GIVEN.contains(&&**name) && functions.contains(&"label_values".to_owned()) {
            continue;
        }
        let metric = find(name).unwrap_or_else(|| panic!("{of}: there is no metric {name}; {expression}"));
        asked.insert(metric.name());
        let mut its: BTreeSet<_> = metric.labels.iter().map(ToString::to_string).collect();
        if name.ends_with("_bucket") {
            its.insert("le".to_owned());
            assert!(groupings.contains(&"le".to_owned()), "{of}: buckets without le in {expression}");
        }
        for Matcher { label, words } in matchers {
            assert!(its.contains(label) || GIVEN.contains(&&**label), "{of}: {name} has no label {label}");
            let known = WORDS.iter().find(|(its, of, _)| *its == metric.name() && of == label);
            for word in words {
                assert!(known.is_none_or(|(_, _, all)| all.contains(&&**word)), "{of}: {name} has no {label}={word}");
            }
        }
        there.extend(its);
    }
    for label in &groupings {
        assert!(there.contains(label), "{of}: nothing has the label {label} in {expression}");
    }
    if functions.iter().any(|function| function == "sum" || function == "min" || function == "max") {
        there.retain(|label| groupings.contains(label));
    }
    there
}

/// The metric with samples of this name.
fn find(name: &str) -> Option<&'static Declared> {
    DECLARED.iter().copied().find(|metric| {
        let base = metric.name();
        let is_part = |suffix: &str| name.strip_suffix(suffix) == Some(&base);
        match metric.kind {
            Kind::Histogram => ["_bucket", "_sum", "_count"].into_iter().any(is_part),
            Kind::Counter | Kind::Gauge => base == name,
        }
    })
}

/// What stands between `{{ PREFIX` and what follows, in a template.
fn variables(text: &str, prefix: &str) -> Vec<String> {
    let inside = text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
    let of = |inside: &str| inside.trim().strip_prefix(prefix).map(str::to_owned);
    inside.filter_map(of).filter(|name| !name.is_empty()).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
