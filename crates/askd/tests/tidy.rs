//! The rules that no lint can express: who may use whom, how large a file may be, what must not be in any file.

#[path = "tidy/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};

use askd::api::error::code::ErrorCode;
use askd::api::error::kind::ErrorType;
use source::{File, read, repository, rust_sources};

/// The modules of this crate, level by level, the highest first. A module uses only modules of lower levels.
const LEVELS: &[&[&str]] = &[
    &["migrate"],
    &["backup", "demo", "doctor", "healthcheck", "keys_command"],
    &["serve", "docs", "own_server", "telemetry"],
    &["api"],
    &["http_server"],
    &["encode"],
    &["app"],
    &["runs"],
    &["cli", "isolation", "keys"],
    &["audit", "programs", "config", "homes"],
    &["credentials", "privileges", "project_config", "sessions", "store", "traces"],
    &["ambient", "copy_tree", "frontmatter", "lifecycle", "marker", "settings", "workspaces"],
    &["aside", "dial", "disk", "guard", "hex", "metrics", "small_file", "usd"],
];

/// Lines of a source file without its tests.
const MAX_LINES: usize = 600;

#[test]
fn modules_use_only_lower_levels() {
    let mut levels = BTreeMap::new();
    for (depth, modules) in LEVELS.iter().enumerate() {
        for module in *modules {
            assert_eq!(levels.insert(*module, depth), None, "`{module}` stands in two levels");
        }
    }
    let declared = read("crates/askd/src/lib.rs");
    let declared: BTreeSet<_> =
        declared.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert_eq!(declared, levels.keys().copied().collect(), "lib.rs and LEVELS in tests/tidy.rs name different modules");

    let mut wrong = Vec::new();
    for file in rust_sources("crates/askd/src") {
        let Some(module) = file.module().filter(|module| declared.contains(module)) else { continue };
        for used in file.uses_of_own_crate() {
            let lower = levels.get(&*used).is_none_or(|depth| *depth > levels[module]);
            if used != module && !lower {
                wrong.push(format!("{}: `{module}` must not use `{used}`", file.path));
            }
        }
    }
    assert_eq!(wrong, [""; 0], "a module uses only modules of lower levels");
}

#[test]
fn axum_stays_at_the_door() {
    let outside = |file: &File| !matches!(file.module(), Some("api" | "http_server"));
    let files = rust_sources("crates/askd/src").into_iter().filter(outside);
    forbid(files, &["axum"], "HTTP is the business of `api` and `http_server`");
}

#[test]
fn the_database_stays_in_the_store() {
    let outside = |file: &File| file.module() != Some("store");
    let files = rust_sources("crates/askd/src").into_iter().filter(outside);
    forbid(files, &["sea_orm", "sqlx"], "the database is the business of `store`");
}

#[test]
fn processes_start_only_in_the_supervisor() {
    let outside = |file: &File| !file.path.starts_with("crates/supervisor/");
    let files = rust_sources("crates").into_iter().filter(|file| file.path.contains("/src/")).filter(outside);
    let words =
        ["process::Command", "std::process::{", "tokio::process", "rustix::runtime", "posix_spawn", "CommandExt"];
    forbid(files, &words, "processes start only in `supervisor`, which owns their whole tree");
}

#[test]
fn the_contract_of_the_cli_is_pure() {
    let words = ["tokio", "std::fs", "std::net", "std::process", "std::env", "std::{", "Instant", "SystemTime"];
    forbid(rust_sources("crates/claude/src"), &words, "`claude` says what to do and does nothing");
    for (krate, forbidden) in [
        ("claude", &["tokio", "rustix", "axum", "hyper", "reqwest", "supervisor", "askd"][..]),
        ("supervisor", &["claude", "askd", "axum", "hyper", "reqwest"]),
        ("scripted-model", &["claude", "askd", "supervisor"]),
    ] {
        let manifest = read(&format!("crates/{krate}/Cargo.toml"));
        let dependencies = manifest.split("[dependencies]").nth(1).expect("a section [dependencies]");
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        for name in dependencies.lines().filter_map(|line| line.split(['.', ' ', '=']).next()) {
            assert!(!forbidden.contains(&name), "the crate `{krate}` must not depend on `{name}`");
        }
    }
}

#[test]
fn files_are_small() {
    let sources = rust_sources("crates").into_iter().filter(|file| file.path.contains("/src/"));
    let long = |file: File| (file.lines > MAX_LINES).then(|| format!("{} ({} lines)", file.path, file.lines));
    let long: Vec<_> = sources.filter_map(long).collect();
    assert_eq!(long, [""; 0], "files with more than {MAX_LINES} lines besides tests; split them by what they know");
}

#[test]
fn every_error_code_has_its_page_and_every_page_its_code() {
    let codes: BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.describe().0.to_owned()).collect();
    let types = ErrorType::ALL.iter().map(|kind| kind.as_str().to_owned());
    let codes: BTreeSet<_> = codes.into_iter().chain(types).collect();
    assert_eq!(codes.len(), ErrorCode::ALL.len() + ErrorType::ALL.len(), "two error codes have one name");
    let pages = repository().into_iter().filter_map(|path| {
        let page = path.strip_prefix("docs/errors/")?.strip_suffix(".md")?.to_owned();
        (page != "README").then_some(page)
    });
    assert_eq!(pages.collect::<BTreeSet<_>>(), codes, "the pages in docs/errors (left) and the codes (right) differ");
    for code in codes {
        let page = read(&format!("docs/errors/{code}.md"));
        let heading = page.lines().next().unwrap_or_default();
        assert!(heading.starts_with('#') && heading.contains(&code), "docs/errors/{code}.md must be headed {code}");
    }
}

#[test]
fn nothing_is_left_for_later_or_bound_to_one_machine() {
    // Written in pieces, for this file is searched as well.
    let words = [concat!("#[", "ignore"), concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
    let checkout = source::root().to_str().filter(|path| path.matches('/').count() > 1).map(str::to_owned);
    let mut found = Vec::new();
    for path in repository() {
        let Ok(text) = String::from_utf8(source::bytes(&path)) else { continue };
        for (number, line) in text.lines().enumerate() {
            let word = words.iter().copied().chain(checkout.as_deref()).find(|word| line.contains(word));
            found.extend(word.map(|word| format!("{path}:{}: {word}", number + 1)));
        }
    }
    assert_eq!(found, [""; 0], "ignored tests, notes to oneself or paths of this machine");
}

#[test]
fn nothing_of_ours_is_called_like_the_product_it_runs() {
    let product = concat!("claude", "-", "code");
    for path in repository().into_iter().filter(|path| path.ends_with("Cargo.toml")) {
        for line in read(&path).lines().filter(|line| line.starts_with("name = ")) {
            assert!(!line.replace('_', "-").contains(product), "{path}: {line}");
        }
    }
}

#[test]
fn scripts_can_be_started() {
    use std::os::unix::fs::PermissionsExt as _;
    for path in repository() {
        if source::bytes(&path).starts_with(b"#!/") {
            let mode = source::root().join(&path).metadata().expect("the file was just read").permissions().mode();
            assert_eq!(mode & 0o111, 0o111, "{path} begins with #! and is not executable");
        }
    }
}

/// Fails for every line of code that holds one of `words`.
fn forbid(files: impl IntoIterator<Item = File>, words: &[&str], why: &str) {
    let mut found = Vec::new();
    for file in files {
        for line in file.code.lines() {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}: {}", file.path, line.trim()));
            }
        }
    }
    assert_eq!(found, [""; 0], "{why}");
}
