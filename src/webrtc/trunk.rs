//! Messages between the two ends of a trunk on its data channel: captions in one direction,
//! statistics in the other. Each is one JSON text, so that any WHIP server may ignore it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::flow;
use crate::media::{Cue, Language, Origin, Stage, Word};

/// Label of the data channel.
pub(crate) const LABEL: &str = "trunk";

/// Most caption languages of a trunk.
const LANGUAGES_MAX: usize = 32;

/// Longest accepted text of a cue, in bytes.
const TEXT_BYTES_MAX: usize = 1000;

/// Most characters of a codec name, a rung or a reason: they are logged and shown.
const SHOWN_CHARS_MAX: usize = 200;

/// Most words accepted in a cue.
const WORDS_MAX: usize = 100;

/// Largest distance of a cue from now, in ms.
const AWAY_MAX_MS: u64 = 60_000;

/// Longest message that the other end accepts, in bytes.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// A message on the data channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum Message {
    /// The available caption languages, the spoken one first.
    Languages {
        /// BCP 47 tags; `und` while the spoken language is unknown.
        tags: Vec<Language>,
    },
    /// A caption.
    Cue(SentCue),
    /// State of the sender, every second.
    Sending(Sending),
    /// Statistics of the receiver, every second.
    Receiving(Receiving),
    /// The receiver cannot decode AIC-A: the sender must switch to Opus at once.
    AicUnavailable {
        /// The reason, for the log.
        reason: String,
    },
    /// The receiver can decode AIC-A again.
    AicAvailable,
}

/// A cue in transit. Its time is sent as an age, because the two ends have different clocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SentCue {
    /// Language of its feed, which identifies the feed in the list of languages.
    feed: Language,
    id: u64,
    language: Language,
    stage: Stage,
    /// Time since its end when it was sent, in ms; negative if its end lies ahead.
    age_ms: i64,
    /// Duration in ms.
    length_ms: u64,
    text: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    words: Vec<SentWord>,
    ends_sentence: bool,
    engine: String,
    #[serde(default)]
    model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    speaker: Option<String>,
}

/// A word of a cue; times count from the start of the cue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SentWord {
    text: String,
    from_ms: u64,
    to_ms: u64,
    confidence: f32,
}

/// State of a sender.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sending {
    /// Codec of voice: `aic` or `opus`.
    pub(crate) codec: String,
    /// Rung of the quality ladder, as text.
    pub(crate) rung: String,
    /// Bit rate of audio on the wire, in kbit/s.
    pub(crate) audio_kbps: f64,
    /// Round-trip time in ms, if known.
    pub(crate) rtt_ms: Option<f64>,
    /// Whether video is left out for now, because the path cannot carry it.
    #[serde(default, rename = "no_pictures")]
    pub(crate) no_video: bool,
    /// Expected audio quality as a mean opinion score, 1.0-4.5.
    #[serde(default)]
    pub(crate) quality: Option<f64>,
}

/// Statistics of a receiver. Totals since the connection began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Receiving {
    /// Audio packets received.
    pub(crate) audio_packets: u64,
    /// Audio packets lost.
    pub(crate) audio_lost: u64,
    /// Video packets received.
    pub(crate) video_packets: u64,
    /// Video packets lost in spite of retransmission.
    pub(crate) video_lost: u64,
    /// Jitter of audio packets, in ms.
    pub(crate) jitter_ms: f64,
    /// AIC-A frames played.
    pub(crate) frames: u64,
    /// Concealed frames among them, for lost packets.
    pub(crate) concealed: u64,
}

impl Message {
    /// Parses a message.
    ///
    /// # Errors
    /// The reason, if it is malformed or exceeds a limit.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut message: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        match &mut message {
            Self::Sending(Sending { codec, rung, .. }) => [codec, rung].into_iter().for_each(tame),
            // Any reason means that it cannot decode AIC-A.
            Self::AicUnavailable { reason } => tame(reason),
            _ => {}
        }
        match &message {
            Self::Languages { tags } if tags.len() > LANGUAGES_MAX => {
                Err(format!("more than {LANGUAGES_MAX} languages"))
            }
            Self::Cue(cue) => cue.problem().map_or(Ok(message), |what| Err(what.to_owned())),
            _ => Ok(message),
        }
    }

    /// Serialises the message. A cue that is too long is sent without its single words.
    pub(crate) fn write(mut self) -> String {
        let json = |message: &Self| serde_json::to_string(message).unwrap_or_default();
        let text = json(&self);
        match &mut self {
            Self::Cue(cue) if text.len() > MESSAGE_BYTES_MAX => {
                cue.words.clear();
                json(&self)
            }
            _ => text,
        }
    }
}

impl SentCue {
    /// A cue of a feed, with its age now.
    pub(crate) fn new(feed: &Language, cue: &Cue) -> Self {
        let now = now_ms();
        let since = |at: Duration| ms(at.saturating_sub(cue.start));
        let word = |word: &Word| SentWord {
            text: word.text.clone(),
            from_ms: since(word.start),
            to_ms: since(word.end),
            confidence: word.confidence,
        };
        Self {
            feed: feed.clone(),
            id: cue.id,
            language: cue.language.clone(),
            stage: cue.stage,
            age_ms: now.cast_signed().saturating_sub_unsigned(ms(cue.end)),
            length_ms: since(cue.end),
            text: cue.text.clone(),
            words: cue.words.iter().map(word).collect(),
            ends_sentence: cue.ends_sentence,
            engine: cue.origin.engine.clone(),
            model: cue.origin.model.clone(),
            speaker: cue.speaker.as_deref().map(str::to_owned),
        }
    }

    /// Language that identifies its feed.
    pub(crate) fn feed(&self) -> &Language {
        &self.feed
    }

    fn problem(&self) -> Option<&'static str> {
        let model = self.model.as_deref().unwrap_or_default();
        let speaker = self.speaker.as_deref().unwrap_or_default();
        if bad(&self.text, TEXT_BYTES_MAX) || self.text.trim().is_empty() {
            Some("a cue is empty, too long or has control characters")
        } else if self.words.len() > WORDS_MAX || self.words.iter().any(|w| bad(&w.text, 100)) {
            Some("a cue has too many words, or strange ones")
        } else if bad(&self.engine, 100) || bad(model, 100) || bad(speaker, 200) {
            Some("the origin or speaker of a cue is too long or has control characters")
        } else if self.age_ms.unsigned_abs().max(self.length_ms) > AWAY_MAX_MS {
            Some("a cue is more than a minute away")
        } else {
            None
        }
    }

    /// The cue on our clock, if received now.
    pub(crate) fn cue(self) -> Cue {
        let end = now_ms().saturating_sub_signed(self.age_ms);
        let start = end.saturating_sub(self.length_ms);
        let at = |ms: u64| Duration::from_millis(start + ms.min(self.length_ms));
        let words: Vec<Word> = self
            .words
            .iter()
            .map(|w| Word {
                text: w.text.clone(),
                start: at(w.from_ms),
                end: at(w.to_ms),
                confidence: w.confidence.clamp(0.0, 1.0),
            })
            .collect();
        Cue {
            id: self.id,
            language: self.language,
            stage: self.stage,
            start: Duration::from_millis(start),
            end: Duration::from_millis(end),
            text: self.text,
            words: words.into(),
            ends_sentence: self.ends_sentence,
            origin: Arc::new(Origin { engine: self.engine, model: self.model }),
            speaker: self.speaker.map(Arc::from),
        }
    }
}

/// Whether text from the other end is too long, or has characters that would disturb a log.
fn bad(text: &str, max: usize) -> bool {
    text.len() > max || text.chars().any(char::is_control)
}

/// Makes text from the other end safe to log and show.
fn tame(text: &mut String) {
    *text = text.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect();
}

fn now_ms() -> u64 {
    flow::now().mseconds()
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cue(words: usize) -> Cue {
        let at = |ms: u64| Duration::from_millis(ms);
        let now = now_ms();
        let word = |n: usize| Word {
            text: format!("word{n}"),
            start: at(now + 10 * n as u64),
            end: at(now + 10 * n as u64 + 10),
            confidence: 0.5,
        };
        Cue {
            id: 7,
            language: Language::english(),
            stage: Stage::Committed,
            start: at(now),
            end: at(now + 10 * words.max(1) as u64),
            text: "word0 and so on".into(),
            words: (0..words).map(word).collect(),
            ends_sentence: true,
            origin: Arc::new(Origin { engine: "whisper".into(), model: Some("m@1".into()) }),
            speaker: None,
        }
    }

    #[test]
    fn a_cue_arrives_as_it_was_said() {
        crate::init().expect("GStreamer starts");
        let sent = cue(3);
        let message = Message::Cue(SentCue::new(&Language::english(), &sent)).write();
        let Ok(Message::Cue(came)) = Message::read(&message) else { panic!("{message}") };
        let came = came.cue();
        let moved = came.end.abs_diff(sent.end);
        assert!(moved < Duration::from_secs(1), "{moved:?}");
        assert_eq!(came.end - came.start, sent.end - sent.start);
        assert_eq!(came.words[2].start - came.start, Duration::from_millis(20));
        assert_eq!((came.id, &came.text, &came.origin), (sent.id, &sent.text, &sent.origin));
    }

    #[test]
    fn a_long_cue_goes_without_its_words() {
        crate::init().expect("GStreamer starts");
        let message = Message::Cue(SentCue::new(&Language::english(), &cue(90))).write();
        assert!(message.len() <= MESSAGE_BYTES_MAX && !message.contains("words"), "{message}");
    }

    #[test]
    fn what_the_other_end_makes_up_is_bounded() {
        let check = |json: &str, expect: &str| {
            let found = Message::read(json).map_or_else(|e| e, |m| format!("{m:?}"));
            assert!(found.contains(expect), "{json}: {found}");
        };
        let cue = |text: &str, age: i64| {
            serde_json::json!({ "type": "cue", "feed": "en", "id": 1, "language": "en",
                "stage": "committed", "age_ms": age, "length_ms": 5, "text": text,
                "ends_sentence": false, "engine": "x" })
            .to_string()
        };
        check(&cue("hello", 5), "hello");
        check(&cue("a\u{7}", 5), "control characters");
        check(&cue(&"x".repeat(1001), 5), "too long");
        check(&cue("hello", -99_000), "a minute away");
        check(&cue("hello", i64::MIN), "a minute away");
        check(r#"{"type":"aic-unavailable","reason":"a\nb\u001b[31m"}"#, "\"ab[31m\"");
        check(r#"{"type":"aic-unavailable","reason":"killed"}"#, "killed");
        check(r#"{"type":"aic-available"}"#, "AicAvailable");
        check(r#"{"type":"nonsense"}"#, "unknown variant");
        check("", "EOF");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text: String) {
            let _ = Message::read(&text).map(|m| if let Message::Cue(c) = m { drop(c.cue()) });
        }
    }

    /// Messages of the other end: every accepted message can be written and read again.
    #[test]
    fn fuzz_trunk_message() {
        crate::fuzz::run("trunk-message", |bytes| {
            let Ok(message) = Message::read(&String::from_utf8_lossy(bytes)) else { return };
            assert!(Message::read(&message.clone().write()).is_ok());
            if let Message::Cue(cue) = message {
                drop(cue.cue());
            }
        });
    }
}
