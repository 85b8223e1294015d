//! Every option of `POST /v1/runs`, through HTTP and the real CLI, at the model: what it was sent, which tools it has, what
//! its calls gave.

mod agents;
mod content;
mod limits;
mod models;
mod profiles;
mod secrets;
mod system;
mod table;
mod tools;

use scripted_model::RecordedRequest;
use scripted_model::prompt::{text, tool, turns};
use serde_json::{Value, json};

use super::World;

impl World {
    /// A run that must complete; the recorded requests are those that it made.
    async fn completed(&self, body: Value) -> Value {
        self.model.clear();
        let run = self.server.run(body).await;
        assert_eq!(run["state"], "completed", "{run}");
        run
    }

    /// What the calls of tools have given the model in all.
    fn results(&self) -> String {
        self.last_message().tool_results().join("\n")
    }
}

/// One command, then the end.
fn bash(command: &str) -> String {
    turns([tool("Bash", &json!({"command": command, "description": "d"})), text("end")])
}

/// The blocks of all messages of the user, without what the CLI says of caching.
fn blocks(request: &RecordedRequest) -> Vec<Value> {
    let messages = request.body()["messages"].as_array().into_iter().flatten();
    let of_user = messages.filter(|message| message["role"] == "user");
    let blocks = of_user.flat_map(|message| match &message["content"] {
        Value::Array(blocks) => blocks.clone(),
        other => vec![json!({"type": "text", "text": other})],
    });
    blocks
        .map(|mut block| {
            block.as_object_mut().map(|block| block.remove("cache_control"));
            block
        })
        .collect()
}

/// Whether two lists of names are the same but for what the CLI adds for itself.
fn tools_of(request: &RecordedRequest) -> Vec<&str> {
    let mut names = request.tool_names();
    names.retain(|name| *name != "DeferredToolPlaceholder");
    names.sort_unstable();
    names
}
