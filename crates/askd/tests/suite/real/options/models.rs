//! Which model is asked, and how much it is to think.

use serde_json::json;

use super::super::World;

#[tokio::test(flavor = "multi_thread")]
async fn effort_reaches_the_model_for_which_it_is_asked() {
    let world = World::new().await;
    for (model, effort) in [("opus", "low"), ("sonnet", "max"), ("haiku", "xhigh")] {
        world.completed(json!({"prompt": "[[text:x]]", "model": model, "effort": effort})).await;
        let asked = world.last_message();
        assert!(asked.model().unwrap().contains(model), "{:?}", asked.model());
        assert_eq!(asked.body()["output_config"]["effort"], effort, "{model}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_model_answers_where_the_first_cannot() {
    let world = World::new().await;
    let body = json!({"prompt": "[[error:500,times=1]] [[text:in its place]]", "model": "opus",
        "fallback_model": ["haiku", "sonnet"]});
    let run = world.completed(body).await;
    assert_eq!(run["result"], "in its place");
    let models: Vec<String> =
        world.model.messages().iter().map(|message| message.model().unwrap().to_owned()).collect();
    assert!(models[0].contains("opus") && models.last().unwrap().contains("haiku"), "{models:?}");
    world.stop().await;
}
