//! Parameters of requests, for the OpenAPI file. Their bounds are in [`super::facts`].
#![expect(dead_code, reason = "they describe what is sent, and are never made")]

use serde::Deserialize;
use utoipa::IntoParams;

/// A part of a list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct Paging {
    /// How many at most.
    limit: Option<u64>,
    /// `next_page` of the answer before.
    page: Option<String>,
}

/// A part of a list, as the Node server had it.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct Offset {
    /// How many at most.
    limit: Option<u64>,
    /// How many are passed over.
    offset: Option<u64>,
}

/// Which runs. Besides, `metadata.NAME=VALUE` asks for those with this note.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct RunFilter {
    /// States, with commas between them.
    state: Option<String>,
    /// Those of this session.
    session_id: Option<String>,
    /// Those of this key.
    key: Option<String>,
    /// Those in this workspace.
    workspace: Option<String>,
    /// Those submitted after this time.
    #[param(format = DateTime)]
    created_after: Option<String>,
    /// Those submitted before this time.
    #[param(format = DateTime)]
    created_before: Option<String>,
}

/// How a new run is answered.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct RunManner {
    /// How many seconds the answer waits for the end of the run.
    wait: Option<u64>,
    /// Whether partial messages are sent; needs a stream.
    deltas: Option<bool>,
    /// Whether the status says what became of the run; needs `wait`.
    fail_http: Option<bool>,
}

/// The same in a header.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Header)]
pub(in crate::api) struct Prefer {
    /// `wait=SECONDS`, as the parameter of that name.
    #[serde(rename = "Prefer")]
    prefer: Option<String>,
}

/// Which events.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct EventFilter {
    /// Those behind this number.
    after: Option<u64>,
    /// Another name of `after`.
    page: Option<u64>,
    /// How many at most, of a page.
    limit: Option<u64>,
    /// Types, with commas between them; `run.*` is all that begin so.
    types: Option<String>,
    /// Whether partial messages are sent; needs a stream, and a run that was asked for them.
    deltas: Option<bool>,
}

/// Where a stream goes on.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Header)]
pub(in crate::api) struct LastEventId {
    /// The number of the last event that the client has.
    #[serde(rename = "Last-Event-ID")]
    last_event_id: Option<u64>,
}

/// A request that is sent twice is done once.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Header)]
pub(in crate::api) struct IdempotencyKey {
    /// A name for this request, for 24 hours. The same again gets the answer of the first; another request with it is refused.
    #[serde(rename = "Idempotency-Key")]
    idempotency_key: Option<String>,
}

/// What becomes of a run of `/ask` whose client leaves.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Header)]
pub(in crate::api) struct OnDisconnect {
    /// What becomes of the run when its client leaves.
    #[serde(rename = "x-askd-on-disconnect")]
    on_disconnect: Option<String>,
}

/// A condition of a change.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Header)]
pub(in crate::api) struct ChangeCondition {
    /// Only if what is there has one of these tags, or `*`: only if there is something.
    #[serde(rename = "If-Match")]
    if_match: Option<String>,
    /// `*`: only if there is nothing.
    #[serde(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

/// A condition of a change of what is there.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Header)]
pub(in crate::api) struct IfMatch {
    /// Only if what is there has one of these tags, or `*`: only if there is something.
    #[serde(rename = "If-Match")]
    if_match: Option<String>,
}

/// A condition of an answer.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Header)]
pub(in crate::api) struct IfNoneMatch {
    /// Tags of what the client has; 304 if one of them is right.
    #[serde(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

/// Whose configuration.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct Workspace {
    /// That of this workspace; without it, that of all runs.
    workspace: Option<String>,
}

/// How much is shown of a skill.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct Contents {
    /// Whether a skill's files are shown with what is in them.
    contents: Option<bool>,
}

/// Whether a skill's file is a program.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Header)]
pub(in crate::api) struct Executable {
    /// Whether it may be started as a program; without it, that stays as it is.
    #[serde(rename = "x-askd-executable")]
    executable: Option<bool>,
}

/// Which changes of the configuration.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct HistoryFilter {
    /// Whether those of every workspace are shown, and not of one.
    all: Option<bool>,
    /// Those of this kind of document.
    kind: Option<String>,
    /// Those of the document of this name; needs `kind`.
    name: Option<String>,
}

/// What a change is compared with.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct CompareWith {
    /// Another change of the same document, or `current`; without it, what was there before.
    to: Option<String>,
}

/// How the configuration is packed.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct ArchiveFormat {
    /// The form of the archive.
    format: Option<String>,
}

/// How an archive is taken.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct ImportManner {
    /// `replace` removes what is not in the archive.
    mode: Option<String>,
    /// Whether it is only tried.
    dry_run: Option<bool>,
}

/// What an upload is called.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct UploadName {
    /// Its name.
    name: Option<String>,
}

/// What is summed up.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct UsageFilter {
    /// What there is a row of.
    group_by: Option<String>,
    /// Of this key.
    key: Option<String>,
    /// In this workspace; empty: in none.
    workspace: Option<String>,
    /// By this model; empty: what belongs to none.
    model: Option<String>,
    /// Of this session.
    #[param(format = "uuid")]
    session_id: Option<String>,
    /// From this day on (UTC).
    #[param(format = Date)]
    from: Option<String>,
    /// To this day (UTC).
    #[param(format = Date)]
    to: Option<String>,
}

/// Which entries of the audit.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct AuditFilter {
    /// Of this key.
    key: Option<String>,
    /// Of this action.
    action: Option<String>,
    /// About this.
    subject: Option<String>,
    /// With this outcome.
    outcome: Option<String>,
    /// After this time.
    #[param(format = DateTime)]
    created_after: Option<String>,
    /// Before this time.
    #[param(format = DateTime)]
    created_before: Option<String>,
}

/// Whether the checks are shown.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct Verbose {
    /// Whether the checks are shown also when all is well.
    verbose: Option<bool>,
}
