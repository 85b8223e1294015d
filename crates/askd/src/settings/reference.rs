//! The reference page, `docs/reference/settings.md`.

use std::fmt::Write as _;

use super::child_env::PASSED;
use super::declaration::{Fallback, Kind, Setting};
use super::table::{CONFIG, SECTIONS};

const HEAD: &str = "\
<!-- Generated from crates/askd/src/settings/table.rs. Do not edit. -->

# Settings

A setting is a flag, an environment variable or a key of a TOML file. Flags win over variables, variables over the
file, the file over the default. A value that is not valid, or a name that does not exist, keeps askd from starting; the
message says where it was written. `askd settings` prints what is in effect and where it came from.

- **Flag**: the key with dashes, so `max_concurrent` is `--max-concurrent`. A yes-or-no flag may stand alone.
- **Variable**: an empty one counts as not set. Unknown variables that begin with `ASKD_` are errors, except those that
  Kubernetes makes for services.
- **File**: named by `--config` or `ASKD_CONFIG`; there is no other place. Keys are flat, without `[tables]`.
- **Secrets** have no flag. Instead of `NAME`, `NAME_FILE` may name a file that holds the secret (in TOML `key_file`
  instead of `key`); giving both is an error. A line break at the end of that file is dropped; an empty file is an error.
- **Durations** are `500ms`, `30s`, `15m`, `24h`, or a bare number of **milliseconds**. **Sizes** are `256KiB`, `64MiB`,
  `1GiB`, or a bare number of bytes. **Lists** are separated by commas, or arrays in the file.
- **SIGHUP** has a server read everything again: its settings file and the files of its secrets, beside the flags and the
  environment of its start. Settings with *yes* in that column count from then on; of others with a new value the log says
  that they need a restart. If anything is wrong, nothing is changed. See [operations](../operations.md#reload).
- A relative **path** starts at the folder of the settings file it stands in, else at the current folder.
";

const PASSED_HEAD: &str = "
## Passed to the CLI

Of the server's own environment, Claude Code gets these variables, by exact name, the credentials above, those that
`ASKD_CHILD_ENV` names, and nothing else. They have no flag and no key. Empty ones are left out. Those marked *secret* are
never printed and may be given as `NAME_FILE`.

| Variable | What it is for |
|---|---|
";

/// The whole page, as Markdown.
pub fn reference_markdown() -> String {
    let mut page = HEAD.to_owned();
    let file = [CONFIG];
    let sections = SECTIONS.iter().map(|section| (section.title, section.settings));
    for (title, settings) in [("Settings file", &file[..])].into_iter().chain(sections) {
        let _ = write!(page, "\n## {title}\n\n| Variable | Key | Default | SIGHUP | Since |\n|---|---|---|---|---|\n");
        for setting in settings {
            let _ = writeln!(page, "{}", row(setting));
        }
        page.push('\n');
        for setting in settings {
            let _ = writeln!(page, "{}", paragraph(setting));
        }
    }
    page.push_str(PASSED_HEAD);
    for passed in PASSED {
        let secret = if passed.secret { " (*secret*)" } else { "" };
        let _ = writeln!(page, "| `{}` | {}{secret} |", passed.name, passed.doc);
    }
    page
}

fn row(setting: &Setting) -> String {
    let variable = match setting.file_variable() {
        Some(file) => format!("`{}`, `{file}`", setting.env),
        None => format!("`{}`", setting.env),
    };
    let key = match setting.file_key() {
        Some(file) => format!("`{}`, `{file}`", setting.key),
        None if setting.key == CONFIG.key => "only `--config`".to_owned(),
        None => format!("`{}`", setting.key),
    };
    let default = match setting.default {
        Fallback::Value("") => "empty".to_owned(),
        Fallback::Value(text) => format!("`{text}`"),
        Fallback::Unset => "not set".to_owned(),
        Fallback::Required => "**required**".to_owned(),
        Fallback::DataHome => "`$XDG_DATA_HOME/askd`, else `$HOME/.local/share/askd`".to_owned(),
    };
    let reload = if setting.is_reloadable { "yes" } else { "" };
    format!("| {variable} | {key} | {default} | {reload} | {} |", setting.since)
}

fn paragraph(setting: &Setting) -> String {
    let expects = match setting.kind {
        Kind::Text | Kind::Secret | Kind::Path => String::new(),
        Kind::Duration(..) | Kind::Size(..) => range(&setting.kind),
        kind => format!(" Expects {}.", kind.expected()),
    };
    format!("- `{}`: {}{expects}", setting.env, setting.doc)
}

/// The page explains units once, at its head.
fn range(kind: &Kind) -> String {
    let expected = kind.expected();
    let range = expected.split(',').next().unwrap_or_default();
    format!(" Expects {range}.")
}
