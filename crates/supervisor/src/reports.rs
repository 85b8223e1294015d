//! What the guardian writes to its status pipe, and a child on its way to the program to the guardian: one line per
//! [`Report`].

use std::fmt;

use crate::identity::ProcessId;

/// How the main child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code. In a view of bubblewrap, 128 + N is also what signal N leaves.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// Nobody saw it: its guardian was killed.
    Unknown,
}

/// How the text of a failure begins when the program itself could not be executed.
pub(crate) const EXECUTE: &str = "cannot execute";
/// How the text of a failure begins when what the program was to see could not be made.
pub(crate) const VIEW: &str = "cannot make the view";

/// One line of the status pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// From the stage to the guardian only: the view is made, and the program is executed next.
    Entered,
    /// The main child runs.
    Started(ProcessId),
    /// The main child could not be started.
    Failed { errno: i32, text: String },
    /// The main child has ended.
    Ended(Exit),
    /// So many descendants were alive when the main child ended.
    Leftover(usize),
    /// So many descendants could not be killed; the guardian has given up.
    Leaked(usize),
    /// No descendant is left.
    Gone,
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entered => write!(out, "entered"),
            Self::Started(id) => write!(out, "started {} {}", id.pid, id.start),
            Self::Failed { errno, text } => write!(out, "failed {errno} {}", text.replace(['\n', '\r'], " ")),
            Self::Ended(Exit::Code(code)) => write!(out, "exited {code}"),
            Self::Ended(Exit::Signal(signal)) => write!(out, "signalled {signal}"),
            Self::Ended(Exit::Unknown) => write!(out, "ended"),
            Self::Leftover(count) => write!(out, "leftover {count}"),
            Self::Leaked(count) => write!(out, "leaked {count}"),
            Self::Gone => write!(out, "gone"),
        }
    }
}

impl Report {
    /// Reads a line; `None` if it is none of ours.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        Some(match word {
            "entered" => Self::Entered,
            "started" => {
                let (pid, start) = rest.split_once(' ')?;
                Self::Started(ProcessId { pid: pid.parse().ok()?, start: start.parse().ok()? })
            }
            "failed" => {
                let (errno, text) = rest.split_once(' ')?;
                Self::Failed { errno: errno.parse().ok()?, text: text.to_owned() }
            }
            "exited" => Self::Ended(Exit::Code(rest.parse().ok()?)),
            "signalled" => Self::Ended(Exit::Signal(rest.parse().ok()?)),
            "ended" => Self::Ended(Exit::Unknown),
            "leftover" => Self::Leftover(rest.parse().ok()?),
            "leaked" => Self::Leaked(rest.parse().ok()?),
            "gone" => Self::Gone,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_report_survives_the_pipe() {
        for report in [
            Report::Entered,
            Report::Started(ProcessId { pid: 7, start: 99 }),
            Report::Failed { errno: 2, text: "cannot start: no such file".to_owned() },
            Report::Ended(Exit::Code(143)),
            Report::Ended(Exit::Signal(9)),
            Report::Ended(Exit::Unknown),
            Report::Leftover(3),
            Report::Leaked(1),
            Report::Gone,
        ] {
            assert_eq!(Report::parse(&report.to_string()), Some(report));
        }
        assert_eq!(Report::parse("thread 'main' panicked"), None);
    }
}
