//! What a client says of a key. Its form is checked here, what it may be by [`crate::keys::Keys`].

use std::time::Duration;

use claude::permission_mode::PermissionMode;
use claude::profile::Profile;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::super::super::dialect::{KEY, REVOKE, ROTATE};
use super::super::super::error::ApiError;
use super::super::super::fields::{Fields, Strings};
use crate::keys::change::{KeyPatch, NewKey, RunsOfRevoked};
use crate::keys::priority::Priority;
use crate::keys::{Policy, Scope, Scopes};
use crate::settings::suggest::closest;

/// The longest that a replaced secret may count: a month.
pub(in crate::api) const MAX_OVERLAP: i64 = 30 * 24 * 60 * 60;

/// The fields of a policy, and what each must be.
const POLICY: [(&str, &str); 16] = [
    ("workspaces", "a list of names of folders in the workspace root"),
    ("write_root", "a folder, relative to the workspace root"),
    ("models", "a list of names of models"),
    ("permission_modes", ""),
    ("profiles", ""),
    ("tools", "a list of names of tools"),
    ("allowed_tools", "a list of tool rules"),
    ("denied_tools", "a list of tool rules"),
    ("env", "a list of names of variables"),
    ("project_config", "true or false"),
    ("max_concurrent", "a whole number"),
    ("max_waiting", "a whole number"),
    ("weight", "a whole number"),
    ("max_priority", ""),
    ("max_usd_per_run", "an amount of US dollars, a number from 0 to 1000000000"),
    ("max_usd_per_day", "an amount of US dollars, a number from 0 to 1000000000"),
];

/// `POST /v1/keys`.
pub(super) fn new(object: Map<String, Value>) -> Result<NewKey, ApiError> {
    let mut fields = Fields::new(object, &KEY, false)?;
    let name = fields.string("name")?.ok_or_else(|| fields.wrong("name", "is missing"))?;
    let scopes = scopes(&mut fields)?.ok_or_else(|| fields.wrong("scopes", "is missing"))?;
    let policy = policy(&mut fields)?.unwrap_or_default();
    Ok(NewKey { name, scopes, policy, expires_at: expires_at(&mut fields)?.flatten() })
}

/// `PATCH /v1/keys/{id}`.
pub(super) fn patch(object: Map<String, Value>) -> Result<KeyPatch, ApiError> {
    if object.is_empty() {
        return Err(ApiError::request("there is nothing to change: give name, scopes, policy or expires_at"));
    }
    let mut fields = Fields::new(object, &KEY, false)?;
    Ok(KeyPatch {
        name: fields.string("name")?,
        scopes: scopes(&mut fields)?,
        policy: policy(&mut fields)?,
        expires_at: expires_at(&mut fields)?,
    })
}

/// `POST /v1/keys/{id}/rotate`: how long the secret that is replaced counts.
pub(super) fn overlap(object: Map<String, Value>) -> Result<Duration, ApiError> {
    const FIELD: &str = "overlap_seconds";
    let mut fields = Fields::new(object, &ROTATE, false)?;
    let seconds = fields.integer(FIELD)?.unwrap_or(0);
    let fits = u64::try_from(seconds).ok().filter(|_| seconds <= MAX_OVERLAP);
    fits.map(Duration::from_secs).ok_or_else(|| fields.wrong(FIELD, format_args!("must be from 0 to {MAX_OVERLAP}")))
}

/// `POST /v1/keys/{id}/revoke`: what becomes of its runs.
pub(super) fn runs(object: Map<String, Value>) -> Result<RunsOfRevoked, ApiError> {
    let mut fields = Fields::new(object, &REVOKE, false)?;
    match fields.string("runs")?.as_deref() {
        None | Some("cancel") => Ok(RunsOfRevoked::Cancel),
        Some("keep") => Ok(RunsOfRevoked::Keep),
        Some(_) => Err(fields.wrong("runs", "must be cancel or keep")),
    }
}

fn scopes(fields: &mut Fields) -> Result<Option<Scopes>, ApiError> {
    const FIELD: &str = "scopes";
    let known = Scope::ALL.map(Scope::as_str);
    let wrong =
        |fields: &Fields, more: &str| fields.wrong(FIELD, format_args!("must be a list of {}{more}", known.join(", ")));
    match fields.strings(FIELD)? {
        None => Ok(None),
        Some(Strings::One(_)) => Err(wrong(fields, "")),
        Some(Strings::List(words)) => {
            let scopes = words.iter().map(|word| Scope::from_word(word).ok_or_else(|| none_of(word, &known)));
            scopes.collect::<Result<_, _>>().map(Some).map_err(|more| wrong(fields, &more))
        }
    }
}

/// Which word is wrong, and which one was probably meant; follows what it must be.
fn none_of(word: &str, known: &[&str]) -> String {
    const MAX_SHOWN: usize = 60;
    let shown: String = word.chars().filter(|c| !c.is_control()).take(MAX_SHOWN).collect();
    let meant = (word.len() <= MAX_SHOWN).then(|| closest(word, known.iter().copied())).flatten();
    let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
    format!("; `{shown}` is none of them{meant}")
}

/// What a list of words must be, and the first of them that is none.
fn list_of(given: &Value, words: &[&str]) -> String {
    let mut given = given.as_array().into_iter().flatten().filter_map(Value::as_str);
    let wrong = given.find(|word| !words.contains(word)).map(|word| none_of(word, words));
    format!("a list of {}{}", words.join(", "), wrong.unwrap_or_default())
}

/// `Some(None)`: it does not expire.
#[expect(clippy::option_option, reason = "absent is not null: a patch leaves what is absent")]
fn expires_at(fields: &mut Fields) -> Result<Option<Option<Timestamp>>, ApiError> {
    const FIELD: &str = "expires_at";
    match fields.any(FIELD)? {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(None)),
        Some(value) => {
            let time = value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
            let wrong = || fields.wrong(FIELD, "must be a time such as 2027-01-31T00:00:00Z, or null");
            time.map(|time| Some(Some(time))).ok_or_else(wrong)
        }
    }
}

fn policy(fields: &mut Fields) -> Result<Option<Policy>, ApiError> {
    let Some(object) = fields.object("policy")? else { return Ok(None) };
    for (name, value) in &object {
        let short: String = name.chars().take(60).collect();
        let Some((_, expected)) = POLICY.iter().find(|(known, _)| known == name) else {
            let known = POLICY.map(|(known, _)| known).join(", ");
            let message = format!("there is no field `policy.{short}`; the fields are {known}");
            return Err(ApiError::request(message).with_param(&format!("policy.{short}")));
        };
        // One by one, so that an error names its field.
        let alone = Map::from_iter([(name.clone(), value.clone())]);
        if serde_json::from_value::<Policy>(Value::Object(alone)).is_err() || value.is_null() {
            let expected = match name.as_str() {
                "permission_modes" => list_of(value, PermissionMode::WORDS),
                "profiles" => list_of(value, &Profile::WORDS),
                "max_priority" => format!("one of {}", Priority::WORDS.join(", ")),
                _ => (*expected).to_owned(),
            };
            return Err(ApiError::param(&format!("policy.{short}"), format_args!("must be {expected}")));
        }
    }
    let policy = serde_json::from_value(Value::Object(object));
    policy.map(Some).map_err(|error| fields.wrong("policy", format_args!("cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(object) = value else { panic!("not an object") };
        object
    }

    #[test]
    fn a_key_is_read_from_what_a_client_says() {
        let body = json!({"name": "ci", "scopes": ["ask", "runs:read"], "policy": {"models": ["haiku"], "weight": 2},
            "expires_at": "2027-01-31T00:00:00Z"});
        let new = new(object(body)).unwrap();
        assert_eq!((new.name.as_str(), new.scopes), ("ci", Scopes::from_iter([Scope::Ask, Scope::RunsRead])));
        assert_eq!((new.policy.models, new.policy.weight), (Some(vec!["haiku".to_owned()]), Some(2)));
        assert_eq!(new.expires_at.unwrap().to_string(), "2027-01-31T00:00:00Z");
        let patch = patch(object(json!({"expires_at": null}))).unwrap();
        assert_eq!((patch.expires_at, patch.name, patch.policy), (Some(None), None, None));
    }

    #[test]
    fn every_field_of_a_policy_is_known_here_and_no_other() {
        let full = Policy {
            workspaces: Some(vec!["a".into()]),
            write_root: Some("a".into()),
            models: Some(vec!["haiku".into()]),
            permission_modes: Some(vec![PermissionMode::Plan]),
            profiles: Some(vec![Profile::Bare]),
            tools: Some(Vec::new()),
            allowed_tools: Some(Vec::new()),
            denied_tools: vec!["Bash".into()],
            env: Some(vec!["TOKEN".into()]),
            project_config: Some(false),
            max_concurrent: Some(1),
            max_waiting: Some(1),
            weight: Some(1),
            max_priority: Some(Priority::Low),
            max_usd_per_run: Some(crate::usd::Usd::from_micros(1)),
            max_usd_per_day: Some(crate::usd::Usd::from_micros(1)),
        };
        let written = object(serde_json::to_value(&full).unwrap());
        let mut known = POLICY.map(|(name, _)| name);
        known.sort_unstable();
        assert_eq!(written.keys().map(String::as_str).collect::<Vec<_>>(), known);
        let body = json!({"name": "x", "scopes": ["ask"], "policy": written});
        assert_eq!(new(object(body)).unwrap().policy, full);
    }

    #[test]
    fn what_is_wrong_names_the_field() {
        let base = || json!({"name": "x", "scopes": ["ask"]});
        for (field, value, param) in [
            ("name", json!(5), "name"),
            ("scopes", json!("ask"), "scopes"),
            ("scopes", json!(["root"]), "scopes"),
            ("expires_at", json!("tomorrow"), "expires_at"),
            ("expires_at", json!(5), "expires_at"),
            ("policy", json!([]), "policy"),
            ("policy", json!({"model": ["x"]}), "policy.model"),
            ("policy", json!({"models": "haiku"}), "policy.models"),
            ("policy", json!({"models": null}), "policy.models"),
            ("policy", json!({"env": {"A": "b"}}), "policy.env"),
            ("policy", json!({"models": ["x"], "weight": -1}), "policy.weight"),
            ("policy", json!({"permission_modes": ["yolo"]}), "policy.permission_modes"),
            ("policy", json!({"profiles": ["safe"]}), "policy.profiles"),
            ("policy", json!({"max_priority": "top"}), "policy.max_priority"),
            ("policy", json!({"max_usd_per_run": -1}), "policy.max_usd_per_run"),
            ("secret", json!("x"), "secret"),
        ] {
            let mut body = base();
            body[field] = value;
            let error = new(object(body.clone())).unwrap_err();
            assert_eq!(error.at_fault(), Some(param), "{body} {error:?}");
        }
        for (seconds, fits) in [(json!(0), true), (json!(MAX_OVERLAP), true), (json!(-1), false), (json!("1"), false)] {
            assert_eq!(overlap(object(json!({"overlap_seconds": seconds}))).is_ok(), fits, "{seconds}");
        }
        assert_eq!(runs(Map::new()).unwrap(), RunsOfRevoked::Cancel);
        assert_eq!(runs(object(json!({"runs": "keep"}))).unwrap(), RunsOfRevoked::Keep);
        assert_eq!(runs(object(json!({"runs": "stop"}))).unwrap_err().at_fault(), Some("runs"));
        assert!(patch(Map::new()).is_err());
    }
}
