//! Generated pages must say what the code says.

#[path = "docs/monitoring.rs"]
mod monitoring;
#[path = "docs/promql.rs"]
mod promql;

use std::fs;
use std::path::Path;

/// Set to anything, the pages are written instead of compared.
const UPDATE: &str = "ASKD_UPDATE_DOCS";

#[test]
fn the_settings_reference_is_up_to_date() {
    check("docs/reference/settings.md", &askd::docs::settings_reference());
}

#[test]
fn the_outcomes_reference_is_up_to_date() {
    check("docs/reference/outcomes.md", &askd::docs::outcomes_reference());
}

#[test]
fn the_openapi_file_is_up_to_date() {
    check("docs/reference/openapi.json", &askd::api::openapi::text());
}

#[test]
fn the_metrics_reference_is_up_to_date() {
    check("docs/reference/metrics.md", &askd::docs::metrics_reference());
}

#[test]
fn every_type_of_a_runs_error_is_explained() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/events.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let (_, errors) = page.split_once("## Errors of runs").expect("the page has a section on errors");
    for kind in askd::runs::RunErrorKind::ALL {
        let row = format!("| `{}` |", kind.as_str());
        assert_eq!(
            errors.lines().filter(|line| line.starts_with(&row)).count(),
            1,
            "docs/reference/events.md does not explain `{}` once",
            kind.as_str()
        );
    }
}

#[test]
fn every_word_of_isolation_is_explained() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/runs.md");
    let page = fs::read_to_string(page).expect("the page is there");
    for word in askd::isolation::protection::Protection::ALL {
        assert!(page.contains(&format!("`{word}`")), "docs/runs.md does not explain `{word}`");
    }
}

#[test]
fn every_check_of_readiness_and_every_finding_of_the_doctor_is_explained() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/health.md");
    let page = fs::read_to_string(page).expect("the page is there");
    for (heading, names) in [
        ("\n| Check |", &askd::app::readiness::NAMES[..]),
        ("\n| Name | What is looked at |", &askd::doctor::NAMES[..]),
    ] {
        let (_, table) = page.split_once(heading).expect("the page has the table");
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let explained: Vec<_> = rows.filter_map(|row| row.strip_prefix("| `")?.split('`').next()).collect();
        let (mut explained, mut names) = (explained, names.to_vec());
        explained.sort_unstable();
        names.sort_unstable();
        assert_eq!(explained, names, "the rows of docs/health.md (left) and the names in the code (right) differ");
    }
}

fn check(page: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
    if std::env::vars_os().any(|(name, value)| name == UPDATE && !value.is_empty()) {
        fs::create_dir_all(path.parent().expect("a page lies in a folder")).expect("the folder of the page");
        fs::write(&path, generated).expect("the page can be written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let first = written.lines().zip(generated.lines()).position(|(old, new)| old != new);
    let line = first.unwrap_or_else(|| written.lines().count().min(generated.lines().count()));
    assert!(
        written == generated,
        "{page} differs from the code, first in line {}:\n  page: {}\n  code: {}\nRun: {UPDATE}=1 cargo test -p askd --test docs",
        line + 1,
        written.lines().nth(line).unwrap_or("(end)"),
        generated.lines().nth(line).unwrap_or("(end)"),
    );
}
