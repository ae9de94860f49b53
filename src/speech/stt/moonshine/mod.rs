//! Moonshine by ONNX Runtime: English, with capitals and punctuation, in its own process.

mod decode;
mod timing;
mod tokenizer;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

pub use decode::{Run, serve};

use super::agreement::Pace;
use super::pool::{Limits, Pool, PoolPermit, PoolStats};
use super::recognizer::{Engine, Error, Hypothesis, Session, Window};
use super::wire::{Question, pack};
use crate::media::{Language, Origin};

/// A Moonshine model, loaded when the first stream uses it.
pub struct Moonshine {
    pool: Arc<Pool>,
    origin: Arc<Origin>,
}

impl Moonshine {
    /// A model to be run as in `run`. `label` names it in cues: `tiny-en`.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn new(run: &Run, label: String, limits: Limits) -> std::io::Result<Self> {
        let arguments: Vec<OsString> = vec![
            "moonshine".into(),
            "--model".into(),
            run.model.clone().into(),
            "--runtime".into(),
            run.runtime.clone().into(),
            "--threads".into(),
            run.threads.to_string().into(),
        ];
        let pool = Arc::new(Pool::new("moonshine", arguments, limits)?);
        Ok(Self {
            pool,
            origin: Arc::new(Origin { engine: "moonshine".into(), model: Some(label) }),
        })
    }

    /// Running totals.
    pub fn stats(&self) -> &PoolStats {
        self.pool.stats()
    }
}

impl Engine for Moonshine {
    fn name(&self) -> &str {
        "moonshine"
    }

    fn origin(&self) -> Arc<Origin> {
        Arc::clone(&self.origin)
    }

    /// From 4-5 s on, all words but the last two keep their place, and a window of 8-10 s costs no
    /// accuracy (docs/measurements.md).
    fn pace(&self) -> Pace {
        Pace {
            step: Duration::from_millis(500),
            trim: Duration::from_millis(600),
            cut_after: Duration::from_secs(6),
            window_max: Duration::from_secs(10),
        }
    }

    fn punctuates(&self) -> bool {
        true
    }

    fn only_language(&self) -> Option<Language> {
        Some(Language::english())
    }

    fn open(&self) -> Result<Box<dyn Session>, Error> {
        Ok(Box::new(MoonshineSession(self.pool.enter()?)))
    }
}

struct MoonshineSession(PoolPermit);

impl Session for MoonshineSession {
    fn hear(&mut self, window: &Window) -> Result<Hypothesis, Error> {
        let (last, prompt) = (window.last, String::new());
        let question = Question::Hear { begin: true, last, language: None, prompt };
        self.0.ask(question, pack(window.samples), window.deadline)
    }
}
