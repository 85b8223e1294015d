//! Ordinary text that is the same on every machine, and assistant messages made of it.

/// Words as they stand in texts about programs, the frequent ones first.
const WORDS: &str = "the of and to a in is that for it as with be this on are not by which from or an has at but have \
    one all if can when its will so no each was then there more other may only what they we new up out any time into \
    first two after some than about over use these line file server before run test where how value does while been \
    between same must number write read still name change without order such called state call error list part end \
    most result return because through both take make long own every work data message set being even start very \
    since case program type kind function reader small under point client fails system process answer until another \
    those given request command memory version output second single nothing folder open event wait step place field \
    text length close table store once least known never during later instead however rather already against few \
    across stream limit rule path key size large needs holds makes takes gives keeps comes goes says means reads \
    writes starts ends left right last next three enough string character buffer column option default module \
    branch commit review remember simple careful correct wrong missing empty whole half short whether although therefore \
    machine network socket thread queue lock clock moment signal child parent tree guard worker caller handler parser \
    encoder session history document paragraph sentence example chapter section heading comment reason question problem \
    mistake repair measure compare describe explain consider remove replace rename extend reduce collect deliver receive \
    accept refuse forget notice expect promise depend belong contain include follow arrive leave remain finish continue \
    interrupt recover restart usually sometimes always often perhaps almost nearly exactly roughly slowly quickly quietly \
    clearly twice together apart inside outside above below behind ahead almost seventeen forty thousand million percent";

/// Messages of one length, one after the other.
pub(crate) struct Messages {
    line: usize,
    text: Vec<u8>,
}

impl Messages {
    /// About `size` bytes of messages of `line` bytes each, with their newline.
    pub(crate) fn new(line: usize, size: usize) -> Self {
        let mut prose = Prose::new();
        let mut text = Vec::with_capacity(size + line);
        let mut number = 0;
        while text.len() < size {
            push_message(&mut text, number, line, &mut prose);
            number += 1;
        }
        // A message is never shorter than its frame.
        let line = text.len() / number;
        Self { line, text }
    }

    /// The length of each.
    pub(crate) fn line(&self) -> usize {
        self.line
    }

    /// All of them.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// One after the other.
    pub(crate) fn iter(&self) -> std::slice::Chunks<'_, u8> {
        self.text.chunks(self.line)
    }
}

fn push_message(text: &mut Vec<u8>, number: usize, line: usize, prose: &mut Prose) {
    let head = format!(
        r#"{{"type":"assistant","message":{{"id":"msg_{number:06}","type":"message","role":"assistant","model":"stub","content":[{{"type":"text","text":""#
    );
    let tail = format!(
        "\"}}],\"stop_reason\":null}},\"parent_tool_use_id\":null,\"session_id\":\"stub\",\"uuid\":\"{number:032x}\"}}\n"
    );
    text.extend_from_slice(head.as_bytes());
    let end = text.len() + line.saturating_sub(head.len() + tail.len());
    prose.fill(text, end);
    text.extend_from_slice(tail.as_bytes());
}

/// Sentences from a fixed sequence of numbers.
struct Prose {
    words: Vec<&'static str>,
    state: u64,
    /// Words that the current sentence still gets.
    left: u64,
}

impl Prose {
    fn new() -> Self {
        Self { words: WORDS.split_whitespace().collect(), state: 0x9E37_79B9_7F4A_7C15, left: 0 }
    }

    /// Appends text until `out` has `end` bytes.
    fn fill(&mut self, out: &mut Vec<u8>, end: usize) {
        while out.len() < end {
            let word = self.word().as_bytes();
            if self.left == 0 {
                self.left = 5 + self.below(14);
                out.push(word[0].to_ascii_uppercase());
                out.extend_from_slice(&word[1..]);
            } else {
                out.extend_from_slice(word);
            }
            self.left -= 1;
            let comma = self.below(12) == 0;
            match self.left {
                0 => out.extend_from_slice(b". "),
                _ if comma => out.extend_from_slice(b", "),
                _ => out.push(b' '),
            }
        }
        out.truncate(end);
    }

    /// Frequent words come more often, as in a language.
    fn word(&mut self) -> &'static str {
        let count = self.words.len() as u64;
        let place = self.below(count).min(self.below(count)).min(self.below(count));
        self.words[usize::try_from(place).unwrap_or_default()]
    }

    /// A number below `bound`, from xorshift64*.
    fn below(&mut self, bound: u64) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}
