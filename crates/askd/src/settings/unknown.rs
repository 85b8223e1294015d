//! Names that look like settings and are none: most likely slips of the finger.

use super::problem::{Origin, Problem};
use super::sources::Layers;
use super::suggest::closest;
use super::table;

/// Unknown keys of the settings file and unknown variables that begin with `ASKD_`.
///
/// Their values are not shown: whoever misspells `API_KEY` has written a key there.
pub(super) fn find(layers: &Layers<'_>, problems: &mut Vec<Problem>) {
    let settings = || table::all().chain([&table::CONFIG]);
    let mut variables: Vec<String> = settings().map(|setting| setting.env.to_owned()).collect();
    variables.extend(settings().filter_map(super::declaration::Setting::file_variable));
    for (name, value) in &layers.env {
        if name.starts_with("ASKD_") && !variables.iter().any(|known| known == name) && !of_kubernetes(name, value) {
            let origin = Origin::Environment((*name).to_owned());
            problems.push(unknown(name, origin, &variables, "variables that begin with `ASKD_`"));
        }
    }

    let mut keys: Vec<String> = table::all().map(|setting| setting.key.to_owned()).collect();
    keys.extend(table::all().filter_map(super::declaration::Setting::file_key));
    for (key, origin) in layers.file.keys() {
        if !keys.iter().any(|known| known == key) {
            problems.push(unknown(key, origin, &keys, "keys of the settings file"));
        }
    }
}

fn unknown(name: &str, origin: Origin, known: &[String], all: &str) -> Problem {
    let hint = match closest(name, known.iter().map(String::as_str)) {
        Some(close) => format!("did you mean `{close}`?"),
        None => format!("remove it; `askd settings` and docs/reference/settings.md list the {all}"),
    };
    Problem {
        setting: name.to_owned(),
        value: None,
        origin: Some(origin),
        what: "there is no such setting".to_owned(),
        hint,
    }
}

/// Kubernetes gives every pod variables for every service of its namespace. A service that is called
/// `askd`, or `askd-something`, brings `ASKD_PORT=tcp://…`, `ASKD_SERVICE_HOST` and more.
fn of_kubernetes(name: &str, value: &str) -> bool {
    let service = name.ends_with("_SERVICE_HOST") || name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_");
    let link = name.ends_with("_PORT") && value.contains("://");
    let port = name.split_once("_PORT_").is_some_and(|(_, rest)| {
        let mut parts = rest.split('_');
        parts.next().is_some_and(|number| number.parse::<u16>().is_ok())
            && matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"))
    });
    service || link || port
}
