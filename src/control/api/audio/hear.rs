//! Transcription of one file.

use std::convert::Infallible;
use std::sync::Arc;

use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures::Stream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;

use super::form::Form;
use super::output::{Task, Transcription, appended, text_of};
use super::{ApiState, Code, Error};
use crate::flow::{self, Blame};
use crate::media::{Cue, Language};
use crate::process::file_transcription::{self, Summary};
use crate::speech::glossary::Glossary;
use crate::speech::stt::Options;
use crate::speech::translate::{self, Translators};

/// Cues that may wait for the reader.
const WAITING_CUES_MAX: usize = 16;

/// A longer sentence is translated in parts, in characters.
const SENTENCE_CHARS_MAX: usize = 240;

/// A running transcription. Dropping it ends the transcription.
pub(super) struct Work {
    cues: mpsc::Receiver<Cue>,
    life: Life,
    /// The spoken language, if the client named it.
    told: Option<Language>,
    /// The translators, if a translation is wanted.
    translators: Option<Arc<Translators>>,
    heard: Vec<Cue>,
    /// Cues of an incomplete sentence, for translation.
    begun: Vec<Cue>,
    _place: OwnedSemaphorePermit,
}

/// The transcription task; aborted when dropped.
struct Life(Option<JoinHandle<Result<Summary, flow::Error>>>);

impl Drop for Life {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl Work {
    /// Starts the transcription.
    pub(super) fn start(
        state: &ApiState,
        form: Form,
        task: Task,
        place: OwnedSemaphorePermit,
    ) -> Result<Self, Error> {
        let speech = state.supervisor().speech();
        let (engines, told) = (Arc::clone(&speech.stt), form.wanted.language.clone());
        let choice = engines.choose(&form.wanted);
        if choice.engines.is_empty() {
            let why: Vec<String> =
                choice.missing.iter().map(|(engine, why)| format!("{engine}: {why}")).collect();
            let hint = "`auralink models list` shows what can be installed";
            return Err(Error::new(Code::NoEngine, why.join("; "), hint));
        }
        let options = Options {
            wanted: form.wanted,
            terms: form.prompt.into_iter().collect(),
            ..Options::default()
        };
        let (to, cues) = mpsc::channel(WAITING_CUES_MAX);
        let file = form.file;
        let hear =
            async move { file_transcription::run("audio", file, engines, options, to).await };
        Ok(Self {
            cues,
            life: Life(Some(tokio::spawn(hear))),
            told,
            translators: (task == Task::Translate).then(|| Arc::clone(&speech.translators)),
            heard: Vec::new(),
            begun: Vec::new(),
            _place: place,
        })
    }

    /// The next cue in the wanted language. `None` at the end.
    async fn next(&mut self) -> Result<Option<Cue>, Error> {
        let cue = match self.translators.clone() {
            None => self.cues.recv().await,
            Some(translators) => match self.sentence().await {
                Some(sentence) => Some(in_english(&translators, sentence, &self.heard).await?),
                None => None,
            },
        };
        self.heard.extend(cue.clone());
        Ok(cue)
    }

    /// All cues up to the end of a sentence, as one.
    async fn sentence(&mut self) -> Option<Cue> {
        let length = |cues: &[Cue]| cues.iter().map(|cue| cue.text.chars().count()).sum::<usize>();
        while let Some(cue) = self.cues.recv().await {
            let ends = cue.ends_sentence;
            self.begun.push(cue);
            if ends || length(&self.begun) > SENTENCE_CHARS_MAX {
                break;
            }
        }
        let cues = std::mem::take(&mut self.begun);
        let (first, last) = (cues.first()?.clone(), cues.last()?.clone());
        let text = text_of(&cues);
        Some(Cue { end: last.end, ends_sentence: true, text, words: Arc::default(), ..first })
    }

    /// The summary, once all cues have been taken.
    async fn summary(&mut self) -> Result<Summary, Error> {
        let gone = || Error::new(Code::ShuttingDown, "it was ended", "try again");
        let task = self.life.0.take().ok_or_else(gone)?;
        let outcome = task.await.map_err(|_| gone())?;
        outcome.map_err(failed)
    }

    /// Waits for the end of the transcription.
    pub(super) async fn finish(mut self) -> Result<Transcription, Error> {
        while self.next().await?.is_some() {}
        let Summary { duration, language } = self.summary().await?;
        let known = |language: &Language| *language != Language::undetermined();
        let written = self.heard.iter().map(|cue| cue.language.clone()).find(known);
        let language = written.or(language).or(self.told.take());
        let language = language.unwrap_or_else(Language::undetermined);
        Ok(Transcription { cues: self.heard, duration, language })
    }

    /// The text as server-sent events.
    pub(super) fn events(self) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
        let step = |work: Option<Self>| async move {
            let mut work = work?;
            let first = work.heard.is_empty();
            let (json, goes_on) = match work.next().await {
                Ok(Some(cue)) => {
                    // The concatenated deltas are the text.
                    let text = appended(first, &cue);
                    (serde_json::json!({ "type": "transcript.text.delta", "delta": text }), true)
                }
                Ok(None) => match work.summary().await {
                    Ok(_) => {
                        let text = text_of(&work.heard);
                        (serde_json::json!({ "type": "transcript.text.done", "text": text }), false)
                    }
                    Err(error) => (refusal(&error), false),
                },
                Err(error) => (refusal(&error), false),
            };
            Some((Ok(Event::default().data(json.to_string())), goes_on.then_some(work)))
        };
        Sse::new(futures::stream::unfold(Some(self), step)).keep_alive(KeepAlive::default())
    }
}

fn refusal(error: &Error) -> serde_json::Value {
    let problem = error.problem();
    let message = format!("{}. {}.", problem.message, problem.hint);
    serde_json::json!({ "type": "error", "error": { "message": message, "code": problem.code } })
}

async fn in_english(translators: &Translators, cue: Cue, before: &[Cue]) -> Result<Cue, Error> {
    let english = Language::english();
    if cue.language.same_language(&english) {
        return Ok(cue);
    }
    let request = translate::Request {
        text: cue.text.clone(),
        from: cue.language.clone(),
        to: english.clone(),
        engines: Vec::new(),
        context: before.last().map(|cue| cue.text.clone()),
        glossary: Arc::new(Glossary::default()),
    };
    let translated = translators.translate(&request).await.map_err(|e| {
        let hint = "`auralink doctor` lists the pairs of languages of this machine";
        Error::new(Code::NoEngine, e.to_string(), hint)
    })?;
    Ok(Cue { language: english, text: translated.text, words: Arc::default(), ..cue })
}

/// The API error for a failed transcription.
fn failed(error: flow::Error) -> Error {
    let message = error.to_string();
    match error {
        flow::Error::Refused { hint, blame: Blame::Us, .. } => {
            Error::new(Code::NoEngine, message, hint).retry_after(10)
        }
        flow::Error::Refused { hint, .. } => Error::new(Code::UnsupportedAudio, message, hint),
        flow::Error::Element { .. } => {
            let hint = "send a sound file that plays elsewhere; WAV always works";
            Error::new(Code::UnsupportedAudio, message, hint)
        }
        error => Error::internal("hearing a file", &error),
    }
}
