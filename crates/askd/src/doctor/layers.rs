//! What was found out about the layers, and what to do about it.

use std::fs;
use std::path::Path;

use rustix::fs::Access;

use super::Check;
use crate::isolation::report::{LayerReport, Report};
use crate::isolation::{BWRAP_IS_NO_PROGRAM, Layer, NO_BUBBLEWRAP};
use crate::privileges::access;
use crate::settings::IsolationPolicy;
use crate::settings::groups::Cgroup;

/// Settings of the kernel that keep ordinary users from making namespaces: the file, the value that does, what to do.
const OBSTACLES: [(&str, &str, &str); 3] = [
    ("/proc/sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "give bwrap an AppArmor profile with `userns,` or sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
];

/// A finding for namespaces, one for each layer, and one for what runs would get.
pub(super) fn judge(policy: IsolationPolicy, report: &Report) -> Vec<Check> {
    let host = report.layers.iter().find(|layer| layer.name == Layer::None);
    let namespaces = host.and_then(|layer| layer.nested);
    let mut checks = vec![user_namespaces(namespaces)];
    checks.extend(report.layers.iter().map(|layer| of_layer(layer, report.layer, namespaces)));
    checks.push(of_policy(policy, report));
    checks
}

fn user_namespaces(possible: Option<bool>) -> Check {
    let name = "user_namespaces";
    match possible {
        Some(true) => Check::ok(name, "the user can make user, mount and PID namespaces"),
        Some(false) => Check::warn(
            name,
            "the user cannot make user, mount and PID namespaces, which bubblewrap needs",
            how_to_allow(),
        ),
        None => Check::warn(name, "could not be tried", "see the findings of the layers"),
    }
}

fn how_to_allow() -> String {
    let stands =
        |file: &&(&str, &str, &str)| fs::read_to_string(Path::new(file.0)).is_ok_and(|value| value.trim() == file.1);
    let found: Vec<_> = OBSTACLES.iter().filter(stands).map(|(_, _, remedy)| *remedy).collect();
    if found.is_empty() {
        "a seccomp or AppArmor profile refuses them, as in most containers: see docs/security.md, Containers".to_owned()
    } else {
        found.join("; ")
    }
}

fn of_layer(layer: &LayerReport, chosen: Layer, namespaces: Option<bool>) -> Check {
    let name = match layer.name {
        Layer::Bubblewrap => "layer_bubblewrap",
        Layer::Landlock => "layer_landlock",
        Layer::None => "layer_none",
    };
    if layer.is_available() {
        let words: Vec<_> = layer.confirmed.iter().map(|protection| protection.as_str()).collect();
        return Check::ok(name, format!("works; a probe inside confirmed {}", words.join(", ")));
    }
    let why = layer.detail.as_deref().or(layer.reason.as_deref()).unwrap_or("not tried");
    let message = format!("does not work here: {why}");
    match layer.name {
        // Not needed: a stronger one works.
        name_of_weaker if name_of_weaker > chosen => Check::ok(name, message),
        // What to do was said already.
        Layer::Bubblewrap if matches!(layer.reason.as_deref(), Some(NO_BUBBLEWRAP | BWRAP_IS_NO_PROGRAM)) => {
            let message = format!("does not work here: {}", layer.reason.as_deref().unwrap_or_default());
            Check { hint: None, ..Check::warn(name, message, "") }
        }
        Layer::Bubblewrap if namespaces == Some(false) => Check { hint: None, ..Check::warn(name, message, "") },
        Layer::Bubblewrap => {
            Check::warn(name, message, "install bubblewrap 0.8.0 or newer where the user can start it")
        }
        Layer::Landlock => Check::warn(name, message, "use Linux 6.2 or newer with `landlock` among the kernel's lsm="),
        Layer::None => Check::fail(name, message, "no process can be started as a run would be"),
    }
}

fn of_policy(policy: IsolationPolicy, report: &Report) -> Check {
    let name = "isolation";
    let holds = report.layer != Layer::None;
    match policy {
        IsolationPolicy::Off => Check::warn(
            name,
            "off (ASKD_ISOLATION): runs can read and change whatever the server's user can",
            "set ASKD_ISOLATION=best_effort, or required",
        ),
        _ if holds => Check::ok(name, format!("runs are isolated by {} (ASKD_ISOLATION={policy})", report.layer)),
        IsolationPolicy::Required => Check::fail(
            name,
            "ASKD_ISOLATION is required, and no layer works: the server does not start",
            "make one of the layers above work, or set ASKD_ISOLATION=best_effort",
        ),
        IsolationPolicy::BestEffort => Check::warn(
            name,
            "no layer works: runs can read and change whatever the server's user can",
            "make one of the layers above work, and set ASKD_ISOLATION=required so that it stays so",
        ),
    }
}

/// Nothing is tried: the server's own cgroup is another than this process's, and a folder would be changed by it.
pub(super) fn cgroup(setting: &Cgroup, is_given_by_root: bool) -> Check {
    let name = "cgroup";
    match setting {
        Cgroup::Off => Check::ok(name, "off (ASKD_CGROUP): limits are watched, and not kept by the kernel"),
        Cgroup::Auto => Check::skip(
            name,
            "not tried: looked for by the server in its own cgroup when it starts; GET /v1/isolation says what it found \
             (with systemd: Delegate=yes)",
        ),
        Cgroup::Folder(folder) => {
            let shown = folder.display();
            let hint =
                "name a folder of the cgroup2 file system that the user may write; the server does not start without";
            if !folder.join("cgroup.controllers").is_file() {
                return Check::fail(name, format!("ASKD_CGROUP `{shown}` is no cgroup of version 2"), hint);
            }
            match access(folder, Access::WRITE_OK | Access::EXEC_OK) {
                Err(error) if !is_given_by_root => {
                    Check::fail(name, format!("ASKD_CGROUP `{shown}` cannot be written: {error}"), hint)
                }
                _ => {
                    Check::skip(name, format!("`{shown}` is a cgroup of version 2; the server tries it when it starts"))
                }
            }
        }
    }
}
