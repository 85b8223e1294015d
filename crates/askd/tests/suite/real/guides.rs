//! The how-to guides, followed command by command on a server with the real CLI and a scripted model.

use askd::settings::Settings;
use scripted_model::ScriptedModel;

use crate::docs::{can_run, has, steps};
use crate::harness::{Terminal, TestServer, TestServerBuilder, as_printed};

/// What the pages call the server.
const URL: &str = "http://127.0.0.1:3000";

/// A reader of a guide, who has got to its end.
struct Reader {
    terminal: Terminal,
    server: TestServer,
    model: ScriptedModel,
}

impl Reader {
    /// Does what the test's page says, and compares what it prints. `None` where a program is missing.
    async fn of(test: &str) -> Option<Self> {
        if !can_run(test) || !has(test, "node", "--version") {
            return None;
        }
        let model = ScriptedModel::start().await.unwrap();
        let server = TestServerBuilder::real(&model.base_url()).start().await;
        let node = std::env::vars_os().find(|(name, _)| name == "PATH").map(|(_, path)| path);
        let variables = [
            ("PATH", node.unwrap().to_string_lossy().into_owned()),
            ("HOME", server.folders.root().display().to_string()),
            ("API_KEY", Settings::TEST_API_KEY.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let mut reader = Self { terminal: Terminal::open(server.folders.root(), &variables), server, model };
        for step in steps(test) {
            let (status, said) = reader.types(&step.commands).await;
            let place = step.block.place();
            assert_eq!(status, 0, "{place}:\n{}\n{said}", step.block.text);
            if let Some(printed) = &step.printed {
                assert!(as_printed(&printed.text, &said), "{place}:\n{}\nsays\n{said}", step.block.text);
            }
        }
        Some(reader)
    }

    /// Types commands as the page has them; their status, and what they say.
    async fn types(&mut self, commands: &str) -> (i32, String) {
        self.terminal.enter(&commands.replace(URL, self.server.url("").trim_end_matches('/')));
        self.terminal.done().await
    }

    async fn leaves(self) {
        self.server.stop().await;
        self.model.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_for_jobs_of_ci_works_as_printed() {
    let Some(mut reader) = Reader::of("the_guide_for_jobs_of_ci_works_as_printed").await else { return };
    // A job fails with its run, and with a request that is refused.
    let (status, said) = reader.types("JOB=review-2 QUESTION='[[error:400]]' sh review.sh").await;
    assert_eq!((status, said.starts_with("the run is failed: ")), (1, true), "{said}");
    let (status, said) = reader.types("JOB=review-3 ASKD_KEY=wrong sh review.sh").await;
    assert_eq!((status, said.starts_with("askd refuses: ")), (1, true), "{said}");
    // And with the review.
    let verdict = r#"[[tool:StructuredOutput {"verdict":"fail","findings":["shop.py:1: too dear"]}]]"#;
    let (status, said) = reader.types(&format!("JOB=review-4 QUESTION='{verdict}' sh review.sh")).await;
    assert_eq!((status, said.contains("review: fail")), (1, true), "{said}");
    assert!(said.contains("- shop.py:1: too dear"), "{said}");
    reader.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_for_chat_bots_works_as_printed() {
    let Some(mut reader) = Reader::of("the_guide_for_chat_bots_works_as_printed").await else { return };
    let (status, said) = reader.types("echo 'ann: [[error:400]]' | node bot.mjs").await;
    assert_eq!((status, said.contains("to ann: I cannot answer now (failed: ")), (0, true), "{said}");
    reader.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_for_several_teams_works_as_printed() {
    let Some(reader) = Reader::of("the_guide_for_several_teams_works_as_printed").await else { return };
    reader.leaves().await;
}
