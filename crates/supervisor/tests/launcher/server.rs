//! A small server, to be killed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use supervisor::confinement::{Access, Bind, Bubblewrap, Confinement, Folders, Resources, View};
use supervisor::identity::Marker;
use supervisor::orphans;
use supervisor::records::RunRecord;
use supervisor::spawn::{Launch, Limits, spawn};

/// `serve DIRECTORY MARKER SCRIPT [VIEW]`: runs the script, writes its record, and says so; then says how the tree ended.
pub(crate) fn serve(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let mut next = || args.next().expect("serve DIRECTORY MARKER SCRIPT");
    let directory = PathBuf::from(next());
    let marker = Marker { name: "SUPERVISOR_TEST_MARKER", value: next().into_string().expect("a marker") };
    let script = next();
    let (cwd, confinement) = match args.next() {
        None => (PathBuf::from("/"), Confinement::none()),
        Some(view) => (directory.clone(), confinement(&directory, view.to_str())),
    };
    let launch = Launch {
        launcher: std::env::current_exe().expect("own path"),
        program: "sh".into(),
        args: vec!["-c".into(), script],
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        cwd: File::open(&cwd).expect("a directory").into(),
        cwd_path: cwd,
        secret: None,
        marker,
        confinement,
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        orphans::become_subreaper().expect("a subreaper");
        let mut child = spawn(launch, Limits::default()).await.expect("a child");
        let record = RunRecord::new("test", child.identity().clone()).expect("a record");
        record.write(&directory).expect("a written record");
        while let Some(Ok(line)) = child.lines.next().await {
            say(line.as_str());
            if line.as_str() == "ready" {
                break;
            }
        }
        say(&format!("{:?}", child.process.wait_gone().await));
    });
    ExitCode::SUCCESS
}

/// A view in which the directory is writable.
fn confinement(directory: &Path, view: Option<&str>) -> Confinement {
    let temporary = directory.join("temporary");
    fs::create_dir(&temporary).expect("a new folder");
    let open = |path: &Path| File::open(path).expect("a folder").into();
    let bind = Bind { descriptor: open(directory), path: directory.to_owned(), access: Access::ReadWrite };
    let folders = Folders { hidden: Vec::new(), binds: vec![bind], temporary: open(&temporary) };
    let view = match view {
        Some("bubblewrap") => View::Bubblewrap(Bubblewrap { program: "bwrap".into(), folders }),
        Some("landlock") => View::Landlock(folders),
        other => panic!("no such view: {other:?}"),
    };
    Confinement { view, resources: Resources::default(), cgroup: None }
}

fn say(text: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{text}").and_then(|()| out.flush()).expect("a reader");
}
