//! `basic`: PocketSphinx with Debian's English model.
//!
//! The engine of a machine without downloaded weights: English, no capitals, no full stops, about
//! one wrong word in four on read speech. Its decoder keeps state between pieces of audio, so each
//! stream has a decoder in its own process.

mod align;
mod decode;
mod sys;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub use align::Aligner;
pub use decode::serve;

use super::agreement::Pace;
use super::recognizer::{Engine, Error, Hypothesis, Session, Window};
use super::wire::{Answer, Question, pack};
use crate::media::{Language, Origin};
use crate::speech::engine::Child;

/// Where Debian's `pocketsphinx-en-us` puts the model.
const MODEL: &str = "/usr/share/pocketsphinx/model/en-us";

/// The model as cues and figures name it.
const MODEL_NAME: &str = "pocketsphinx-en-us";

/// Time limit for loading, which takes under a second on an idle machine.
const LOAD_TIMEOUT: Duration = Duration::from_secs(20);

/// Time limit for a window of at most 20 s, which takes 3 s on an idle core and more than 15 s on a
/// machine that does much else.
const WINDOW_TIMEOUT: Duration = Duration::from_secs(30);

/// The folder of the model, if it and the library are installed.
fn installed_model() -> Option<&'static Path> {
    let model = Path::new(MODEL);
    (model.join("en-us.lm.bin").is_file() && sys::is_there()).then_some(model)
}

/// The engine for machines without weights.
pub struct Sphinx {
    model: PathBuf,
    origin: Arc<Origin>,
    streams: Arc<AtomicUsize>,
    streams_max: usize,
}

impl Sphinx {
    /// The engine, if its library and model are installed.
    pub fn find(streams_max: usize) -> Option<Self> {
        installed_model().map(|model| Self {
            model: model.to_owned(),
            origin: Arc::new(Origin { engine: "basic".into(), model: Some(MODEL_NAME.into()) }),
            streams: Arc::default(),
            streams_max,
        })
    }
}

impl Engine for Sphinx {
    fn name(&self) -> &str {
        "basic"
    }

    fn origin(&self) -> Arc<Origin> {
        Arc::clone(&self.origin)
    }

    fn pace(&self) -> Pace {
        Pace {
            step: Duration::from_millis(400),
            trim: Duration::from_millis(800),
            steps_per_window: u32::MAX,
            cut_after: Duration::from_secs(20),
            window_max: Duration::from_secs(20),
        }
    }

    fn punctuates(&self) -> bool {
        false
    }

    fn only_language(&self) -> Option<Language> {
        Some(Language::english())
    }

    fn open(&self) -> Result<Box<dyn Session>, Error> {
        let before = self.streams.fetch_add(1, Ordering::SeqCst);
        let place = DecoderPermit(Arc::clone(&self.streams));
        if before >= self.streams_max {
            let reason = format!("[stt] basic_streams_max is {}", self.streams_max);
            return Err(Error::Busy { engine: "basic", reason });
        }
        let arguments: Vec<OsString> =
            vec!["sphinx".into(), "--model".into(), self.model.clone().into()];
        let mut child = Child::start("basic", MODEL_NAME, &arguments)?;
        child.ask::<Answer>(&Question::Load, Vec::new(), LOAD_TIMEOUT)?;
        Ok(Box::new(Ear { child, _place: place }))
    }
}

struct DecoderPermit(Arc<AtomicUsize>);

impl Drop for DecoderPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Ear {
    child: Child,
    _place: DecoderPermit,
}

impl Session for Ear {
    fn hear(&mut self, window: &Window) -> Result<Hypothesis, Error> {
        let begin = window.fresh >= window.samples.len();
        let fresh = &window.samples[window.samples.len().saturating_sub(window.fresh)..];
        let question = Question::Hear {
            begin,
            last: window.last,
            language: None,
            prompt: String::new(),
            settled: Vec::new(),
            draft: Vec::new(),
        };
        let answer: Answer = self.child.ask(&question, pack(fresh), WINDOW_TIMEOUT)?;
        Ok(answer.into())
    }
}
