//! One speaker of a meeting.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;

use super::frame::SpeakerAudio;
use crate::flow;
use crate::media::{Cue, Language};
use crate::speech::stt::{Engines, Event, Options, Transcriber, Wanted};

/// Samples per second.
const RATE_HZ: u32 = 16_000;

/// Audio that arrives later than this after the previous audio is not contiguous with it.
const GAP_MAX: Duration = Duration::from_millis(500);

/// A speaker without audio for this long has finished the sentence.
const SENTENCE_PAUSE: Duration = Duration::from_millis(1500);

/// A transcribed text, in Skynet's format.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct SpeakerUtterance {
    /// A UUID; the final text has the id of its interim texts.
    id: String,
    participant_id: String,
    /// Start of the speech, ms since 1970 (UTC).
    ts: u64,
    text: String,
    /// Always empty: audio is not returned.
    audio: String,
    /// `interim` or `final`.
    r#type: &'static str,
    /// Confidence of the engine, 0-1.
    variance: f32,
}

/// A speaker with a transcriber of its own.
pub(super) struct Speaker {
    transcriber: Transcriber,
    language: Option<Language>,
    /// Running time at which the received audio ends.
    until: Duration,
    /// Whether silence was appended to it already.
    paused: bool,
}

impl Speaker {
    /// Starts to transcribe a speaker.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub(super) fn new(
        engines: &Arc<Engines>,
        sound: &SpeakerAudio<'_>,
        said: mpsc::Sender<SpeakerUtterance>,
    ) -> std::io::Result<Self> {
        let wanted = Wanted { language: sound.language.clone(), ..Wanted::default() };
        let options = Options { wanted, ..Options::default() };
        let mut writer = Writer { speaker: sound.speaker.into(), current: (0, uuid()), said };
        let transcriber =
            Transcriber::new(Arc::clone(engines), options, move |event| writer.take(event))?;
        let until = Duration::ZERO;
        Ok(Self { transcriber, language: sound.language.clone(), until, paused: true })
    }

    /// Whether the speaker is transcribed in this language.
    pub(super) fn speaks(&self, language: &Option<Language>) -> bool {
        self.language == *language
    }

    /// Takes newly received audio.
    pub(super) fn hear(&mut self, sound: &SpeakerAudio<'_>) {
        let samples = sound.samples();
        let length = length(samples.len());
        let now = Duration::from_nanos(flow::now().nseconds());
        // Messages arrive in bursts: audio that follows closely is contiguous.
        let came = now.saturating_sub(length);
        let at = if came > self.until + GAP_MAX { came } else { self.until };
        self.transcriber.push(at, &samples);
        (self.until, self.paused) = (at + length, false);
    }

    /// Appends silence after a pause, so that the last text does not wait for further audio.
    pub(super) fn tick(&mut self) {
        let now = Duration::from_nanos(flow::now().nseconds());
        if self.paused || now < self.until + SENTENCE_PAUSE {
            return;
        }
        let silence = vec![0.0; RATE_HZ as usize * 3 / 2];
        self.transcriber.push(self.until, &silence);
        (self.until, self.paused) = (self.until + length(silence.len()), true);
    }
}

fn length(samples: usize) -> Duration {
    Duration::from_secs_f64(samples as f64 / f64::from(RATE_HZ))
}

struct Writer {
    speaker: String,
    /// Number and id of the current cue.
    current: (u64, String),
    said: mpsc::Sender<SpeakerUtterance>,
}

impl Writer {
    /// Runs on the transcriber's thread, which must not block: a meeting that does not read loses
    /// text.
    fn take(&mut self, event: Event) {
        let (Event::Partial(cue) | Event::Committed(cue)) = event else { return };
        let said = self.write(&cue);
        if self.said.try_send(said).is_err() {
            tracing::debug!("a meeting is too slow for what is said in it");
        }
    }

    fn write(&mut self, cue: &Cue) -> SpeakerUtterance {
        if self.current.0 != cue.id {
            self.current = (cue.id, uuid());
        }
        let start = gst::ClockTime::from_nseconds(cue.start.as_nanos() as u64);
        SpeakerUtterance {
            id: self.current.1.clone(),
            participant_id: self.speaker.clone(),
            ts: u64::try_from(flow::wall_clock(start).as_millis()).unwrap_or(u64::MAX),
            text: cue.text.clone(),
            audio: String::new(),
            r#type: if cue.is_committed() { "final" } else { "interim" },
            variance: cue.confidence(),
        }
    }
}

/// A random UUID (RFC 9562, version 4).
fn uuid() -> String {
    let bits = rand::random::<u128>();
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    format!("{a}-{b}-{c}-{d}-{e}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Origin, Stage};

    #[test]
    fn the_final_text_has_the_id_of_the_interim_ones() {
        crate::init().expect("GStreamer starts");
        let (said, _heard) = mpsc::channel(1);
        let mut writer = Writer { speaker: "a".into(), current: (0, uuid()), said };
        let cue = |id: u64, stage: Stage| Cue {
            id,
            language: Language::english(),
            stage,
            start: Duration::from_secs(1),
            end: Duration::from_secs(2),
            text: "hello".into(),
            words: Arc::default(),
            ends_sentence: false,
            origin: Arc::new(Origin { engine: "test".into(), model: None }),
            speaker: None,
        };
        let first = writer.write(&cue(1, Stage::Partial));
        let last = writer.write(&cue(1, Stage::Committed));
        let next = writer.write(&cue(2, Stage::Partial));
        assert_eq!((first.r#type, last.r#type), ("interim", "final"));
        assert!(first.id == last.id && last.id != next.id);
        let shape: Vec<usize> = first.id.split('-').map(str::len).collect();
        assert_eq!((shape, &first.id[14..15]), (vec![8, 4, 4, 4, 12], "4"), "{}", first.id);
        let json = serde_json::to_value(&last).expect("JSON");
        for field in ["id", "participant_id", "ts", "text", "audio", "type", "variance"] {
            assert!(!json[field].is_null(), "{field}: {json}");
        }
    }
}
