use super::*;
use crate::script::parts;

fn player(text: &str) -> Player {
    let opening = Opening { id: "01".to_owned(), model: "m".to_owned(), input_tokens: 7 };
    Player::new(parts(text).unwrap().swap_remove(0), opening)
}

/// The actions in short: frames as they are sent, the rest by name.
fn played(text: &str) -> String {
    let shown = player(text).map(|action| match action {
        Action::Emit(event) => String::from_utf8(event.frame().to_vec()).unwrap(),
        other => format!("-- {other:?}\n\n"),
    });
    shown.collect()
}

fn collected(text: &str) -> Message {
    let mut message = message(&Opening { id: String::new(), model: String::new(), input_tokens: 0 }, Usage::default());
    for action in player(text) {
        if let Action::Emit(event) = action {
            message.absorb(event);
        }
    }
    message
}

#[test]
fn a_full_answer_as_events() {
    let text = r#"[[think:Hm.]][[text:Hi you]][[pause_ms:5]][[text:!]][[tool:Bash {"command":"ls -la"}]]"#;
    insta::assert_snapshot!(played(text), @r#"
    event: message_start
    data: {"type":"message_start","message":{"id":"msg_01","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":7,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":1}}}

    event: content_block_start
    data: {"type":"content_block_start","index":0,"content_block":{"signature":"","thinking":"","type":"thinking"}}

    event: ping
    data: {"type":"ping"}

    event: content_block_delta
    data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm."}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"scripted-01-0"}}

    event: content_block_stop
    data: {"type":"content_block_stop","index":0}

    event: content_block_start
    data: {"type":"content_block_start","index":1,"content_block":{"text":"","type":"text"}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hi "}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"you"}}

    -- Wait(5ms)

    event: content_block_delta
    data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"!"}}

    event: content_block_stop
    data: {"type":"content_block_stop","index":1}

    event: content_block_start
    data: {"type":"content_block_start","index":2,"content_block":{"id":"toolu_0102","input":{},"name":"Bash","type":"tool_use"}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"command\":\"ls -"}}

    event: content_block_delta
    data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"la\"}"}}

    event: content_block_stop
    data: {"type":"content_block_stop","index":2}

    event: message_delta
    data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":7,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":8}}

    event: message_stop
    data: {"type":"message_stop"}
    "#);
}

#[test]
fn a_short_answer_closes_its_block_and_does_not_say_that_it_ends() {
    let played = played("[[text:a]][[short]][[text:b]]");
    let (_, end) = played.trim_end().rsplit_once("event: ").unwrap();
    assert!(end.starts_with("content_block_stop") && end.ends_with("-- Stop"), "{end}");
}

#[test]
fn nothing_plays_after_a_fault() {
    insta::assert_snapshot!(played("[[text:a]][[cut]][[text:b]]"), @r#"
    event: message_start
    data: {"type":"message_start","message":{"id":"msg_01","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":7,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":1}}}

    event: content_block_start
    data: {"type":"content_block_start","index":0,"content_block":{"text":"","type":"text"}}

    event: ping
    data: {"type":"ping"}

    event: content_block_delta
    data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}

    -- Cut
    "#);
}

#[test]
fn the_collected_message_is_the_sum_of_its_events() {
    let text = r#"[[think:Hm, ok]][[text:a b]][[tool:T {"x":["ü","]]"]}]][[usage:input=3,output=9]]"#;
    let message = serde_json::to_value(collected(text)).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&message).unwrap(), @r#"
    {
      "content": [
        {
          "signature": "scripted-01-0",
          "thinking": "Hm, ok",
          "type": "thinking"
        },
        {
          "text": "a b",
          "type": "text"
        },
        {
          "id": "toolu_0102",
          "input": {
            "x": [
              "ü",
              "]]"
            ]
          },
          "name": "T",
          "type": "tool_use"
        }
      ],
      "id": "msg_01",
      "model": "m",
      "role": "assistant",
      "stop_reason": "tool_use",
      "stop_sequence": null,
      "type": "message",
      "usage": {
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "input_tokens": 3,
        "output_tokens": 9
      }
    }
    "#);
}

#[test]
fn deltas_and_large_texts_have_their_exact_size() {
    let sizes = |text: &str| -> Vec<usize> {
        let deltas = player(text).filter_map(|action| match action {
            Action::Emit(Event::ContentBlockDelta { delta: Delta::Text { text }, .. }) => Some(text.len()),
            _ => None,
        });
        deltas.collect()
    };
    assert_eq!(sizes("[[deltas:count=12,bytes=5]]"), [5; 12]);
    assert_eq!(sizes("[[deltas:count=2,bytes=0]]"), [0, 0]);
    assert_eq!(sizes("[[large:bytes=10,chunk=4]]"), [4, 4, 2]);
    assert_eq!(sizes("[[large:bytes=200000]]").iter().sum::<usize>(), 200_000);
}

#[test]
fn an_empty_part_is_an_empty_message() {
    assert_eq!(collected("[[stop:refusal]]").stop_reason, Some("refusal"));
}
