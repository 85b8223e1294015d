//! A scripted Messages API on loopback, for tests, the demo and benchmarks.
//!
//! Start the real CLI with `ANTHROPIC_BASE_URL` set to [`ScriptedModel::base_url`]; its prompt then
//! says, in *directives*, what the model answers:
//!
//! ```text
//! Look around. [[text:I look.]] [[tool:Bash {"command":"ls"}]] [[then]] [[text:Nothing here.]]
//! ```
//!
//! # Directives
//!
//! | Directive | The model |
//! |---|---|
//! | `[[text:…]]` | writes text, one delta per word; neighbouring texts form one block |
//! | `[[deltas:count=200,bytes=40,pace_ms=5]]` | writes numbered deltas of this size and distance; defaults 10, 16, 0 |
//! | `[[large:bytes=5000000,chunk=65536]]` | writes that much filler in deltas of `chunk` bytes (65536) |
//! | `[[think:…]]` | writes a thinking block |
//! | `[[tool:Bash {"command":"ls"}]]` | calls a tool; several in one part are parallel calls; the input defaults to `{}` |
//! | `[[then]]` | ends this part; the next request of the conversation plays the next one |
//! | `[[delay_ms:500]]` | waits before the first byte |
//! | `[[pause_ms:300]]` | waits here |
//! | `[[cut]]` | drops the connection here |
//! | `[[short]]` | ends the stream here in order, after its last block, but without the end that it should have |
//! | `[[hang]]` | sends nothing more until the client leaves |
//! | `[[error:429,retry_after=2]]` | answers with an error; also `type=…`, `message="…"` |
//! | `[[stop:max_tokens]]` | ends with this stop reason (else `tool_use` or `end_turn`) |
//! | `[[usage:input=10,output=20]]` | reports these tokens; also `cache_read=…`, `cache_write=…`, `web_searches=…` |
//!
//! * Text is raw up to `]]`, or a JSON string: `[[text:"any ]] text"]]`. A tool's input ends where
//!   its JSON ends, so it may hold a subagent's prompt with directives of its own. [`prompt`]
//!   does the quoting.
//! * `error`, `cut`, `short` and `hang` take `times=N`: they strike N times for a prompt in a session, then
//!   are skipped. `[[error:529,times=2]][[text:ok]]` is an overload that passes.
//! * A fault that comes first replaces the answer (an error is then an HTTP status); after content,
//!   an error is an `error` event in the stream.
//! * Prose between directives is ignored. An unknown `[[word:` and a directive that cannot be read
//!   are answered with a 400 that names it; `[[word]]` without a colon is left alone.
//!
//! # Which part plays
//!
//! The newest text block of a user message that holds a directive is the script; the assistant
//! messages after it count the turns. Tool results and `<system-reminder>` blocks are not read.
//! When the parts are used up, the answer is `done`; without any script it repeats the beginning of
//! the prompt. A request that dictates its form (a forced tool, a JSON schema) gets a small answer
//! of that form, and so does one without a script that offers the CLI's tool `StructuredOutput`.
//!
//! # What arrived
//!
//! Every request is recorded: [`ScriptedModel::recorded`], or `GET /__requests` (`?last=N`) and
//! `DELETE /__requests` for other processes. What the answers that were given in full have reported is summed up by model:
//! [`ScriptedModel::bill`], or `GET /__bill`.

mod answer;
mod args;
mod bill;
mod conversation;
mod faults;
mod model;
mod parse;
mod play;
pub mod prompt;
mod record;
mod recorder;
mod reply;
mod sample;
mod script;
mod server;
mod wire;

pub use bill::Bill;
pub use model::{ScriptedModel, Settings};
pub use record::{Ending, RecordedRequest};
