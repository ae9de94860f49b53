//! The response formats.

use std::time::Duration;

use serde::Serialize;

use crate::captions::{FileClock, Shaper, srt, vtt};
use crate::media::{Cue, Language};
use crate::speech::stt::spaced;

/// What is done with the audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Transcription.
    Transcribe,
    /// Transcription and translation to English.
    Translate,
}

/// Format of the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Format {
    #[default]
    Json,
    Text,
    Srt,
    Vtt,
    VerboseJson,
}

impl Format {
    /// Parses the name of a format.
    pub(super) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "" | "json" => Self::Json,
            "text" => Self::Text,
            "srt" => Self::Srt,
            "vtt" => Self::Vtt,
            "verbose_json" => Self::VerboseJson,
            _ => return None,
        })
    }
}

/// The `verbose_json` response.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Verbose {
    /// `transcribe` or `translate`.
    task: &'static str,
    /// Language tag of the text.
    language: String,
    /// Duration of the audio in seconds.
    duration: f64,
    /// The complete text.
    text: String,
    /// The text as segments.
    segments: Vec<Segment>,
    /// The words with their times, if the engine reports them.
    words: Vec<Word>,
}

/// One segment.
#[derive(Serialize, utoipa::ToSchema)]
struct Segment {
    /// Index from 0.
    id: usize,
    /// Always 0: this engine has no windows of 30 seconds.
    seek: u32,
    /// Start, in seconds from the start of the file.
    start: f64,
    /// End, in seconds from the start of the file.
    end: f64,
    /// The text.
    text: String,
    /// Always empty.
    tokens: Vec<u32>,
    /// Always 0.
    temperature: f32,
    /// Logarithm of the engine's mean confidence.
    avg_logprob: f32,
    /// Always 1.
    compression_ratio: f32,
    /// Always 0: non-speech is not transcribed.
    no_speech_prob: f32,
}

/// One word.
#[derive(Serialize, utoipa::ToSchema)]
struct Word {
    /// The word with its punctuation.
    word: String,
    /// Start, in seconds from the start of the file.
    start: f64,
    /// End, in seconds from the start of the file.
    end: f64,
}

/// The transcript of a whole file.
pub(super) struct Transcription {
    pub(super) cues: Vec<Cue>,
    pub(super) duration: Duration,
    pub(super) language: Language,
}

/// The text of cues on one line.
pub(super) fn text_of(cues: &[Cue]) -> String {
    cues.iter().enumerate().map(|(at, cue)| appended(at == 0, cue)).collect()
}

/// The text of a cue to be appended to that of the previous ones.
pub(super) fn appended(first: bool, cue: &Cue) -> String {
    let space = if first || !spaced(&cue.language) { "" } else { " " };
    format!("{space}{}", cue.text)
}

fn seconds(time: Duration) -> f64 {
    time.as_millis() as f64 / 1000.0
}

impl Transcription {
    /// The complete text on one line.
    pub(super) fn text(&self) -> String {
        text_of(&self.cues)
    }

    /// The cues in SubRip format.
    pub(super) fn srt(&self) -> String {
        let (mut shaper, mut writer) = (Shaper::default(), srt::Writer::new(FileClock::default()));
        self.cues.iter().flat_map(|cue| shaper.shape(cue)).map(|shown| writer.cue(&shown)).collect()
    }

    /// The cues in WebVTT format.
    pub(super) fn vtt(&self) -> String {
        let mut shaper = Shaper::default();
        let shown = self.cues.iter().flat_map(|cue| shaper.shape(cue));
        let style = vtt::Style::default();
        let cues = shown.map(|shown| vtt::cue(&shown, FileClock::default(), &style));
        std::iter::once(vtt::HEADER.to_owned()).chain(cues).collect()
    }

    /// The cues with times.
    pub(super) fn verbose(&self, task: Task) -> Verbose {
        let segment = |(id, cue): (usize, &Cue)| Segment {
            id,
            seek: 0,
            start: seconds(cue.start),
            end: seconds(cue.end),
            text: format!(" {}", cue.text),
            tokens: Vec::new(),
            temperature: 0.0,
            avg_logprob: cue.confidence().max(1e-6).ln(),
            compression_ratio: 1.0,
            no_speech_prob: 0.0,
        };
        let words = self.cues.iter().flat_map(|cue| cue.words.iter());
        let word = |w: &crate::media::Word| Word {
            word: w.text.clone(),
            start: seconds(w.start),
            end: seconds(w.end),
        };
        Verbose {
            task: if task == Task::Translate { "translate" } else { "transcribe" },
            language: self.language.to_string(),
            duration: seconds(self.duration),
            text: self.text(),
            segments: self.cues.iter().enumerate().map(segment).collect(),
            words: words.map(word).collect(),
        }
    }
}
