//! A terminal as a person has it: one shell, in which commands are typed one after the other.

use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// No command of a document takes longer, unless something is broken.
const LIMIT: Duration = Duration::from_secs(90);
const STEP: Duration = Duration::from_millis(20);

/// A shell with its output. What it has started in the foreground is killed with it when this is dropped.
pub(crate) struct Terminal {
    shell: Child,
    keys: ChildStdin,
    said: Arc<Mutex<Vec<u8>>>,
    place: PathBuf,
    typed: usize,
    /// Where the output of what was typed last begins.
    begin: usize,
}

impl Terminal {
    /// Opens one in a folder, with an environment of these variables and no others.
    pub(crate) fn open(place: &Path, variables: &[(String, String)]) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a shell, as a reader of the document has it")]
        let mut shell = Command::new("bash");
        // No startup files; a group of its own, so that all of it can be killed.
        shell.args(["--noprofile", "--norc"]).current_dir(place).env_clear().process_group(0);
        shell.envs(variables.iter().map(|(name, value)| (name, value)));
        let (mut output, input) = std::io::pipe().unwrap();
        shell.stdin(Stdio::piped()).stdout(input.try_clone().unwrap()).stderr(input);
        let mut shell = shell.spawn().unwrap();
        let (keys, said) = (shell.stdin.take().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut piece) {
                heard.lock().unwrap().extend_from_slice(&piece[..length]);
            }
        });
        Self { shell, keys, said, place: place.to_owned(), typed: 0, begin: 0 }
    }

    /// Types commands, without waiting for their end.
    pub(crate) fn enter(&mut self, commands: &str) {
        self.typed += 1;
        self.begin = self.said.lock().unwrap().len();
        // By a file, so that nothing of it is taken for the input of a program that reads.
        let file = self.place.join(format!(".typed-{}-{}", self.shell.id(), self.typed));
        std::fs::write(&file, commands).unwrap();
        let mark = self.mark("%s");
        writeln!(self.keys, ". '{}' </dev/null; printf '{mark}' \"$?\"", file.display()).unwrap();
        self.keys.flush().unwrap();
    }

    fn mark(&self, status: &str) -> String {
        format!("[{}: ended with {status}]", self.typed)
    }

    /// What was said since the last commands were typed.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap()[self.begin..]).into_owned()
    }

    /// Waits for the end of the last commands: their status, and what they said.
    pub(crate) async fn done(&mut self) -> (i32, String) {
        let start = Instant::now();
        let (before, after) = (self.mark("%"), "]");
        let before = before.split('%').next().unwrap().to_owned();
        loop {
            let said = self.said();
            if let Some((text, status)) = said.split_once(&before)
                && let Some((status, _)) = status.split_once(after)
            {
                return (status.parse().unwrap(), text.to_owned());
            }
            assert!(start.elapsed() < LIMIT, "these commands do not end:\n{said}");
            tokio::time::sleep(STEP).await;
        }
    }

    /// Waits until the commands, which go on, have said this.
    pub(crate) async fn until_said(&self, words: &str) {
        let start = Instant::now();
        while !self.said().contains(words) {
            assert!(start.elapsed() < LIMIT, "\"{words}\" was not said:\n{}", self.said());
            tokio::time::sleep(STEP).await;
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended.
        let _ = kill_process_group(Pid::from_child(&self.shell), Signal::KILL);
        drop(self.shell.wait());
    }
}

/// Whether a text is as a document prints it, where `…` stands for anything in a line, and alone for any lines.
pub(crate) fn as_printed(printed: &str, said: &str) -> bool {
    let (printed, said): (Vec<_>, Vec<_>) = (printed.lines().collect(), said.lines().collect());
    lines_fit(&printed, &said)
}

fn lines_fit(printed: &[&str], said: &[&str]) -> bool {
    match printed.split_first() {
        None => said.is_empty(),
        Some((&"…", rest)) => (0..=said.len()).any(|skipped| lines_fit(rest, &said[skipped..])),
        Some((line, rest)) => {
            said.split_first().is_some_and(|(first, left)| line_fits(line, first) && lines_fit(rest, left))
        }
    }
}

fn line_fits(printed: &str, said: &str) -> bool {
    let Some((begin, rest)) = printed.split_once('…') else { return printed == said };
    let Some(said) = said.strip_prefix(begin) else { return false };
    (0..=said.len()).filter(|at| said.is_char_boundary(*at)).any(|at| line_fits(rest, &said[at..]))
}

#[test]
fn what_differs_each_time_is_left_out_of_the_comparison() {
    let said = "run_01\n{\n  \"a\": 1,\n  \"b\": 2\n}\n";
    for printed in [said, "run_…\n…\n  \"b\": …\n}", "…\n}\n", "…"] {
        assert!(as_printed(printed, said), "{printed}");
    }
    for printed in ["", "run_02\n…", "run_…\n{", "run_…\n…\n  \"c\": …\n}"] {
        assert!(!as_printed(printed, said), "{printed}");
    }
}
