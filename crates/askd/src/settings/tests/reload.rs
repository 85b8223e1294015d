//! SIGHUP: every setting that says so counts at once, and no other.

use std::collections::BTreeSet;

use secrecy::ExposeSecret as _;

use super::Surroundings;
use crate::settings::declaration::{Kind, Setting};
use crate::settings::value::Value;
use crate::settings::{Loaded, Reloaded, table};

impl Surroundings {
    fn file_again(&self, name: &str, text: &str) -> &Self {
        std::fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    fn reload_fails(&self, before: &Loaded) -> String {
        before.reload(&self.sources, &before.settings).unwrap_err().to_string()
    }

    fn reload(&self, before: &Loaded) -> Reloaded {
        before.reload(&self.sources, &before.settings).unwrap_or_else(|errors| panic!("{errors}"))
    }
}

/// A valid value that is not the one of `loaded`, as it is written in TOML; `None`: one is not easily found.
fn another(setting: &Setting, loaded: &Loaded) -> Option<String> {
    let now = loaded.values.get(setting.key);
    Some(match (&setting.kind, now) {
        (Kind::Bool, Some(Value::Bool(now))) => (!now).to_string(),
        (Kind::Integer(min, max), Some(Value::Integer(now))) => if now == max { *min } else { now + 1 }.to_string(),
        (Kind::Integer(min, _), None) => min.to_string(),
        // Half of it: what is a ceiling elsewhere stays above what it covers.
        (Kind::Duration(min, _), Some(Value::Duration(now))) => {
            let half = (*now / 2).max(*min);
            let half = if half == *now { half * 2 } else { half };
            format!("\"{}ms\"", if half.is_zero() { 1 } else { half.as_millis() })
        }
        (Kind::Size(_, max), Some(Value::Size(now))) => if now == max { now - 1 } else { now + 1 }.to_string(),
        (Kind::Usd(..), _) => "\"1.25\"".to_owned(),
        (Kind::Choice(words), Some(Value::Text(now))) => {
            let other = words.iter().find(|word| *word != now && **word != "bypassPermissions")?;
            format!("\"{other}\"")
        }
        (Kind::Model, _) => "\"opus\"".to_owned(),
        (Kind::Models, _) => "[\"claude-new-1\"]".to_owned(),
        (Kind::LogFilter, _) => "\"warn\"".to_owned(),
        (Kind::Secret, _) if setting.key == "api_key" => "\"quite-another-key\"".to_owned(),
        (Kind::Path | Kind::Program, _) if !setting.key.starts_with("tls_") => "\"/elsewhere\"".to_owned(),
        (Kind::Text, _) => "\"text\"".to_owned(),
        _ => return None,
    })
}

fn shown(loaded: &Loaded) -> String {
    // `Debug` does not tell secrets apart.
    format!("{:?} {}", loaded.settings, loaded.settings.auth.api_key.expose_secret())
}

#[test]
fn what_says_that_it_is_reloadable_is_applied_and_nothing_else() {
    let base = "api_key = \"a-long-enough-key\"\n";
    let mut at = Surroundings::new().env("API_KEY", "").toml(base);
    let before = at.load();
    let mut applied = BTreeSet::new();
    for setting in table::all() {
        let Some(value) = another(setting, &before) else {
            assert!(!setting.is_reloadable, "{} has no test value", setting.key);
            continue;
        };
        let base = if setting.key == "api_key" { "" } else { base };
        at = at.toml(&format!("{base}{} = {value}\n", setting.key));
        let Ok(reloaded) = before.reload(&at.sources, &before.settings) else {
            assert!(!setting.is_reloadable, "{} = {value} is refused", setting.key);
            continue;
        };
        if setting.is_reloadable {
            assert_eq!((&reloaded.applied[..], reloaded.needs_restart.len()), (&[setting.env][..], 0), "{value}");
            assert_ne!(shown(&reloaded.loaded), shown(&before), "{} has no effect", setting.key);
            applied.insert(setting.key);
        } else {
            assert_eq!((reloaded.applied.len(), &reloaded.needs_restart[..]), (0, &[setting.env][..]), "{value}");
            assert_eq!(shown(&reloaded.loaded), shown(&before), "{} is in force", setting.key);
        }
        // And back: from what is in force now.
        at = at.toml("api_key = \"a-long-enough-key\"\n");
        assert_eq!(shown(&at.reload(&reloaded.loaded).loaded), shown(&before));
    }
    let all: BTreeSet<_> = table::all().filter(|setting| setting.is_reloadable).map(|setting| setting.key).collect();
    assert_eq!(applied, all);
}

#[test]
fn what_is_wrong_changes_nothing_also_if_it_is_wrong_only_together_with_what_stays() {
    let mut at = Surroundings::new().toml("process_timeout = \"1h\"\nmax_run_time = \"2h\"\n");
    let before = at.load();
    at = at.toml("process_timeout = \"3h\"\nmax_run_time = \"2h\"\nlog = \"debug\"\n");
    assert!(before.reload(&at.sources, &before.settings).is_err());
    at = at.toml("queue_timeout = \"soon\"\nno_such = 1\n");
    let errors = before.reload(&at.sources, &before.settings).unwrap_err();
    assert_eq!(errors.problems().len(), 2, "{errors}");
}

#[test]
fn the_environment_is_that_of_the_start_and_flags_win_still() {
    let mut at = Surroundings::new().env("MAX_CONCURRENT", "5").flag("queue_length", "7").toml("");
    let before = at.load();
    at = at.toml("max_concurrent = 9\nqueue_length = 9\nschema_repairs = 2\n");
    let Reloaded { loaded, applied, .. } = at.reload(&before);
    assert_eq!(applied, ["ASKD_SCHEMA_REPAIRS"]);
    let limits = loaded.settings.limits;
    assert_eq!((limits.max_concurrent, limits.queue_length, limits.schema_repairs), (5, 7, 2));
}

#[test]
fn a_secret_in_a_file_that_runs_are_not_kept_from_needs_a_restart() {
    let mut at = Surroundings::new().env("API_KEY", "").file("one", "the-first-key").file("two", "another-key");
    at = at.toml("api_key_file = \"one\"\n");
    let before = at.load();
    at = at.file("one", "the-second-key");
    let reloaded = at.reload(&before);
    assert_eq!(reloaded.applied, ["API_KEY"]);
    assert_eq!(reloaded.loaded.settings.auth.api_key.expose_secret(), "the-second-key");
    at = at.toml("api_key_file = \"two\"\n");
    let reloaded = at.reload(&before);
    assert_eq!((reloaded.applied.len(), &reloaded.needs_restart[..]), (0, &["API_KEY"][..]));
    assert_eq!(reloaded.loaded.settings.auth.api_key.expose_secret(), "the-first-key");
}

#[test]
fn what_a_server_has_found_out_at_its_start_stays() {
    let mut at = Surroundings::new().toml("");
    let before = at.load();
    let mut current = before.settings.clone();
    current.paths.data_dir = "/resolved".into();
    current.paths.private_files.push("/key".into());
    at = at.toml("max_concurrent = 9\n");
    let settings = before.reload(&at.sources, &current).unwrap().loaded.settings;
    assert_eq!(settings.paths.data_dir, current.paths.data_dir);
    assert_eq!((settings.paths.private_files, settings.limits.max_concurrent), (current.paths.private_files, 9));
}

#[test]
fn a_key_that_was_perhaps_still_being_written_is_not_taken() {
    let at = Surroundings::new().env("API_KEY", "").env("API_KEY_FILE", "key").file("key", "a-long-enough-key\n");
    let before = at.load();
    for (written, why) in [
        ("a-long-enough", "is the beginning of the one in force"),
        ("b", "has fewer than 8 characters"),
        (" another-long-key", "begins or ends with a blank"),
        ("another-long-key \n", "begins or ends with a blank"),
        ("         ", "begins or ends with a blank"),
        ("", "is empty"),
    ] {
        let errors = at.file_again("key", written).reload_fails(&before);
        assert!(errors.contains("environment variable `API_KEY_FILE`: ") && errors.contains(why), "{errors}");
        assert!(written.trim().is_empty() || !errors.contains(&format!("\"{}\"", written.trim())), "{errors}");
    }
    assert_eq!(at.file_again("key", "another-long-key\n").reload(&before).applied, ["API_KEY"]);
    assert!(at.file_again("key", "a-long-enough-key").reload(&before).applied.is_empty());
}

#[test]
fn a_short_key_that_stays_what_it_was_keeps_nothing_else_from_being_reloaded() {
    let at = Surroundings::new().env("API_KEY", "short").toml("");
    let before = at.load();
    assert_eq!(at.toml("max_concurrent = 9").reload(&before).applied, ["MAX_CONCURRENT"]);
}

#[test]
fn a_file_that_has_become_a_pipe_is_not_waited_for() {
    let at = Surroundings::new().env("API_KEY", "").env("API_KEY_FILE", "key").file("key", "a-long-enough-key\n");
    let before = at.load();
    std::fs::remove_file(at.folder.path().join("key")).unwrap();
    at.pipe("key");
    assert!(at.reload_fails(&before).contains("it is not a regular file"));
}
