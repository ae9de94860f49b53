//! Whisper by whisper.cpp: any ggml model, in its own process.

mod decode;
mod header;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use decode::{Run, serve};

use super::agreement::Pace;
use super::pool::{Limits, Pool, PoolPermit, PoolStats};
use super::recognizer::{Engine, Error, Hypothesis, Session, Window};
use super::wire::{Question, pack};
use crate::media::{Language, Origin};

/// A Whisper model, loaded when the first stream uses it.
pub struct Whisper {
    pool: Arc<Pool>,
    origin: Arc<Origin>,
    english_only: bool,
    step: Duration,
}

impl Whisper {
    /// A model to be run as in `run`. `label` names it in cues: `base.en-q5_1@4baf70dd`.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn new(
        path: &Path,
        label: String,
        run: Run,
        streams: usize,
        idle: Duration,
    ) -> std::io::Result<Self> {
        let mut arguments: Vec<OsString> = vec!["whisper".into(), "--model".into(), path.into()];
        arguments.extend(["--threads".into(), run.threads.to_string().into()]);
        if run.gpu {
            arguments.push("--gpu".into());
        }
        let english_only = label.contains(".en");
        let limits = Limits { streams, idle };
        let pool = Arc::new(Pool::new("whisper", label.clone(), arguments, limits)?);
        let origin = Arc::new(Origin { engine: "whisper".into(), model: Some(label) });
        // A GPU answers in a tenth of the time.
        let step = Duration::from_millis(if run.gpu { 500 } else { 800 });
        Ok(Self { pool, origin, english_only, step })
    }

    /// Running totals.
    pub fn stats(&self) -> &PoolStats {
        self.pool.stats()
    }
}

impl Engine for Whisper {
    fn name(&self) -> &str {
        "whisper"
    }

    fn origin(&self) -> Arc<Origin> {
        Arc::clone(&self.origin)
    }

    fn pace(&self) -> Pace {
        Pace {
            step: self.step,
            steps_per_window: u32::MAX,
            trim: Duration::from_millis(600),
            cut_after: Duration::from_secs(7),
            window_max: Duration::from_secs(12),
        }
    }

    fn punctuates(&self) -> bool {
        true
    }

    fn only_language(&self) -> Option<Language> {
        self.english_only.then(Language::english)
    }

    fn open(&self) -> Result<Box<dyn Session>, Error> {
        Ok(Box::new(Ear(self.pool.enter()?)))
    }
}

struct Ear(PoolPermit);

impl Session for Ear {
    fn hear(&mut self, window: &Window) -> Result<Hypothesis, Error> {
        let question = Question::Hear {
            begin: true,
            last: window.last,
            language: window.language.map(|l| spoken(l).to_owned()),
            prompt: window.prompt.to_owned(),
            settled: Vec::new(),
            draft: Vec::new(),
        };
        self.0.ask(question, pack(window.samples), window.deadline).map(Hypothesis::from)
    }
}

/// Whisper's code for the language.
fn spoken(language: &Language) -> &str {
    match language.primary() {
        "nb" => "no",
        "fil" => "tl",
        other => other,
    }
}

/// A model's name in cues and settings: `base.en-q5_1` for `ggml-base.en-q5_1.bin`.
pub fn label(path: &Path) -> String {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    name.rsplit_once("ggml-").map_or(name.as_ref(), |(_, label)| label).to_owned()
}

/// The best model for this language and machine: an English-only model for English, then the first
/// of a list that a processor, or a GPU, can run in real time.
pub fn best(models: &[PathBuf], language: Option<&Language>, gpu: bool) -> Option<PathBuf> {
    const PROCESSOR: &[&str] = &["base", "small", "tiny", "medium", "large-v3-turbo", "large"];
    const GPU: &[&str] =
        &["large-v3-turbo", "large-v3", "large", "medium", "small", "base", "tiny"];
    let english = language.is_some_and(|l| l.primary() == "en");
    let order = if gpu { GPU } else { PROCESSOR };
    let rank = |path: &&PathBuf| {
        let label = label(path);
        let size = order.iter().position(|size| label.starts_with(size)).unwrap_or(order.len());
        (size, label.contains(".en") != english, label.len(), label)
    };
    models.iter().filter(|p| english || !label(p).contains(".en")).min_by_key(rank).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(models: &[&str], language: Option<&str>, gpu: bool, expect: Option<&str>) {
        let paths: Vec<PathBuf> =
            models.iter().map(|m| format!("/m/ggml-{m}.bin").into()).collect();
        let language: Option<Language> = language.map(|l| l.parse().expect("a language"));
        let found = best(&paths, language.as_ref(), gpu).map(|p| label(&p));
        assert_eq!(found.as_deref(), expect);
    }

    #[test]
    fn the_best_model_fits_language_and_machine() {
        let all = ["tiny", "base", "base.en", "large-v3-turbo-q5_0", "small.en"];
        check(&all, Some("en"), false, Some("base.en"));
        check(&all, Some("de"), false, Some("base"));
        check(&all, None, false, Some("base"));
        check(&all, Some("en-US"), true, Some("large-v3-turbo-q5_0"));
        check(&["tiny.en"], Some("de"), false, None);
        check(&["mine"], Some("de"), false, Some("mine"));
    }
}
