//! Credentials in answers as they are being written: the model's words come in pieces, and a credential may begin in one
//! piece and end in a later one.

use serde_json::Value;

use super::Redactor;

/// The members of a delta that hold words.
const MEMBERS: [&str; 3] = ["text", "thinking", "partial_json"];

/// Texts that can be in the middle of a credential at a time: one of the main conversation and one of each subagent at
/// work. With more, the oldest is passed on without its last words.
const MOST: usize = 32;

/// Holds back the end of a piece for as long as it may be the beginning of a credential.
#[derive(Debug, Default)]
pub struct DeltaRedactor {
    held: Vec<Held>,
}

/// What was held back of a text, and the message that it came with.
struct Held {
    message: Value,
    place: Place,
    words: String,
}

/// One text: a member of a block of a message, of the main conversation or of a subagent.
#[derive(PartialEq, Eq)]
struct Place {
    parent: Value,
    index: Value,
    member: &'static str,
}

impl DeltaRedactor {
    /// The messages to pass on for one that is a delta: often itself, none while words are held back, and more when they
    /// are let go.
    pub fn pass(&mut self, redactor: &Redactor, delta: &str) -> Vec<String> {
        if redactor.count == 0 {
            return vec![delta.to_owned()];
        }
        // A delta that is not understood may be left out: the whole message follows.
        let Ok(message) = serde_json::from_str::<Value>(delta) else { return Vec::new() };
        if let Some(place) = Place::of(&message) {
            return self.piece(redactor, delta, message, place).into_iter().collect();
        }
        let ended = self.held.extract_if(.., |held| held.place.ends_with(&message));
        let mut passed: Vec<String> = ended.map(|held| held.let_go(redactor)).collect();
        passed.push(redactor.line(delta));
        passed
    }

    fn piece(&mut self, redactor: &Redactor, delta: &str, mut message: Value, place: Place) -> Option<String> {
        let held = self.held.iter().position(|held| held.place == place).map(|at| self.held.remove(at));
        let came = place.words(&mut message);
        let mut words = held.map_or_else(|| came.clone(), |held| held.words + &came);
        let open = words.split_off(redactor.settled(&words));
        let sure = redactor.text(&words);
        let as_it_came = sure == came;
        *place.member(&mut message) = (*sure).into();
        if !open.is_empty() {
            if self.held.len() == MOST {
                self.held.remove(0);
            }
            self.held.push(Held { message: message.clone(), place, words: open });
        }
        match (as_it_came, sure.is_empty()) {
            (true, _) => Some(redactor.line(delta)),
            (false, true) => None,
            (false, false) => Some(redactor.line(&message.to_string())),
        }
    }
}

impl Held {
    /// Nothing more comes that could make a credential of it, or a longer one.
    fn let_go(mut self, redactor: &Redactor) -> String {
        *self.place.member(&mut self.message) = redactor.text(&self.words).into();
        self.message.to_string()
    }
}

impl Place {
    fn of(message: &Value) -> Option<Self> {
        let event = &message["event"];
        let member = MEMBERS.into_iter().find(|member| event["delta"][member].is_string())?;
        Some(Self { parent: message["parent_tool_use_id"].clone(), index: event["index"].clone(), member })
    }

    fn member<'a>(&self, message: &'a mut Value) -> &'a mut Value {
        &mut message["event"]["delta"][self.member]
    }

    fn words(&self, message: &mut Value) -> String {
        self.member(message).as_str().unwrap_or_default().to_owned()
    }

    /// Whether nothing of this text comes after the message: its block ends, or the message of which that is a part.
    fn ends_with(&self, message: &Value) -> bool {
        let event = &message["event"];
        let is_end = match event["type"].as_str() {
            Some("content_block_stop") => event["index"] == self.index,
            Some("message_start" | "message_delta" | "message_stop" | "error") => true,
            _ => false,
        };
        is_end && self.parent == message["parent_tool_use_id"]
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Held").field("bytes", &self.words.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const SECRET: &str = "ghp_0123456789abcdef";

    fn redactor() -> Redactor {
        // One is the beginning of another, and one begins with the end of another.
        let values = [SECRET, "ghp_0123456789abcdefgh", "defgdefg"];
        Redactor::new(values.map(|value| value.to_owned().into()))
    }

    fn piece(index: u64, text: &str) -> String {
        let delta = json!({"type": "text_delta", "text": text});
        let event = json!({"type": "content_block_delta", "index": index, "delta": delta});
        json!({"type": "stream_event", "event": event, "parent_tool_use_id": null}).to_string()
    }

    fn stop(index: u64) -> String {
        let event = json!({"type": "content_block_stop", "index": index});
        json!({"type": "stream_event", "event": event, "parent_tool_use_id": null}).to_string()
    }

    /// What a client joins of a text that came in these pieces.
    fn joined(pieces: &[&str]) -> String {
        let (redactor, mut deltas) = (redactor(), DeltaRedactor::default());
        let messages = pieces.iter().map(|text| piece(0, text)).chain([stop(0)]);
        let passed: Vec<_> = messages.flat_map(|message| deltas.pass(&redactor, &message)).collect();
        assert!(deltas.held.is_empty(), "{deltas:?}");
        let texts = passed.iter().map(|message| serde_json::from_str::<Value>(message).unwrap());
        texts.filter_map(|message| Some(message["event"]["delta"]["text"].as_str()?.to_owned())).collect()
    }

    #[test]
    fn a_credential_that_comes_in_pieces_does_not_get_through() {
        assert_eq!(joined(&["the token is ghp_01", "23456789", "abcdef, or so"]), "the token is [redacted], or so");
        assert_eq!(joined(&["ghp_", "0123456789abcdef"]), "[redacted]");
        assert_eq!(joined(&["ghp_0123456789abcdef", "gh"]), "[redacted]", "the longer one");
    }

    #[test]
    fn the_beginning_of_one_that_is_none_comes_later() {
        assert_eq!(joined(&["a path ghp_0", "x"]), "a path ghp_0x");
        assert_eq!(joined(&["it ends with ghp_0123456789abcde"]), "it ends with ghp_0123456789abcde");
    }

    #[test]
    fn what_has_nothing_of_it_passes_as_it_came() {
        let mut deltas = DeltaRedactor::default();
        for message in [piece(0, "Hello"), stop(0), piece(1, "")] {
            assert_eq!(deltas.pass(&redactor(), &message), [message]);
        }
        assert_eq!(deltas.pass(&redactor(), "no json"), [""; 0]);
    }

    #[test]
    fn texts_that_come_at_the_same_time_are_told_apart() {
        let (redactor, mut deltas) = (redactor(), DeltaRedactor::default());
        let messages = [piece(0, "ghp_012345"), piece(1, "a"), piece(0, "6789abcdef!"), stop(1), stop(0)];
        let passed: Vec<_> = messages.iter().flat_map(|message| deltas.pass(&redactor, message)).collect();
        assert_eq!(passed, [piece(1, "a"), piece(0, "[redacted]!"), stop(1), stop(0)]);
    }

    #[test]
    fn what_is_held_back_is_bounded() {
        let (redactor, mut deltas) = (redactor(), DeltaRedactor::default());
        for index in 0..100 {
            deltas.pass(&redactor, &piece(index, "ghp_"));
        }
        assert_eq!(deltas.held.len(), MOST);
    }

    proptest! {
        #[test]
        fn however_it_is_cut(before in "[d-hp_0-9]{0,12}", after in "[d-h_0-9]{0,12}", cuts in prop::collection::vec(0..48_usize, 0..6)) {
            let text = format!("{before}{SECRET}{after}");
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|ends| &text[ends[0]..ends[1]]).collect();
            prop_assert_eq!(joined(&pieces), redactor().text(&text));
        }
    }
}
