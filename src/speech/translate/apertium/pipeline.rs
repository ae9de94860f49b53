//! The processes of one direction: text in, translation out, each terminated by NUL.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::super::Error;
use super::mode::Stage;
use crate::speech::EngineError;

/// Longest translation, in bytes; more means a faulty pipeline.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Appended to each text, as by `apertium-destxt`, so that its last sentence ends.
const END: &str = ".[]";

/// Running programs, each reading the output of the one before. Dropping it kills them all.
#[derive(Debug)]
pub(super) struct Pipeline {
    name: String,
    into: ChildStdin,
    out: BufReader<ChildStdout>,
    group: Pid,
    _stages: Vec<Child>,
}

impl Pipeline {
    /// Starts the programs in a process group of their own.
    ///
    /// # Errors
    /// [`EngineError::Start`] for the first program that cannot be started.
    pub(super) fn start(name: &str, stages: &[Stage]) -> Result<Self, Error> {
        let mut running: Vec<Child> = Vec::new();
        let (mut into, mut group) = (None, None);
        let mut before: Option<ChildStdout> = None;
        for stage in stages {
            let failed =
                |source| Error::from(EngineError::Start { program: stage.program.clone(), source });
            let input = match before.take() {
                Some(output) => TryInto::<Stdio>::try_into(output).map_err(failed)?,
                None => Stdio::piped(),
            };
            let mut command = Command::new(&stage.program);
            command.args(&stage.arguments).stdin(input).stdout(Stdio::piped());
            // The programs complain about dictionaries with many sentences.
            command.stderr(Stdio::null()).kill_on_drop(true);
            // Apertium reads text in the encoding of the locale, and a service has no locale.
            command.env("LC_ALL", "C.UTF-8");
            command.process_group(group.map_or(0, |g: Pid| g.as_raw_nonzero().get()));
            let mut child = command.spawn().map_err(failed)?;
            let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
            group = group.or(pid);
            into = into.or(child.stdin.take());
            before = child.stdout.take();
            running.push(child);
        }
        match (into, before, group) {
            (Some(into), Some(out), Some(group)) => {
                let out = BufReader::new(out);
                Ok(Self { name: name.to_owned(), into, out, group, _stages: running })
            }
            _ => Err(Error::Mode { mode: name.to_owned(), reason: "it is empty".into() }),
        }
    }

    /// The process group, for `kill`.
    pub(super) fn group(&self) -> i32 {
        self.group.as_raw_nonzero().get()
    }

    /// Translates one text. After an error or a cancelled call the pipeline must not be used again:
    /// each answer would belong to the text before.
    ///
    /// # Errors
    /// [`Error::Died`] if a program has ended, [`Error::Unsuitable`] for an endless answer.
    pub(super) async fn exchange(&mut self, text: &str) -> Result<String, Error> {
        let died = || Error::Died { what: self.name.clone() };
        let sent = format!("{}{END}\0", escaped(text));
        self.into.write_all(sent.as_bytes()).await.map_err(|_| died())?;
        self.into.flush().await.map_err(|_| died())?;
        let mut answer = Vec::new();
        let mut limited = (&mut self.out).take(ANSWER_BYTES_MAX);
        limited.read_until(0, &mut answer).await.map_err(|_| died())?;
        if answer.pop() != Some(0) {
            let endless = answer.len() as u64 + 1 >= ANSWER_BYTES_MAX;
            let reason = "its answer does not end".to_owned();
            return Err(if endless {
                Error::Unsuitable { engine: "basic", reason }
            } else {
                died()
            });
        }
        // When a program dies, those after it end their text as if it were complete.
        unescaped(&String::from_utf8_lossy(&answer)).ok_or_else(died)
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        // The processes may have ended already.
        let _ = kill_process_group(self.group, Signal::KILL);
    }
}

/// Escapes what has a meaning in Apertium's stream format; one line without control characters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '[' | ']' | '{' | '}' | '^' | '$' | '/' | '\\' | '@' | '<' | '>' | '~' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// The text of an answer, without escapes and without [`END`]. `None` if that is missing.
fn unescaped(answer: &str) -> Option<String> {
    let answer = answer.trim_end().strip_suffix("[]")?;
    let answer = answer.strip_suffix('.').unwrap_or(answer);
    let mut out = String::with_capacity(answer.len());
    let mut characters = answer.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => out.extend(characters.next()),
            c => out.push(c),
        }
    }
    Some(out.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_go_and_come_back() {
        assert_eq!(escaped("a[b]\0c\n$d"), "a\\[b\\] c \\$d");
        let check = |answer, expect| assert_eq!(unescaped(answer).as_deref(), expect);
        check("  a\\[b\\]  c \\$d.[]", Some("a[b] c $d"));
        check("Hello..[]", Some("Hello."));
        check("Hello", None);
    }
}
