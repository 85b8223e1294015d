//! Bodies of answers that handlers put together by hand, for the OpenAPI file. The suite validates every answer against
//! them. Those that are serialised from a type have their schema there.
#![expect(dead_code, reason = "they describe what is sent, and are never made")]
#![expect(clippy::struct_field_names, reason = "the names of fields are those of the interface")]

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::config::problem::Problem;
use crate::encode::run::Run;
use crate::encode::usage::ShownUse;
use crate::keys::Policy;

pub(in crate::api) mod config;
pub(in crate::api) mod legacy;

/// A part of a list.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Page<T> {
    /// What there is.
    data: Vec<T>,
    /// Where the next part begins; `null` if this is the last one.
    #[schema(required)]
    next_page: Option<String>,
}

/// An error below `/v1`.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Error {
    /// What this is.
    r#type: String,
    /// The error.
    error: ErrorBody,
    /// The request's id, as in the header.
    request_id: String,
    /// The run, where `fail_http` asked for its outcome as a status.
    #[schema(nullable = false)]
    run: Option<Run<'static>>,
}

/// What is wrong.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct ErrorBody {
    /// For programs.
    r#type: String,
    /// For people.
    message: String,
    /// The field, parameter or header at fault.
    #[schema(nullable = false)]
    param: Option<String>,
    /// What to do.
    #[schema(nullable = false)]
    hint: Option<String>,
    /// What is wrong with a document, and where.
    #[schema(nullable = false)]
    problems: Option<Vec<Problem>>,
}

/// An event of a run.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Event {
    /// Its number, from 1 without gaps. A partial message has none.
    #[schema(nullable = false)]
    seq: Option<u64>,
    /// The run.
    run_id: String,
    /// `run.…` is askd's own; `agent.…` has the CLI's message as it is, and new ones may come with any version of it.
    r#type: String,
    /// When it happened. A partial message has none.
    #[schema(nullable = false, format = DateTime)]
    time: Option<String>,
    /// What happened.
    data: BTreeMap<String, Value>,
}

/// A page of events.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct EventPage {
    /// The events.
    data: Vec<Event>,
    /// The number of the last event that was looked at; `null` if there are no more now.
    #[schema(required)]
    next_page: Option<String>,
    /// The number of the run's last event.
    last_seq: u64,
}

/// A token for the events of one run.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct StreamToken {
    /// What this is.
    r#type: String,
    /// The token.
    token: String,
    /// Until when it counts.
    #[schema(format = DateTime)]
    expires_at: String,
    /// The events with the token, for an `EventSource`.
    url: String,
}

/// The current turn ends.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Interrupt {
    /// What this is.
    r#type: String,
    /// The run.
    run_id: String,
}

/// A message that was taken.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Input {
    /// What this is.
    r#type: String,
    /// Its id, which the CLI repeats.
    #[schema(format = "uuid")]
    id: String,
    /// The run.
    run_id: String,
    /// When it is looked at.
    priority: String,
}

/// Pictures and documents for `content` of runs.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Upload {
    /// What this is.
    r#type: String,
    /// Its id.
    id: String,
    /// Whose it is.
    key: String,
    /// Its type.
    media_type: String,
    /// What it is called.
    #[schema(required)]
    name: Option<String>,
    /// In bytes.
    size: u64,
    /// The SHA-256 of its bytes.
    sha256: String,
    /// When it came.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it goes.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// An API key, without its secret. Of one that a newer server has written only a part is known: `readable` is `false`.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Key {
    /// What this is.
    r#type: String,
    /// Its id.
    id: String,
    /// What it is called, for people.
    name: String,
    /// Absent: it is.
    #[schema(nullable = false)]
    readable: Option<bool>,
    /// Whether it counts now.
    valid: bool,
    /// What it may do.
    #[schema(nullable = false)]
    scopes: Option<Vec<String>>,
    /// What its runs are held to.
    #[schema(nullable = false)]
    policy: Option<Policy>,
    /// When it was made; `null` for the one of the settings.
    #[schema(required, format = DateTime)]
    created_at: Option<String>,
    /// Who has made it.
    #[schema(nullable = false)]
    created_by: Option<String>,
    /// When it ends.
    #[schema(required, format = DateTime)]
    expires_at: Option<String>,
    /// When it was revoked.
    #[schema(required, format = DateTime)]
    revoked_at: Option<String>,
    /// Until when the secret before a rotation counts.
    #[schema(format = DateTime)]
    previous_secret_expires_at: Option<String>,
    /// When it was last used.
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    /// From where.
    last_used_address: Option<String>,
    /// The secret: in the answer that makes it, and in no other.
    #[schema(nullable = false)]
    key: Option<String>,
    /// What may be a mistake in its policy, in the answer to a change.
    #[schema(nullable = false)]
    warnings: Option<Vec<String>>,
    /// What is left of what it may spend today, in the answer to `GET /v1/keys/self`; `null` if nothing bounds it.
    budget: Option<Budget>,
    /// Runs that ended with it, in the answer to its revocation.
    #[schema(nullable = false)]
    runs_ended: Option<u64>,
    /// Its runs on other servers, which end there.
    #[schema(nullable = false)]
    runs_elsewhere: Option<u64>,
}

/// What is left of what a key may spend today (UTC), by the CLI's estimates.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Budget {
    /// The most of a day.
    limit_usd: f64,
    /// What was spent.
    spent_usd: f64,
    /// What is set aside for runs.
    reserved_usd: f64,
    /// What is left.
    left_usd: f64,
    /// When the day ends.
    #[schema(format = DateTime)]
    resets_at: String,
}

/// What runs have used.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Usage {
    /// What this is.
    r#type: String,
    /// What there is a row of.
    group_by: String,
    /// The first day (UTC).
    #[schema(format = Date)]
    from: String,
    /// The last day.
    #[schema(format = Date)]
    to: String,
    /// Always: these are the CLI's figures, and no bill.
    estimate: bool,
    /// The rows.
    data: Vec<UsageRow>,
    /// Where the next part begins; `null` if this is the last one.
    #[schema(required)]
    next_page: Option<String>,
    /// What is left of the key's budget; `null` if nothing bounds it, or no key was asked for.
    #[schema(required)]
    budget: Option<Budget>,
}

/// A row of the usage. It has the field that `group_by` names.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct UsageRow {
    #[serde(flatten)]
    sum: ShownUse,
    /// How many runs.
    runs: u64,
    /// The day (UTC).
    #[schema(format = Date)]
    day: Option<String>,
    /// The key.
    #[schema(nullable = false)]
    key: Option<String>,
    /// The workspace; `null`: none.
    workspace: Option<String>,
    /// The model; `null`: what belongs to none.
    model: Option<String>,
    /// The session.
    #[schema(nullable = false, format = "uuid")]
    session_id: Option<String>,
}

/// Something that was done, or refused.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct AuditEntry {
    /// What this is.
    r#type: String,
    /// Its id.
    id: String,
    /// When.
    #[schema(format = DateTime)]
    created_at: String,
    /// By which key; `null`: none was shown, or a wrong one.
    #[schema(required)]
    key: Option<String>,
    /// From where.
    #[schema(required)]
    address: Option<String>,
    /// In which request.
    #[schema(required)]
    request_id: Option<String>,
    /// What.
    action: String,
    /// To what.
    #[schema(required)]
    subject: Option<String>,
    /// Whether it was done.
    outcome: String,
    /// What else is known.
    detail: Value,
}

/// Which server this is, and what a request may ask for.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Info {
    /// What this is.
    r#type: String,
    /// Its version.
    version: String,
    /// Its CLI.
    cli: CliInfo,
    /// Models that a request may name.
    models: Choices,
    /// Permission modes that a request may name.
    permission_modes: Choices,
    /// Profiles that a request may name.
    profiles: Vec<String>,
    /// Efforts that a request may name.
    efforts: Vec<String>,
    /// Priorities that a request may name.
    priorities: Vec<String>,
    /// What confines runs.
    isolation: IsolationInfo,
    /// What it can do besides.
    features: BTreeMap<String, bool>,
    /// Bounds of requests: sizes in bytes, durations in seconds, texts in characters.
    limits: BTreeMap<String, Value>,
}

/// The CLI.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct CliInfo {
    /// Its version.
    version: String,
    /// How that compares with the one that askd was tested with.
    status: String,
    /// The one that askd was tested with.
    tested: String,
    /// The oldest that works.
    minimum: String,
    /// What it can do.
    capabilities: BTreeMap<String, bool>,
}

/// Words of which one may be chosen.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Choices {
    /// All of them.
    allowed: Vec<String>,
    /// The one of a request that names none.
    #[schema(required)]
    default: Option<String>,
}

/// What confines runs, in a word.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct IsolationInfo {
    /// The layer.
    layer: String,
}

/// All is well.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Status {
    /// In a word.
    status: String,
}

/// Whether a run that is submitted now would be done.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Readiness {
    /// In a word.
    status: String,
    /// Each check by its name, if it was asked for or something is wrong.
    #[schema(nullable = false)]
    checks: Option<BTreeMap<String, Check>>,
}

/// One check.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Check {
    /// Whether it is well.
    ok: bool,
    /// `false`: a run would be done all the same.
    #[schema(nullable = false)]
    required: Option<bool>,
    /// What is wrong, or not known.
    #[schema(nullable = false)]
    message: Option<String>,
}

/// One block of a stream of events. Comments are signs of life.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct EventBlock {
    /// The number of the event, for `Last-Event-ID`. A partial message and `error` have none.
    #[schema(nullable = false)]
    id: Option<String>,
    /// The type of the event; `error`: what ends the stream before the run has ended, with an error as `data`.
    #[schema(nullable = false)]
    event: Option<String>,
    /// JSON.
    #[schema(nullable = false)]
    data: Option<String>,
    /// After how many milliseconds a client is to come back; once at the beginning.
    #[schema(nullable = false)]
    retry: Option<u64>,
}
