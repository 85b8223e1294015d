//! Scripts that hooks of the settings name. Isolated runs see those in `CONFIG_DIR/hooks`, of which each has a copy, and nothing
//! else of `CONFIG_DIR`. A hook whose script cannot be run is passed over: the CLI makes the call that it would have refused,
//! and warns of it (checked with CLI 2.1.330).

use std::path::{Component, Path, PathBuf};

use rustix::fs::Mode;
use rustix::io::Errno;
use serde_json::Value;

use super::files::Root;
use super::json::Json;
use super::problem::Problem;

/// How settings name the folder in a run's home.
const OWN_FOLDER: [&str; 4] =
    ["~/.claude/hooks/", "$HOME/.claude/hooks/", "${HOME}/.claude/hooks/", "$CLAUDE_CONFIG_DIR/hooks/"];

/// More than these are not told.
const MAX_TOLD: usize = 20;

/// Who is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Who starts the server: also of scripts to which links lead from elsewhere, as runs get copies of them.
    Operator,
    /// Who asks over HTTP, and is to learn nothing of files outside of `CONFIG_DIR`.
    Caller,
}

/// Where scripts are looked for.
struct Place<'a> {
    root: &'a Root,
    dir: &'a Path,
    /// How a command may name `CONFIG_DIR`.
    names: Vec<PathBuf>,
    told: Told,
}

/// Scripts that runs will not have, or not be able to run. Blocking.
pub(super) fn problems(root: &Root, settings: &str, told: Told) -> Vec<Problem> {
    let (Some(dir), Ok(json)) = (root.config_dir(), Json::object(settings)) else { return Vec::new() };
    let mut commands = Vec::new();
    if let Some(hooks) = json.value().get("hooks") {
        collect(hooks, &mut commands);
    }
    if commands.is_empty() {
        return Vec::new();
    }
    let names = [Some(dir.to_owned()), dir.canonicalize().ok()].into_iter().flatten().collect();
    let place = Place { root, dir, names, told };
    let found = commands.into_iter().filter_map(|command| problem(&place, command));
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

fn problem(place: &Place<'_>, command: &str) -> Option<String> {
    let ends_word = |c: char| c.is_whitespace() || "\"'`;|&()=<>".contains(c);
    let mut words = command.split(ends_word).filter(|word| !word.is_empty()).enumerate();
    words.find_map(|(at, word)| match OWN_FOLDER.iter().find_map(|folder| word.strip_prefix(folder)) {
        Some(name) => of_own(place, word, name, at == 0),
        None => is_below(&place.names, word).then(|| {
            format!(
                "`{word}` lies in CONFIG_DIR, which isolated runs do not see: the hook is passed over; put the file into \
                 `CONFIG_DIR/hooks` and name it `~/.claude/hooks/…`"
            )
        }),
    })
}

fn of_own(place: &Place<'_>, word: &str, name: &str, is_run: bool) -> Option<String> {
    // What the shell makes of it nobody knows before.
    if name.contains(['$', '*', '?', '[', '{']) {
        return None;
    }
    let name = within(name)?;
    let path = Path::new("hooks").join(&name);
    let found = match place.told {
        Told::Operator => rustix::fs::stat(place.dir.join(path)),
        Told::Caller => place.root.look_at(&path),
    };
    let file = match found {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG) => {
            let name = name.display();
            return Some(format!(
                "`{word}` is not there, and the hook is passed over: CONFIG_DIR has no `hooks/{name}`"
            ));
        }
        // A link that leads out of `CONFIG_DIR`, or is absolute.
        Err(_) => return None,
    };
    (is_run && !Mode::from_raw_mode(file.st_mode).contains(Mode::XUSR)).then(|| {
        format!("`{word}` cannot be executed, and the hook is passed over: do `chmod +x`, or write `sh {word}`")
    })
}

/// The path below the folder; `None` if it may lead elsewhere: nobody is told whether another file of the server is there.
fn within(name: &str) -> Option<PathBuf> {
    // To the shell several slashes are one.
    let path = Path::new(name.trim_start_matches('/'));
    let is_within = path.components().all(|part| matches!(part, Component::Normal(_)));
    (is_within && path.file_name().is_some()).then(|| path.components().collect())
}

fn is_below(names: &[PathBuf], word: &str) -> bool {
    let word = Path::new(word);
    names.iter().any(|dir| word != dir && word.starts_with(dir))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use serde_json::json;

    use super::*;

    /// A folder with scripts, and what somebody is told first of a hook with this command.
    fn place(who: Told) -> (tempfile::TempDir, impl Fn(&str) -> String) {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        fs::create_dir_all(dir.join("hooks/deep")).unwrap();
        for (name, mode) in [("runs.sh", 0o755), ("deep/lies.sh", 0o644)] {
            fs::write(dir.join("hooks").join(name), "exit 2").unwrap();
            fs::set_permissions(dir.join("hooks").join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let root = Root::user(dir).unwrap().unwrap();
        let told = move |command: &str| {
            let hook = json!([{"matcher": "Bash", "hooks": [{"type": "command", "command": command}]}]);
            let found = problems(&root, &json!({"hooks": {"PreToolUse": hook}}).to_string(), who);
            found.first().map(ToString::to_string).unwrap_or_default()
        };
        (folder, told)
    }

    #[test]
    fn a_script_that_runs_do_not_have_or_cannot_run_is_told() {
        let (folder, told) = place(Told::Caller);
        let dir = folder.path();
        let inside = format!("bash '{}/hooks/runs.sh' -v", dir.display());
        for (command, part) in [
            ("~/.claude/hooks/gone.sh --all", "`~/.claude/hooks/gone.sh` is not there"),
            ("sh $HOME/.claude/hooks/gone.sh", "CONFIG_DIR has no `hooks/gone.sh`"),
            ("~/.claude/hooks//deep///gone.sh", "CONFIG_DIR has no `hooks/deep/gone.sh`"),
            ("~/.claude/hooks/runs.sh/x", "CONFIG_DIR has no `hooks/runs.sh/x`"),
            ("~/.claude/hooks/deep/lies.sh", "do `chmod +x`, or write `sh ~/.claude/hooks/deep/lies.sh`"),
            ("~/.claude/hooks//deep/lies.sh", "do `chmod +x`, or write `sh ~/.claude/hooks//deep/lies.sh`"),
            (&*inside, "which isolated runs do not see"),
            (&*inside, "put the file into `CONFIG_DIR/hooks` and"),
        ] {
            let told = told(command);
            assert!(told.starts_with("`hooks`: ") && told.contains(part), "{command}: {told}");
        }
        let beside = format!("{}-of-another/x.sh", dir.display());
        for fine in [
            "~/.claude/hooks/runs.sh",
            "~/.claude/hooks//runs.sh",
            "sh ~/.claude/hooks/deep/lies.sh",
            "~/.claude/hooks/$X",
            "ls ~/.claude/hooks/",
            "jq .",
            &beside,
        ] {
            assert_eq!(told(fine), "", "{fine}");
        }
        let root = Root::user(dir).unwrap().unwrap();
        assert_eq!(problems(&root, "{}", Told::Operator), []);
    }

    #[test]
    fn no_caller_is_told_of_a_file_outside_of_the_folder() {
        let (folder, told) = place(Told::Caller);
        let (dir, outside) = (folder.path(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("lies.sh"), "").unwrap();
        fs::write(dir.join("lies.sh"), "").unwrap();
        for (name, target) in [("lies", "lies.sh"), ("gone", "gone.sh")] {
            symlink(outside.path().join(target), dir.join("hooks").join(name)).unwrap();
            let up = format!("../../{}/{target}", outside.path().file_name().unwrap().to_str().unwrap());
            symlink(up, dir.join(format!("hooks/{name}-up"))).unwrap();
        }
        symlink(outside.path(), dir.join("hooks/linked")).unwrap();
        let path = outside.path().display();
        for target in ["lies.sh", "gone.sh"] {
            for command in [
                format!("~/.claude/hooks/..{path}/{target}"),
                format!("~/.claude/hooks/../../../../../../../..{path}/{target}"),
                format!("~/.claude/hooks/deep/../../../..{path}/{target}"),
                format!("~/.claude/hooks/../{target}"),
                format!("~/.claude/hooks/linked/{target}"),
            ] {
                assert_eq!(told(&command), "", "{command}");
            }
            // It is a name below the folder, as it is to the shell.
            let told = told(&format!("~/.claude/hooks/{path}/{target}"));
            assert!(told.contains(&format!("CONFIG_DIR has no `hooks{path}/{target}`")), "{told}");
        }
        for name in ["lies", "gone", "lies-up", "gone-up"] {
            assert_eq!(told(&format!("~/.claude/hooks/{name}")), "", "{name}");
        }
    }

    #[test]
    fn the_operator_is_told_of_scripts_that_links_lead_to() {
        let ((folder, told), outside) = (place(Told::Operator), tempfile::tempdir().unwrap());
        let hooks = folder.path().join("hooks");
        fs::write(outside.path().join("lies.sh"), "").unwrap();
        symlink(outside.path(), hooks.join("linked")).unwrap();
        // An absolute link, though it leads nowhere else.
        symlink(hooks.join("deep/lies.sh"), hooks.join("lies.sh")).unwrap();
        symlink(hooks.join("gone.sh"), hooks.join("nowhere.sh")).unwrap();
        for (name, part) in [
            ("linked/lies.sh", "do `chmod +x`"),
            ("linked/gone.sh", "is not there"),
            ("lies.sh", "do `chmod +x`"),
            ("nowhere.sh", "is not there"),
        ] {
            let told = told(&format!("~/.claude/hooks/{name}"));
            assert!(told.contains(part), "{name}: {told}");
        }
        let up = format!("~/.claude/hooks/../../../../../../../..{}/gone.sh", outside.path().display());
        assert_eq!(told(&up), "", "the run's own folders are others");
    }

    #[test]
    fn links_as_those_of_a_mounted_volume_are_followed() {
        let (folder, told) = place(Told::Caller);
        let hooks = folder.path().join("hooks");
        fs::create_dir(hooks.join("..2026")).unwrap();
        fs::rename(hooks.join("deep/lies.sh"), hooks.join("..2026/check.sh")).unwrap();
        symlink("..2026", hooks.join("..data")).unwrap();
        symlink("..data/check.sh", hooks.join("check.sh")).unwrap();
        assert!(told("~/.claude/hooks/check.sh").contains("do `chmod +x`"));
        fs::set_permissions(hooks.join("..2026/check.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(told("~/.claude/hooks/check.sh"), "");
        fs::remove_file(hooks.join("..data")).unwrap();
        assert!(told("~/.claude/hooks/check.sh").contains("is not there"));
    }
}
