//! The manifests for Kubernetes, held against the settings and routes that there are.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use askd::settings::{Settings, Sources};
use serde::Deserialize as _;
use serde_json::Value;

use crate::page::{read, root};

const FOLDER: &str = "deploy/kubernetes";

/// The address that the pod of these tests has.
const POD_IP: &str = "10.42.0.7";

/// The documents of a YAML file.
fn documents(file: &str) -> Vec<Value> {
    let text = read(file);
    let documents = serde_norway::Deserializer::from_str(&text).map(Value::deserialize);
    documents.map(|document| document.unwrap_or_else(|error| panic!("{file}: {error}"))).collect()
}

/// All objects of a variant, with those of the base.
fn objects(variant: &str) -> Vec<Value> {
    let folder = format!("{FOLDER}/{variant}");
    let kustomization = documents(&format!("{folder}/kustomization.yaml")).remove(0);
    let resources = kustomization["resources"].as_array().unwrap().clone();
    let files = resources.iter().map(|resource| resource.as_str().unwrap());
    files
        .flat_map(|file| if file == "../base" { objects("base") } else { documents(&format!("{folder}/{file}")) })
        .collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("there is no {kind}"))
}

/// The pod of a variant: its `spec` in the template.
fn pod(objects: &[Value]) -> &Value {
    let workload = objects.iter().find(|object| object["spec"]["template"].is_object()).unwrap();
    assert_eq!(workload["spec"]["selector"]["matchLabels"], workload["spec"]["template"]["metadata"]["labels"]);
    &workload["spec"]["template"]["spec"]
}

/// The variables of askd's container.
fn variables(objects: &[Value]) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().expect("variables are texts").to_owned();
    let config = of_kind(objects, "ConfigMap");
    let mut found: BTreeMap<_, _> =
        config["data"].as_object().unwrap().iter().map(|(name, value)| (name.clone(), text(value))).collect();
    let container = &pod(objects)["containers"][0];
    assert_eq!(container["envFrom"][0]["configMapRef"]["name"], config["metadata"]["name"]);
    for entry in container["env"].as_array().into_iter().flatten() {
        let value = match entry["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
            Some("status.podIP") => POD_IP.to_owned(),
            Some(other) => panic!("{other} is not known here"),
            // As Kubernetes does it, with what stands before.
            None => {
                found.iter().fold(text(&entry["value"]), |value, (name, is)| value.replace(&format!("$({name})"), is))
            }
        };
        found.insert(text(&entry["name"]), value);
    }
    found
}

/// The settings of a variant; of secrets only that there is such a setting.
fn settings(objects: &[Value]) -> Settings {
    let folder = tempfile::tempdir().unwrap();
    let secret = |name: &str| match name {
        "ASKD_SECRET_KEY_FILE" => "0123456789abcdeffedcba98765432100f1e2d3c4b5a69788796a5b4c3d2e1f0".to_owned(),
        "ASKD_DATABASE_URL_FILE" => "postgres://askd@db.example/askd".to_owned(),
        _ => "a-secret-for-this-test".to_owned(),
    };
    let env = variables(objects).into_iter().map(|(name, value)| {
        if !value.starts_with("/etc/askd/secrets/") {
            return (name, value);
        }
        let file = folder.path().join(&name);
        std::fs::write(&file, secret(&name)).unwrap();
        (name, file.display().to_string())
    });
    let sources = Sources { env: env.collect(), current_dir: Path::new("/").to_owned(), ..Sources::default() };
    Settings::load(&sources).unwrap_or_else(|errors| panic!("{errors}")).settings
}

#[test]
fn every_file_belongs_to_a_variant() {
    for variant in ["base", "sqlite", "postgresql"] {
        let folder = root().join(FOLDER).join(variant);
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let listed = documents(&format!("{FOLDER}/{variant}/kustomization.yaml")).remove(0)["resources"].to_string();
        for name in names.filter(|name| name != "kustomization.yaml") {
            assert!(listed.contains(&name), "{variant}/{name} is not in its kustomization");
        }
    }
}

#[test]
fn the_settings_of_the_manifests_are_askds() {
    for variant in ["sqlite", "postgresql"] {
        let objects = objects(variant);
        settings(&objects);
        let names = variables(&objects)["ASKD_ALLOWED_HOSTS"].clone();
        assert!(names.split(',').any(|name| name == POD_IP), "{variant}: Prometheus calls the pod by its address");
        let container = &pod(&objects)["containers"][0];
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let get = &container[probe]["httpGet"];
            let host = get["httpHeaders"][0]["value"].as_str().unwrap();
            assert!(names.split(',').any(|name| name == host), "{variant}: {probe} calls {host}");
            assert_eq!(get["port"], "metrics");
        }
    }
}

#[test]
fn the_ports_are_those_on_which_askd_listens() {
    for variant in ["sqlite", "postgresql"] {
        let objects = objects(variant);
        let (variables, ports) = (variables(&objects), &pod(&objects)["containers"][0]["ports"]);
        for (port, setting) in [(&ports[0], "ASKD_LISTEN"), (&ports[1], "ASKD_METRICS_LISTEN")] {
            assert!(variables[setting].ends_with(&format!(":{}", port["containerPort"])), "{variant}: {setting}");
        }
        for service in objects.iter().filter(|object| object["kind"] == "Service") {
            assert_eq!(service["spec"]["ports"][0]["targetPort"], ports[0]["name"]);
            assert_eq!(service["spec"]["selector"]["app.kubernetes.io/name"], "askd");
        }
    }
}

#[test]
fn kubernetes_waits_longer_for_a_pod_than_askd_for_its_runs() {
    for variant in ["sqlite", "postgresql"] {
        let objects = objects(variant);
        let stopping = settings(&objects).stopping;
        let ladder = stopping.soft + stopping.eof + stopping.term + stopping.kill;
        let needed = stopping.drain_delay + stopping.shutdown_grace + ladder;
        let patience = Duration::from_secs(pod(&objects)["terminationGracePeriodSeconds"].as_u64().unwrap());
        assert!(needed < patience, "{variant}: {needed:?} are not less than {patience:?}");
    }
}

#[test]
fn every_volume_of_a_pod_is_mounted_and_every_mount_is_a_volume() {
    for variant in ["sqlite", "postgresql"] {
        let objects = objects(variant);
        let pod = pod(&objects);
        let workload = objects.iter().find(|object| object["spec"]["template"].is_object()).unwrap();
        let names = |list: &Value, path: &str| -> Vec<String> {
            let items = list.as_array().into_iter().flatten();
            items.map(|item| item.pointer(path).unwrap().as_str().unwrap().to_owned()).collect()
        };
        let mut volumes = names(&pod["volumes"], "/name");
        volumes.extend(names(&workload["spec"]["volumeClaimTemplates"], "/metadata/name"));
        let mut mounts = names(&pod["containers"][0]["volumeMounts"], "/name");
        volumes.sort();
        mounts.sort();
        assert_eq!(volumes, mounts, "{variant}");
        for container in [&pod["containers"][0], &pod["initContainers"][0]] {
            let confined = &container["securityContext"];
            assert_eq!(
                (&confined["readOnlyRootFilesystem"], &confined["allowPrivilegeEscalation"]),
                (&true.into(), &false.into())
            );
        }
    }
}
