//! The command line between the server and the guardian.

use std::ffi::OsString;
use std::time::Duration;

/// The hidden subcommand's name.
pub const SUBCOMMAND: &str = "__launch";

/// What a guardian is told to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// The environment variable that is to hold the number of the secret's descriptor.
    pub(crate) secret_variable: Option<String>,
    /// How long it may take until the program runs.
    pub(crate) start_timeout: Duration,
    /// How long leftovers may take to end after SIGTERM.
    pub(crate) leftover_grace: Duration,
    /// How long killing may take before it is given up.
    pub(crate) kill_grace: Duration,
    /// The program.
    pub(crate) program: OsString,
    /// Its arguments.
    pub(crate) args: Vec<OsString>,
}

impl Order {
    /// The arguments after the launcher's own name.
    pub(crate) fn to_args(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = [
            SUBCOMMAND.to_owned(),
            self.secret_variable.clone().unwrap_or_default(),
            self.start_timeout.as_millis().to_string(),
            self.leftover_grace.as_millis().to_string(),
            self.kill_grace.as_millis().to_string(),
            "--".to_owned(),
        ]
        .into_iter()
        .map(OsString::from)
        .collect();
        args.push(self.program.clone());
        args.extend(self.args.iter().cloned());
        args
    }

    /// Reads the arguments after [`SUBCOMMAND`].
    pub(crate) fn parse(mut args: impl Iterator<Item = OsString>) -> Option<Self> {
        let mut word = || args.next().and_then(|arg| arg.into_string().ok());
        let order = Self {
            secret_variable: word().filter(|name| !name.is_empty()),
            start_timeout: Duration::from_millis(word()?.parse().ok()?),
            leftover_grace: Duration::from_millis(word()?.parse().ok()?),
            kill_grace: Duration::from_millis(word()?.parse().ok()?),
            program: (word()? == "--").then_some(OsString::new())?,
            args: Vec::new(),
        };
        Some(Self { program: args.next()?, args: args.collect(), ..order })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_survives_the_command_line() {
        let order = Order {
            secret_variable: Some("KEY_FD".to_owned()),
            start_timeout: Duration::from_secs(30),
            leftover_grace: Duration::from_millis(500),
            kill_grace: Duration::from_secs(5),
            program: "sh".into(),
            args: vec!["-c".into(), "--".into(), String::new().into()],
        };
        assert_eq!(Order::parse(order.to_args().into_iter().skip(1)).as_ref(), Some(&order));
        let order = Order { secret_variable: None, ..order };
        assert_eq!(Order::parse(order.to_args().into_iter().skip(1)), Some(order));
        assert_eq!(Order::parse(["--help".into()].into_iter()), None);
    }
}
