//! Moonshine by ONNX Runtime: English, with capitals and punctuation, in its own process.

mod decode;
mod network;
mod timing;
mod tokenizer;

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub use decode::{Run, serve};

use super::agreement::Pace;
use super::pool::{Limits, Pool, PoolPermit, PoolStats};
use super::recognizer::{Engine, Error, Hypothesis, Recognition, Session, Window};
use super::wire::{Question, pack};
use crate::media::{Language, Origin};

/// New audio for which one stream's window is heard again, and how many such steps a window may have
/// before they grow.
const STEP_INTERVAL: Duration = Duration::from_millis(500);
const STEPS_PER_WINDOW_MAX: u32 = 10;

/// Steps grow with the number of streams up to this many.
const STREAMS_MAX: u32 = 4;

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
        let pool = Arc::new(Pool::new("moonshine", label.clone(), arguments, limits)?);
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
    /// accuracy (docs/measurements.md). Streams that share the model take longer steps, so that its
    /// work stays the same; with more than four, words become late before they become wrong.
    fn pace(&self) -> Pace {
        let streams = self.pool.stats().streams.load(Ordering::Relaxed);
        let streams = u32::try_from(streams).unwrap_or(u32::MAX).clamp(1, STREAMS_MAX);
        Pace {
            step: STEP_INTERVAL * streams,
            steps_per_window: STEPS_PER_WINDOW_MAX / streams,
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
        Ok(Box::new(MoonshineSession {
            permit: self.pool.enter()?,
            heard: Vec::new(),
            draft: Vec::new(),
        }))
    }
}

/// Words at the end of a hypothesis that often change with the next one.
const CHANGING_WORDS: usize = 2;

struct MoonshineSession {
    permit: PoolPermit,
    /// The last hypothesis for this window.
    heard: Vec<Recognition>,
    /// Its tokens.
    draft: Vec<u16>,
}

impl Session for MoonshineSession {
    fn hear(&mut self, window: &Window) -> Result<Hypothesis, Error> {
        if window.fresh >= window.samples.len() {
            self.heard.clear();
            self.draft.clear();
        }
        // Times that were found once are not looked for again.
        let settled = &self.heard[..self.heard.len().saturating_sub(CHANGING_WORDS)];
        let ms = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let settled = settled.iter().map(|w| (w.text.clone(), ms(w.start), ms(w.end))).collect();
        let question = Question::Hear {
            begin: true,
            last: window.last,
            language: None,
            prompt: String::new(),
            settled,
            draft: std::mem::take(&mut self.draft),
        };
        let answer = self.permit.ask(question, pack(window.samples), window.deadline)?;
        self.draft.clone_from(&answer.tokens);
        let hypothesis = Hypothesis::from(answer);
        self.heard.clone_from(&hypothesis.words);
        Ok(hypothesis)
    }
}
