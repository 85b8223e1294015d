//! Descriptors that were open when the run began.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::server::for_each_server;
use crate::harness::{Folders, fake_cli};

/// With one folder left open, the view is worth nothing: `..` of it is the host's, and is writable.
#[test]
fn a_folder_that_is_left_open_leads_out_of_a_read_only_root() {
    let folders = Folders::new();
    fs::create_dir(folders.root().join("open")).unwrap();
    let attacker = fake_cli().with_file_name("attacker");
    let view = "exec 9<\"$0\"; exec bwrap --ro-bind / / --dev /dev --proc /proc \"$@\"";
    #[expect(clippy::disallowed_methods, reason = "what askd does not do")]
    let mut command = Command::new("sh");
    command.args(["-c", view]).arg(folders.root().join("open")).arg(&attacker).arg("descriptors");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    if said.is_empty() {
        eprintln!("NOT RUN: bubblewrap does not work here: {}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    assert!(said.contains("left by .."), "{said}");
    assert!(folders.root().join("attacked").exists(), "it wrote outside of the read-only root");
}

#[tokio::test(flavor = "multi_thread")]
async fn layer_0_leaves_no_descriptor_open() {
    for_each_server(async |attacked| {
        let (attempts, _) = attacked.attack(&["descriptors"]).await;
        // What the scripted CLI itself has open it closes before it starts a tool, as the real one does.
        assert!(!attempts[0].worked, "{attacked}: {attempts:?}");
        assert!(!Path::new(&attacked.path("attacked")).exists());
    })
    .await;
}
