//! Whether a server works with these settings now, and how it is.

use super::Check;
use crate::own_server::{OwnServer, Unreached};
use crate::settings::{Door, Settings};

const NAME: &str = "server";

/// What the server of these settings says of itself, or whether one could start.
pub(super) async fn server(settings: &Settings, is_at_work: bool) -> Check {
    let there = OwnServer::behind(&Door::of(settings));
    let url = there.url();
    let answered = if there.port() == 0 { None } else { Some(there.get("/readyz?verbose").await) };
    match (is_at_work, answered) {
        (true, None) => {
            Check::ok(NAME, "one works in ASKD_DATA_DIR; it has chosen its port itself, so it was not asked")
        }
        (false, None | Some(Err(Unreached::Nobody(_)))) => Check::ok(NAME, "none works in ASKD_DATA_DIR now"),
        (true, Some(Ok(answer))) if answer.status == 200 => {
            Check::ok(NAME, format!("one works in ASKD_DATA_DIR; {url} is ready"))
        }
        (is_at_work, Some(Ok(answer))) if is_of_askd(&answer.text) => {
            let failing: Vec<_> = answer.text.lines().filter_map(|line| line.strip_prefix("[-]")).collect();
            let message = match (is_at_work, failing.as_slice()) {
                (true, failing) => format!("{url} is not ready: {}", failing.join("; ")),
                (false, _) => format!("an askd that works in another ASKD_DATA_DIR answers at {url}"),
            };
            let hint = if is_at_work {
                "docs/health.md says what each check means"
            } else {
                "a second server needs another ASKD_LISTEN"
            };
            Check::warn(NAME, message, hint)
        }
        (true, Some(Err(error))) => {
            let message = format!("one works in ASKD_DATA_DIR, and {error}");
            Check::warn(NAME, message, "is it still starting, or does it have another ASKD_LISTEN? its log says so")
        }
        (_, Some(_)) => {
            let message = format!("something that is no askd answers at {url}: the server cannot listen there");
            Check::fail(NAME, message, "stop it, or choose another ASKD_LISTEN")
        }
    }
}

fn is_of_askd(text: &str) -> bool {
    text.lines().last().is_some_and(|line| line.starts_with("readyz check "))
}
