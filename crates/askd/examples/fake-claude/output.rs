//! Standard output.

use std::io::{Stdout, Write, stdout};

use serde_json::Value;

/// Writes lines. When nobody reads any more, the process ends as the real one does.
pub(crate) struct Output {
    stdout: Stdout,
    end: &'static str,
}

impl Output {
    pub(crate) fn new() -> Self {
        Self { stdout: stdout(), end: "\n" }
    }

    pub(crate) fn end_lines_like_dos(&mut self) {
        self.end = "\r\n";
    }

    pub(crate) fn frame(&mut self, frame: &Value) {
        self.line(&frame.to_string());
    }

    pub(crate) fn line(&mut self, line: &str) {
        self.raw(format!("{line}{}", self.end).as_bytes());
    }

    /// A line, with a flush after each byte.
    pub(crate) fn line_in_pieces(&mut self, line: &str) {
        for byte in format!("{line}{}", self.end).bytes() {
            self.raw(&[byte]);
        }
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        let written = self.stdout.write_all(bytes).and_then(|()| self.stdout.flush());
        if written.is_err() {
            crate::play::kill_self();
        }
    }
}
