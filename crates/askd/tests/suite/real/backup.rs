//! A conversation that was backed up in the middle goes on from the restored transcript.

use std::path::Path;
use std::process::Command;

use scripted_model::ScriptedModel;
use serde_json::json;

use crate::harness::{TestServerBuilder, launcher};

async fn askd(data: &Path, arguments: &[&str]) {
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let mut command = Command::new(launcher());
    command.args(arguments).env_clear().env("ASKD_DATA_DIR", data).env("ASKD_ALLOW_ROOT", "1");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_goes_on_after_a_restore_from_where_the_backup_has_it() {
    let model = ScriptedModel::start().await.unwrap();
    let first = TestServerBuilder::real(&model.base_url()).start().await;
    let words = "The word is kingfisher. [[text:noted]]";
    let told = first.run(json!({"prompt": words})).await;
    assert_eq!(told["result"], "noted", "{told}");
    let session = told["session_id"].clone();
    let archive = first.folders.root().join("backup").display().to_string();
    askd(&first.folders.data(), &["backup", "--to", &archive]).await;
    // What comes after the backup is not in it.
    let later = first.run(json!({"prompt": "[[text:later]]", "session_id": session})).await;
    assert_eq!(later["result"], "later", "{later}");

    let second = TestServerBuilder::real(&model.base_url());
    askd(&second.folders.data(), &["restore", "--from", &archive]).await;
    let second = second.start().await;
    let gone = second.get(&format!("/v1/runs/{}", later["id"].as_str().unwrap())).await;
    assert_eq!(gone.status, 404);
    let on = second.run(json!({"prompt": "[[text:second]]", "session_id": session})).await;
    assert_eq!(on["result"], "second", "{on}");
    let texts = model.messages().pop().expect("a message reached the model").user_texts();
    assert_eq!(texts, [words, "[[text:second]]"]);
    first.stop().await;
    second.stop().await;
    model.shutdown().await;
}
