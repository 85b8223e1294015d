//! The settings read once more, for a server at work: what counts from now on, and what only after a restart.

use std::collections::BTreeMap;

use super::declaration::Setting;
use super::load::one;
use super::problem::SettingsErrors;
use super::sources::{Layers, Sources};
use super::values::Values;
use super::{Loaded, Settings, checks, table, unknown};

/// What came of it. Settings are named by their variables; no value is here, for it may be a secret.
#[derive(Clone, Debug)]
pub struct Reloaded {
    /// What is in force from now on.
    pub loaded: Loaded,
    /// What has another value from now on.
    pub applied: Vec<&'static str>,
    /// What was written anew and counts only after a restart.
    pub needs_restart: Vec<&'static str>,
    /// Secrets whose file this process may not read any more: they stay what they were.
    pub unreadable: Vec<&'static str>,
}

impl Loaded {
    /// Reads all sources again and compares them with what is in force, `current`, setting by setting. If anything is wrong
    /// with them, nothing is to be changed.
    ///
    /// Certificates are not read: they have their own way ([`TlsFiles::read_again`](super::tls::TlsFiles::read_again)).
    /// Neither are the variables for the CLI, since the environment of a process does not change. It blocks.
    pub fn reload(&self, sources: &Sources, current: &Settings) -> Result<Reloaded, SettingsErrors> {
        let mut problems = Vec::new();
        let layers = Layers::read(sources, &mut problems);
        let (mut written, mut origins) = (Values::default(), BTreeMap::new());
        let mut unreadable = Vec::new();
        for setting in table::all() {
            match one(setting, &layers) {
                Ok((value, origin)) => {
                    written.put(setting.key, value);
                    origins.insert(setting.key, origin);
                }
                Err(_) if layers.is_shut(setting) => {
                    unreadable.push(setting.env);
                    written.put(setting.key, self.values.get(setting.key).cloned());
                    origins.insert(setting.key, self.origin(setting.key).clone());
                }
                Err(problem) => problems.push(*problem),
            }
        }
        unknown::find(&layers, &mut problems);
        checks::all(&written, &origins, &mut problems);
        SettingsErrors::none_of(std::mem::take(&mut problems))?;

        // A secret in another file than those that runs are kept from is not taken: they would be able to read it.
        let is_kept_from_runs = layers.private_files().iter().all(|file| current.paths.private_files.contains(file));
        let may_change = |setting: &Setting| setting.is_reloadable && (is_kept_from_runs || !setting.is_secret());
        let (mut values, mut applied, mut needs_restart) = (Values::default(), Vec::new(), Vec::new());
        for setting in table::all() {
            let (before, now) = (self.values.get(setting.key), written.get(setting.key));
            let is_same = match (before, now) {
                (Some(before), Some(now)) => before.is_same(now),
                (before, now) => before.is_none() && now.is_none(),
            };
            let (value, names) = if may_change(setting) { (now, &mut applied) } else { (before, &mut needs_restart) };
            values.put(setting.key, value.cloned());
            if !may_change(setting) {
                origins.insert(setting.key, self.origin(setting.key).clone());
            }
            if !is_same {
                names.push(setting.env);
            }
        }
        checks::new_key(self.values.get("api_key"), &values, &origins, &mut problems);
        // What is new and what stays may contradict each other, though all that is written does not.
        checks::all(&values, &origins, &mut problems);
        SettingsErrors::none_of(problems)?;

        let warnings = checks::warnings(&values);
        let settings = Settings::from_values(&values, &self.environment).placed_as(current);
        let environment = self.environment.clone();
        let loaded = Loaded { settings, origins, warnings, values, environment };
        Ok(Reloaded { loaded, applied, needs_restart, unreadable })
    }
}

impl Settings {
    /// With what a server finds out at its start and never again: where its folders really are, what is kept from runs, the
    /// certificates.
    fn placed_as(mut self, current: &Self) -> Self {
        let (paths, place) = (&mut self.paths, &current.paths);
        (paths.config_dir, paths.data_dir) = (place.config_dir.clone(), place.data_dir.clone());
        (paths.private_files, paths.home) = (place.private_files.clone(), place.home.clone());
        self.server.tls.clone_from(&current.server.tls);
        self
    }
}
