//! The engines of one stream: the current one and those that are starting.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Instant;

use super::super::engines::Choice;
use super::super::lineup::{Lineup, Step};
use super::super::recognizer::{Engine, Error, Session};

type Started = (usize, Result<Box<dyn Session>, Error>);

/// A change that the stream must handle.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    /// Another engine transcribes from now on.
    Current { from: Option<String>, to: usize, why: String },
    /// An engine failed to start.
    Failed { engine: usize, why: String },
}

pub(super) struct EngineSession {
    engines: Vec<Arc<dyn Engine>>,
    missing: Vec<(String, String)>,
    lineup: Lineup,
    sessions: Vec<Option<Box<dyn Session>>>,
    /// Last failure of each engine.
    reasons: Vec<Option<String>>,
    starts: (Sender<Started>, Receiver<Started>),
    begun: Instant,
    /// The previous engine, and why it was replaced.
    before: Option<(usize, String)>,
    current: Option<usize>,
}

impl EngineSession {
    pub(super) fn new(choice: Choice) -> Self {
        let count = choice.engines.len();
        Self {
            engines: choice.engines,
            missing: choice.missing,
            lineup: Lineup::new(count),
            sessions: (0..count).map(|_| None).collect(),
            reasons: vec![None; count],
            starts: mpsc::channel(),
            begun: Instant::now(),
            before: None,
            current: None,
        }
    }

    /// Replaces the engines if they differ; the current one continues if it is unchanged.
    pub(super) fn choose(&mut self, choice: Choice) {
        let same = choice.engines.len() == self.engines.len()
            && choice.engines.iter().zip(&self.engines).all(|(a, b)| Arc::ptr_eq(a, b));
        if same {
            self.missing = choice.missing;
        } else {
            *self = Self::new(choice);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.engines.is_empty()
    }

    /// Whether there is an engine other than the current one.
    pub(super) fn has_next(&self) -> bool {
        self.engines.len() > 1
    }

    pub(super) fn engine(&self, number: usize) -> &dyn Engine {
        self.engines[number].as_ref()
    }

    /// The current engine and its session.
    pub(super) fn current(&mut self) -> Option<(&dyn Engine, &mut (dyn Session + 'static))> {
        let current = self.current?;
        let session = self.sessions[current].as_deref_mut()?;
        Some((self.engines[current].as_ref(), session))
    }

    /// Starts and changes engines. `pause`: there is no speech.
    pub(super) fn poll(&mut self, pause: bool) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Ok((engine, started)) = self.starts.1.try_recv() {
            match started {
                Ok(session) => {
                    self.sessions[engine] = Some(session);
                    self.lineup.started(engine, self.begun.elapsed());
                }
                Err(error) => {
                    let why = error.to_string();
                    self.reasons[engine] = Some(why.clone());
                    self.lineup.failed(engine, self.begun.elapsed());
                    changes.push(Change::Failed { engine, why });
                }
            }
        }
        loop {
            match self.lineup.next(self.begun.elapsed(), pause) {
                Step::Start(engine) => self.start(engine),
                Step::Drop(engine) => self.sessions[engine] = None,
                Step::Wait => break,
            }
        }
        let current = self.lineup.current();
        if current != self.current {
            if let Some(to) = current {
                let back = "it works again".to_owned();
                let (from, why) = match (self.before.take(), self.current) {
                    (Some((from, why)), _) => (Some(from), why),
                    (None, Some(from)) => (Some(from), back),
                    (None, None) => (None, "it is the first that works".to_owned()),
                };
                let from = from.map(|n| self.engines[n].name().to_owned());
                changes.push(Change::Current { from, to, why });
            }
            self.current = current;
        }
        changes
    }

    /// The current engine failed.
    pub(super) fn fail(&mut self, why: &str) {
        let Some(current) = self.current.take() else { return };
        self.sessions[current] = None;
        self.reasons[current] = Some(why.to_owned());
        self.lineup.failed(current, self.begun.elapsed());
        self.before = Some((current, why.to_owned()));
    }

    /// Whether an engine is starting.
    pub(super) fn is_starting(&self) -> bool {
        self.lineup.is_starting()
    }

    /// Why no engine transcribes: each engine with its reason.
    pub(super) fn why_not(&self) -> String {
        let failed = self.engines.iter().zip(&self.reasons).filter_map(|(engine, reason)| {
            Some(format!("{}: {}", engine.name(), reason.as_ref()?))
        });
        let missing = self.missing.iter().map(|(name, reason)| format!("{name}: {reason}"));
        format!("captions are off because {}", failed.chain(missing).collect::<Vec<_>>().join("; "))
    }

    fn start(&mut self, number: usize) {
        let engine = Arc::clone(&self.engines[number]);
        let started = self.starts.0.clone();
        let failed = self.starts.0.clone();
        let spawned = thread::Builder::new().name("stt-start".into()).spawn(move || {
            // If the stream has ended, this drops the session and its process.
            let _ = started.send((number, engine.open()));
        });
        if let Err(error) = spawned {
            let error = Error::Down { engine: "stt", reason: error.to_string() };
            let _ = failed.send((number, Err(error)));
        }
    }
}
