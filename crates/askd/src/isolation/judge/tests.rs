use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::attempts::{Hidden, Reached};
use super::*;

fn no() -> Attempt {
    Attempt::Refused("Permission denied".to_owned())
}

fn namespaces(own: &str) -> BTreeMap<String, String> {
    ["pid", "ipc", "uts"].map(|name| (name.to_owned(), format!("{name}:[{own}]"))).into()
}

fn targets() -> Targets {
    let hidden = vec![Hidden { path: "/data".into(), device: 1, inode: 2 }];
    let needed = vec![PathBuf::from("/home")];
    let programs = vec![PathBuf::from("/bin/claude")];
    let shared = vec![Hidden { path: "/tmp".into(), device: 1, inode: 3 }];
    Targets { needed, programs, hidden, shared, system: vec!["/".into()], ..Targets::default() }
}

/// Everything is as it should be.
fn sound() -> Findings {
    Findings {
        needed: vec![Attempt::Done],
        programs: vec![Attempt::Done],
        secret: no(),
        hidden: vec![no()],
        hidden_writes: vec![no()],
        shown: Attempt::Done,
        shown_write: no(),
        beside_write: no(),
        system_writes: vec![no()],
        kernel_write: no(),
        own_temporary: true,
        shared: vec![no()],
        hidden_socket: Some(no()),
        shown_socket: Some(Attempt::Done),
        abstract_socket: Some(no()),
        processes: vec![Reached { seen: false, signal: no(), environment: no(), trace: no() }],
        namespaces: namespaces("1"),
        fork: Attempt::Done,
        nested: Attempt::Done,
        own: Own {
            uid: 1000,
            capabilities: "0000000000000000".into(),
            no_new_privileges: true,
            filters: 1,
            core: Some(0),
            open_files: Some(100),
            tasks: Some(100),
            file_size: Some(100),
        },
        first_filters: Some(1),
    }
}

const CLAIMS: &[Protection] = &[
    Protection::PrivateFiles,
    Protection::PrivateWorkspaces,
    Protection::PrivateTmp,
    Protection::ReadOnlySystem,
    Protection::WriteRoot,
    Protection::PidNamespace,
    Protection::IpcNamespace,
    Protection::UtsNamespace,
    Protection::Seccomp,
    Protection::LandlockFiles,
    Protection::LandlockSignals,
    Protection::LandlockSockets,
];

fn judged(found: &Findings) -> Verdict {
    let resources = Resources { open_files: Some(100), file_size: Some(100), ..Resources::default() };
    let (outside, own) = (namespaces("0"), Own::default());
    let given = Given { claims: CLAIMS, targets: &targets(), resources: &resources, outside: (&outside, &own) };
    judge(&given, found)
}

/// A way in which something can be wrong.
type Flaw = fn(&mut Findings);

#[test]
fn what_holds_is_confirmed() {
    let verdict = judged(&sound());
    assert!(verdict.holds(), "{verdict:?}");
    assert_eq!(verdict.confirmed.len(), BASE.len() + CLAIMS.len());
}

#[test]
fn every_attempt_that_succeeds_takes_away_what_it_disproves() {
    let flaws: &[(Protection, Flaw)] = &[
        (Protection::NoNewPrivileges, |found| found.own.no_new_privileges = false),
        (Protection::Limits, |found| found.own.core = None),
        (Protection::Limits, |found| found.own.open_files = Some(101)),
        (Protection::Limits, |found| found.own.file_size = None),
        (Protection::PrivateFiles, |found| found.secret = Attempt::Done),
        (Protection::PrivateFiles, |found| found.hidden = vec![Attempt::Done]),
        (Protection::PrivateWorkspaces, |found| found.hidden = vec![Attempt::Done]),
        (Protection::PrivateFiles, |found| found.hidden_writes = vec![Attempt::Done]),
        (Protection::PrivateFiles, |found| found.hidden_socket = Some(Attempt::Done)),
        (Protection::PrivateTmp, |found| found.own_temporary = false),
        (Protection::PrivateTmp, |found| found.shared = vec![Attempt::Done]),
        (Protection::ReadOnlySystem, |found| found.shown_write = Attempt::Done),
        (Protection::ReadOnlySystem, |found| found.shown = no()),
        (Protection::ReadOnlySystem, |found| found.system_writes = vec![Attempt::Done]),
        (Protection::ReadOnlySystem, |found| found.kernel_write = Attempt::Done),
        (Protection::WriteRoot, |found| found.beside_write = Attempt::Done),
        (Protection::PidNamespace, |found| found.namespaces = namespaces("0")),
        (Protection::PidNamespace, |found| found.processes[0].seen = true),
        (Protection::IpcNamespace, |found| found.namespaces.clear()),
        (Protection::UtsNamespace, |found| found.namespaces = namespaces("0")),
        (Protection::Seccomp, |found| found.own.filters = 0),
        (Protection::Seccomp, |found| found.first_filters = Some(0)),
        (Protection::Seccomp, |found| found.first_filters = None),
        (Protection::LandlockFiles, |found| found.processes[0].environment = Attempt::Done),
        (Protection::LandlockFiles, |found| found.processes[0].trace = Attempt::Done),
        (Protection::LandlockSignals, |found| found.processes[0].signal = Attempt::Done),
        (Protection::LandlockSockets, |found| found.abstract_socket = Some(Attempt::Done)),
    ];
    for (protection, flaw) in flaws {
        let mut found = sound();
        flaw(&mut found);
        let verdict = judged(&found);
        assert!(!verdict.holds() && !verdict.confirmed.contains(protection), "{protection}: {verdict:?}");
        assert!(verdict.refuted.iter().any(|(refuted, _)| refuted == protection), "{protection}: {verdict:?}");
    }
}

#[test]
fn a_layer_in_which_no_run_could_work_is_of_no_use() {
    let flaws: &[Flaw] =
        &[|found| found.needed = vec![no()], |found| found.programs = vec![no()], |found| found.fork = no()];
    for flaw in flaws {
        let mut found = sound();
        flaw(&mut found);
        let verdict = judged(&found);
        assert!(!verdict.holds() && verdict.unusable.is_some(), "{verdict:?}");
    }
}

#[test]
fn the_machine_s_first_process_needs_no_filter() {
    let mut found = sound();
    found.first_filters = Some(0);
    found.namespaces = namespaces("0");
    assert!(judged(&found).confirmed.contains(&Protection::Seccomp));
}

#[test]
fn root_is_told_and_does_not_spoil_a_layer() {
    let mut found = sound();
    found.own.uid = 0;
    let verdict = judged(&found);
    assert!(verdict.holds());
    assert_eq!(verdict.refuted[0].0, Protection::UnprivilegedUser);
}
