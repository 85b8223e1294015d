//! Which test runs which commands of which page. What stands nowhere here makes `tests/pages` fail.

use super::page::{Block, blocks, read};

/// A part of a page whose commands a test runs, one after the other.
pub(crate) struct Part {
    /// The test's name, which is a function of `tests/suite`.
    pub(crate) test: &'static str,
    pub(crate) page: &'static str,
    /// Words with which the part begins.
    pub(crate) from: &'static str,
    /// Words with which it ends; empty for the end of the page.
    pub(crate) to: &'static str,
}

const fn part(test: &'static str, page: &'static str, from: &'static str, to: &'static str) -> Part {
    Part { test, page, from, to }
}

/// All of them. The parts of one test are in the order in which it runs them.
pub(crate) const PARTS: &[Part] = &[
    part("whoever_follows_the_tutorial_command_by_command_reaches_its_end", "docs/tutorial.md", "# Tutorial", ""),
    part("what_the_readme_shows_first_works_as_printed", "README.md", "## Start", "## What differs"),
    part("the_first_part_of_the_tour_works_as_printed", "docs/tour.md", "# A tour", "## Keys for others"),
    part("the_commands_of_the_tour_for_keys_work_as_printed", "docs/tour.md", "## Keys for others", "## Configuration"),
    part("the_commands_of_the_tour_for_configuration_work_as_printed", "docs/tour.md", "## Configuration", ""),
    part("the_guide_for_jobs_of_ci_works_as_printed", "docs/how-to/ci-job.md", "# Use askd", ""),
    part("the_guide_for_chat_bots_works_as_printed", "docs/how-to/chat-bot.md", "# Build", ""),
    part("the_guide_for_several_teams_works_as_printed", "docs/how-to/teams.md", "# Serve", ""),
    part("the_commands_of_the_page_on_configuration_work_as_printed", "docs/config.md", "# Configuration", ""),
    part("the_examples_of_schemas_are_answered_as_printed", "docs/structured-output.md", "# An answer", ""),
    part("the_commands_of_the_page_on_runs_work_as_printed", "docs/runs.md", "# `/v1/runs`", ""),
    part("the_commands_of_the_page_on_usage_work_as_printed", "docs/usage.md", "# Usage and cost", ""),
    part(
        "the_commands_of_the_page_on_the_options_of_runs_work_as_printed",
        "docs/run-options.md",
        "# The options of a run",
        "",
    ),
    part("the_commands_of_the_page_on_metrics_work_as_printed", "docs/metrics.md", "# Metrics", ""),
    part("the_commands_of_the_page_on_operations_work_as_printed", "docs/operations.md", "# Operations", ""),
    part("the_commands_of_the_page_on_health_work_as_printed", "docs/health.md", "# Health", ""),
    part("the_commands_of_the_page_on_the_network_work_as_printed", "docs/network.md", "# ", ""),
    part("the_commands_that_change_the_policy_work_as_printed", "docs/guard.md", "# ", ""),
    part("the_commands_of_the_page_on_keys_work_as_printed", "docs/keys.md", "# Keys", ""),
    part("the_commands_of_the_page_on_what_a_server_can_do_work_as_printed", "docs/info.md", "# What a server is", ""),
    part("the_commands_of_the_page_on_uploads_work_as_printed", "docs/uploads.md", "# Uploads", ""),
    part("the_commands_of_the_page_on_security_work_as_printed", "docs/security.md", "# Security", ""),
    part(
        "the_certificates_of_the_page_on_tls_are_made_and_used_as_printed",
        "docs/tls.md",
        "To try it with",
        "## Keep the key",
    ),
    part(
        "the_certificates_of_the_page_on_tls_are_made_and_used_as_printed",
        "docs/tls.md",
        "An authority for",
        "## A proxy in front",
    ),
    part("the_guide_for_clients_of_the_node_server_works_as_printed", "docs/install/migrate.md", "# Move", ""),
];

/// Pages of what is shipped, whose commands need an image, a cluster or a machine: `scripts/test-deploy` runs those that it
/// can, and its part `install` sees to it that none is passed over.
const SHIPPED: [&str; 4] =
    ["docs/how-to/kubernetes.md", "docs/install/docker.md", "docs/install/kubernetes.md", "docs/install/server.md"];

/// Commands that no test runs: the page, the beginning of the block, and why.
pub(crate) const NOT_RUN: &[(&str, &str, &str)] = &[
    ("CONTRIBUTING.md", "git clone", "builds everything and runs all tests; CI does it with scripts/test"),
    ("docs/tutorial.md", "export ANTHROPIC_API_KEY", "needs an account"),
    ("docs/traces.md", "docker", "needs docker"),
    (
        "docs/install/migrate.md",
        "ASKD_PORT",
        "needs Docker; the rest of the page is run against a stand-in for the Node server",
    ),
    ("docs/how-to/client.md", "askd openapi", "fetches a generator from npm"),
    ("docs/tls.md", "export ASKD_TLS_CERT", "paths of an installed server; the test of TLS sets others"),
    ("docs/tls.md", "install -m", "writes below /etc; tests/suite/fake/tls.rs replaces certificates"),
    (
        "docs/cli-versions.md",
        "scripts/install-cli",
        "fetches 100 MB from npm; scripts/test does it with the same command",
    ),
];

/// Whether a block is among those that no test of this crate runs.
pub(crate) fn is_not_run(block: &Block) -> bool {
    SHIPPED.contains(&&*block.page)
        || NOT_RUN.iter().any(|(page, begin, _)| *page == block.page && block.text.starts_with(begin))
}

/// Whether a block is for a shell, or for a file that commands after it use.
pub(crate) fn is_for_a_shell(block: &Block) -> bool {
    matches!(&*block.language, "sh" | "bash") || block.mark("file").is_some()
}

impl Part {
    /// The commands and files of the part, and what the page prints after them, from top to bottom.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let (page, text) = (self.page, read(self.page));
        let begin = text.find(self.from).unwrap_or_else(|| panic!("{page} has no {}", self.from));
        let length = match self.to {
            "" => text.len() - begin,
            to => text[begin..].find(to).unwrap_or_else(|| panic!("{page} has no {to}")),
        };
        let blocks = blocks(page).into_iter().filter(|block| (begin..begin + length).contains(&block.at));
        blocks.filter(|block| is_for_a_shell(block) && !is_not_run(block) || block.follows).collect()
    }
}
