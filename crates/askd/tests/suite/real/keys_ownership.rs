//! Sessions of another key, with the real CLI: what one key has said to the model, no other gets to hear.

use serde_json::json;

use super::World;

const FIRST: &str = "The word is kingfisher. [[text:noted]]";

#[tokio::test(flavor = "multi_thread")]
async fn another_keys_session_is_not_taken_up_and_the_model_is_not_asked() {
    let world = World::new().await;
    let (owner, other) = (world.server.user(json!({})).await, world.server.user(json!({})).await);
    let first = owner.post("/ask", &json!({"prompt": FIRST})).await;
    assert_eq!(first.result(), "noted");
    let session = first.body["session_id"].as_str().unwrap().to_owned();
    let body = |text: &str| json!({"prompt": format!("[[text:{text}]]"), "resume": session});

    // The control: who may see all goes on with it, and the model hears of it again.
    assert_eq!(world.ask(body("admin")).await.result(), "admin");
    assert_eq!(world.last_message().user_texts(), [FIRST, "[[text:admin]]"]);

    let asked = world.model.messages().len();
    for (path, body) in [("/ask", body("x")), ("/v1/runs", json!({"prompt": "[[text:x]]", "session_id": session}))] {
        let refused = other.post(path, &body).await;
        assert_eq!(refused.status, 404, "{path} {refused:?}");
        assert!(refused.message().contains(&format!("there is no session {session}")), "{path} {refused:?}");
    }
    assert_eq!(world.model.messages().len(), asked, "nothing of it reaches the model");

    assert_eq!(owner.post("/ask", &body("owner")).await.result(), "owner");
    assert_eq!(world.last_message().user_texts(), [FIRST, "[[text:admin]]", "[[text:owner]]"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_ends_a_run_of_the_real_cli_in_the_middle_of_an_answer() {
    let world = World::new().await;
    let holder = world.server.user(json!({})).await;
    let run = holder.submit(json!({"prompt": "[[hang]]"})).await;
    world.model_is_asked().await;
    let revoked = world.server.post(&format!("/v1/keys/{}/revoke", holder.id), &json!({})).await;
    assert_eq!((revoked.status, &revoked.body["runs_ended"]), (200, &json!(1)), "{revoked:?}");
    let end = world.server.ended(&run).await;
    assert_eq!(end["state"], "cancelled", "{end}");
    assert_eq!(end["error"]["message"], format!("the key {} was revoked", holder.id));
    world.model_is_left().await;
    world.stop().await;
}
