//! Folders that a request names besides `cwd`. Whether they are there, and inside the workspace root, is seen later.

use std::path::{Component, Path};

use serde_json::{Map, Value};

use super::super::error::ApiError;
use super::super::fields::Fields;
use crate::runs::request::AdditionalFolder;

/// Each is a mount of its own.
const MAX_ADDITIONAL: usize = 16;

const ADDITIONAL: &str = "additional_folders";

/// Where the run may write.
pub(super) fn write_root(fields: &mut Fields) -> Result<Option<String>, ApiError> {
    const FIELD: &str = "write_root";
    let Some(path) = fields.string(FIELD)? else { return Ok(None) };
    check(&path).map_err(|what| fields.wrong(FIELD, what))?;
    Ok(Some(path))
}

/// What it has besides.
pub(super) fn additional(fields: &mut Fields) -> Result<Vec<AdditionalFolder>, ApiError> {
    let Some(folders) = fields.objects(ADDITIONAL)? else { return Ok(Vec::new()) };
    if folders.len() > MAX_ADDITIONAL {
        let what = format!("has {} folders; at most {MAX_ADDITIONAL} are allowed", folders.len());
        return Err(fields.wrong(ADDITIONAL, what));
    }
    folders.into_iter().enumerate().map(|(index, folder)| one(index, folder)).collect()
}

fn one(index: usize, mut object: Map<String, Value>) -> Result<AdditionalFolder, ApiError> {
    let wrong = |what: String| ApiError::request(format!("{ADDITIONAL}[{index}]{what}")).with_param(ADDITIONAL);
    let path = match object.remove("path") {
        Some(Value::String(path)) => path,
        Some(_) => return Err(wrong(".path must be a string".into())),
        None => return Err(wrong(".path is missing".into())),
    };
    check(&path).map_err(|what| wrong(format!(".path {what}")))?;
    let writable = match object.remove("writable") {
        Some(Value::Bool(writable)) => writable,
        Some(_) => return Err(wrong(".writable must be true or false".into())),
        None => false,
    };
    match object.keys().next() {
        Some(name) => {
            let name: String = name.chars().take(60).collect();
            Err(wrong(format!(" has no field `{name}`; the fields are path, writable")))
        }
        None => Ok(AdditionalFolder { path, writable }),
    }
}

/// What is wrong with a path, as far as its text says it.
fn check(path: &str) -> Result<(), &'static str> {
    let is = |wanted: Component<'_>| Path::new(path).components().any(|part| part == wanted);
    if path.is_empty() {
        Err("must not be empty; `.` is the workspace root")
    } else if path.chars().any(char::is_control) {
        Err("must not have control characters")
    } else if is(Component::RootDir) {
        Err("must be relative to the workspace root")
    } else if is(Component::ParentDir) {
        Err("must not contain `..`")
    } else {
        Ok(())
    }
}
