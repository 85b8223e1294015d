//! The flags of `serve`, `demo` and `settings`.

use clap::{Arg, Command};

use super::declaration::{Fallback, Kind, Section, Setting};
use super::table::{CONFIG, SECTIONS};

/// Adds a flag for each setting that may have one.
///
/// The texts are taken as they are and checked by [`Settings::load`](super::Settings::load), so that a
/// wrong flag is reported together with everything else.
pub fn add_flags(command: Command) -> Command {
    let command = command.arg(flag(&CONFIG, "Settings file"));
    SECTIONS.iter().fold(command, |command, Section { title, settings }| {
        command.args(settings.iter().filter(|setting| !setting.is_secret()).map(|setting| flag(setting, title)))
    })
}

fn flag(setting: &Setting, heading: &'static str) -> Arg {
    let arg = Arg::new(setting.key)
        .long(setting.flag().unwrap_or_default())
        .help_heading(heading)
        .help(help(setting))
        .value_name(value_name(&setting.kind))
        .num_args(1)
        // A negative number is for our own message, not for "unexpected argument".
        .allow_negative_numbers(true);
    if matches!(setting.kind, Kind::Bool) {
        arg.num_args(0..=1).require_equals(true).default_missing_value("true")
    } else {
        arg
    }
}

fn help(setting: &Setting) -> String {
    let default = match setting.default {
        Fallback::Value("") | Fallback::Unset | Fallback::Required => String::new(),
        Fallback::Value(text) => format!(" [default: {text}]"),
        Fallback::DataHome => " [default: $XDG_DATA_HOME/askd]".to_owned(),
    };
    format!("{} [env: {}]{default}", setting.doc, setting.env)
}

fn value_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Text => "TEXT",
        Kind::Secret => "SECRET",
        Kind::Bool => "BOOL",
        Kind::Integer(..) | Kind::Ratio => "NUMBER",
        Kind::Duration(..) => "DURATION",
        Kind::Size(..) => "SIZE",
        Kind::Usd(..) => "DOLLARS",
        Kind::Address => "ADDRESS",
        Kind::Path => "PATH",
        Kind::Program => "PROGRAM",
        Kind::Choice(_) => "WORD",
        Kind::Model => "MODEL",
        Kind::Models => "MODELS",
        Kind::Folders | Kind::Places => "FOLDERS",
        Kind::Cgroup => "FOLDER",
        Kind::User => "USER",
        Kind::Hosts => "HOSTS",
        Kind::Origins => "ORIGINS",
        Kind::Networks => "NETWORKS",
        Kind::VariableNames => "NAMES",
        Kind::LogFilter => "FILTER",
        Kind::Collector => "URL",
        Kind::Attributes => "PAIRS",
    }
}
