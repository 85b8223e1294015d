//! The service over real sockets.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use scripted_model::{Ending, RecordedRequest, ScriptedModel, Settings, prompt};
use serde_json::{Value, json};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn user(text: &str) -> Value {
    json!({"role": "user", "content": [{"type": "text", "text": text}]})
}

fn body(messages: &[Value], stream: bool) -> Value {
    json!({"model": "claude-x", "max_tokens": 100, "messages": messages, "stream": stream})
}

async fn post(model: &ScriptedModel, body: &Value) -> Response {
    let url = format!("{}/v1/messages?beta=true", model.base_url());
    let request = Client::new().post(url).header("x-api-key", "sk-test");
    request.json(body).send().await.expect("an answer")
}

async fn ask(model: &ScriptedModel, text: &str) -> Response {
    post(model, &body(&[user(text)], true)).await
}

/// The text of all text deltas in a stream.
fn streamed_text(stream: &str) -> String {
    let events = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let events = events.map(|data| serde_json::from_str::<Value>(data).expect("JSON"));
    events.filter_map(|event| event["delta"]["text"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn streams_and_records() {
    let model = ScriptedModel::start().await.unwrap();
    let response = ask(&model, "Go. [[text:hello there]]").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    assert!(response.headers()["request-id"].to_str().unwrap().starts_with("req_"));
    let stream = response.text().await.unwrap();
    assert_eq!(streamed_text(&stream), "hello there");
    assert!(stream.contains(r#""model":"claude-x""#));
    assert!(stream.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));

    let ended = |request: &RecordedRequest| request.ending() == Some(Ending::Answered);
    let recorded = model.wait_for(ended, PATIENCE).await.unwrap();
    assert_eq!(recorded.header("X-Api-Key"), Some("sk-test"));
    assert_eq!(recorded.path(), "/v1/messages?beta=true");
    assert_eq!(recorded.model(), Some("claude-x"));
    assert_eq!(recorded.last_user_text().as_deref(), Some("Go. [[text:hello there]]"));
    assert!(recorded.is_message());
}

#[tokio::test]
async fn answers_without_streaming() {
    let model = ScriptedModel::start().await.unwrap();
    let script = prompt::tool("Bash", &json!({"command": "echo ']]'"}));
    let response = post(&model, &body(&[user(&script)], false)).await;
    let message: Value = response.json().await.unwrap();
    assert_eq!(message["content"][0]["input"]["command"], "echo ']]'");
    assert_eq!(message["stop_reason"], "tool_use");
}

#[tokio::test]
async fn turns_follow_the_conversation() {
    let model = ScriptedModel::start().await.unwrap();
    let script = prompt::turns([prompt::tool("Bash", &json!({})), prompt::text("second")]);
    let call = json!({"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "Bash", "input": {}}]});
    let result =
        json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "[[cut]]"}]});
    let mut messages = vec![user(&script), call, result];
    for expected in ["second", "done"] {
        let stream = post(&model, &body(&messages, true)).await.text().await.unwrap();
        assert_eq!(streamed_text(&stream), expected);
        messages.push(json!({"role": "assistant", "content": expected}));
        messages.push(user("go on"));
    }
    assert_eq!(model.recorded()[0].tool_results(), ["[[cut]]"]);
}

#[tokio::test]
async fn whole_answers_are_billed_and_others_are_not() {
    let model = ScriptedModel::start().await.unwrap();
    let usage = "[[usage:input=10,output=20,cache_read=3,cache_write=4,web_searches=2]]";
    for stream in [true, false] {
        let answer = post(&model, &body(&[user(&format!("{usage}[[text:hi]]"))], stream)).await.text().await.unwrap();
        assert!(answer.contains(r#""server_tool_use":{"web_search_requests":2}"#), "{answer}");
    }
    for fault in ["[[cut]]", "[[error:500]]", "[[text:half]][[cut]]", "[[text:half]][[error:529]]"] {
        drop(ask(&model, &format!("{usage}{fault}")).await.bytes().await);
    }
    let url = format!("{}/__bill", model.base_url());
    let told: Value = Client::new().get(url).send().await.unwrap().json().await.unwrap();
    let billed = json!({"calls": 2, "input_tokens": 20, "output_tokens": 40, "cache_read_input_tokens": 6,
        "cache_creation_input_tokens": 8, "web_search_requests": 4});
    assert_eq!(told, json!({"models": {"claude-x": billed}}));
    assert_eq!(model.bill()["claude-x"].calls, 2);
    model.clear();
    assert!(model.bill().is_empty());
}

#[tokio::test]
async fn a_cut_delivers_what_came_before() {
    let model = ScriptedModel::start().await.unwrap();
    let mut response = ask(&model, "[[text:half an]][[cut]][[text: answer]]").await;
    let mut received = String::new();
    let error = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => received.push_str(std::str::from_utf8(&chunk).unwrap()),
            Ok(None) => panic!("the stream ended well: {received}"),
            Err(error) => break error,
        }
    };
    assert!(!error.is_timeout());
    assert_eq!(streamed_text(&received), "half an");
    assert_eq!(model.recorded()[0].ending(), Some(Ending::Cut));
}

#[tokio::test]
async fn errors_strike_as_often_as_asked() {
    let model = ScriptedModel::start().await.unwrap();
    let script = "[[error:429,retry_after=7,times=2]][[text:through]]";
    for _ in 0..2 {
        let response = ask(&model, script).await;
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()["retry-after"], "7");
        let envelope: Value = response.json().await.unwrap();
        assert_eq!(envelope["type"], "error");
        assert_eq!(envelope["error"]["type"], "rate_limit_error");
    }
    let stream = ask(&model, script).await.text().await.unwrap();
    assert_eq!(streamed_text(&stream), "through");
    model.clear();
    assert_eq!(ask(&model, script).await.status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn an_error_after_content_is_an_event() {
    let model = ScriptedModel::start().await.unwrap();
    let stream = ask(&model, "[[text:a]][[error:529]]").await.text().await.unwrap();
    assert!(stream.ends_with(
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"message\":\"Overloaded\",\"type\":\"overloaded_error\"}}\n\n"
    ), "{stream}");
}

#[tokio::test]
async fn a_hang_lasts_until_the_client_leaves() {
    let model = ScriptedModel::start().await.unwrap();
    // Once within the body, once before the response exists.
    let mut response = ask(&model, "[[text:a]][[hang]]").await;
    assert!(response.chunk().await.unwrap().is_some());
    drop(response);
    let left = |number| {
        move |request: &RecordedRequest| request.number() == number && request.ending() == Some(Ending::ClientLeft)
    };
    assert!(model.wait_for(left(1), PATIENCE).await.is_some());
    {
        let asking = ask(&model, "[[hang]]");
        let arrived = model.wait_for(|request| request.number() == 2, PATIENCE);
        tokio::select! {
            _ = asking => panic!("it answered"),
            found = arrived => assert!(found.is_some()),
        }
    }
    assert!(model.wait_for(left(2), PATIENCE).await.is_some());
}

#[tokio::test]
async fn refuses_what_the_service_refuses() {
    let model = ScriptedModel::start().await.unwrap();
    let reason = async |body: Value| {
        let response = post(&model, &body).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let envelope: Value = response.json().await.unwrap();
        envelope["error"]["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(reason(json!([])).await, "model: Field required");
    assert_eq!(reason(json!({"model": "m", "max_tokens": 1})).await, "messages: Field required");
    let bad = reason(body(&[user("[[pause_ms:soon]]")], true)).await;
    assert_eq!(bad, "directive `[[pause_ms:soon]]`: ms: `soon` is not valid here");
    let elsewhere = Client::new().get(format!("{}/v1/models", model.base_url())).send().await.unwrap();
    assert_eq!(elsewhere.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn requests_that_dictate_a_form_get_it() {
    let model = ScriptedModel::start().await.unwrap();
    let schema = json!({"type": "object", "required": ["title"], "properties": {"title": {"type": "string"}}});
    let mut request = body(&[user("Name [[hang]]")], false);
    request["output_config"] = json!({"format": {"type": "json_schema", "schema": schema}});
    let message: Value = post(&model, &request).await.json().await.unwrap();
    assert_eq!(message["content"][0]["text"], r#"{"title":"scripted"}"#);

    let mut request = body(&[user("no script")], false);
    request["tools"] = json!([{"name": "pick", "input_schema": schema}]);
    request["tool_choice"] = json!({"type": "tool", "name": "pick"});
    let message: Value = post(&model, &request).await.json().await.unwrap();
    assert_eq!(message["content"][0]["input"], json!({"title": "scripted"}));
}

#[tokio::test]
async fn other_processes_read_and_clear_the_record() {
    let settings = Settings { keep_requests: 2, ..Settings::default() };
    let model = ScriptedModel::start_with(settings).await.unwrap();
    let client = Client::new();
    for text in ["one", "two", "three ünï"] {
        ask(&model, text).await.text().await.unwrap();
    }
    let url = format!("{}/__requests", model.base_url());
    let all: Value = client.get(&url).send().await.unwrap().json().await.unwrap();
    assert_eq!(all["requests"].as_array().unwrap().len(), 2);
    assert_eq!(all["requests"][1]["number"], 3);
    let last: Value = client.get(format!("{url}?last=1")).send().await.unwrap().json().await.unwrap();
    assert_eq!(last["requests"][0]["body"]["messages"][0]["content"][0]["text"], "three ünï");
    assert_eq!(client.delete(&url).send().await.unwrap().status(), StatusCode::OK);
    assert!(model.recorded().is_empty());
}

#[tokio::test]
async fn counts_tokens_and_answers_probes() {
    let model = ScriptedModel::start().await.unwrap();
    let client = Client::new();
    let url = format!("{}/v1/messages/count_tokens", model.base_url());
    let request = json!({"model": "m", "messages": [user("hi")]});
    let count: Value = client.post(url).json(&request).send().await.unwrap().json().await.unwrap();
    assert!(count["input_tokens"].as_u64().unwrap() > 0);
    for probe in [client.head(model.base_url()), client.get(model.base_url())] {
        assert_eq!(probe.send().await.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(model.recorded().len(), 3);
    assert!(model.messages().is_empty());
}

#[tokio::test]
async fn ending_the_model_ends_its_connections() {
    for graceful in [true, false] {
        let model = ScriptedModel::start().await.unwrap();
        let mut response = ask(&model, "[[text:a]][[hang]]").await;
        let url = model.base_url();
        if graceful {
            model.shutdown().await;
        } else {
            drop(model);
        }
        let rest = async { while let Ok(Some(_)) = response.chunk().await {} };
        tokio::time::timeout(PATIENCE, rest).await.unwrap();
        if graceful {
            assert!(Client::new().get(url).send().await.unwrap_err().is_connect());
        }
    }
}
