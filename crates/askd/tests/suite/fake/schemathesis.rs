//! A foreign tester, Schemathesis, makes requests from the OpenAPI file and compares what it is answered with it.

use std::process::Command;

use askd::settings::Settings;

use crate::harness::{TestServerBuilder, python};

/// How many requests of each kind are made up for an operation; `scripts/soak` sets more.
const EXAMPLES: &str = "ASKD_SCHEMATHESIS_EXAMPLES";

/// What is looked at; why others are not: docs/decisions/0039.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,ignored_auth,unsupported_method,use_after_free,\
    ensure_resource_availability,allow_header_conformance,negative_data_rejection";

/// What it is told of askd: statuses that refuse, bodies that it cannot write by itself.
const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/fake/schemathesis.toml");
const HOOKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/fake/schemathesis.py");

#[tokio::test]
async fn a_foreign_tester_finds_no_answer_that_the_openapi_file_does_not_have() {
    let Some(python) = python("a foreign tester finds no answer that the OpenAPI file does not have") else { return };
    let builder = TestServerBuilder::fake().set(|settings| {
        // It shows wrong keys on purpose, and is in a hurry.
        settings.network.rates.failures = None;
        settings.server.max_body = 256 << 10;
        settings.limits.queue_timeout = std::time::Duration::from_secs(1);
        settings.deadlines.process_timeout = std::time::Duration::from_secs(2);
    });
    let server = builder.start().await;
    let examples = std::env::vars().find(|(name, _)| name == EXAMPLES).map_or("2".to_owned(), |(_, value)| value);
    let (url, folder) = (server.url("/openapi.json"), tempfile::tempdir().unwrap());
    #[expect(clippy::disallowed_methods, reason = "the foreign tester")]
    let mut command = Command::new(python);
    command.args(["-m", "schemathesis.cli", "--config-file", CONFIG, "run", &url]);
    command.args(["--checks", CHECKS, "--max-examples", &examples]).env("SCHEMATHESIS_HOOKS", HOOKS);
    command.args(["--seed", "20261123", "--generation-deterministic", "--no-color"]);
    command.args(["--continue-on-failure", "--no-shrink", "--suppress-health-check", "all", "--warnings", "off"]);
    command.args(["--request-timeout", "30", "--header", &format!("x-api-key: {}", Settings::TEST_API_KEY)]);
    // What it writes beside itself goes with the folder. The network is that of loopback.
    command.current_dir(folder.path()).env("NO_PROXY", "*").env("PYTHONDONTWRITEBYTECODE", "1");
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    drop(server.get("/livez").await);
    server.at_rest().await;
    server.stop().await;
}
