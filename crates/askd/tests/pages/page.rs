//! The documents, and the fenced blocks in them.

use std::fs;
use std::path::{Path, PathBuf};

/// What stands between two fences.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) page: String,
    /// The line of the opening fence, from 1.
    pub(crate) line: usize,
    /// Its first word, e.g. `sh`; empty if there is none.
    pub(crate) language: String,
    /// The words after it, e.g. `terminal=1`.
    pub(crate) marks: Vec<String>,
    pub(crate) text: String,
    /// Whether it begins right after the end of another block: then it is what that one says.
    pub(crate) follows: bool,
    /// Where it begins in the page, in bytes.
    pub(crate) at: usize,
}

impl Block {
    /// The value of a mark `name=value`.
    pub(crate) fn mark(&self, name: &str) -> Option<&str> {
        self.marks.iter().find_map(|mark| mark.strip_prefix(name)?.strip_prefix('='))
    }

    /// Where a reader finds it.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

pub(crate) fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("cannot read {page}: {error}"))
}

/// The blocks of a page, from top to bottom.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let text = read(page);
    let (mut blocks, mut open): (Vec<Block>, Option<Block>) = (Vec::new(), None);
    let (mut at, mut closed) = (0, 0);
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        match (line.strip_prefix("```"), open.take()) {
            (Some(info), None) => {
                let mut words = info.split_whitespace().map(str::to_owned);
                let language = words.next().unwrap_or_default();
                let (marks, follows) = (words.collect(), number > 1 && closed + 1 == number);
                open = Some(Block {
                    page: page.to_owned(),
                    line: number,
                    language,
                    marks,
                    text: String::new(),
                    follows,
                    at,
                });
            }
            (Some(_), Some(block)) => {
                closed = number;
                blocks.push(block);
            }
            (None, Some(mut block)) => {
                block.text.push_str(line);
                open = Some(block);
            }
            (None, None) => {}
        }
        at += line.len();
    }
    assert!(open.is_none(), "{page}: a block is not closed");
    blocks
}
