//! A child process and the requests to it.

use std::ffi::OsString;
use std::io::BufReader;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::tail::Tail;
use super::{Error, Frame, program, usage};

/// How long to wait for the exit status of a child that closed its pipe.
const EXIT_STATUS_WAIT: Duration = Duration::from_millis(500);

/// A running engine. Dropping it kills it.
#[derive(Debug)]
pub struct Child {
    engine: String,
    model: String,
    process: std::process::Child,
    questions: SyncSender<Frame>,
    answers: Receiver<Frame>,
    tail: Tail,
}

impl Child {
    /// Starts `auralink engine <arguments>`. `engine` names it in errors and in the log; what it uses is
    /// counted for `engine` and `model`.
    ///
    /// If the program does not exist or does not start. A model that does not load is reported by
    /// the first [`Child::ask`].
    pub fn start(engine: &str, model: &str, arguments: &[OsString]) -> Result<Self, Error> {
        let program = program().ok_or(Error::NoProgram)?;
        let start = |source| Error::Start { engine: engine.to_owned(), source };
        let mut process = Command::new(program)
            .arg("engine")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(start)?;
        let (questions, to_ask) = mpsc::sync_channel(1);
        let (answered, answers) = mpsc::sync_channel(1);
        let tail = Tail::default();
        let pipes = (process.stdin.take(), process.stdout.take(), process.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(start(std::io::Error::other("it has no pipes")));
        };
        let follower = (tail.clone(), engine.to_owned());
        let spawned = named(engine, "ask", move || write(&to_ask, stdin))
            .and_then(|()| named(engine, "answer", move || read(&answered, stdout)))
            .and_then(|()| named(engine, "log", move || follower.0.follow(&follower.1, stderr)));
        usage::started(engine, model, process.id());
        let (engine, model) = (engine.to_owned(), model.to_owned());
        let child = Self { engine, model, process, questions, answers, tail };
        spawned.map(|()| child).map_err(start)
    }

    /// Sends a request and waits for the answer, up to a limit. After an error other than
    /// [`Error::Refused`] the child is unusable: drop it.
    ///
    /// # Errors
    /// The child died, hung or sent nonsense; [`Error::Refused`] if it answers `{"error": …}`.
    pub fn ask<A: DeserializeOwned>(
        &mut self,
        question: &impl Serialize,
        body: Vec<u8>,
        limit: Duration,
    ) -> Result<A, Error> {
        self.ask_with_body(question, body, limit).map(|(header, _)| header)
    }

    /// The same, with the body of the answer.
    ///
    /// # Errors
    /// As [`Child::ask`].
    pub fn ask_with_body<A: DeserializeOwned>(
        &mut self,
        question: &impl Serialize,
        body: Vec<u8>,
        limit: Duration,
    ) -> Result<(A, Vec<u8>), Error> {
        let header = serde_json::to_vec(question).map_err(|e| self.nonsense(&e))?;
        if self.questions.try_send(Frame { header, body }).is_err() {
            return Err(self.died());
        }
        let answer = match self.answers.recv_timeout(limit) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Disconnected) => return Err(self.died()),
            Err(RecvTimeoutError::Timeout) => {
                return Err(Error::Hung { engine: self.engine.clone(), after: limit });
            }
        };
        let value: serde_json::Value =
            serde_json::from_slice(&answer.header).map_err(|e| self.nonsense(&e))?;
        if let Some(reason) = value.get("error").and_then(|e| e.as_str()) {
            return Err(Error::Refused { engine: self.engine.clone(), reason: reason.to_owned() });
        }
        let header = serde_json::from_value(value).map_err(|e| self.nonsense(&e))?;
        Ok((header, answer.body))
    }

    /// Process id, for measuring its use of resources.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    fn nonsense(&self, reason: &dyn std::fmt::Display) -> Error {
        Error::Nonsense { engine: self.engine.clone(), reason: reason.to_string() }
    }

    /// Why the pipe is closed. Kills the child if it still runs.
    fn died(&mut self) -> Error {
        let mut status = None;
        let step = EXIT_STATUS_WAIT / 25;
        for _ in 0..25 {
            status = self.process.try_wait().ok().flatten();
            if status.is_some() {
                break;
            }
            thread::sleep(step);
        }
        let status = status.map_or_else(|| "it closed its pipe".to_owned(), |s| s.to_string());
        Error::Died { engine: self.engine.clone(), status, last: self.tail.last() }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Its pipes close with it, which ends the threads.
        let _ = self.process.kill();
        usage::ending(&self.engine, &self.model, self.process.id());
        let _ = self.process.wait();
    }
}

fn named(engine: &str, job: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    thread::Builder::new().name(format!("{engine}-{job}")).spawn(run).map(drop)
}

/// If the child hangs, its full pipe blocks only this thread.
fn write(questions: &Receiver<Frame>, mut to: ChildStdin) {
    while let Ok(question) = questions.recv() {
        if question.write(&mut to).is_err() {
            return;
        }
    }
}

fn read(answers: &SyncSender<Frame>, from: ChildStdout) {
    let mut from = BufReader::new(from);
    while let Ok(Some(answer)) = Frame::read(&mut from) {
        if answers.send(answer).is_err() {
            return;
        }
    }
}
