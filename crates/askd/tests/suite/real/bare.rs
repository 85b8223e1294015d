//! The CLI without askd, to show that an attack works there: else its absence under askd would prove nothing.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{Folders, real_cli};

/// Runs `claude -p PROMPT` in `cwd` with the CLI's own defaults and waits for its end.
pub(super) async fn run_cli(folders: &Folders, cwd: &Path, base_url: &str, prompt: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "the CLI without the supervisor is the point")]
    let mut command = Command::new(real_cli());
    command.arg("-p").arg(prompt).current_dir(cwd).env_clear().stdin(Stdio::null());
    command.envs([
        ("PATH", "/usr/local/bin:/usr/bin:/bin".into()),
        ("HOME", folders.root().join("bare-home").into_os_string()),
        ("TMPDIR", folders.root().into()),
        ("CLAUDE_CODE_TMPDIR", folders.root().into()),
        ("ANTHROPIC_BASE_URL", base_url.into()),
        ("ANTHROPIC_API_KEY", "sk-test-key".into()),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".into()),
        ("DISABLE_AUTOUPDATER", "1".into()),
        ("DISABLE_TELEMETRY", "1".into()),
        ("DISABLE_ERROR_REPORTING", "1".into()),
    ]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
