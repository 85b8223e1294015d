//! The policy of a key: what two keys get of the same attempts to do more, one without a policy and one with it.
//!
//! Each attempt is first made with the key that has no policy. If it did not work there, its failing would show nothing.

mod folders;
mod mentions;
mod models;
mod modes;
mod tools;

use scripted_model::RecordedRequest;
use serde_json::{Value, json};

use super::World;
use crate::harness::Holder;

/// A run that has ended, and what has reached the model for it.
#[derive(Debug)]
struct Done {
    run: Value,
    models: Vec<String>,
    tools: Vec<String>,
    tool_results: Vec<String>,
}

impl World {
    /// The two keys: one without a policy, one with it.
    async fn free_and_held(&self, policy: Value) -> (Holder, Holder) {
        (self.server.user(json!({})).await, self.server.user(policy).await)
    }

    /// A run that must be taken in.
    async fn done(&self, holder: &Holder, body: &Value) -> Done {
        self.model.clear();
        let run = holder.run(body.clone()).await;
        let messages = self.model.messages();
        let mut models: Vec<String> = messages.iter().filter_map(|message| Some(message.model()?.to_owned())).collect();
        let mut tools: Vec<String> =
            messages.iter().flat_map(|message| message.tool_names().into_iter().map(str::to_owned)).collect();
        for list in [&mut models, &mut tools] {
            list.sort();
            list.dedup();
        }
        let tool_results = messages.iter().flat_map(RecordedRequest::tool_results).collect();
        Done { run, models, tools, tool_results }
    }

    /// A request that must be refused because of the policy.
    async fn refused(&self, holder: &Holder, body: &Value, field: &str) -> String {
        self.model.clear();
        let answer = holder.post("/v1/runs?wait=60", body).await;
        assert_eq!(
            (answer.status, answer.kind(), answer.param()),
            (403, "permission_error", field),
            "{body} {answer:?}"
        );
        assert!(self.model.messages().is_empty(), "{body}");
        answer.message().to_owned()
    }
}

impl Done {
    fn used(&self, family: &str) -> bool {
        self.models.iter().any(|model| model.contains(family))
    }

    #[track_caller]
    fn completed(&self) -> &Self {
        assert_eq!(self.run["state"], "completed", "{self:?}");
        self
    }
}

fn agent(name: &str, frontmatter: &str) -> String {
    format!("---\nname: {name}\ndescription: An agent of a test.\n{frontmatter}\n---\nYou are {name}.\n")
}

fn skill(name: &str, frontmatter: &str, text: &str) -> String {
    format!("---\nname: {name}\ndescription: A skill of a test.\n{frontmatter}\n---\n{text}\n")
}
