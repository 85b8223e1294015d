//! What is hidden, what is let in, and what a run's view is made of, in folders that look like a machine.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;
use crate::workspaces::Workspaces;

/// A machine in a folder: `data`, `config`, `workspace/shop/web`, `workspace/other`, `home` and `opt`.
struct Machine {
    folder: tempfile::TempDir,
    settings: Settings,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for path in ["data/homes/own/tmp", "config", "workspace/shop/web", "workspace/other", "home", "opt"] {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        let settings = Settings::for_testing(folder.path());
        let machine = Self { folder, settings };
        machine.program("opt/claude/claude", "");
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(path)
    }

    /// An executable file.
    fn program(&self, path: &str, text: &str) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn link(&self, target: &str, link: &str) -> PathBuf {
        let link = self.path(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(self.path(target), &link).unwrap();
        link
    }

    fn set(mut self, change: impl FnOnce(&mut Settings, &Path)) -> Self {
        let root = self.path("");
        change(&mut self.settings, &root);
        self
    }

    fn hidden_with(&self, home: &Path) -> Hidden {
        let private = [self.path("data/askd.db")];
        let hidden = Hidden::with_homes(&self.settings, &private, Vec::new(), &[home.to_owned()]);
        hidden.unwrap().replacing_nothing()
    }

    fn hidden(&self) -> Hidden {
        self.hidden_with(&self.path("home"))
    }

    /// What is let in of this machine for a CLI.
    fn let_in(&self, program: &Path) -> Result<Vec<LetIn>, ViewError> {
        let hidden = self.hidden();
        let found = Installation { settings: &self.settings, hidden: &hidden }.all(program, Path::new("/bin/sh"));
        let (mut found, _) = found?;
        found.retain(|entry| entry.path.starts_with(self.path("")));
        Ok(found)
    }

    /// The same as paths relative to the machine.
    fn let_in_paths(&self, program: &Path) -> Vec<String> {
        let found = self.let_in(program).unwrap();
        let relative = |entry: &LetIn| entry.path.strip_prefix(self.path("")).unwrap().display().to_string();
        found.iter().map(relative).collect()
    }
}

#[test]
fn the_server_s_folders_its_home_and_the_sockets_of_the_machine_are_hidden() {
    let machine = Machine::new();
    let hidden = machine.hidden();
    for path in ["data", "data/homes/other", "config", "workspace", "workspace/shop", "home/.ssh"] {
        assert!(hidden.covers(&machine.path(path)), "{path}");
    }
    assert!(!hidden.covers(&machine.path("opt")) && !hidden.covers(Path::new("/usr/bin")));
    assert!(hidden.covers(&Path::new("/run").canonicalize().unwrap().join("docker.sock")));
}

#[test]
fn what_lies_below_something_hidden_is_not_named_again() {
    let machine = Machine::new().set(|settings, root| {
        fs::create_dir(root.join("home/.claude")).unwrap();
        settings.paths.config_dir = root.join("home/.claude");
        settings.isolation.hidden_folders = vec![root.join("home"), root.join("opt")];
    });
    let places = machine.hidden();
    let places = places.places();
    assert!(places.contains(&machine.path("home")) && places.contains(&machine.path("opt")));
    assert!(!places.contains(&machine.path("home/.claude")) && !places.contains(&machine.path("data/askd.db")));
}

#[test]
fn what_is_not_there_needs_no_hiding() {
    let machine = Machine::new();
    fs::remove_dir(machine.path("config")).unwrap();
    let hidden = machine.hidden_with(&machine.path("nobody"));
    assert!(!hidden.covers(&machine.path("config")) && !hidden.covers(&machine.path("nobody")));
}

/// What a run that starts now does not see of this machine.
fn hidden_now(machine: &Machine, host: &HostView) -> Vec<String> {
    let workspaces = Workspaces::open(&machine.path("workspace")).unwrap();
    let folder = || workspaces.folder("shop").unwrap();
    let reach = Reach { workspace: folder(), write_root: folder(), additional: Vec::new() };
    let home = machine.path("data/homes/own");
    let run = RunView { home: &home, temporary: &home.join("tmp"), reach: &reach, login: None };
    let root = machine.path("");
    let hidden = host.folders(&run).unwrap().hidden;
    hidden.iter().filter_map(|path| Some(path.strip_prefix(&root).ok()?.display().to_string())).collect()
}

#[test]
fn a_secret_that_is_moved_after_the_start_is_hidden_where_it_is_then() {
    let machine = Machine::new();
    for path in ["vault/1", "vault/2", "etc"] {
        fs::create_dir_all(machine.path(path)).unwrap();
    }
    fs::write(machine.path("vault/1/key"), "").unwrap();
    let name = machine.link("vault/1/key", "etc/key");
    let later = machine.path("later/key");
    let program = machine.path("opt/claude/claude");
    let host = HostView::new(&machine.settings, &[name.clone(), later], &program, Path::new("/bin/sh")).unwrap();
    assert!(host.masked_alone().is_empty());
    assert_eq!(hidden_now(&machine, &host), ["config", "data", "etc", "vault/1", "workspace"]);
    fs::write(machine.path("vault/2/key"), "").unwrap();
    fs::remove_file(&name).unwrap();
    machine.link("vault/2/key", "etc/key");
    fs::create_dir(machine.path("later")).unwrap();
    assert_eq!(
        hidden_now(&machine, &host),
        ["config", "data", "etc", "later", "vault/1", "vault/2", "workspace"],
        "what was hidden stays so"
    );
}

#[test]
fn a_secret_beside_the_cli_is_masked_alone_and_said_to_be() {
    let machine = Machine::new();
    let key = machine.path("opt/claude/key");
    fs::write(&key, "").unwrap();
    let program = machine.path("opt/claude/claude");
    let host = HostView::new(&machine.settings, std::slice::from_ref(&key), &program, Path::new("/bin/sh")).unwrap();
    assert!(hidden_now(&machine, &host).contains(&"opt/claude/key".to_owned()));
    assert_eq!(host.masked_alone(), [key]);
}

#[test]
fn a_home_among_the_system_s_folders_is_no_home() {
    let machine = Machine::new();
    for home in ["/", "/usr", "/usr/sbin", "/bin", "/etc", "/dev", "/proc"] {
        let hidden = machine.hidden_with(Path::new(home));
        assert!(!hidden.covers(Path::new("/usr/bin/env")) && !hidden.covers(Path::new("/etc/passwd")), "{home}");
    }
}

#[test]
fn links_are_followed_to_what_is_hidden() {
    let machine = Machine::new().set(|settings, root| {
        symlink(root.join("opt"), root.join("link")).unwrap();
        settings.isolation.hidden_folders = vec![root.join("link")];
    });
    assert!(machine.hidden().covers(&machine.path("opt/x")));
}

#[test]
fn the_system_the_workspaces_and_what_is_not_there_cannot_be_hidden_by_a_setting() {
    for (folder, part) in [
        ("/usr", "belongs to the system"),
        ("/proc/sys", "belongs to the system"),
        ("/nonexistent/place", "cannot be hidden"),
    ] {
        let machine = Machine::new().set(|settings, _| settings.isolation.hidden_folders = vec![folder.into()]);
        let error = Hidden::with_homes(&machine.settings, &[], Vec::new(), &[]).unwrap_err().to_string();
        assert!(error.starts_with("ASKD_HIDDEN_FOLDERS") && error.contains(part), "{error}");
    }
    let machine =
        Machine::new().set(|settings, root| settings.isolation.hidden_folders = vec![root.join("workspace/other")]);
    let error = Hidden::with_homes(&machine.settings, &[], Vec::new(), &[]).unwrap_err().to_string();
    assert!(error.contains("lies in WORKSPACE_DIR"), "{error}");
}

#[test]
fn a_cli_that_is_not_hidden_needs_nothing() {
    let machine = Machine::new();
    assert_eq!(machine.let_in_paths(&machine.path("opt/claude/claude")), [""; 0]);
}

#[test]
fn a_cli_in_the_home_is_let_in_with_its_folder() {
    let machine = Machine::new();
    let program = machine.program("home/.local/share/claude/versions/2.1.330", "");
    let link = machine.link("home/.local/share/claude/versions/2.1.330", "home/.local/bin/claude");
    for name in [program, link, machine.link("home/.local/bin/claude", "bin/claude")] {
        assert_eq!(machine.let_in_paths(&name), ["home/.local/share/claude/versions"], "{}", name.display());
    }
}

#[test]
fn of_a_package_the_outermost_node_modules_is_let_in() {
    let machine = Machine::new();
    let program = machine.program("home/lib/node_modules/@a/b/node_modules/c/bin/claude", "");
    let link = machine.link("home/lib/node_modules/@a/b/node_modules/c/bin/claude", "home/bin/claude");
    for name in [program, link] {
        assert_eq!(machine.let_in_paths(&name), ["home/lib/node_modules"]);
    }
}

#[test]
fn a_folder_with_something_hidden_in_it_is_not_let_in_but_the_program_is() {
    let machine = Machine::new();
    let program = machine.program("home/claude", "");
    assert_eq!(machine.let_in_paths(&program), ["home/claude"], "its folder is the home");
    let machine = Machine::new().set(|settings, root| settings.paths.data_dir = root.join("home/askd/data"));
    fs::create_dir_all(machine.path("home/askd/data")).unwrap();
    let program = machine.program("home/askd/claude", "");
    assert_eq!(machine.let_in_paths(&program), ["home/askd/claude"], "beside it lie the server's data");
}

#[test]
fn the_interpreter_of_a_script_is_let_in_too() {
    let machine = Machine::new();
    machine.program("home/.nvm/v22/bin/node", "");
    let current = machine.link("home/.nvm/v22", "home/.nvm/current");
    let script = format!("#!{}/bin/node --flag\n", current.display());
    let program = machine.program("opt/claude/cli.js", &script);
    // By the link that the script names, too: in the run's home nothing else is left of it.
    assert_eq!(machine.let_in_paths(&program), ["home/.nvm/v22/bin", "home/.nvm/current/bin/node"]);
}

#[test]
fn an_interpreter_that_env_finds_is_looked_up_on_the_path_of_runs() {
    let machine = Machine::new().set(|settings, root| {
        let path = format!("/nonexistent:{}", root.join("home/node/bin").display());
        settings.child.environment.retain(|(name, _)| name != "PATH");
        settings.child.environment.push(("PATH".into(), path.into()));
    });
    machine.program("home/node/bin/node", "");
    for line in ["#!/usr/bin/env node\n", "#!/usr/bin/env -S node --flag\n", "#!/usr/bin/env A=b node\n"] {
        let program = machine.program("opt/claude/cli.js", line);
        assert_eq!(machine.let_in_paths(&program), ["home/node/bin"], "{line}");
    }
}

#[test]
fn a_cli_that_cannot_be_read_is_named() {
    let machine = Machine::new();
    let error = machine.let_in(&machine.path("opt/claude/absent")).unwrap_err();
    assert_eq!((error.setting, error.path.as_path()), ("ASKD_CLAUDE_BIN", &*machine.path("opt/claude/absent")));
}

#[test]
fn files_that_variables_name_are_let_in_where_they_are_looked_for() {
    let machine = Machine::new();
    let certificate = machine.program("home/secrets/..data/ca.pem", "");
    let link = machine.link("home/secrets/..data/ca.pem", "home/secrets/ca.pem");
    let machine = machine.set(|settings, root| {
        let mut pass = |name: &str, path: PathBuf| {
            settings.child.environment.push((name.into(), path.display().to_string().into()));
        };
        pass("NODE_EXTRA_CA_CERTS", root.join("home/secrets/ca.pem"));
        pass("SSL_CERT_FILE", root.join("home/absent.pem"));
        pass("SSL_CERT_DIR", root.join("home"));
    });
    assert_eq!(
        files_now(&machine, &machine.hidden()),
        [LetIn { path: link, source: certificate, access: Access::ReadOnly }]
    );
}

/// What is let in of the files that variables name.
fn files_now(machine: &Machine, hidden: &Hidden) -> Vec<LetIn> {
    let mut found: Vec<_> = NamedFile::all(&machine.settings).iter().filter_map(|file| file.now(hidden)).collect();
    found.retain(|entry| entry.path.starts_with(machine.path("")));
    found
}

/// What a run that starts now finds at a path of the machine.
fn content(machine: &Machine, host: &HostView, path: &str) -> Option<String> {
    let workspaces = Workspaces::open(&machine.path("workspace")).unwrap();
    let folder = || workspaces.folder("shop").unwrap();
    let reach = Reach { workspace: folder(), write_root: folder(), additional: Vec::new() };
    let home = machine.path("data/homes/own");
    let run = RunView { home: &home, temporary: &home.join("tmp"), reach: &reach, login: None };
    let binds = host.folders(&run).unwrap().binds;
    let path = machine.path(path);
    let bind = binds.into_iter().find(|bind| path.starts_with(&bind.path))?;
    let below = path.strip_prefix(&bind.path).unwrap();
    let mut at = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&bind.descriptor)));
    at.extend(below);
    fs::read_to_string(at).ok()
}

fn with_token(path: &str) -> Machine {
    Machine::new().set(|settings, root| {
        fs::create_dir_all(root.join("home/mounted")).unwrap();
        let path = root.join(path).display().to_string();
        settings.child.environment.push(("AWS_WEB_IDENTITY_TOKEN_FILE".into(), path.into()));
    })
}

#[test]
fn a_file_that_is_replaced_after_the_start_is_the_new_one_for_the_next_run() {
    let machine = with_token("home/token");
    machine.program("home/1", "one");
    machine.program("home/2", "two");
    machine.link("home/1", "home/token");
    let host = host(&machine);
    assert_eq!(content(&machine, &host, "home/token").as_deref(), Some("one"));
    for name in ["home/1", "home/token"] {
        fs::remove_file(machine.path(name)).unwrap();
    }
    assert_eq!(content(&machine, &host, "home/token"), None, "a run does without");
    machine.link("home/2", "home/token");
    assert_eq!(content(&machine, &host, "home/token").as_deref(), Some("two"));
}

#[test]
fn a_volume_of_kubernetes_is_let_in_as_a_whole_so_that_runs_see_it_turned() {
    let machine = with_token("home/mounted/token");
    machine.program("home/mounted/..1/token", "one");
    machine.program("home/mounted/..2/token", "two");
    symlink("..1", machine.path("home/mounted/..data")).unwrap();
    symlink("..data/token", machine.path("home/mounted/token")).unwrap();
    let host = host(&machine);
    assert_eq!(content(&machine, &host, "home/mounted/token").as_deref(), Some("one"));
    // As the kubelet does it.
    symlink("..2", machine.path("home/mounted/..data_tmp")).unwrap();
    fs::rename(machine.path("home/mounted/..data_tmp"), machine.path("home/mounted/..data")).unwrap();
    fs::remove_dir_all(machine.path("home/mounted/..1")).unwrap();
    assert_eq!(content(&machine, &host, "home/mounted/token").as_deref(), Some("two"));
    assert_eq!(files_now(&machine, &machine.hidden())[0].path, machine.path("home/mounted"));
    let strict = machine.set(|settings, root| settings.isolation.hidden_folders = vec![root.join("home/mounted")]);
    let alone = files_now(&strict, &strict.hidden());
    assert_eq!(alone[0].path, strict.path("home/mounted/token"), "what a setting hides is not shown for one file");
}

#[test]
fn a_link_outside_leads_to_the_place_inside_by_its_own_links() {
    let machine = Machine::new();
    machine.program("home/real/resolv.conf", "");
    machine.link("home/real", "home/link");
    let outside = machine.link("home/link/resolv.conf", "opt/resolv.conf");
    let hidden = machine.hidden();
    assert_eq!(hidden.place_of(&outside), Some(machine.path("home/link/resolv.conf")));
    assert_eq!(hidden.place_of(&machine.path("opt/claude/claude")), None);
    let round = machine.path("opt/round");
    symlink("round", &round).unwrap();
    assert_eq!(hidden.place_of(&round), None);
}

#[test]
fn folders_of_the_operator_must_not_show_what_is_hidden() {
    let machine = Machine::new();
    let hidden = machine.hidden();
    for (folder, fits) in [
        ("opt", true),
        ("home/tools", true),
        ("home", true),
        ("", false),
        ("data", false),
        ("config", false),
        ("workspace", false),
        ("absent", false),
    ] {
        fs::create_dir_all(machine.path("home/tools")).unwrap();
        let found = hidden.may_be_let_in("ASKD_READABLE_FOLDERS", &machine.path(folder));
        assert_eq!(found.is_ok(), fits, "{folder}: {found:?}");
    }
    let error = hidden.may_be_let_in("ASKD_READABLE_FOLDERS", &machine.path("")).unwrap_err().to_string();
    assert!(error.contains("ASKD_READABLE_FOLDERS") && error.contains("which no run may see"), "{error}");
}

/// The binds of a run's view, relative to the machine.
fn binds(machine: &Machine, host: &HostView, reach: &Reach, login: Option<&Path>) -> Vec<(String, Access)> {
    let home = machine.path("data/homes/own");
    let run = RunView { home: &home, temporary: &home.join("tmp"), reach, login };
    let folders = host.folders(&run).unwrap();
    let root = machine.path("");
    let own = folders.binds.iter().filter_map(|bind| Some((bind.path.strip_prefix(&root).ok()?, bind.access)));
    own.map(|(path, access)| (path.display().to_string(), access)).collect()
}

fn host(machine: &Machine) -> HostView {
    HostView::new(&machine.settings, &[], &machine.path("opt/claude/claude"), Path::new("/bin/sh")).unwrap()
}

#[test]
fn a_run_has_its_home_its_workspace_its_write_root_and_what_it_asked_for() {
    let machine = Machine::new().set(|settings, root| {
        fs::create_dir_all(root.join("home/cache")).unwrap();
        fs::create_dir_all(root.join("home/tools")).unwrap();
        settings.isolation.readable_folders = vec![root.join("home/tools")];
        settings.isolation.writable_folders = vec![root.join("home/cache")];
    });
    fs::write(machine.path("config/.credentials.json"), "{}").unwrap();
    let workspaces = Workspaces::open(&machine.path("workspace")).unwrap();
    let folder = |path| workspaces.folder(path).unwrap();
    let reach = Reach {
        workspace: folder("shop"),
        write_root: folder("shop/web"),
        additional: vec![(folder("other"), Access::ReadOnly)],
    };
    let login = machine.path("config/.credentials.json");
    // The CLI itself lies among temporary files here.
    let (read, write) = (Access::ReadOnly, Access::ReadWrite);
    let expected = [
        ("config/.credentials.json", write),
        ("data/homes/own", write),
        ("home/cache", write),
        ("home/tools", read),
        ("opt/claude", read),
        ("workspace/other", read),
        ("workspace/shop", read),
        ("workspace/shop/web", write),
    ];
    let expected = expected.map(|(path, access)| (path.to_owned(), access));
    assert_eq!(binds(&machine, &host(&machine), &reach, Some(&login)), expected);
}

#[test]
fn what_the_operator_wrote_for_all_workspaces_is_there_unless_it_leads_out() {
    let machine = Machine::new();
    fs::write(machine.path("workspace/CLAUDE.md"), "").unwrap();
    fs::create_dir(machine.path("workspace/.claude")).unwrap();
    fs::write(machine.path("config/secret"), "").unwrap();
    symlink(machine.path("config/secret"), machine.path("workspace/CLAUDE.local.md")).unwrap();
    let workspaces = Workspaces::open(&machine.path("workspace")).unwrap();
    let binds = |workspace: &str| {
        let folder = || workspaces.folder(workspace).unwrap();
        let reach = Reach { workspace: folder(), write_root: folder(), additional: Vec::new() };
        let mut binds = binds(&machine, &host(&machine), &reach, None);
        binds.retain(|(path, _)| path.starts_with("workspace"));
        binds.into_iter().map(|(path, _)| path).collect::<Vec<_>>()
    };
    assert_eq!(binds("shop"), ["workspace/.claude", "workspace/CLAUDE.md", "workspace/shop"]);
    assert_eq!(binds(""), ["workspace"]);
}

#[test]
fn a_workspace_in_the_write_root_is_a_part_of_it() {
    let machine = Machine::new();
    let workspaces = Workspaces::open(&machine.path("workspace")).unwrap();
    for (write_root, expected) in [("shop", "workspace/shop"), ("", "workspace")] {
        let (workspace, write_root) = (workspaces.folder("shop").unwrap(), workspaces.folder(write_root).unwrap());
        let reach = Reach { workspace, write_root, additional: Vec::new() };
        let mut binds = binds(&machine, &host(&machine), &reach, None);
        binds.retain(|(path, _)| path.starts_with("workspace"));
        assert_eq!(binds, [(expected.to_owned(), Access::ReadWrite)]);
    }
}

#[test]
fn a_home_that_was_replaced_by_a_link_is_not_let_in() {
    let machine = Machine::new();
    let workspaces = Workspaces::open(&machine.path("workspace")).unwrap();
    let folder = || workspaces.folder("shop").unwrap();
    let reach = Reach { workspace: folder(), write_root: folder(), additional: Vec::new() };
    let home = machine.link("config", "data/homes/stolen");
    let run = RunView { home: &home, temporary: &machine.path("data/homes/own/tmp"), reach: &reach, login: None };
    assert!(host(&machine).folders(&run).is_err());
}

#[test]
fn what_is_gone_since_the_start_is_missed_unless_a_run_can_do_without() {
    let machine = Machine::new().set(|settings, root| {
        fs::create_dir_all(root.join("home/cache")).unwrap();
        fs::write(root.join("home/ca.pem"), "").unwrap();
        settings.isolation.writable_folders = vec![root.join("home/cache")];
        let path = root.join("home/ca.pem").display().to_string();
        settings.child.environment.push(("SSL_CERT_FILE".into(), path.into()));
    });
    let host = host(&machine);
    let workspaces = Workspaces::open(&machine.path("workspace")).unwrap();
    let folder = || workspaces.folder("shop").unwrap();
    let reach = Reach { workspace: folder(), write_root: folder(), additional: Vec::new() };
    fs::remove_file(machine.path("home/ca.pem")).unwrap();
    assert!(!binds(&machine, &host, &reach, None).iter().any(|(path, _)| path.contains("ca.pem")));
    fs::remove_dir(machine.path("home/cache")).unwrap();
    let home = machine.path("data/homes/own");
    let run = RunView { home: &home, temporary: &home.join("tmp"), reach: &reach, login: None };
    let error = host.folders(&run).unwrap_err().to_string();
    assert!(error.contains("home/cache"), "{error}");
}
