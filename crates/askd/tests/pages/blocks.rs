//! What stands between fences: commands are run by a test, everything else can at least be read.

use std::collections::BTreeSet;
use std::path::Path;

use askd::settings::{Settings, Sources};
use serde::Deserialize as _;
use serde_json::Value;

use crate::documents::guides;
use crate::page::{Block, blocks, read};
use crate::registry::{NOT_RUN, PARTS, Part, is_for_a_shell, is_not_run};

/// Marks that a fence may have after its language.
const MARKS: [&str; 3] = ["terminal", "file", "request"];

/// Blocks in languages that are neither run nor parsed: the page, the language, and why.
const NOT_PARSED: &[(&str, &str, &str)] = &[
    ("docs/network.md", "nginx", "needs nginx"),
    ("docs/how-to/client.md", "ts", "needs TypeScript"),
    ("docs/health.md", "dockerfile", "needs a builder of images"),
    ("docs/install/docker.md", "dockerfile", "scripts/test-deploy builds images"),
];

fn all_blocks() -> Vec<Block> {
    guides().iter().flat_map(|page| blocks(page)).collect()
}

#[test]
fn every_command_of_a_document_is_run_by_a_test() {
    let run: BTreeSet<String> = PARTS.iter().flat_map(Part::blocks).map(|block| block.place()).collect();
    let commands = all_blocks().into_iter().filter(is_for_a_shell);
    let nobody: Vec<_> = commands
        .filter(|block| !run.contains(&block.place()) && !is_not_run(block))
        .map(|block| block.place())
        .collect();
    assert_eq!(nobody, [""; 0], "commands that no test runs; tests/pages/registry.rs says which test runs what");
}

#[test]
fn the_registry_names_tests_and_blocks_that_there_are() {
    let sources =
        ["fake/commands_of_docs.rs", "fake/operations.rs", "real/tutorial.rs", "real/guides.rs", "real/compare.rs"];
    let sources = sources.map(|file| read(&format!("crates/askd/tests/suite/{file}")));
    for part in PARTS {
        let function = format!("async fn {}()", part.test);
        assert!(sources.iter().any(|source| source.contains(&function)), "there is no test {}", part.test);
        let commands = part.blocks().into_iter().filter(is_for_a_shell).count();
        assert_ne!(commands, 0, "{} has no commands between {} and {}", part.page, part.from, part.to);
    }
    let all = all_blocks();
    for (page, begin, _) in NOT_RUN {
        let there =
            all.iter().any(|block| block.page == *page && block.text.starts_with(begin) && is_for_a_shell(block));
        assert!(there, "{page} has no commands that begin with {begin}");
    }
    for (page, language, _) in NOT_PARSED {
        assert!(all.iter().any(|block| block.page == *page && block.language == *language), "{page} has no {language}");
    }
}

#[test]
fn marks_of_fences_are_known_and_output_follows_commands() {
    let all = all_blocks();
    for block in &all {
        for mark in &block.marks {
            let name = mark.split('=').next().unwrap_or_default();
            assert!(MARKS.contains(&name), "{}: {mark}", block.place());
        }
    }
    for pair in all.windows(2).filter(|pair| pair[1].follows && pair[1].page == pair[0].page) {
        let languages = (&*pair[0].language, &*pair[1].language);
        // Commands after an answer go on from it.
        let fits = is_for_a_shell(&pair[0]) || is_for_a_shell(&pair[1]);
        assert!(fits, "{}: {languages:?}", pair[1].place());
    }
}

/// JSON in which `...` stands for what was left out.
fn shortened(text: &str) -> String {
    let mut parts = text.split("...");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let before = whole.trim_end();
        if let Some(before) = before.strip_suffix(',') {
            whole = before.to_owned();
        } else if before.ends_with(':') {
            whole = format!("{before} 0");
        }
        whole.push_str(part);
    }
    whole
}

#[test]
fn what_stands_in_a_document_can_be_read() {
    let mut wrong = Vec::new();
    for block in all_blocks().into_iter().filter(|block| !is_for_a_shell(block)) {
        let (text, place) = (&block.text, block.place());
        let problem = match &*block.language {
            "json" => serde_json::from_str::<Value>(&shortened(text)).err().map(|error| error.to_string()),
            "yaml" => serde_norway::Deserializer::from_str(text)
                .find_map(|document| Value::deserialize(document).err())
                .map(|error| error.to_string()),
            "toml" => settings(text, Vec::new()),
            "env" => settings("", variables(text)),
            // Output, which is compared where it is the same each time, and programs that a test starts.
            "text" | "" => None,
            "js" => (!text.contains(';')).then(|| "no statement".to_owned()),
            language => {
                let known = NOT_PARSED.iter().any(|(page, other, _)| *page == block.page && *other == language);
                (!known).then(|| format!("nobody reads {language:?}"))
            }
        };
        wrong.extend(problem.map(|problem| format!("{place}: {problem}")));
    }
    assert_eq!(wrong, [""; 0], "blocks that are not what they say");
}

/// The lines `NAME=value` of a block.
fn variables(text: &str) -> Vec<(String, String)> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What askd says of a settings file, or of variables, of a document; the folders that it names need not be there.
fn settings(text: &str, mut env: Vec<(String, String)>) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("askd.toml");
    std::fs::write(&file, text).unwrap();
    let here = folder.path().display().to_string();
    for (name, key, value) in [
        ("API_KEY", "api_key", "a-key-for-documents"),
        ("WORKSPACE_DIR", "workspace_dir", &here),
        ("CONFIG_DIR", "config_dir", &here),
        ("ASKD_DATA_DIR", "data_dir", &here),
    ] {
        if !text.contains(key) && env.iter().all(|(given, _)| given != name) {
            env.push((name.to_owned(), value.to_owned()));
        }
    }
    let sources = Sources { env, file: Some(file), current_dir: Path::new("/").to_owned(), ..Sources::default() };
    Settings::load(&sources).err().map(|errors| errors.to_string())
}
