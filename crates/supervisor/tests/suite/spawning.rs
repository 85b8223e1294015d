//! How a child starts, and what it starts with.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt;

use supervisor::input::StdinError;
use supervisor::ladder::Rung;
use supervisor::process::Exit;
use supervisor::spawn::{MAX_SECRET_BYTES, Secret, SpawnError, spawn};

use crate::support::{MARKER, assert_nothing_left, hasty, limits, rest, script, start, start_ready_with, stop};
use crate::world::{Kind, World};

#[tokio::test]
async fn input_output_and_exit_code() {
    let mut child = start("read line; echo \"got $line\"; echo oops >&2; exit 7").await;
    child.stdin.write_line("grüße".as_bytes()).await.unwrap();
    assert_eq!(rest(&mut child.lines).await, ["got grüße"]);
    let gone = child.process.wait_gone().await;
    assert_eq!((gone.exit, gone.leftover, gone.leaked), (Exit::Code(7), 0, 0));
    assert_eq!(child.process.wait_exit().await, Exit::Code(7));
    assert_eq!((child.stderr.text().as_str(), child.stderr.dropped()), ("oops\n", 0));
    assert_nothing_left(child.identity());
}

#[tokio::test]
async fn the_environment_is_the_given_one_and_nothing_else() {
    let mut launch = script("env | cut -d= -f1 | sort; umask; ulimit -c; pwd; grep NoNewPrivs /proc/self/status");
    launch.env.push(("ONLY".into(), "this".into()));
    launch.cwd = File::open("/proc").unwrap().into();
    let mut child = spawn(launch, limits()).await.unwrap();
    let lines = rest(&mut child.lines).await;
    let own = ["OLDPWD", "PWD", "SHLVL", "_"];
    let lines: Vec<&str> = lines.iter().map(String::as_str).filter(|line| !own.contains(line)).collect();
    assert_eq!(lines, ["ONLY", "PATH", "SUPERVISOR_TEST_MARKER", "0077", "0", "/proc", "NoNewPrivs:\t1"]);
}

#[tokio::test]
async fn the_child_has_no_descriptor_but_the_standard_ones() {
    // 3 is the directory that `ls` itself reads.
    let mut child = start("exec ls /proc/self/fd").await;
    assert_eq!(rest(&mut child.lines).await, ["0", "1", "2", "3"]);
}

#[tokio::test]
async fn signals_have_their_defaults_and_none_is_blocked() {
    let mut child = start("grep -E 'Sig(Blk|Ign)' /proc/self/status").await;
    for line in rest(&mut child.lines).await {
        // The 31 classic signals; two others are the C library's own, which its `posix_spawn` leaves ignored.
        let set = u64::from_str_radix(line.split('\t').nth(1).unwrap(), 16).unwrap();
        assert_eq!(set & 0x7fff_ffff, 0, "{line}");
    }
}

#[tokio::test]
async fn the_secret_is_read_from_the_pipe_and_stands_nowhere_else() {
    // By path, since some shells redirect from one-digit descriptors only.
    let mut launch = script("cat /proc/self/fd/$KEY_FD; echo; env | grep -c s3cret; ls /proc/self/fd | wc -l");
    launch.secret = Some(Secret { fd_variable: "KEY_FD".to_owned(), value: "s3cret".into() });
    let mut child = spawn(launch, limits()).await.unwrap();
    assert_eq!(rest(&mut child.lines).await, ["s3cret", "0", "5"]);
}

#[tokio::test]
async fn a_secret_may_be_as_long_as_a_pipe_and_no_longer() {
    let secret = |length: usize| Some(Secret { fd_variable: "KEY_FD".to_owned(), value: "x".repeat(length).into() });
    let mut launch = script("cat /proc/self/fd/$KEY_FD | wc -c");
    launch.secret = secret(MAX_SECRET_BYTES);
    let mut child = spawn(launch, limits()).await.unwrap();
    assert_eq!(rest(&mut child.lines).await, [MAX_SECRET_BYTES.to_string()]);

    let mut launch = script("true");
    launch.secret = secret(MAX_SECRET_BYTES + 1);
    let error = spawn(launch, limits()).await.unwrap_err();
    assert!(matches!(error, SpawnError::SecretTooLong { bytes: 65_537, .. }), "{error}");
}

#[tokio::test]
async fn a_program_that_cannot_start_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    let plain = directory.path().join("plain");
    fs::write(&plain, "not a program").unwrap();

    let mut missing = script("");
    missing.program = directory.path().join("missing");
    let error = spawn(missing, limits()).await.unwrap_err();
    assert!(matches!(error, SpawnError::NotFound { .. }), "{error}");
    assert!(error.to_string().contains("missing"), "{error}");

    let mut locked = script("");
    locked.program.clone_from(&plain);
    let error = spawn(locked, limits()).await.unwrap_err();
    assert!(matches!(error, SpawnError::NotExecutable { .. }), "{error}");

    let mut long = script("");
    long.args.push("x".repeat(4 << 20).into());
    let error = spawn(long, limits()).await.unwrap_err();
    assert!(matches!(error, SpawnError::TooLong { .. }), "{error}");

    let mut file = script("");
    file.cwd = File::open("/proc/version").unwrap().into();
    let error = spawn(file, limits()).await.unwrap_err();
    assert!(error.to_string().contains("cannot enter the working directory"), "{error}");
}

#[tokio::test]
async fn a_launcher_that_is_none_is_explained() {
    let mut launch = script("");
    launch.launcher = "/nonexistent/launcher".into();
    let error = spawn(launch, limits()).await.unwrap_err();
    assert!(matches!(error, SpawnError::Launcher { .. }), "{error}");

    let mut launch = script("");
    launch.launcher = "true".into();
    let error = spawn(launch, limits()).await.unwrap_err();
    assert!(matches!(error, SpawnError::Guardian { .. }), "{error}");
}

#[tokio::test]
async fn writing_to_a_dead_child_is_an_error() {
    let mut child = start("exit 0").await;
    child.process.wait_gone().await;
    let error = child.stdin.write_line(b"hello").await.unwrap_err();
    assert!(matches!(error, StdinError::Closed), "{error}");
}

#[tokio::test]
async fn writing_to_a_child_that_does_not_read_times_out_and_ends_the_input() {
    let mut child = start_ready_with("echo ready; exec sleep 600", hasty()).await;
    let error = child.stdin.write_line(&vec![b'x'; 1 << 20]).await.unwrap_err();
    assert!(matches!(error, StdinError::TimedOut(_)), "{error}");
    let error = child.stdin.write_line(b"more").await.unwrap_err();
    assert!(matches!(error, StdinError::CutShort), "{error}");
    let (_, process) = stop(child, Rung::Kill).await;
    assert_nothing_left(process.identity());
}

#[tokio::test]
async fn a_line_with_a_line_end_is_refused() {
    let mut child = start("cat").await;
    let error = child.stdin.write_line(b"a\nb").await.unwrap_err();
    assert!(matches!(error, StdinError::HoldsLineEnd), "{error}");
    child.stdin.close();
    assert_eq!(rest(&mut child.lines).await, Vec::<String>::new());
    child.process.wait_gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_at_once_each_see_their_own_ends() {
    let tasks: Vec<_> = (0..50)
        .map(|number| {
            #[expect(clippy::disallowed_methods, reason = "a test has no tracker")]
            tokio::spawn(async move {
                let mut child = start("cat; echo end").await;
                child.stdin.write_line(number.to_string().as_bytes()).await.unwrap();
                // `cat` ends only if no other child holds the writing end of this pipe.
                child.stdin.close();
                assert_eq!(rest(&mut child.lines).await, [number.to_string(), "end".to_owned()]);
                assert_eq!(child.process.wait_gone().await.exit, Exit::Code(0));
                assert_nothing_left(child.process.identity());
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn what_starts_the_child_has_none_of_its_variables() {
    let environment = |pid: u32| {
        let text = String::from_utf8(fs::read(format!("/proc/{pid}/environ")).unwrap()).unwrap();
        text.split_terminator('\0').map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let world = World::new();
    for kind in [None, Some(Kind::Bubblewrap), Some(Kind::Landlock)] {
        let text = "echo $STEERS $MALLOC_PERTURB_ $SUPERVISOR_GUARDIAN; read line";
        let mut launch = match kind {
            Some(kind) if !kind.works() => continue,
            Some(kind) => world.launch(kind, text),
            None => script(text),
        };
        let marker = format!("{MARKER}={}", launch.marker.value);
        for name in ["STEERS", "MALLOC_PERTURB_", "SUPERVISOR_GUARDIAN", MARKER] {
            launch.env.push((name.into(), "7".into()));
        }
        let mut child = spawn(launch, limits()).await.unwrap();
        assert_eq!(child.lines.next().await.unwrap().unwrap().as_str(), "7 7", "{kind:?}");
        let guardian = environment(child.identity().guardian.pid);
        assert_eq!(guardian, BTreeSet::from([marker.clone(), "SUPERVISOR_GUARDIAN=1".to_owned()]), "{kind:?}");
        if kind == Some(Kind::Bubblewrap) {
            assert_eq!(environment(child.pid()), BTreeSet::from([marker]), "bubblewrap itself");
        } else {
            assert!(environment(child.pid()).contains(&marker), "the request's own marker is none");
        }
        let (_, process) = stop(child, Rung::CloseStdin).await;
        assert_nothing_left(process.identity());
    }
}

#[tokio::test]
async fn variables_that_are_too_long_or_none_are_explained() {
    let with = |value: &[u8]| {
        let mut launch = script("true");
        launch.env.push(("LONG".into(), OsString::from_vec(value.to_vec())));
        launch
    };
    let error = spawn(with(&vec![b'x'; 4 << 20]), limits()).await.unwrap_err();
    assert!(matches!(error, SpawnError::TooLong { .. }), "{error}");
    let error = spawn(with(b"1\0LD_PRELOAD=x"), limits()).await.unwrap_err();
    assert!(matches!(error, SpawnError::HandOver { .. }), "{error}");
}
