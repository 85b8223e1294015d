//! The main job: a question, an answer.

use scripted_model::ScriptedModel;
use serde_json::json;

use crate::harness::TestServerBuilder;

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered() {
    let model = ScriptedModel::start().await.unwrap();
    let server = TestServerBuilder::real(&model.base_url()).start().await;
    let answer = server.ask(json!({"prompt": "[[text:hello]]"})).await;
    assert_eq!(answer.result(), "hello");
    server.stop().await;
}
