//! The tests of confinement once more, as an ordinary user.

use std::os::unix::fs::chown;
use std::process::{Command, Stdio};

use crate::world::{FOLDER_VARIABLE, not_run};

/// `nobody`, who owns nothing.
const NOBODY: u32 = 65534;

#[test]
fn all_of_it_holds_for_an_ordinary_user() {
    if !rustix::process::geteuid().is_root() {
        return not_run("only root can become somebody else; the tests run as an ordinary user as it is");
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let nobody = NOBODY.to_string();
    #[expect(clippy::disallowed_methods, reason = "these very tests, as somebody else")]
    let output = Command::new("setpriv")
        .args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups", "--inh-caps=-all", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["acts::", "confinement::", "namespaces::", "spawning::", "--test-threads=2"])
        .env(FOLDER_VARIABLE, folder.path())
        .env("TMPDIR", "/tmp")
        .current_dir("/")
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => return not_run(&format!("setpriv cannot be used: {error}")),
    };
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "as nobody:\n{stdout}\n{stderr}");
    assert!(!stdout.contains("running 0 tests"), "{stdout}");
}
