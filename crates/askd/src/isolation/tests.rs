use super::*;
use crate::isolation::judge::Verdict;

fn tried(layer: Layer, confirmed: &[Protection], refuted: &[Protection]) -> LayerReport {
    let refuted = refuted.iter().map(|protection| (*protection, "got through at /a/path".to_owned())).collect();
    LayerReport::tried(layer, Verdict { confirmed: confirmed.to_vec(), refuted, unusable: None })
}

fn report(change: impl FnOnce(&mut Settings), layers: Vec<LayerReport>) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::for_testing(folder.path());
    settings.isolation.policy = IsolationPolicy::BestEffort;
    change(&mut settings);
    let cgroups = Cgroups::without(&settings.run_limits, "ASKD_CGROUP is off", None);
    let host = HostView::new(&settings, &[], Path::new("/bin/sh"), Path::new("/bin/sh")).unwrap();
    put_together(&settings, &host, layers, &cgroups)
}

const BASE: [Protection; 2] = [Protection::NoNewPrivileges, Protection::Limits];

#[test]
fn the_strongest_layer_that_holds_is_told_and_needs_no_reason() {
    let layers = vec![tried(Layer::Bubblewrap, &[Protection::PrivateFiles, Protection::Limits], &[])];
    let report = report(|_| {}, layers);
    assert_eq!((report.layer, report.reason), (Layer::Bubblewrap, None));
    assert_eq!(report.in_force, [Protection::Limits, Protection::UsageWatch, Protection::PrivateFiles]);
    let landlock = &report.layers[1];
    assert_eq!((landlock.name, landlock.available), (Layer::Landlock, None));
    assert_eq!(landlock.reason.as_deref(), Some("a stronger layer is in force"));
}

#[test]
fn a_layer_that_lets_one_thing_through_is_as_good_as_none() {
    let layers = vec![
        tried(Layer::Bubblewrap, &[Protection::PrivateTmp], &[Protection::PrivateFiles]),
        tried(Layer::Landlock, &[Protection::LandlockFiles], &[]),
    ];
    let report = report(|_| {}, layers);
    assert_eq!(report.layer, Layer::Landlock);
    assert_eq!(report.reason.as_deref(), Some("bubblewrap: the probe got through: private_files"));
    assert!(!report.in_force.contains(&Protection::PrivateTmp), "nothing of a layer that is not used counts");
    let told = serde_json::to_string(&report).unwrap();
    assert!(!told.contains("/a/path"), "what names a path is for the operator: {told}");
}

#[test]
fn without_a_layer_every_reason_is_told() {
    let layers = vec![
        LayerReport::failed(Layer::Bubblewrap, "bubblewrap is not installed", String::new()),
        LayerReport::failed(Layer::Landlock, "the kernel has no Landlock, or it is switched off", String::new()),
        tried(Layer::None, &BASE, &[]),
    ];
    let report = report(|_| {}, layers);
    assert_eq!(report.layer, Layer::None);
    let reason = report.reason.unwrap();
    assert_eq!(
        reason,
        "bubblewrap: bubblewrap is not installed; landlock: the kernel has no Landlock, or it is switched off"
    );
    assert!(report.not_prevented.iter().any(|sentence| sentence.contains("other runs' homes")));
}

#[test]
fn isolation_that_is_off_is_off_whatever_would_work() {
    let layers = vec![tried(Layer::Bubblewrap, &BASE, &[]), tried(Layer::None, &BASE, &[])];
    let report = report(|settings| settings.isolation.policy = IsolationPolicy::Off, layers);
    assert_eq!((report.layer, report.reason.as_deref()), (Layer::None, Some("ASKD_ISOLATION is off")));
}

#[test]
fn agents_as_root_are_told_and_do_not_spoil_a_layer() {
    let report = report(|_| {}, vec![tried(Layer::Bubblewrap, &BASE, &[Protection::UnprivilegedUser])]);
    assert_eq!(report.layer, Layer::Bubblewrap);
    assert!(report.not_prevented[0].contains("run as root"));
}

#[test]
fn what_is_kept_with_a_run_has_a_stable_form() {
    let in_force = vec![Protection::Limits, Protection::PidNamespace];
    let run = RunIsolation { layer: Layer::Bubblewrap, in_force, reason: None };
    assert_eq!(run.to_json(), r#"{"layer":"bubblewrap","in_force":["limits","pid_namespace"],"reason":null}"#);
}
