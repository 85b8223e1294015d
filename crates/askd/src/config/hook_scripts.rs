//! Scripts that hooks of the settings name. Isolated runs see those in `CONFIG_DIR/hooks`, of which each has a copy, and nothing
//! else of `CONFIG_DIR`. A hook whose script cannot be run is passed over: the CLI makes the call that it would have refused,
//! and warns of it (checked with CLI 2.1.330).

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use super::files::Root;
use super::json::Json;
use super::problem::Problem;

/// How settings name the folder in a run's home.
const OWN_FOLDER: [&str; 4] =
    ["~/.claude/hooks/", "$HOME/.claude/hooks/", "${HOME}/.claude/hooks/", "$CLAUDE_CONFIG_DIR/hooks/"];

/// More than these are not told.
const MAX_TOLD: usize = 20;

/// Scripts that runs will not have, or not be able to run. Blocking.
pub(super) fn problems(root: &Root, settings: &str) -> Vec<Problem> {
    let (Some(dir), Ok(json)) = (root.config_dir(), Json::object(settings)) else { return Vec::new() };
    let mut commands = Vec::new();
    if let Some(hooks) = json.value().get("hooks") {
        collect(hooks, &mut commands);
    }
    let found = commands.into_iter().filter_map(|command| problem(dir, command));
    found.map(|why| Problem::new(why).of("hooks")).take(MAX_TOLD).collect()
}

fn collect<'a>(hooks: &'a Value, commands: &mut Vec<&'a str>) {
    match hooks {
        Value::Array(items) => items.iter().for_each(|item| collect(item, commands)),
        Value::Object(members) => {
            commands.extend(members.get("command").and_then(Value::as_str));
            members.values().for_each(|member| collect(member, commands));
        }
        _ => {}
    }
}

fn problem(dir: &Path, command: &str) -> Option<String> {
    let ends_word = |c: char| c.is_whitespace() || "\"'`;|&()=<>".contains(c);
    let mut words = command.split(ends_word).filter(|word| !word.is_empty()).enumerate();
    words.find_map(|(at, word)| match OWN_FOLDER.iter().find_map(|folder| word.strip_prefix(folder)) {
        Some(name) => of_own(dir, word, name, at == 0),
        None => is_below(dir, word).then(|| {
            let dir = dir.display();
            format!(
                "`{word}` lies in CONFIG_DIR, which isolated runs do not see: the hook is passed over; put the file into \
                 `{dir}/hooks` and name it `~/.claude/hooks/…`"
            )
        }),
    })
}

fn of_own(dir: &Path, word: &str, name: &str, is_run: bool) -> Option<String> {
    // What the shell makes of it nobody knows before.
    if name.contains(['$', '*', '?', '[', '{']) {
        return None;
    }
    match dir.join("hooks").join(name).metadata() {
        Err(_) => Some(format!("`{word}` is not there, and the hook is passed over: CONFIG_DIR has no `hooks/{name}`")),
        Ok(file) => (is_run && file.permissions().mode() & 0o100 == 0).then(|| {
            format!("`{word}` cannot be executed, and the hook is passed over: do `chmod +x`, or write `sh {word}`")
        }),
    }
}

fn is_below(dir: &Path, word: &str) -> bool {
    let word = Path::new(word);
    [Some(dir.to_owned()), dir.canonicalize().ok()].iter().flatten().any(|dir| word != dir && word.starts_with(dir))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_script_that_runs_do_not_have_or_cannot_run_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        fs::create_dir_all(dir.join("hooks/deep")).unwrap();
        for (name, mode) in [("runs.sh", 0o755), ("deep/lies.sh", 0o644)] {
            fs::write(dir.join("hooks").join(name), "exit 2").unwrap();
            fs::set_permissions(dir.join("hooks").join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let root = Root::user(dir).unwrap().unwrap();
        let told = |command: &str| {
            let hook = json!([{"matcher": "Bash", "hooks": [{"type": "command", "command": command}]}]);
            let found = problems(&root, &json!({"hooks": {"PreToolUse": hook}}).to_string());
            found.first().map(ToString::to_string).unwrap_or_default()
        };
        let inside = format!("bash '{}/hooks/runs.sh' -v", dir.display());
        for (command, part) in [
            ("~/.claude/hooks/gone.sh --all", "`~/.claude/hooks/gone.sh` is not there"),
            ("sh $HOME/.claude/hooks/gone.sh", "CONFIG_DIR has no `hooks/gone.sh`"),
            ("~/.claude/hooks/deep/lies.sh", "do `chmod +x`, or write `sh ~/.claude/hooks/deep/lies.sh`"),
            (&*inside, "which isolated runs do not see"),
        ] {
            let told = told(command);
            assert!(told.starts_with("`hooks`: ") && told.contains(part), "{command}: {told}");
        }
        let beside = format!("{}-of-another/x.sh", dir.display());
        for fine in
            ["~/.claude/hooks/runs.sh", "sh ~/.claude/hooks/deep/lies.sh", "~/.claude/hooks/$X", "jq .", &beside]
        {
            assert_eq!(told(fine), "", "{fine}");
        }
        assert_eq!(problems(&root, "{}"), []);
    }
}
