//! What a child sees, can write, and cannot: the same in every kind of view, except where a name says otherwise.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::Duration;

use supervisor::confinement::{Access, Bubblewrap, View};
use supervisor::spawn::{Graces, Limits, SpawnError, spawn};
use tokio::time::timeout;

use crate::support::{LAUNCHER, SHORT, limits, marked};
use crate::world::{Kind, World, said};

/// Longer than any test may take.
const FOREVER: Duration = Duration::from_mins(1);

/// Says for each word whether a file can be written there.
const WRITE: &str =
    r#"try() { for place; do if echo x 2>/dev/null >"$place"; then echo yes; else echo no; fi; done; }; "#;
/// Says for each word whether a file can be read.
const READ: &str = r#"try() { for file; do if cat "$file" 2>/dev/null; then echo; else echo no; fi; done; }; "#;

#[tokio::test]
async fn what_is_let_in_is_read_and_what_is_hidden_is_not() {
    let world = World::new();
    for kind in Kind::working() {
        let script = format!("{READ} try file ../file $W/data/homes/one/file $W/data/login $W/open/file");
        let expected =
            ["in work/shop/site", "in work/shop", "in data/homes/one", "in data/login", "in open"].map(str::to_owned);
        // `work/shop` has no file of its own but for `file`.
        fs::write(world.path("work/shop/file"), "in work/shop").unwrap();
        assert_eq!(world.says(kind, &script).await, expected, "{kind:?}");

        let script = format!("{READ} try $W/data/secret $W/data/homes/two/file $W/work/other/file $W/empty/file");
        assert_eq!(world.says(kind, &script).await, ["no"; 4], "{kind:?}");
        assert_ne!(world.says(kind, "cat $W/key").await, ["in key"], "{kind:?}");
    }
}

#[tokio::test]
async fn only_what_is_writable_is_written() {
    let world = World::new();
    for kind in Kind::working() {
        let script = format!("{WRITE} try new $W/data/homes/one/new $W/data/login $W/work/shop/site/file");
        assert_eq!(world.says(kind, &script).await, ["yes"; 4], "{kind:?}");
        for written in ["work/shop/site/new", "data/homes/one/new", "data/login", "work/shop/site/file"] {
            assert_eq!(fs::read_to_string(world.path(written)).unwrap(), "x\n", "{kind:?}: {written}");
            fs::write(world.path(written), "").unwrap();
        }
        let places = "../new $W/new $W/open/new $W/open/file $W/data/new $W/data/homes/new $W/data/secret $W/work/new \
                      $W/work/other/new $W/empty/new $W/empty/file $W/key /etc/new /usr/new /new /run/new /var/new";
        let outcome = world.says(kind, &format!("{WRITE} try {places}")).await;
        assert_eq!(outcome, vec!["no"; places.split_whitespace().count()], "{kind:?}");
        assert_eq!(fs::read_to_string(world.path("data/secret")).unwrap(), "in data/secret");
    }
}

#[tokio::test]
async fn in_namespaces_hidden_folders_are_empty_and_tmp_is_the_runs_own() {
    if !Kind::Bubblewrap.works() {
        return;
    }
    let world = World::new();
    let look = "cd $W; echo $(ls data data/homes work); echo nothing: $(ls -A empty); cat key 2>/dev/null || echo no; \
                echo mine >/tmp/note; cat /var/tmp/note; ls /tmp";
    let lines = world.says(Kind::Bubblewrap, look).await;
    assert_eq!(lines, ["data: homes login data/homes: one work: shop", "nothing:", "no", "mine", "file", "note"]);
    assert_eq!(fs::read_to_string(world.path("temporary/note")).unwrap(), "mine\n");
}

#[tokio::test]
async fn in_namespaces_nothing_of_the_system_can_be_written_whoever_the_user_is() {
    if !Kind::Bubblewrap.works() {
        return;
    }
    let world = World::new();
    // Entering a setting again changes nothing even where it succeeds.
    let places =
        "/dev/new /dev/sda /proc/sys/kernel/core_pattern /run/new /sys/new /sys/power/state /sys/fs/cgroup/new";
    let script =
        format!("{WRITE} try {places}; cat /proc/sys/kernel/core_pattern >/proc/sys/kernel/core_pattern && echo yes");
    assert_eq!(world.says(Kind::Bubblewrap, &script).await, ["no"; 7]);
    // `access` says the truth about mounts and modes. Own processes' files are theirs.
    let look = "for file in $(find /proc -maxdepth 3 -path '/proc/[0-9]*' -prune -o -type f -print 2>/dev/null); do \
                case $file in /proc/self/*|/proc/thread-self/*) ;; *) [ -w $file ] && echo $file;; esac; done";
    // A pressure file takes a request for notice, which harms nobody; the kernel gives them to everybody. The settings are
    // those of the run's own IPC and PID namespaces.
    let harmless = ["pressure/", "sys/kernel/msg", "sys/kernel/sem", "sys/kernel/shm", "sys/kernel/auto_msgmni"];
    let of_pids = ["sys/kernel/ns_last_pid", "sys/kernel/pid_max"];
    let is_harmless = |file: &str| harmless.iter().chain(&of_pids).any(|name| file[6..].starts_with(name));
    let writable: Vec<String> = world.says(Kind::Bubblewrap, look).await;
    let writable: Vec<&String> = writable.iter().filter(|file| !is_harmless(file)).collect();
    assert_eq!(writable, Vec::<&String>::new());
}

#[tokio::test]
async fn in_namespaces_an_ordinary_user_can_make_a_sandbox_of_its_own() {
    if rustix::process::geteuid().is_root() || !Kind::Bubblewrap.works() {
        // Root runs this test again as somebody else; for root itself bubblewrap cannot be nested.
        return;
    }
    let world = World::new();
    let nested = "bwrap --unshare-user --unshare-pid --unshare-net --ro-bind / / --bind $PWD $PWD --tmpfs /tmp --dev /dev \
                  --proc /proc sh -c 'echo x >new && echo nested; echo x >$W/data/homes/one/new || echo kept out; echo /proc/[0-9]*'";
    let lines = world.says(Kind::Bubblewrap, nested).await;
    assert_eq!(lines, ["nested", "kept out", "/proc/1 /proc/2"]);
}

#[tokio::test]
async fn in_namespaces_no_other_process_can_be_seen() {
    if !Kind::Bubblewrap.works() {
        return;
    }
    let world = World::new();
    let lines = world.says(Kind::Bubblewrap, "echo /proc/[0-9]*; hostname >/dev/null; echo $$").await;
    // bubblewrap's first process and the shell.
    assert_eq!(lines, ["/proc/1 /proc/2", "2"]);
}

#[tokio::test]
async fn a_directory_descriptor_would_lead_out_of_the_view_and_none_comes_in() {
    if !Kind::Bubblewrap.works() {
        return;
    }
    let world = World::new();
    let file = world.path("data/homes/escaped");
    // bubblewrap alone hands on what it was given: a read-only root, and yet the file is written.
    let plain = "exec 9<$W/data/homes/one; exec bwrap --ro-bind / / --dev /dev --proc /proc $0 climb 9 9 escaped";
    #[expect(clippy::disallowed_methods, reason = "this is bubblewrap without us")]
    let status = Command::new("sh").args(["-c", plain, LAUNCHER]).env("W", world.root()).status().unwrap();
    assert!(status.success() && file.exists(), "the attack itself does not work");
    fs::remove_file(&file).unwrap();

    let mut launch = world.launch(Kind::Bubblewrap, "");
    launch.program = LAUNCHER.into();
    launch.args = ["climb", "0", "1023", "escaped"].map(Into::into).into();
    let child = spawn(launch, limits()).await.unwrap();
    let gone = child.process.wait_gone().await;
    assert_eq!(gone.exit, supervisor::process::Exit::Code(1));
    for place in ["data/homes/escaped", "work/shop/escaped", "work/escaped", "escaped"] {
        assert!(!world.path(place).exists(), "{place}");
    }
}

#[tokio::test]
async fn a_folder_that_was_moved_after_it_was_opened_is_still_the_one_that_is_let_in() {
    for kind in Kind::working() {
        let world = World::new();
        let launch = world.launch(kind, "cat file; echo x >new");
        fs::rename(world.path("work/shop"), world.path("work/moved")).unwrap();
        symlink(world.path("work/other"), world.path("work/shop")).unwrap();
        match spawn(launch, limits()).await {
            Ok(mut child) => {
                assert_eq!(crate::support::rest(&mut child.lines).await, ["in work/shop/site"], "{kind:?}");
                child.process.wait_gone().await;
                assert!(world.path("work/moved/site/new").exists(), "{kind:?}");
            }
            Err(error) => assert!(matches!(error, SpawnError::View { .. }), "{error}"),
        }
        assert!(!world.path("work/other/new").exists(), "{kind:?}");
    }
}

#[tokio::test]
async fn a_working_folder_that_becomes_a_link_leads_nowhere_else() {
    for kind in Kind::working() {
        for target in ["../../other", "/", "../../../data/homes/one"] {
            let world = World::new();
            let launch = world.launch(kind, "cat file; echo x >new");
            fs::rename(world.path("work/shop/site"), world.path("work/shop/moved")).unwrap();
            symlink(target, world.path("work/shop/site")).unwrap();
            match spawn(launch, limits()).await {
                Ok(mut child) => {
                    assert_eq!(crate::support::rest(&mut child.lines).await, ["in work/shop/site"], "{kind:?}");
                    child.process.wait_gone().await;
                }
                Err(error) => assert!(matches!(error, SpawnError::View { .. }), "{error}"),
            }
            assert!(!world.path("work/other/new").exists() && !world.path("data/homes/one/new").exists(), "{kind:?}");
        }
    }
}

#[tokio::test]
async fn no_link_on_the_way_to_a_place_puts_it_elsewhere() {
    if !Kind::Bubblewrap.works() {
        return;
    }
    let world = World::new();
    fs::create_dir(world.path("work/shop/site/deep")).unwrap();
    let mut folders = world.folders();
    folders.binds = vec![
        world.bind("work/shop", Access::ReadWrite),
        world.bind("work/shop/site/deep", Access::ReadOnly),
        world.bind("data/homes/one", Access::ReadWrite),
    ];
    fs::create_dir(world.path("data/homes/one/deep")).unwrap();
    let mut launch = world.launch(Kind::Bubblewrap, "echo ran");
    launch.cwd = world.open("work/shop");
    launch.cwd_path = world.path("work/shop");
    launch.confinement.view = View::Bubblewrap(Bubblewrap { program: "bwrap".into(), folders });
    // A way that works inside: through it, the folder would come to lie in the home.
    fs::rename(world.path("work/shop/site"), world.path("work/shop/moved")).unwrap();
    symlink("../../data/homes/one", world.path("work/shop/site")).unwrap();
    let error = spawn(launch, limits()).await.unwrap_err();
    assert!(matches!(error, SpawnError::View { .. }) && error.to_string().contains("behind a link"), "{error}");
}

#[tokio::test]
async fn a_folder_to_be_read_below_a_writable_one_stays_so() {
    if !Kind::Bubblewrap.works() {
        return;
    }
    let world = World::new();
    let mut folders = world.folders();
    folders.binds = vec![world.bind("work/shop/site", Access::ReadOnly), world.bind("work/shop", Access::ReadWrite)];
    let mut launch =
        world.launch(Kind::Bubblewrap, &format!("{WRITE} try new ../new; mv ../site ../moved && echo moved"));
    launch.confinement.view = View::Bubblewrap(Bubblewrap { program: "bwrap".into(), folders });
    assert_eq!(said(launch).await, ["no", "yes"]);
}

#[tokio::test]
async fn what_is_hidden_below_a_writable_folder_stays_hidden() {
    if !Kind::Bubblewrap.works() {
        return;
    }
    let world = World::new();
    let mut folders = world.folders();
    folders.hidden.push(world.path("work/shop/site"));
    folders.binds = vec![world.bind("work/shop", Access::ReadWrite)];
    let mut launch = world.launch(Kind::Bubblewrap, "ls site; echo x >site/new || echo no; echo x >new && echo yes");
    launch.cwd = world.open("work/shop");
    launch.cwd_path = world.path("work/shop");
    launch.confinement.view = View::Bubblewrap(Bubblewrap { program: "bwrap".into(), folders });
    assert_eq!(said(launch).await, ["no", "yes"]);
}

#[tokio::test]
async fn a_view_that_cannot_be_made_is_explained() {
    let world = World::new();
    let explain = async |change: &dyn Fn(&mut supervisor::spawn::Launch)| {
        let mut launch = world.launch(Kind::Bubblewrap, "echo ran");
        change(&mut launch);
        spawn(launch, limits()).await.unwrap_err()
    };
    let folders_of = |launch: &mut supervisor::spawn::Launch, change: &dyn Fn(&mut Bubblewrap)| {
        if let View::Bubblewrap(bubblewrap) = &mut launch.confinement.view {
            change(bubblewrap);
        }
    };

    let error = explain(&|launch| folders_of(launch, &|view| view.program = "/nonexistent/bwrap".into())).await;
    assert!(matches!(error, SpawnError::View { .. }), "{error}");
    assert!(error.to_string().contains("/nonexistent/bwrap"), "{error}");

    let error = explain(&|launch| launch.cwd_path = "/usr".into()).await;
    assert!(matches!(error, SpawnError::View { .. }) && error.to_string().contains("/usr"), "{error}");

    let error = explain(&|launch| folders_of(launch, &|view| view.folders.hidden.push("/".into()))).await;
    assert!(matches!(error, SpawnError::View { .. }) && error.to_string().contains("not the root"), "{error}");

    let many = |view: &mut Bubblewrap| {
        view.folders.binds.extend((0..300).map(|_| world.bind("open", Access::ReadOnly)));
    };
    let error = explain(&|launch| folders_of(launch, &many)).await;
    assert!(matches!(error, SpawnError::HandOver { .. }) && error.to_string().contains("too many"), "{error}");

    if !Kind::Bubblewrap.works() {
        return;
    }
    // There is no such place in a root that cannot be written.
    let nowhere = |view: &mut Bubblewrap| view.folders.binds[0].path = "/nonexistent/place".into();
    let error = explain(&|launch| folders_of(launch, &nowhere)).await;
    assert!(matches!(error, SpawnError::View { .. }), "{error}");
    assert!(error.to_string().contains("bwrap: "), "bubblewrap's own words are missing: {error}");

    let error = explain(&|launch| launch.cwd = world.open("open")).await;
    assert!(matches!(error, SpawnError::View { .. }) && error.to_string().contains("replaced"), "{error}");
}

#[tokio::test]
async fn a_program_that_is_missing_in_the_view_is_explained_as_anywhere_else() {
    let world = World::new();
    for kind in Kind::working() {
        let mut missing = world.launch(kind, "");
        missing.program = world.path("open/missing");
        let error = spawn(missing, limits()).await.unwrap_err();
        assert!(matches!(error, SpawnError::NotFound { .. }), "{kind:?}: {error}");
        assert!(error.to_string().contains("hidden"), "{kind:?}: {error}");

        let mut plain = world.launch(kind, "");
        plain.program = world.path("open/file");
        let error = spawn(plain, limits()).await.unwrap_err();
        assert!(matches!(error, SpawnError::NotExecutable { .. }), "{kind:?}: {error}");

        let mut long = world.launch(kind, "");
        long.args.push("x".repeat(4 << 20).into());
        let error = spawn(long, limits()).await.unwrap_err();
        assert!(matches!(error, SpawnError::TooLong { .. }), "{kind:?}: {error}");
    }
}

#[tokio::test]
async fn the_stage_does_nothing_when_started_by_hand() {
    #[expect(clippy::disallowed_methods, reason = "started by hand")]
    let by_hand = |args: &[&str]| Command::new(LAUNCHER).args(args).stdin(Stdio::null()).output().unwrap();
    for args in [&["__enter"][..], &["__enter", "{}"], &["__enter", "0", "echo", "ran"], &["__enter", "77", "echo"]] {
        let output = by_hand(args);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{args:?}");
    }
    // Told something in a descriptor, as the guardian does.
    let world = World::new();
    let told = |report: u32, environment: u32| {
        let entry = format!(
            r#"{{"report":{report},"secret":null,"environment":{environment},"processes":null,"directory":{{"device":0,"inode":0}},"places":[],"outside":[]}}"#
        );
        fs::write(world.path("entry"), entry).unwrap();
        let by_hand = "exec 3<$W/entry 4>$W/report 5<$W/key; exec $0 __enter 3 echo ran";
        #[expect(clippy::disallowed_methods, reason = "started by hand")]
        Command::new("sh").args(["-c", by_hand, LAUNCHER]).env("W", world.root()).output().unwrap()
    };
    // No pipe for reports is one of the standard ones, and closing those is for nobody.
    for (report, environment) in [(0, 5), (2, 5), (77, 5), (4, 0), (4, 77), (4, 4)] {
        assert_eq!(told(report, environment).status.code(), Some(2), "{report} {environment}");
    }
    // Outside of a view, it does not go on.
    let output = told(4, 5);
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    let report = fs::read_to_string(world.path("report")).unwrap();
    assert!(report.starts_with("failed "), "{report}");
}

#[tokio::test]
async fn a_view_that_never_comes_is_not_waited_for() {
    let short = Limits { start_timeout: SHORT, ..limits() };
    for (name, limits, words) in [
        ("hang", short, "longer than"),
        // Its end is noticed, long before the bound.
        ("leave", Limits { start_timeout: FOREVER, ..limits() }, "has left processes behind"),
    ] {
        let world = World::new();
        let mut launch = world.launch(Kind::Bubblewrap, "echo ran");
        launch.confinement.view = world.view_by(name);
        let marker = launch.marker.value.clone();
        let error = timeout(FOREVER, spawn(launch, limits)).await.unwrap().unwrap_err();
        assert!(matches!(error, SpawnError::View { .. }), "{name}: {error}");
        assert!(error.to_string().contains(words), "{name}: {error}");
        assert_eq!(marked(&marker), Vec::<u32>::new(), "{name}");
    }
}

#[tokio::test]
async fn a_guardian_that_says_nothing_is_not_waited_for() {
    let world = World::new();
    let mut launch = world.launch(Kind::Bubblewrap, "echo ran");
    launch.launcher = world.launcher_named("hang");
    let marker = launch.marker.value.clone();
    let graces = Graces { kill: SHORT, ..limits().graces };
    let limits = Limits { start_timeout: SHORT, graces, ..limits() };
    let error = timeout(FOREVER, spawn(launch, limits)).await.unwrap().unwrap_err();
    assert!(matches!(error, SpawnError::TooLate { .. }), "{error}");
    assert_eq!(marked(&marker), Vec::<u32>::new());
}
