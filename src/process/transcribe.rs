//! Transcribes the speech in a feed of raw audio to captions.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use gst::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::SOURCE;
use super::node::{CaptionsContext, CaptionsNode};
use crate::flow::{CueFeed, Error, Feed, Join, Node, Status, Task};
use crate::media::{Cue, Language, Word};
use crate::speech::glossary::Glossary;
use crate::speech::stt::{Engines, Event, Options, Status as State, Transcriber, Wanted};

/// Interval between updates of the figures in the API.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// The engine that does not listen: captions are pushed from outside.
pub(super) const NONE: &str = "none";

/// The spoken language: a tag, or `auto` to detect it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub enum SpokenLanguage {
    /// Detected from the first seconds and checked again after pauses.
    #[default]
    Auto,
    /// Set by the admin.
    Known(Language),
}

impl SpokenLanguage {
    /// The language, if it is set.
    pub fn language(&self) -> Option<&Language> {
        match self {
            Self::Auto => None,
            Self::Known(language) => Some(language),
        }
    }
}

impl fmt::Display for SpokenLanguage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.language().map_or("auto", Language::as_str))
    }
}

impl Serialize for SpokenLanguage {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SpokenLanguage {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        if text == "auto" {
            return Ok(Self::Auto);
        }
        text.parse().map(Self::Known).map_err(serde::de::Error::custom)
    }
}

/// Whether cues say who speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Speakers {
    /// They do not.
    #[default]
    Off,
    /// `Speaker 1`, `Speaker 2` …: after a pause, a voice whose pitch is clearly another is another
    /// speaker, at most three. It identifies nobody: people whose voices have about the same pitch
    /// are one speaker, and one who laughs or whispers may be two.
    Turns,
}

/// Settings of transcription. A change restarts the node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The spoken language.
    pub language: SpokenLanguage,
    /// The languages that may be spoken, if it is detected; empty: any.
    pub spoken: Vec<Language>,
    /// Whether cues say who speaks.
    pub speakers: Speakers,
    /// Engines in the order of preference; empty: the best one of this machine.
    pub engines: Vec<String>,
    /// Model of the first engine that has models.
    pub model: Option<String>,
    /// Terms to expect, replacements and masked words.
    pub glossary: Arc<Glossary>,
}

/// Replaces the node if captions are pushed from outside, until cancelled. Reports `engine`.
pub async fn stand_by(task: Task) {
    task.status.set("engine", NONE);
    task.status.set_running();
    task.cancel.cancelled().await;
}

/// Transcribes the audio of `input` until cancelled. If no engine works, the stream continues
/// without captions. Reports `engine`, `model`, `language`, `off` (why there are no captions),
/// `switched` (the last change of engine), `skipped_ms` (audio that engines were too slow for),
/// `lag_ms` and `real_time_factor`.
///
/// # Errors
/// Errors of the pipeline.
pub async fn run(
    task: Task,
    input: Feed,
    output: CueFeed,
    engines: Arc<Engines>,
    settings: Settings,
) -> Result<(), Error> {
    let node = Node::parse(
        &task.name,
        &format!(
            "{SOURCE} ! audioconvert ! audioresample \
             ! audio/x-raw,format=F32LE,rate=16000,channels=1,layout=interleaved \
             ! appsink name=out sync=false async=false max-buffers=0 enable-last-sample=false"
        ),
    )?;
    let writer = CueWriter {
        // A restarted node continues the numbering of the previous one.
        first: output.stats().committed.load(Relaxed),
        feed: output,
        glossary: Arc::clone(&settings.glossary),
        status: task.status.clone(),
    };
    let options = Options {
        wanted: Wanted {
            language: settings.language.language().cloned(),
            spoken: settings.spoken,
            engines: settings.engines,
            model: settings.model,
        },
        terms: settings.glossary.terms.clone(),
        speakers: settings.speakers == Speakers::Turns,
        wait: false,
    };
    let transcriber = Transcriber::new(engines, options, move |event| writer.take(event));
    let transcriber = Arc::new(transcriber.map_err(|e| Error::build(&task.name, e))?);
    listen(&node, Arc::clone(&transcriber))?;
    node.start().await?;
    node.input("in", &input, Join::Live)?;
    task.status.set_running();
    let ended = tokio::select! {
        ended = node.run(&task.cancel) => ended,
        () = report(&task.status, &transcriber) => {
            Err(Error::build(&task.name, "the transcriber has died; the log says why"))
        }
    };
    node.stop().await.and(ended)
}

/// Passes the sink's audio to the transcriber, which never waits.
fn listen(node: &Node, transcriber: Arc<Transcriber>) -> Result<(), Error> {
    let sink = node.element("out")?;
    let sink = sink
        .downcast::<gst_app::AppSink>()
        .map_err(|_| Error::build(node.name(), "`out` is not an appsink"))?;
    let mut samples: Vec<f32> = Vec::new();
    let on_sample = move |sink: &gst_app::AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let Some(buffer) = sample.buffer() else { return Ok(gst::FlowSuccess::Ok) };
        let at = sample
            .segment()
            .and_then(|s| s.downcast_ref::<gst::ClockTime>())
            .and_then(|s| s.to_running_time(buffer.pts()));
        if let (Some(at), Ok(map)) = (at, buffer.map_readable()) {
            let bytes = map.as_slice().as_chunks::<4>().0;
            samples.clear();
            samples.extend(bytes.iter().map(|b| f32::from_le_bytes(*b)));
            transcriber.push(Duration::from_nanos(at.nseconds()), &samples);
        }
        Ok(gst::FlowSuccess::Ok)
    };
    sink.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(on_sample).build());
    Ok(())
}

/// Reports figures; returns if the transcriber has died.
async fn report(status: &Status, transcriber: &Transcriber) {
    let mut tick = tokio::time::interval(REPORT_EVERY);
    let stats = transcriber.stats();
    while !transcriber.has_failed() {
        tick.tick().await;
        status.set("skipped_ms", stats.skipped_ms.load(Relaxed));
        status.set("lag_ms", stats.lag_ms.load(Relaxed));
        let factor = (stats.real_time_factor() * 100.0).round() / 100.0;
        status.set("real_time_factor", factor);
    }
}

/// Handles the transcriber's events.
struct CueWriter {
    feed: CueFeed,
    first: u64,
    glossary: Arc<Glossary>,
    status: Status,
}

impl CueWriter {
    fn take(&self, event: Event) {
        match event {
            Event::Partial(cue) | Event::Committed(cue) => {
                let id = self.first + cue.id;
                self.feed.publish(written(Cue { id, ..cue }, &self.glossary));
            }
            Event::Language(language, _) => self.status.set("language", language.as_str()),
            Event::Switched { from: Some(from), to, why } => {
                tracing::warn!(feed = self.feed.name(), from, to, why, "captions change engine");
                self.status.set("switched", format!("{from} to {to}: {why}"));
            }
            Event::State(State::Listening { engine, model }) => {
                self.status.set("engine", engine);
                self.status.set("model", model);
                self.status.set("off", None::<String>);
            }
            Event::State(State::Off { why }) => {
                tracing::warn!(feed = self.feed.name(), why, "no captions");
                self.status.set("off", why);
            }
            Event::State(State::Starting)
            | Event::Switched { from: None, .. }
            | Event::HeardUntil(_)
            | Event::Ended => {}
        }
    }
}

/// Applies the glossary to a cue. If that changes the number of words, the times of single words
/// are dropped.
fn written(cue: Cue, glossary: &Glossary) -> Cue {
    if glossary.is_empty() {
        return cue;
    }
    let text = glossary.apply(&cue.text, &cue.language);
    if text == cue.text {
        return cue;
    }
    let texts: Vec<&str> = text.split_whitespace().collect();
    let words: Arc<[Word]> = if texts.len() == cue.words.len() {
        let renamed = |(word, text): (&Word, &&str)| Word { text: (*text).into(), ..word.clone() };
        cue.words.iter().zip(&texts).map(renamed).collect()
    } else {
        Arc::default()
    };
    Cue { text, words, ..cue }
}

impl CaptionsNode for Settings {
    fn describe(&self) -> String {
        format!("captions in {}", self.language)
    }

    async fn run(self, context: CaptionsContext) -> Result<(), Error> {
        let CaptionsContext { task, audio, output, services, .. } = context;
        match audio {
            Some(audio) => run(task, audio, output, services.stt, self).await,
            None => {
                stand_by(task).await;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Origin, Stage};

    #[test]
    fn the_glossary_changes_words_and_text_alike() {
        let word = |text: &str| Word {
            text: text.into(),
            start: Duration::ZERO,
            end: Duration::ZERO,
            confidence: 1.0,
        };
        let cue = Cue {
            id: 1,
            language: Language::english(),
            stage: Stage::Committed,
            start: Duration::ZERO,
            end: Duration::ZERO,
            text: "the darn aura link box".into(),
            words: ["the", "darn", "aura", "link", "box"].map(word).into(),
            ends_sentence: true,
            origin: Arc::new(Origin { engine: "test".into(), model: None }),
            speaker: None,
        };
        let masked = Glossary { masked: vec!["darn".into()], ..Glossary::default() };
        let shown = written(cue.clone(), &masked);
        assert_eq!(
            (shown.text.as_str(), shown.words[1].text.as_str()),
            ("the **** aura link box", "****")
        );
        let shorter: Glossary =
            serde_json::from_str(r#"{"replacements": [{"from": "aura link", "to": "AuraLink"}]}"#)
                .expect("a glossary");
        let shown = written(cue, &shorter);
        assert_eq!((shown.text.as_str(), shown.words.len()), ("the darn AuraLink box", 0));
    }
}
