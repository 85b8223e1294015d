//! Folders that a request names besides `cwd`. Whether they are there, and inside the workspace root, is seen later.

use std::path::{Component, Path};

use serde_json::Value;

use super::super::error::ApiError;
use super::super::fields::Fields;
use super::spot::Spot;
use crate::runs::request::AdditionalFolder;

/// Each is a mount of its own.
pub(in crate::api) const MAX_ADDITIONAL: usize = 16;

/// Where the run may write.
pub(super) fn write_root(fields: &mut Fields) -> Result<Option<String>, ApiError> {
    const FIELD: &str = "write_root";
    let Some(path) = fields.string(FIELD)? else { return Ok(None) };
    check(&path).map_err(|what| fields.wrong(FIELD, what))?;
    Ok(Some(path))
}

/// What it has besides: each a path to be read, or an object.
pub(super) fn additional(fields: &mut Fields) -> Result<Vec<AdditionalFolder>, ApiError> {
    const FIELD: &str = "additional_folders";
    let Some(folders) = fields.list(FIELD)? else { return Ok(Vec::new()) };
    let spot = Spot::of(fields, FIELD);
    spot.at_most(MAX_ADDITIONAL, folders.len(), "folders")?;
    folders.into_iter().enumerate().map(|(index, folder)| one(spot.item(index), folder)).collect()
}

fn one(spot: Spot, folder: Value) -> Result<AdditionalFolder, ApiError> {
    if let Value::String(path) = folder {
        check(&path).map_err(|what| spot.wrong(what))?;
        return Ok(AdditionalFolder { path, writable: false });
    }
    if !folder.is_object() {
        return Err(spot.wrong("must be a path, or an object with a path"));
    }
    let mut folder = spot.object(folder)?;
    let (at, path) = folder.need_text("path")?;
    check(&path).map_err(|what| at.wrong(what))?;
    let writable = folder.flag("writable")?.unwrap_or(false);
    folder.finish()?;
    Ok(AdditionalFolder { path, writable })
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
