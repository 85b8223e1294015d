//! Test only: the launcher that the tests start children through, and a small server to be killed.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use supervisor::identity::Marker;
use supervisor::orphans;
use supervisor::records::RunRecord;
use supervisor::spawn::{Launch, Limits, spawn};

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(word) if word == supervisor::guardian::SUBCOMMAND => supervisor::guardian::main(args),
        Some(word) if word == "serve" => serve(args),
        _ => ExitCode::from(2),
    }
}

/// `serve DIRECTORY MARKER SCRIPT`: runs the script, writes its record, and says so; then says how the tree ended.
fn serve(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    let mut next = || args.next().expect("serve DIRECTORY MARKER SCRIPT");
    let directory = PathBuf::from(next());
    let marker = Marker { name: "SUPERVISOR_TEST_MARKER", value: next().into_string().expect("a marker") };
    let launch = Launch {
        launcher: std::env::current_exe().expect("own path"),
        program: "sh".into(),
        args: vec!["-c".into(), next()],
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        cwd: std::fs::File::open("/").expect("the root directory").into(),
        secret: None,
        marker,
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

fn say(text: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{text}").and_then(|()| out.flush()).expect("a reader");
}
