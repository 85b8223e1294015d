//! The reader of `scripts/bench`: fast enough not to be what is measured. It prints one JSON object.
//!
//! - `stream`: reads one answer to its end;
//! - `latency`: reads a run whose messages carry the moment they were written, beside a run that writes much;
//! - `followers`: reads the events of one run many times at once, and checks each reader's numbers.
//!
//! Options are pairs, such as `--address 127.0.0.1:3000 --key KEY`; each command's `Options` says which there are.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::str::FromStr;

mod followers;
mod http;
mod latency;
mod stream;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let mut options = Arguments::default();
    while let (Some(name), Some(value)) = (arguments.next(), arguments.next()) {
        options.0.insert(name.trim_start_matches("--").to_owned(), value);
    }
    let report = match command.as_str() {
        "stream" => stream::run(&options)?,
        "latency" => latency::run(&options)?,
        "followers" => followers::run(&options)?,
        _ => return Err(io::Error::other("say what to do: stream, latency or followers")),
    };
    writeln!(io::stdout(), "{report}")
}

/// What stands on the command line after the command.
#[derive(Default)]
struct Arguments(HashMap<String, String>);

impl Arguments {
    fn find(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn text(&self, name: &str) -> io::Result<&str> {
        self.find(name).ok_or_else(|| io::Error::other(format!("--{name} is missing")))
    }

    fn number<T: FromStr>(&self, name: &str) -> io::Result<T> {
        self.text(name)?.parse().map_err(|_| io::Error::other(format!("--{name} is no number")))
    }
}
