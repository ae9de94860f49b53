//! `openai`: any server with OpenAI's `/v1/audio/transcriptions` (whisper.cpp's server,
//! faster-whisper-server, vLLM, LocalAI, OpenAI itself).

use std::sync::Arc;
use std::time::Duration;

use reqwest::multipart::{Form, Part};
use serde::Deserialize;

use super::agreement::Pace;
use super::recognizer::{Engine, Error, Hypothesis, Recognition, Session, Window};
use super::wire::pack;
use crate::media::{Language, Origin, Secret};
use crate::speech::http::{self, Auth, Client};
use crate::speech::vad::SPEECH_RATE_HZ;

/// Largest answer, in bytes; for a window of 15 s about 10 KB.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Time limit for an answer; a later one would be useless.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

/// The engine: a server and a model.
pub struct OpenAi {
    client: Client,
    model: String,
    origin: Arc<Origin>,
}

impl OpenAi {
    /// A server by its base address (`https://api.openai.com/v1`). Sends no request yet.
    ///
    /// # Errors
    /// If the address or key cannot be used.
    pub fn new(url: &str, key: &Secret, model: &str) -> Result<Self, http::Error> {
        let client = Client::new(url, key, Auth::Bearer, ANSWER_TIMEOUT)?;
        let origin = Origin { engine: "openai".into(), model: Some(model.to_owned()) };
        Ok(Self { client, model: model.to_owned(), origin: Arc::new(origin) })
    }
}

impl Engine for OpenAi {
    fn name(&self) -> &str {
        "openai"
    }

    fn origin(&self) -> Arc<Origin> {
        Arc::clone(&self.origin)
    }

    fn pace(&self) -> Pace {
        Pace {
            step: Duration::from_millis(1200),
            steps_per_window: u32::MAX,
            trim: Duration::from_millis(600),
            cut_after: Duration::from_secs(8),
            window_max: Duration::from_secs(15),
        }
    }

    fn punctuates(&self) -> bool {
        true
    }

    fn only_language(&self) -> Option<Language> {
        None
    }

    fn open(&self) -> Result<Box<dyn Session>, Error> {
        let down = |e: std::io::Error| Error::Down { engine: "openai", reason: e.to_string() };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(down)?;
        Ok(Box::new(Ear { client: self.client.clone(), model: self.model.clone(), runtime }))
    }
}

/// Requests of one stream, driven by a small runtime on the stream's own thread.
struct Ear {
    client: Client,
    model: String,
    runtime: tokio::runtime::Runtime,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    text: String,
    language: Option<String>,
    #[serde(default)]
    words: Vec<AnswerWord>,
    #[serde(default)]
    segments: Vec<Segment>,
}

#[derive(Deserialize)]
struct AnswerWord {
    word: String,
    start: f64,
    end: f64,
    /// Some servers report it, 0-1.
    #[serde(alias = "p")]
    probability: Option<f32>,
}

#[derive(Deserialize)]
struct Segment {
    start: f64,
    end: f64,
    avg_logprob: Option<f32>,
    no_speech_prob: Option<f32>,
}

impl Session for Ear {
    fn hear(&mut self, window: &Window) -> Result<Hypothesis, Error> {
        let remote = |e: http::Error| Error::Remote {
            server: self.client.server().to_owned(),
            reason: e.to_string(),
        };
        let part = Part::bytes(wav(window.samples)).file_name("window.wav");
        let part =
            part.mime_str("audio/wav").map_err(|e| remote(self.client.invalid(e.to_string())))?;
        let mut form = Form::new()
            .part("file", part)
            .text("model", self.model.clone())
            .text("response_format", "verbose_json")
            .text("timestamp_granularities[]", "word")
            .text("timestamp_granularities[]", "segment")
            .text("temperature", "0");
        if let Some(language) = window.language {
            form = form.text("language", language.primary().to_owned());
        }
        if !window.prompt.is_empty() {
            form = form.text("prompt", window.prompt.to_owned());
        }
        let request = self.client.post("/audio/transcriptions").multipart(form);
        let answer = self.client.json::<Answer>(request, ANSWER_BYTES_MAX);
        let answer = self.runtime.block_on(answer).map_err(remote)?;
        Ok(hypothesis(answer, window.language.is_none()))
    }
}

fn hypothesis(answer: Answer, detected: bool) -> Hypothesis {
    let time = |s: f64| Duration::try_from_secs_f64(s.clamp(0.0, 3600.0)).unwrap_or_default();
    let around = |at: f64| answer.segments.iter().find(|s| (s.start..=s.end).contains(&at));
    let silent = |s: &Segment| {
        s.no_speech_prob.is_some_and(|p| p > 0.6) && s.avg_logprob.is_some_and(|l| l < -1.0)
    };
    // Some servers send words without punctuation; the text has it.
    let mut spoken = answer.text.split_whitespace().peekable();
    let words = answer.words.iter().filter_map(|w| {
        let bare = w.word.trim();
        let text = match spoken.peek() {
            Some(next) if letters(next) == letters(bare) => spoken.next().unwrap_or(bare),
            _ => bare,
        };
        let segment = around((w.start + w.end) / 2.0);
        if text.is_empty()
            || !w.start.is_finite()
            || !w.end.is_finite()
            || segment.is_some_and(silent)
        {
            return None;
        }
        let mean = segment.and_then(|s| s.avg_logprob).map_or(1.0, f32::exp);
        Some(Recognition {
            text: text.to_owned(),
            start: time(w.start),
            end: time(w.end.max(w.start)),
            confidence: w.probability.unwrap_or(mean).clamp(0.0, 1.0),
        })
    });
    let words = words.collect();
    let language = answer.language.filter(|_| detected).and_then(|l| Some((tag(&l)?, 0.9)));
    Hypothesis { words, language }
}

fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// OpenAI names languages in English (`german`), others by tag.
fn tag(name: &str) -> Option<Language> {
    const NAMES: &[(&str, &str)] = &[
        ("english", "en"),
        ("german", "de"),
        ("spanish", "es"),
        ("french", "fr"),
        ("italian", "it"),
        ("portuguese", "pt"),
        ("dutch", "nl"),
        ("polish", "pl"),
        ("russian", "ru"),
        ("ukrainian", "uk"),
        ("japanese", "ja"),
        ("chinese", "zh"),
        ("korean", "ko"),
        ("arabic", "ar"),
        ("turkish", "tr"),
        ("swedish", "sv"),
        ("catalan", "ca"),
        ("czech", "cs"),
        ("romanian", "ro"),
        ("hindi", "hi"),
    ];
    let name = name.to_lowercase();
    let known = NAMES.iter().find(|(english, _)| *english == name).map(|(_, tag)| *tag);
    known.unwrap_or(&name).parse().ok().filter(|_| known.is_some() || name.len() <= 3)
}

/// 16-bit mono at 16 kHz as a RIFF file.
fn wav(samples: &[f32]) -> Vec<u8> {
    let audio = pack(samples);
    let length = audio.len() as u32;
    let rate = SPEECH_RATE_HZ as u32;
    let mut file = Vec::with_capacity(44 + audio.len());
    file.extend(b"RIFF");
    file.extend((36 + length).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    // PCM, one channel.
    file.extend([1, 0, 1, 0]);
    file.extend(rate.to_le_bytes());
    file.extend((2 * rate).to_le_bytes());
    // Bytes and bits per sample.
    file.extend([2, 0, 16, 0]);
    file.extend(b"data");
    file.extend(length.to_le_bytes());
    file.extend(audio);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_take_their_punctuation_from_the_text() {
        let answer = serde_json::json!({
            "text": " Ask not, my friend.", "language": "english",
            "words": [
                {"word": "Ask", "start": 0.1, "end": 0.3}, {"word": "not", "start": 0.3, "end": 0.5},
                {"word": "my", "start": 0.7, "end": 0.8, "probability": 0.25},
                {"word": "friend", "start": 0.8, "end": 1.2},
            ],
            "segments": [{"start": 0.0, "end": 1.5, "avg_logprob": -0.105, "no_speech_prob": 0.1}],
        });
        let found = hypothesis(serde_json::from_value(answer).expect("parses"), true);
        let texts: Vec<_> = found.words.iter().map(|w| w.text.as_str()).collect();
        assert_eq!(texts, ["Ask", "not,", "my", "friend."]);
        assert!((found.words[0].confidence - 0.9).abs() < 0.01);
        assert!((found.words[2].confidence - 0.25).abs() < 0.01);
        assert_eq!(found.language, Some((Language::english(), 0.9)));
    }

    #[test]
    fn silence_and_nonsense_have_no_words() {
        let answer = serde_json::json!({
            "text": "Thanks", "words": [{"word": "Thanks", "start": 0.1, "end": 1e300}],
            "segments": [{"start": 0.0, "end": 1e301, "avg_logprob": -2.0, "no_speech_prob": 0.9}],
        });
        let found = hypothesis(serde_json::from_value(answer).expect("parses"), true);
        assert_eq!(found, Hypothesis::default());
    }

    #[test]
    fn languages_by_name_and_tag() {
        assert_eq!(tag("German").as_ref().map(Language::as_str), Some("de"));
        assert_eq!(tag("fr").as_ref().map(Language::as_str), Some("fr"));
        assert_eq!(tag("klingon"), None);
    }

    #[test]
    fn a_wav_file_says_its_length() {
        let file = wav(&[0.0; 100]);
        assert_eq!(file.len(), 244);
        assert_eq!(&file[40..44], &200_u32.to_le_bytes());
    }
}
