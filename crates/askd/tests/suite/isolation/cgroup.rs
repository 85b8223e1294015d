//! Layer 1, where this machine has cgroups of version 2 that may be divided.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::harness::{Folders, Program, V1, eventually};

/// A cgroup of the test's own, removed with what is in it.
struct Own(PathBuf);

impl Own {
    /// `None`, and a line that says so, where there can be none.
    fn make(test: &str) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mut of_version_2 = mounts.lines().filter(|line| line.contains(" - cgroup2 "));
        let mount = of_version_2.find_map(|line| line.split(' ').nth(4));
        let folder = mount.map(|mount| Path::new(mount).join(format!("askd-test-{}", std::process::id())));
        match folder.map(|folder| fs::create_dir(&folder).map(|()| folder)) {
            Some(Ok(folder)) => Some(Self(folder)),
            other => {
                let why = other.map_or("there is no cgroup2".to_owned(), |made| format!("{:?}", made.err()));
                // Past the harness, which shows nothing of a test that passes.
                let line = format!("NOT RUN: {test}: no cgroup can be made: {why}\n");
                std::io::stderr().write_all(line.as_bytes()).unwrap();
                None
            }
        }
    }

    /// The cgroups of runs.
    fn of_runs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).unwrap().flatten().map(|entry| entry.path());
        entries.filter(|path| path.is_dir()).collect()
    }

    fn offers(&self, controller: &str) -> bool {
        let offered = fs::read_to_string(self.0.join("cgroup.controllers")).unwrap();
        offered.split_ascii_whitespace().any(|word| word == controller)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        for folder in self.of_runs().into_iter().chain([self.0.clone()]) {
            drop(fs::remove_dir(folder.join("run")));
            drop(fs::remove_dir(folder));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_has_a_cgroup_of_its_own_where_the_server_was_given_one_and_says_what_it_does() {
    let Some(own) = Own::make("a_run_has_a_cgroup_of_its_own") else { return };
    let folders = Folders::new();
    let variables = [("ASKD_CGROUP", own.0.to_str().unwrap()), ("ASKD_ISOLATION", "best_effort")];
    let program = Program::start(&folders, &variables);
    let client = V1::at(program.address().await);
    assert!(own.of_runs().is_empty(), "the probe leaves nothing");
    let report = client.get("/v1/isolation").await.body;
    assert_eq!(report["cgroup"]["available"], true, "{report:#}\n{}", program.log());
    let in_force = report["in_force"].as_array().unwrap();
    let expected = [
        ("cgroup_kill", true),
        ("cgroup_memory", own.offers("memory")),
        ("cgroup_pids", own.offers("pids")),
        // Without ASKD_MAX_CPU_PERCENT there is nothing to keep.
        ("cgroup_cpu", false),
    ];
    for (word, is_in_force) in expected {
        assert_eq!(in_force.contains(&json!(word)), is_in_force, "{word}: {report:#}");
    }

    folders.write("workspace/shop/file", "");
    let run = client.submit(&json!({"prompt": "!touch there\n!await go", "cwd": "shop"})).await;
    eventually("the run", || folders.workspace().join("shop/there").exists().then_some(())).await;
    let groups = own.of_runs();
    assert_eq!(groups.len(), 1, "{groups:?}");
    assert!(groups[0].to_string_lossy().ends_with(&run), "{groups:?}");
    let processes = fs::read_to_string(groups[0].join("run/cgroup.procs")).unwrap();
    assert!(processes.lines().count() > 0);
    folders.write("workspace/shop/go", "");
    let ended = client.ended(&run).await;
    assert_eq!(ended["isolation"]["in_force"], report["in_force"]);
    eventually("the end of the cgroup", || own.of_runs().is_empty().then_some(())).await;
}
