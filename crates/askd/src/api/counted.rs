//! What metrics tell of requests for runs that were refused. Those that were taken in are counted where they are stored.

use crate::app::App;
use crate::runs::queue::QueueFull;
use crate::runs::resolve::{Refusal, Why};
use crate::runs::submit::SubmitError;
use crate::runs::uploads::ContentError;

/// Counts why a run was not taken in.
pub(super) fn refused(app: &App, route: &'static str, error: &SubmitError) {
    app.runs().shared().metrics.runs_refused.of([route, word(error)]).inc();
}

fn word(error: &SubmitError) -> &'static str {
    match error {
        SubmitError::Refused(Refusal { why, .. }) => match why {
            Why::Value | Why::Policy | Why::Folder | Why::NoAgent | Why::NoSession | Why::OthersSession(_) => {
                "not_allowed"
            }
            Why::Busy => "busy",
            Why::Store => "store",
            Why::Server => "mistake",
        },
        SubmitError::Content(ContentError::NoUpload { .. }) => "no_upload",
        SubmitError::Content(_) => "content",
        SubmitError::QueueFull(QueueFull::Server { .. }) => "queue_full",
        SubmitError::QueueFull(QueueFull::Key { .. }) => "queue_full_of_key",
        SubmitError::Budget(_) => "budget",
        SubmitError::ShuttingDown => "shutting_down",
        SubmitError::DiskLow(_) => "disk",
        SubmitError::KeyReused => "key_reused",
        SubmitError::Store(_) => "store",
        SubmitError::Mistake => "mistake",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_servers_own_fault_is_no_fault_of_the_request() {
        for (why, told) in [
            (Why::Value, "not_allowed"),
            (Why::Policy, "not_allowed"),
            (Why::Busy, "busy"),
            (Why::Store, "store"),
            (Why::Server, "mistake"),
        ] {
            let refusal = Refusal { field: "cwd", part: String::new(), why, message: String::new() };
            assert_eq!(word(&SubmitError::Refused(refusal)), told, "{why:?}");
        }
    }
}
