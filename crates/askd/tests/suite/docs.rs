//! What the documents tell their readers to type, for the tests that type it.

use std::io::Write as _;
use std::process::{Command, Stdio};

#[path = "../pages/page.rs"]
mod page;
#[path = "../pages/registry.rs"]
mod registry;

pub(crate) use page::{Block, root};
use registry::{PARTS, Part};

/// Commands, and what the page says that they print.
pub(crate) struct Step {
    pub(crate) block: Block,
    /// What is to be typed: the block, or what writes it into its file.
    pub(crate) commands: String,
    pub(crate) printed: Option<Block>,
}

/// What a test has to do, by the registry.
pub(crate) fn steps(test: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for block in PARTS.iter().filter(|part| part.test == test).flat_map(Part::blocks) {
        if registry::is_for_a_shell(&block) {
            let commands = match block.mark("file") {
                Some(file) => format!("cat > '{file}' <<'END OF THE FILE'\n{}END OF THE FILE\n", block.text),
                None => block.text.clone(),
            };
            steps.push(Step { block, commands, printed: None });
        } else if let Some(step) = steps.last_mut() {
            step.printed = (block.language == "text").then_some(block);
        }
    }
    assert!(!steps.is_empty(), "tests/pages/registry.rs has nothing for {test}");
    steps
}

/// The commands of [`steps`].
pub(crate) fn commands(test: &str) -> Vec<String> {
    steps(test).into_iter().map(|step| step.commands).collect()
}

/// The blocks that show a request, or a part of one, as JSON.
pub(crate) fn requests() -> Vec<Block> {
    let pages = ["docs/policies.md", "docs/guard.md", "docs/run-options.md"];
    let marked: Vec<_> =
        pages.iter().flat_map(|page| page::blocks(page)).filter(|it| it.mark("request").is_some()).collect();
    assert!(marked.len() >= pages.len(), "{marked:?}");
    marked
}

/// Whether a test can run; says so where it cannot.
pub(crate) fn can_run(test: &str) -> bool {
    ["bash", "curl", "jq", "tar"].into_iter().all(|program| has(test, program, "--version"))
}

/// Whether there is a program that a test needs.
pub(crate) fn has(test: &str, program: &str, try_with: &str) -> bool {
    #[expect(clippy::disallowed_methods, reason = "the programs that a reader of the documents has")]
    let tried = Command::new(program).arg(try_with).stdout(Stdio::null()).status();
    let is_there = tried.is_ok_and(|status| status.success());
    if !is_there {
        // Past the harness, which shows nothing of a test that passes.
        let line = format!("NOT RUN: {test}: there is no {program} here\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    is_there
}
