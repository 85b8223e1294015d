//! From what a client asks for to what the CLI is given: looks at this server's folders, agents, sessions and settings.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use claude::command::Session;
use claude::profile::Profile;
use claude::version::capabilities::{Capabilities, Feature};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use uuid::Uuid;

use super::RunSpec;
use super::policy::{Agreed, agree};
use super::request::RunRequest;
use super::schema::{AnswerSchema, SchemaError};
use super::secrets::RunSecrets;
use super::shared::Shared;
use super::submit::Runs;
use crate::aside::{Gate, Unfinished};
use crate::config::dir::AgentError;
use crate::keys::Key;
use crate::settings::Settings;
use crate::workspaces::Place;

mod doubts;
mod features;
mod reach;

use reach::{Found, Wanted};

/// For looks at the server's folders; a local disk answers in no time.
static LOOKS: Gate = Gate::new(32, Duration::from_secs(10), 1 << 20);

/// Why a request cannot be run on this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The field at fault, as it is called in [`RunRequest`].
    pub field: &'static str,
    /// The way from there to the part that is wrong, e.g. `.reviewer.model` or `[1].path`; empty: all of it.
    pub part: String,
    /// Of which kind.
    pub why: Why,
    /// What is wrong with it, for people; without the field's name and the way.
    pub message: String,
}

/// The kinds of [`Refusal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The value is not allowed.
    Value,
    /// The policy of the key does not allow it.
    Policy,
    /// The folder cannot be used.
    Folder,
    /// There is no such agent.
    NoAgent,
    /// There is no such session.
    NoSession,
    /// There is, and it belongs to another key; told as if there were none.
    OthersSession(Uuid),
    /// It cannot be found out now.
    Busy,
    /// The store does not say now.
    Store,
    /// It cannot be found out.
    Server,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}: {}", self.field, self.part, self.message)
    }
}

pub(super) fn refuse(field: &'static str, why: Why, message: impl Into<String>) -> Refusal {
    Refusal { field, part: String::new(), why, message: message.into() }
}

impl Refusal {
    /// The same, of a part of the field.
    #[must_use]
    pub(super) fn at(self, part: impl Into<String>) -> Self {
        Self { part: part.into(), ..self }
    }
}

impl Runs {
    /// Checks the request against what this server has and allows to its key. `session` is the id of a session that it
    /// starts.
    pub(super) async fn resolve(
        &self,
        key: &Arc<Key>,
        request: &RunRequest,
        secrets: &RunSecrets,
        session: Uuid,
    ) -> Result<RunSpec, Refusal> {
        let shared = self.shared();
        let settings = &*shared.settings.now();
        let Agreed { terms, profile, permission_mode, model } = agree(&key.policy, request, secrets, settings)?;
        features::check(&key.policy, request, profile, &terms, shared.cli.version)?;
        let deadlines = deadlines(request, settings)?;
        let wanted = Wanted::of(request, &key.policy);
        let found = look("cwd", "WORKSPACE_DIR", shared, move |shared| {
            wanted.find(&shared.workspaces, shared.settings.now().isolation.write_root, shared.isolation.layer())
        });
        let Found { ground, named } = found.await??;
        let agent = match request.agent.clone() {
            // It comes with the request.
            Some(name) if request.agents.contains_key(&name) => {
                Some(inline_agent(name, profile, ground.folder.clone(), shared).await?)
            }
            Some(name) => Some(agent(name, ground.folder.clone(), shared).await?),
            None => None,
        };
        let session = match request.resume {
            Some(from) if request.fork_session => {
                Session::Fork { from: self.own_session(key, from).await?, id: session }
            }
            Some(id) => Session::Resume(self.own_session(key, id).await?),
            None => Session::New(session),
        };
        Ok(RunSpec {
            key: Arc::clone(key),
            prompt: request.prompt.clone(),
            content: request.content.clone(),
            ground,
            additional_directories: named,
            session,
            terms,
            permission_mode,
            allowed_tools: request.allowed_tools.clone(),
            agent,
            model,
            fallback_models: request.fallback_models.clone(),
            effort: request.effort,
            profile,
            agents: request.agents.clone(),
            secrets: secrets.clone(),
            max_turns: request.max_turns,
            system_prompt: request.system_prompt.clone(),
            append_system_prompt: request.append_system_prompt.clone(),
            schema: schema(request).await?,
            expand: request.expand,
            deltas: request.deltas,
            timeout: deadlines.timeout,
            idle_timeout: deadlines.idle,
            queue_timeout: deadlines.queue,
            budget: request.max_budget_usd.or(key.policy.max_usd_per_run),
            reserved: None,
            doubts: doubts::of(request),
        })
    }

    /// A session that the key may continue. One of another key is one that there is not; one that no run of askd has begun
    /// (those of `CONFIG_DIR/projects`) is nobody's, and for those who may see everything.
    async fn own_session(&self, key: &Key, session: Uuid) -> Result<Uuid, Refusal> {
        if !key.sees_all() {
            let row = self.shared().store.session(&session.to_string()).await.map_err(|error| {
                tracing::warn!(%session, %error, "cannot look whose session it is");
                refuse("resume", Why::Store, "the store does not say now whose session it is; try again later")
            })?;
            match row {
                Some(row) if key.sees(&row.key_id) => {}
                Some(_) => return Err(Refusal { why: Why::OthersSession(session), ..no_session(session) }),
                None => return Err(no_session(session)),
            }
        }
        self.known_session(session).await
    }

    pub(super) async fn known_session(&self, session: Uuid) -> Result<Uuid, Refusal> {
        let known = self.has_session_in_use(session)
            || look("resume", "ASKD_DATA_DIR or CONFIG_DIR", self.shared(), move |shared| {
                shared.sessions.exists(session)
            })
            .await?;
        if known { Ok(session) } else { Err(no_session(session)) }
    }
}

fn no_session(session: Uuid) -> Refusal {
    refuse("resume", Why::NoSession, format!("there is no session {session}"))
}

/// How long a run may take, be silent, and wait for its turn.
struct Deadlines {
    timeout: Duration,
    idle: Duration,
    /// `None`: as the server's settings say.
    queue: Option<Duration>,
}

fn deadlines(request: &RunRequest, settings: &Settings) -> Result<Deadlines, Refusal> {
    let (of_server, limits) = (&settings.deadlines, &settings.limits);
    let within = |field: &'static str, asked: Option<u64>, most: Duration, setting: &str| {
        let asked = asked.map(Duration::from_secs);
        match asked.filter(|asked| *asked > most) {
            Some(_) => Err(refuse(field, Why::Value, format!("must be at most {} ({setting})", most.as_secs()))),
            None => Ok(asked),
        }
    };
    let most = of_server.max_run_time;
    let timeout = within("timeout_seconds", request.timeout_seconds, most, "ASKD_MAX_RUN_TIME")?;
    let idle = within("idle_timeout_seconds", request.idle_timeout_seconds, most, "ASKD_MAX_RUN_TIME")?;
    let most = limits.run_queue_timeout;
    let queue = within("queue_timeout_seconds", request.queue_timeout_seconds, most, "ASKD_RUN_QUEUE_TIMEOUT")?;
    Ok(Deadlines { timeout: timeout.unwrap_or(of_server.process_timeout), idle: idle.unwrap_or(of_server.idle), queue })
}

async fn schema(request: &RunRequest) -> Result<Option<AnswerSchema>, Refusal> {
    let Some(schema) = request.output_schema.clone() else { return Ok(None) };
    let refused = |error: SchemaError| {
        let why = if error == SchemaError::Busy { Why::Busy } else { Why::Value };
        refuse("output_schema", why, error.to_string())
    };
    let schema = AnswerSchema::new(schema).map_err(|error| refused(SchemaError::Schema(error)))?;
    schema.compile().await.map_err(refused)?;
    Ok(Some(schema))
}

async fn agent(name: String, cwd: Place, shared: &Arc<Shared>) -> Result<String, Refusal> {
    let looked = look("agent", "CONFIG_DIR", shared, move |shared| {
        shared.config.dir().agent(&name).map_err(|error| {
            let is_elsewhere = matches!(error, AgentError::NotFound(_)) && has_agent(shared, &cwd, &name);
            (error, is_elsewhere)
        })
    });
    looked.await?.map_err(|(error, is_elsewhere)| {
        let why = if matches!(error, AgentError::Name) { Why::Value } else { Why::NoAgent };
        let hint = if is_elsewhere { "; the workspace has one, but only those of CONFIG_DIR can be named" } else { "" };
        refuse("agent", why, format!("{error}{hint}"))
    })
}

/// The agent of a request, if it is the one that the CLI would take.
async fn inline_agent(name: String, profile: Profile, cwd: Place, shared: &Arc<Shared>) -> Result<String, Refusal> {
    let version = shared.cli.version;
    // Only by default are there others.
    let lacking = Capabilities::of(version).lacks(Feature::InlineAgentAnswers).filter(|_| profile == Profile::Default);
    let Some(since) = lacking else { return Ok(name) };
    let asked = name.clone();
    let is_twice = look("agent", "CONFIG_DIR", shared, move |shared| {
        shared.config.dir().has_agent_called(&asked) || has_agent(shared, &cwd, &asked)
    });
    if !is_twice.await? {
        return Ok(name);
    }
    let message = format!(
        "names one of the request, and the configuration has an agent of that name, which this CLI would take; to take that of          the request it {}; give it another name",
        features::too_old(since, version)
    );
    Err(refuse("agent", Why::Value, message))
}

/// Whether the run's folder has an agent of this name, which the CLI would list only to the model. `name` is a file's.
fn has_agent(shared: &Shared, cwd: &Place, name: &str) -> bool {
    let Ok(folder) = shared.workspaces.reopen(cwd) else { return false };
    let path = format!(".claude/agents/{name}.md");
    // An agent may have made links there; what they lead to is nothing that a caller may ask for.
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::openat2(folder.descriptor(), path, flags, Mode::empty(), resolve).is_ok()
}

/// Looks at the server's folders for one field. A mount that does not answer must not hold up the server.
async fn look<T: Send + 'static>(
    field: &'static str,
    folder: &str,
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> T + Send + 'static,
) -> Result<T, Refusal> {
    let shared = Arc::clone(shared);
    LOOKS.run(move || work(&shared)).await.map_err(|unfinished| {
        tracing::error!(field, folder, ?unfinished, "cannot look at a folder; if it is a mount, does it answer?");
        let message = match unfinished {
            Unfinished::Failed => format!("looking at {folder} failed"),
            Unfinished::Busy | Unfinished::Late => format!("{folder} did not answer within {:?}", LOOKS.patience()),
        };
        refuse(field, Why::Server, message)
    })
}
