//! `askd keys`: makes, shows, changes and revokes keys of a running server, over its own HTTP routes: there is one way to do
//! it, and one audit of it.
//!
//! The secret of a key is printed once, alone on standard output, so that a script can take it; everything else that
//! people want to know goes to standard error then.

use std::io::{self, Write};

use clap::ArgMatches;
use hyper::Method;
use serde_json::{Value, json};

use crate::ambient::Ambient;
use crate::keys::manager::MOST;
use crate::settings::SettingsErrors;

mod args;
mod client;
mod server;
mod shown;
mod tls;
mod trouble;

pub use args::command;

use client::Client;

/// Keys in one page of the list.
const PAGE: u64 = 200;

/// Why it did not work, for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// What was typed cannot be.
    #[error("{0}")]
    Usage(String),
    /// The settings cannot be read.
    #[error("{0}\n(with --url and --key-file no settings are read)")]
    Settings(#[from] SettingsErrors),
    /// The server cannot be reached, or does not answer as an askd would.
    #[error("{url}: {why}")]
    Connection {
        /// Where it should be.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// The server refuses.
    #[error("the server answers {status}: {message}")]
    Refused {
        /// The status.
        status: u16,
        /// The message, with its hint.
        message: String,
    },
    /// The terminal, or a file.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Does what the command line says. `out` gets what a script wants, `terminal` what people want besides.
pub async fn run(
    matches: &ArgMatches,
    ambient: &Ambient,
    out: &mut impl Write,
    terminal: &mut impl Write,
) -> Result<(), KeysError> {
    let Some((act, matches)) = matches.subcommand() else {
        return Err(KeysError::Usage("no such command; see askd keys --help".to_owned()));
    };
    // What was typed is looked at before anybody is asked.
    let request = args::request(act, matches, ambient.now())?;
    let client = Client::new(server::of(matches)?);
    let as_json = matches.get_flag("json");
    if act == "list" {
        let keys = list(&client).await?;
        let written = if as_json { write_json(out, &json!({"data": keys})) } else { shown::table(&keys, out) };
        return Ok(unless_enough(written)?);
    }
    let answer = client.ask(&request).await?;
    shown::warnings(&answer, terminal)?;
    if act == "revoke" && !as_json {
        return Ok(unless_enough(shown::one(&answer, out).and_then(|()| shown::ended_runs(&answer, out)))?);
    }
    match (as_json, answer["key"].as_str()) {
        (true, _) => write_json(out, &answer)?,
        (false, Some(token)) => {
            shown::one(&answer, terminal)?;
            writeln!(terminal, "its secret is shown this once:")?;
            terminal.flush()?;
            writeln!(out, "{token}")?;
        }
        (false, None) => shown::one(&answer, out)?,
    }
    Ok(out.flush()?)
}

/// Whoever reads has seen enough (`askd keys list | head -1`). Not so for a secret: that one would be lost.
fn unless_enough(written: io::Result<()>) -> io::Result<()> {
    written.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}

fn write_json(out: &mut impl Write, value: &Value) -> io::Result<()> {
    writeln!(out, "{value:#}")?;
    out.flush()
}

/// All keys, page by page.
async fn list(client: &Client) -> Result<Vec<Value>, KeysError> {
    let mut keys = Vec::new();
    let mut path = format!("/v1/keys?limit={PAGE}");
    // A server has no more pages than this, whatever is on them; one that goes on for ever is none.
    for _ in 0..2 * MOST / PAGE {
        let mut page = client.ask(&args::Request { method: Method::GET, path, body: None }).await?;
        match page["data"].take() {
            Value::Array(mut some) => keys.append(&mut some),
            _ => return Err(client.odd("the list has no `data`")),
        }
        match page["next_page"]
            .as_str()
            .filter(|next| next.chars().all(|c| c.is_ascii_alphanumeric() || "-_.~".contains(c)))
        {
            Some(next) => path = format!("/v1/keys?limit={PAGE}&page={next}"),
            None => return Ok(keys),
        }
    }
    Err(client.odd("the list has no end"))
}
