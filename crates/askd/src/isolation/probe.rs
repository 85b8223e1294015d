//! Tries a layer: starts askd's own executable in it, exactly as a run would be started, and looks what it can do.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret as _;
use supervisor::cgroup::RunCgroup;
use supervisor::confinement::{Access, Bubblewrap, Confinement, Resources, View};
use supervisor::identity::ProcessId;
use supervisor::input::Stdin;
use supervisor::ladder::Rung;
use supervisor::lines::Line;
use supervisor::output::Lines;
use supervisor::spawn::{Child, Launch, Limits, spawn};
use tokio::time::timeout;

use super::attempts::{Findings, Hidden, Outsider, SUBCOMMAND, Targets, namespaces, own};
use super::judge::{Given, Verdict, judge};
use super::place::{Place, WORKSPACE, WRITE_ROOT};
use super::protection::Protection;
use super::report::LayerReport;
use super::view::{HostView, Reach, RunView};
use super::{Layer, confine};
use crate::marker::MarkerPrefix;
use crate::programs::open_folder;
use crate::settings::Settings;
use crate::workspaces::Workspaces;

/// How long each attempt may take. A start waits for it, so there is an end to them.
const PATIENCE: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(10), Duration::from_secs(15)];

/// How long the start and the end of a probe's processes may take besides.
const ENDING: Duration = Duration::from_secs(3);

/// Findings are much shorter.
const MAX_FINDINGS: usize = 1 << 20;

/// Folders in which nothing may be created, whoever may do so.
const SYSTEM: [&str; 12] =
    ["/", "/boot", "/dev", "/etc", "/home", "/opt", "/root", "/run", "/srv", "/sys", "/usr", "/var"];

/// What every child gets, whatever its layer, and the machine has for all.
const SHARED: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

/// What a probe is made of.
#[derive(Debug)]
pub struct Ground<'a> {
    /// The server's options.
    pub settings: &'a Settings,
    /// What is hidden from runs, and let in all the same.
    pub host: HostView,
    /// The executable that answers to `__launch` and `__probe`.
    pub launcher: &'a Path,
    /// How the probe's processes are recognised.
    pub marker: &'a MarkerPrefix,
    /// The limits that a run gets.
    pub resources: Resources,
    /// Files that a run must be able to execute: the CLI and its interpreter.
    pub programs: Vec<PathBuf>,
    /// Where the probe makes a folder of its own; a hidden place, or a temporary one.
    pub folder: &'a Path,
    /// A short name that no other probe has.
    pub name: String,
}

/// Tries a layer. `bwrap` is the program, as far as it was found.
///
/// That it could not be tried says little on a busy machine, and what is found here holds for the server's life: so it is tried
/// again, with more patience.
pub(super) async fn probe(ground: &Ground<'_>, layer: Layer, bwrap: &Path, cgroup: Option<&RunCgroup>) -> LayerReport {
    let mut last = None;
    for (attempt, patience) in PATIENCE.into_iter().enumerate() {
        let trial = Trial { ground, layer, bwrap, cgroup, attempt, patience };
        let ended = timeout(patience + ENDING, trial.run()).await;
        let report = match ended.unwrap_or(Err(Failure::TookTooLong(patience + ENDING))) {
            Ok((verdict, found)) => {
                return LayerReport {
                    nested: Some(found.nested.is_done()),
                    // What could not be tried, e.g. since the path is too long for a socket, is not known to be prevented.
                    shown_sockets: found.shown_socket.is_none_or(|attempt| attempt.is_done()),
                    ..LayerReport::tried(layer, verdict)
                };
            }
            Err(Failure::Impossible(error)) => LayerReport::failed(layer, CANNOT_START, error),
            Err(Failure::TookTooLong(patience)) => {
                LayerReport::failed(layer, "the probe took too long", format!("no answer within {patience:?}"))
            }
        };
        tracing::info!(%layer, attempt, detail = report.detail.as_deref(), "a layer of isolation could not be tried");
        last = Some(report);
    }
    last.unwrap_or_else(|| LayerReport::untried(layer, CANNOT_START))
}

const CANNOT_START: &str = "a process cannot be started in it";

/// Why a layer could not be tried.
enum Failure {
    Impossible(String),
    TookTooLong(Duration),
}

/// One attempt to try a layer.
struct Trial<'a> {
    ground: &'a Ground<'a>,
    layer: Layer,
    bwrap: &'a Path,
    cgroup: Option<&'a RunCgroup>,
    attempt: usize,
    patience: Duration,
}

impl Trial<'_> {
    async fn run(&self) -> Result<(Verdict, Findings), Failure> {
        let &Self { ground, layer, bwrap, cgroup, attempt, patience } = self;
        let words = |what: &'static str| move |error: io::Error| Failure::Impossible(format!("{what}: {error}"));
        let place = Place::make(ground.folder, &format!("{}{}{attempt}", ground.name, &layer.as_str()[..1]))
            .map_err(words("cannot make a folder for the probe"))?;
        let confinement =
            confinement(ground, &place, layer, bwrap, cgroup).map_err(words("cannot put the view together"))?;
        let launch = Launch {
            launcher: ground.launcher.to_owned(),
            // The link of the process itself: it leads to the executable, wherever that lies and whatever is hidden.
            program: "/proc/self/exe".into(),
            args: vec![SUBCOMMAND.into()],
            env: path_variable(ground.settings),
            cwd: open_folder(&place.write_root()).map_err(words("cannot enter the probe's folder"))?,
            cwd_path: place.write_root(),
            secret: None,
            marker: ground.marker.of("probe"),
            confinement,
        };
        let limits = Limits { max_line_bytes: MAX_FINDINGS, ..Limits::default() };
        let Child { mut stdin, mut lines, stderr, process } =
            spawn(launch, limits).await.map_err(|error| Failure::Impossible(error.to_string()))?;
        let targets = targets(ground, &place, layer, process.identity().guardian);
        let asked = async {
            let text = serde_json::to_string(&targets).map_err(|error| error.to_string())?;
            stdin.write_line(text.as_bytes()).await.map_err(|error| error.to_string())?;
            drop(stdin);
            answer(&mut lines).await
        };
        let answered = timeout(patience, asked).await;
        process.stop(Rung::Kill, async |_: &mut Stdin| {}, None, lines.discard()).await;
        let found = match answered {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Err(Failure::Impossible(format!("{error} {}", stderr.text().trim()))),
            Err(_) => return Err(Failure::TookTooLong(patience)),
        };
        let (outside, own) = (namespaces(), own());
        let claims = claims(layer);
        let given =
            Given { claims: &claims, targets: &targets, resources: &ground.resources, outside: (&outside, &own) };
        Ok((judge(&given, &found), found))
    }
}

async fn answer(lines: &mut Lines) -> Result<Findings, String> {
    match lines.next().await {
        Some(Ok(Line::Text(text))) => serde_json::from_str(&text).map_err(|error| error.to_string()),
        Some(Ok(Line::NotUtf8 { .. })) => Err("the probe's answer is not UTF-8".into()),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("the probe ended without an answer:".into()),
    }
}

/// What a layer promises besides what every child has.
fn claims(layer: Layer) -> Vec<Protection> {
    let seccomp = supervisor::seccomp::is_available().then_some(Protection::Seccomp);
    let files =
        [Protection::PrivateFiles, Protection::PrivateWorkspaces, Protection::ReadOnlySystem, Protection::WriteRoot];
    match layer {
        Layer::Bubblewrap => {
            let own =
                [Protection::PrivateTmp, Protection::PidNamespace, Protection::IpcNamespace, Protection::UtsNamespace];
            files.into_iter().chain(own).chain(seccomp).collect()
        }
        Layer::Landlock => {
            let scopes = supervisor::landlock::abi() >= SCOPES;
            let scopes = [Protection::LandlockSignals, Protection::LandlockSockets].into_iter().filter(|_| scopes);
            files.into_iter().chain([Protection::LandlockFiles]).chain(scopes).chain(seccomp).collect()
        }
        Layer::None => Vec::new(),
    }
}

/// The first version of Landlock that keeps signals and abstract sockets inside (Linux 6.12).
const SCOPES: u32 = 6;

/// The confinement of a run in the probe's folders.
fn confinement(
    ground: &Ground<'_>,
    place: &Place,
    layer: Layer,
    bwrap: &Path,
    cgroup: Option<&RunCgroup>,
) -> io::Result<Confinement> {
    let workspaces = Workspaces::open(&place.workspaces())?;
    let in_workspaces = |relative: &str| workspaces.folder(relative).map_err(io::Error::other);
    let shown = Workspaces::open(&place.shown())?.folder("").map_err(io::Error::other)?;
    let reach = Reach {
        workspace: in_workspaces(WORKSPACE)?,
        write_root: in_workspaces(WRITE_ROOT)?,
        additional: vec![(shown, Access::ReadOnly)],
    };
    let view = RunView { home: &place.home(), temporary: &place.temporary(), reach: &reach, login: None };
    let mut confinement = confine(&ground.host, layer, bwrap, &view)?;
    match &mut confinement.view {
        View::Bubblewrap(Bubblewrap { folders, .. }) | View::Landlock(folders) => {
            // In a server's data folder it is hidden already.
            if !folders.hidden.iter().any(|hidden| place.root().starts_with(hidden)) {
                folders.hidden.push(place.root().to_owned());
            }
        }
        View::Host => {}
    }
    confinement.resources = ground.resources.clone();
    confinement.cgroup = cgroup.map(|cgroup| cgroup.folder().try_clone_to_owned()).transpose()?;
    Ok(confinement)
}

fn targets(ground: &Ground<'_>, place: &Place, layer: Layer, guardian: ProcessId) -> Targets {
    let mut targets = Targets {
        name: place.name().to_owned(),
        needed: vec![place.home(), place.temporary(), place.write_root()],
        programs: ground.programs.clone(),
        secret: place.secret(),
        shown: place.shown(),
        beside: place.beside(),
        temporary: place.temporary(),
        ..Targets::default()
    };
    if layer == Layer::None {
        // It promises nothing, and what is tried in vain elsewhere would be done here.
        return targets;
    }
    targets.system = SYSTEM.iter().map(PathBuf::from).collect();
    match layer {
        // Where the machine has none, the view has none either.
        Layer::Bubblewrap => targets.needed.extend(SHARED.map(PathBuf::from).into_iter().filter(|path| path.exists())),
        _ => targets.system.extend(SHARED.map(PathBuf::from)),
    }
    let data = ground.settings.paths.data_dir.join("homes");
    let hidden = ground.host.hidden().iter().chain([&data]);
    let may_write =
        |path: &Path| ground.settings.isolation.writable_folders.iter().any(|writable| path.starts_with(writable));
    targets.hidden = hidden.filter(|path| !may_write(path)).filter_map(|path| Hidden::at(path)).collect();
    targets.hidden.extend(Hidden::at(place.root()));
    targets.system.retain(|path| !may_write(path));
    targets.shared = SHARED.iter().filter_map(|path| Hidden::at(Path::new(path))).collect();
    targets.hidden_socket = place.hidden_socket();
    targets.shown_socket = place.shown_socket();
    targets.abstract_socket = place.abstract_socket();
    let server = ProcessId::of(std::process::id());
    let outsiders = server.into_iter().chain([guardian]);
    targets.processes = outsiders.map(|ProcessId { pid, start }| Outsider { pid, start }).collect();
    targets
}

/// All that the probe's environment holds, besides the marker.
fn path_variable(settings: &Settings) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    let path = settings.child.get("PATH").map(|path| ("PATH".into(), path.expose_secret().into()));
    path.into_iter().collect()
}
