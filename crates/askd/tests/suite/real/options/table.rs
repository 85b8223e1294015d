//! That each field of `POST /v1/runs` has a test that shows it: a new one without fails here.

use serde_json::json;

use crate::harness::TestServerBuilder;

/// A field, a file of tests, and the test in it.
type Shown = (&'static str, &'static str, &'static str);

macro_rules! shown {
    ($($field:literal: $file:literal, $test:literal;)*) => {
        &[$(($field, include_str!($file), $test)),*]
    };
}

static SHOWN: &[Shown] = shown! {
    "prompt": "../prompts.rs", "characters_of_every_kind";
    "content": "content.rs", "texts_pictures_and_documents_arrive_byte_for_byte_and_again_when_the_session_goes_on";
    "cwd": "../fields.rs", "cwd_is_where_the_cli_works";
    "max_turns": "limits.rs", "turns_money_and_time_end_a_run";
    "agent": "../agents.rs", "an_agent_answers_with_its_own_prompt";
    "system_prompt": "system.rs", "what_is_appended_follows_whatever_system_prompt_there_is";
    "model": "models.rs", "effort_reaches_the_model_for_which_it_is_asked";
    "allowed_tools": "../permissions.rs", "a_rule_lets_it_run_whether_listed_or_in_one_string";
    "permission_mode": "../bypass.rs", "everything_runs_without_a_rule";
    "session_id": "system.rs", "a_session_that_goes_on_keeps_nothing_that_its_request_does_not_say";
    "output_schema": "../v1.rs", "a_schema_brings_structured_output";
    "expand": "content.rs", "only_the_last_block_is_expanded_and_only_if_it_is_a_text";
    "deltas": "../v1.rs", "partial_messages_come_as_the_model_writes_and_the_whole_one_is_kept";
    "on_disconnect": "../../fake/v1_create.rs", "a_run_outlives_its_client_unless_that_was_asked_for";
    "timeout_seconds": "limits.rs", "turns_money_and_time_end_a_run";
    "idle_timeout_seconds": "limits.rs", "a_model_that_says_nothing_ends_a_run";
    "queue_timeout_seconds": "../../fake/run_options.rs", "a_run_waits_no_longer_for_its_turn_than_it_asks_for";
    "metadata": "../../fake/v1_list.rs", "runs_are_found_by_what_they_are";
    "write_root": "../reach.rs", "edits_are_accepted_where_the_run_may_write_and_nowhere_else";
    "additional_folders": "../reach.rs", "a_further_folder_is_read_without_a_rule_and_its_own_configuration_is_not_loaded";
    "max_budget_usd": "limits.rs", "turns_money_and_time_end_a_run";
    "priority": "../../fake/fair_queue.rs", "of_ten_keys_one_floods_with_two_hundred_and_the_others_wait_for_no_more_than_the_bound";
    "append_system_prompt": "system.rs", "what_is_appended_follows_whatever_system_prompt_there_is";
    "tools": "tools.rs", "a_run_has_the_tools_of_its_list_and_no_other";
    "disallowed_tools": "tools.rs", "a_denied_tool_is_not_there_and_a_denied_call_is_not_made";
    "effort": "models.rs", "effort_reaches_the_model_for_which_it_is_asked";
    "fallback_model": "models.rs", "another_model_answers_where_the_first_cannot";
    "agents": "agents.rs", "an_agent_of_the_request_answers_with_its_own_prompt_tools_and_model";
    "mcp_servers": "secrets.rs", "variables_and_servers_of_a_request_work_and_nothing_tells_their_secrets";
    "env": "secrets.rs", "variables_and_servers_of_a_request_work_and_nothing_tells_their_secrets";
    "profile": "profiles.rs", "a_bare_run_has_no_configuration_but_what_holds_it_back";
    "fork_session": "../fork.rs", "a_fork_has_the_conversation_so_far_and_the_first_one_goes_on_without_it";
};

#[tokio::test(flavor = "multi_thread")]
async fn every_field_has_a_test_that_shows_it() {
    let server = TestServerBuilder::fake().start().await;
    let answer = server.post("/v1/runs", &json!({"prompt": "x", "no such field": 1})).await;
    let (_, fields) = answer.message().split_once("the fields are ").expect("a list of the fields");
    let fields: Vec<&str> = fields.split(", ").collect();
    for field in &fields {
        let (_, file, test) =
            SHOWN.iter().find(|(shown, ..)| shown == field).unwrap_or_else(|| panic!("{field}: no test"));
        assert!(file.contains(&format!("async fn {test}()")), "{field}: there is no test {test}");
    }
    assert_eq!(fields.len(), SHOWN.len(), "a field of the table is none of the route: {fields:?}");
    server.stop().await;
}
