//! Whether a server works with these settings now, and how it is.

use super::Check;
use crate::own_server::{Answer, OwnServer, Unreached};
use crate::settings::{Door, Settings};

const NAME: &str = "server";

/// What the server of these settings says of itself, or whether one could start.
pub(super) async fn server(settings: &Settings, is_at_work: bool) -> Check {
    let there = OwnServer::behind(&Door::of(settings));
    let answered = if there.is_known() { Some(there.get("/readyz?verbose").await) } else { None };
    finding(&there.url(), is_at_work, answered)
}

/// `answered`: what is at `url`, if it was asked.
fn finding(url: &str, is_at_work: bool, answered: Option<Result<Answer, Unreached>>) -> Check {
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
        (false, Some(Err(error @ Unreached::Unconnected(..)))) => {
            let message = format!("none works in ASKD_DATA_DIR; whether something listens there is not known: {error}");
            Check::warn(NAME, message, "see whether ASKD_LISTEN is an address of this machine that it reaches itself")
        }
        (_, Some(answered)) => {
            let why = answered.err().map_or_else(String::new, |error| format!(" ({error})"));
            let message = format!("something that is no askd listens at {url}: the server cannot{why}");
            Check::fail(NAME, message, "stop it, or choose another ASKD_LISTEN")
        }
    }
}

fn is_of_askd(text: &str) -> bool {
    text.lines().last().is_some_and(|line| line.starts_with("readyz check "))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::super::Status;
    use super::*;

    #[test]
    fn only_what_has_the_address_keeps_a_server_from_it() {
        let at = || "[::1]:3000".to_owned();
        let said = |status, text: &str| Ok(Answer { status, text: text.to_owned() });
        let unconnected = || Unreached::Unconnected(at(), io::ErrorKind::AddrNotAvailable.into());
        let ready = || said(200, "[+]store ok\nreadyz check passed");
        let full = || said(503, "[-]disk failed: full\nreadyz check failed");
        for (is_at_work, answered, status, part) in [
            (true, None, Status::Ok, "has chosen its port itself"),
            (true, Some(ready()), Status::Ok, "is ready"),
            (true, Some(full()), Status::Warn, "is not ready: disk failed: full"),
            (true, Some(said(404, "hello")), Status::Fail, "no askd"),
            (true, Some(Err(Unreached::Nobody(at()))), Status::Warn, "nothing listens on [::1]:3000"),
            (true, Some(Err(unconnected())), Status::Warn, "cannot be connected to"),
            (false, None, Status::Ok, "none works"),
            (false, Some(Err(Unreached::Nobody(at()))), Status::Ok, "none works"),
            (false, Some(Err(unconnected())), Status::Warn, "is not known: [::1]:3000 cannot be connected to"),
            (false, Some(Err(Unreached::Late(at()))), Status::Fail, "no askd"),
            (false, Some(Err(Unreached::Odd(at(), String::new()))), Status::Fail, "no askd"),
            (false, Some(said(404, "hello")), Status::Fail, "no askd"),
            (false, Some(ready()), Status::Warn, "another ASKD_DATA_DIR"),
            (false, Some(full()), Status::Warn, "another ASKD_DATA_DIR"),
        ] {
            let case = format!("{is_at_work} {answered:?}");
            let found = finding("http://[::1]:3000", is_at_work, answered);
            assert!(found.status == status && found.message.contains(part), "{case}: {found:?}");
        }
    }
}
