//! One model at work: a bounded queue in front of a process that loads it on demand and ends when
//! idle.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::super::Error;
use super::wire::{Answer, Question};
use crate::models::Installed;
use crate::speech::EngineError;
use crate::speech::engine::{self, Child};

/// Most texts that wait for one model.
const WAITING_TEXTS_MAX: usize = 32;

/// Longest time to load; gigabytes from a slow disk take long.
const LOAD_TIMEOUT: Duration = Duration::from_secs(120);

/// Time limit for one text.
const TEXT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a model rests if it could not be loaded or has died twice on a text.
const RETRY_PAUSE: Duration = Duration::from_secs(20);

struct Work {
    question: Question,
    answer: oneshot::Sender<Result<String, Error>>,
}

/// A handle to a model; dropping the last one ends its process.
#[derive(Clone)]
pub(super) struct Worker {
    model: Arc<str>,
    queue: SyncSender<Work>,
    process: Arc<AtomicU32>,
}

impl Worker {
    /// A model whose process starts with its first text and ends after `idle` without one.
    ///
    /// # Errors
    /// If no thread can be started.
    pub(super) fn spawn(model: Installed, threads: usize, idle: Duration) -> Result<Self, Error> {
        let (queue, work) = mpsc::sync_channel(WAITING_TEXTS_MAX);
        let process = Arc::new(AtomicU32::new(0));
        let label: Arc<str> = model.label().into();
        let owner = Owner {
            arguments: vec![
                "ct2".into(),
                "--model".into(),
                model.folder.clone().into(),
                "--threads".into(),
                threads.to_string().into(),
            ],
            model,
            label: Arc::clone(&label),
            process: Arc::clone(&process),
            child: None,
            rests: None,
        };
        thread::Builder::new().name("ct2".into()).spawn(move || owner.run(&work, idle)).map_err(
            |source| EngineError::Start { program: "auralink engine ct2".into(), source },
        )?;
        Ok(Self { model: label, queue, process })
    }

    /// Translates one text.
    ///
    /// # Errors
    /// [`Error::Busy`] if too many texts wait, [`Error::Model`] if the model cannot be used.
    pub(super) async fn translate(&self, question: Question) -> Result<String, Error> {
        let (answer, answered) = oneshot::channel();
        let died = || Error::Died { what: self.model.to_string() };
        self.queue.try_send(Work { question, answer }).map_err(|e| match e {
            TrySendError::Full(_) => {
                Error::Busy { what: self.model.to_string(), waiting: WAITING_TEXTS_MAX }
            }
            TrySendError::Disconnected(_) => died(),
        })?;
        answered.await.unwrap_or_else(|_| Err(died()))
    }

    /// Process id of the model, 0 while it is not loaded.
    pub(super) fn process(&self) -> u32 {
        self.process.load(Ordering::Relaxed)
    }
}

/// The thread that owns the child.
struct Owner {
    arguments: Vec<OsString>,
    model: Installed,
    label: Arc<str>,
    process: Arc<AtomicU32>,
    child: Option<Child>,
    /// Until when the model rests, and why.
    rests: Option<(Instant, String)>,
}

impl Owner {
    fn run(mut self, work: &Receiver<Work>, idle: Duration) {
        loop {
            let next = match &self.child {
                Some(_) => work.recv_timeout(idle),
                None => work.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let Work { question, answer } = match next {
                Ok(work) => work,
                Err(RecvTimeoutError::Timeout) => {
                    self.stop();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return self.stop(),
            };
            // The caller has given up: its text is not translated.
            if answer.is_closed() {
                continue;
            }
            let _ = answer.send(self.translate(&question));
        }
    }

    /// Replaces a process once if it has died since the last text or dies during this one.
    fn translate(&mut self, question: &Question) -> Result<String, Error> {
        if let Some((until, reason)) = &self.rests
            && Instant::now() < *until
        {
            return Err(self.failed(reason.clone()));
        }
        self.rests = None;
        let outcome = match self.once(question) {
            Err(engine::Error::Died { .. }) => {
                tracing::warn!(model = %self.label, "its process died and is started again");
                self.once(question)
            }
            other => other,
        };
        outcome.map_err(|error| {
            let reason = error.to_string();
            self.rests = Some((Instant::now() + RETRY_PAUSE, reason.clone()));
            self.failed(reason)
        })
    }

    fn once(&mut self, question: &Question) -> Result<String, engine::Error> {
        let outcome = self.ask(question);
        // A process that refused a text is healthy; it is stopped too, as its model may not have
        // loaded.
        if outcome.is_err() {
            self.stop();
        }
        outcome
    }

    fn ask(&mut self, question: &Question) -> Result<String, engine::Error> {
        let child = match &mut self.child {
            Some(child) => child,
            empty => {
                let refused = |reason| engine::Error::Refused { engine: "ct2".into(), reason };
                self.model.ready().map_err(|e| refused(e.to_string()))?;
                let child = empty.insert(Child::start("ct2", &self.label, &self.arguments)?);
                self.process.store(child.id(), Ordering::Relaxed);
                let _: Answer = child.ask(&Question::Load, Vec::new(), LOAD_TIMEOUT)?;
                child
            }
        };
        let answer: Answer = child.ask(question, Vec::new(), TEXT_TIMEOUT)?;
        Ok(answer.text)
    }

    fn failed(&self, reason: String) -> Error {
        Error::Model { model: self.label.to_string(), reason }
    }

    fn stop(&mut self) {
        self.child = None;
        self.process.store(0, Ordering::Relaxed);
    }
}
