//! Speaks captions over the original audio.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gst::prelude::*;
use serde::{Deserialize, Serialize};

use super::SOURCE;
use super::mix::{MIX_RATE_HZ, Mixer};
use super::node::{MediaContext, MediaNode};
use super::resample::resample;
use crate::flow::{self, CueFeed, Error, Feed, Join, Node, Status, Task, Writer};
use crate::media::{IgnorePoison, Language};
use crate::speech::tts::fit::{Dropped, Fitter, Limits, Placement, Slot};
use crate::speech::tts::{Pcm, Utterance, Voices, sentences, stretch};

/// A voice that speaks a language.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = VoiceSettings)]
pub struct Voice {
    /// The engine: `espeak`, `piper` …; left out: the best.
    pub engine: Option<String>,
    /// The engine's own name of the voice.
    pub voice: Option<String>,
    /// Speed, 0.5-2.0; 1.0 is the voice's own.
    pub rate: f32,
    /// Pitch, 0.5-2.0; 1.0 is the voice's own.
    pub pitch: f32,
}

impl Default for Voice {
    fn default() -> Self {
        Self { engine: None, voice: None, rate: 1.0, pitch: 1.0 }
    }
}

/// Settings of speech. A change restarts the node.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The language of the voice.
    pub language: Language,
    /// The voice.
    pub voice: Voice,
    /// Attenuation of the original under the voice, in dB.
    pub duck_db: f32,
}

/// Speaks the sentences of `words` over the audio of `input` until cancelled. Reports `engine`,
/// `took_ms`, `spoken`, `hurried` (spoken faster to catch up), `dropped` with the last text that
/// came too late to be spoken, and `failed` with the last `error`.
///
/// # Errors
/// Errors of the pipeline. A sentence that no engine can speak is counted, and the next is tried.
pub async fn run(
    task: Task,
    input: Feed,
    words: CueFeed,
    output: Writer,
    voices: Arc<Voices>,
    settings: Settings,
) -> Result<(), Error> {
    let node = Node::parse(
        &task.name,
        &format!(
            "{SOURCE} ! audioconvert ! audioresample \
             ! audio/x-raw,format=F32LE,rate={MIX_RATE_HZ},channels={OUTPUT_CHANNELS},\
             layout=interleaved \
             ! identity name=mix silent=true ! appsink name=out"
        ),
    )?;
    let mixer = Arc::new(Mutex::new(Mixer::new(settings.duck_db)));
    mix_in_passing(&node, Arc::clone(&mixer))?;
    node.output("out", &output)?;
    super::report_first_buffer(&node, "out", &task.status)?;
    node.start().await?;
    node.input("in", &input, Join::Live)?;
    let fitter = Fitter::new(Limits::default());
    let speaker =
        Speaker { mixer, voices, settings, fitter, failed: 0, status: task.status.clone() };
    let ended = tokio::select! {
        ended = node.run(&task.cancel) => ended,
        never = speak_all(speaker, words) => match never {},
    };
    node.stop().await.and(ended)
}

/// Channels of the output.
const OUTPUT_CHANNELS: usize = 2;

/// The streaming thread mixes due clips into each buffer as it passes: no queue and no delay.
fn mix_in_passing(node: &Node, mixer: Arc<Mutex<Mixer>>) -> Result<(), Error> {
    let element = node.element("mix")?;
    let pad = element.static_pad("src").ok_or_else(|| Error::build("mix", "it has no pad"))?;
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let Some(buffer) = info.buffer_mut() else { return gst::PadProbeReturn::Ok };
        let segment = pad.sticky_event::<gst::event::Segment>(0);
        let at = segment.and_then(|event| {
            let segment = event.segment().downcast_ref::<gst::ClockTime>()?.to_owned();
            segment.to_running_time(buffer.pts())
        });
        if let (Some(at), Ok(mut map)) = (at, buffer.make_mut().map_writable()) {
            mix_bytes(
                &mut mixer.lock().ignore_poison(),
                Duration::from_nanos(at.nseconds()),
                map.as_mut_slice(),
            );
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

fn mix_bytes(mixer: &mut Mixer, at: Duration, bytes: &mut [u8]) {
    let samples = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
    let mut audio: Vec<f32> = samples.collect();
    mixer.mix(at, &mut audio, OUTPUT_CHANNELS);
    for (to, sample) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(&audio) {
        *to = sample.to_le_bytes();
    }
}

/// Speaks all committed cues; never returns.
async fn speak_all(mut speaker: Speaker, words: CueFeed) -> std::convert::Infallible {
    let mut cues = words.subscribe();
    speaker.warm_up().await;
    loop {
        let cue = cues.next().await;
        if cue.is_committed() {
            let slot = Slot { start: cue.start, end: cue.end };
            for (text, slot) in shared(&cue.text, slot) {
                speaker.speak(text, slot).await;
            }
        }
    }
}

/// The sentences of a text, so that the first is heard while the next is synthesised. Each has a
/// share of the time by its length.
fn shared(text: &str, slot: Slot) -> Vec<(&str, Slot)> {
    let sentences = sentences(text);
    let length = |sentence: &&str| sentence.chars().count();
    let total = sentences.iter().map(length).sum::<usize>().max(1) as f64;
    let time = slot.end.saturating_sub(slot.start);
    let at = |characters: usize| slot.start + time.mul_f64(characters as f64 / total);
    let mut before = 0;
    let part = |sentence| {
        let start = at(before);
        before += length(&sentence);
        (sentence, Slot { start, end: at(before) })
    };
    sentences.into_iter().map(part).collect()
}

struct Speaker {
    mixer: Arc<Mutex<Mixer>>,
    voices: Arc<Voices>,
    settings: Settings,
    fitter: Fitter,
    failed: u64,
    status: Status,
}

impl Speaker {
    fn utterance(&self, text: &str, rate: f32) -> (Utterance, Vec<String>) {
        let Voice { engine, voice, rate: own_rate, pitch } = self.settings.voice.clone();
        let utterance = Utterance {
            text: text.to_owned(),
            language: self.settings.language.clone(),
            voice,
            rate: rate * own_rate,
            pitch,
        };
        (utterance, engine.into_iter().collect())
    }

    /// Loads the voice, which takes about a second, before there is a sentence.
    async fn warm_up(&self) {
        let (utterance, engines) = self.utterance("", 1.0);
        self.voices.warm_up(&utterance, &engines).await;
    }

    async fn speak(&mut self, text: &str, slot: Slot) {
        let rate = self.fitter.rate_for(now(), slot, text);
        let (utterance, engines) = self.utterance(text, rate);
        let speech = match self.voices.speak(&utterance, &engines).await {
            Ok(speech) => speech,
            Err(error) => {
                self.failed += 1;
                self.status.set("failed", self.failed);
                self.status.set("error", error.to_string());
                return;
            }
        };
        self.status.set("engine", speech.engine);
        self.status.set("took_ms", speech.took.as_millis() as u64);
        let length = speech.pcm.duration();
        match self.fitter.place(now(), slot, length, rate, text) {
            Placement::Play { at, speed, .. } => self.play(at, speed, speech.pcm),
            Placement::Drop(Dropped { text, .. }) => self.status.set("dropped_text", text),
        }
        let counts = self.fitter.counts();
        self.status.set("spoken", counts.placed);
        self.status.set("hurried", counts.hurried);
        self.status.set("dropped", counts.dropped);
    }

    fn play(&self, at: Duration, speed: f32, pcm: Pcm) {
        let fitted = match speed > 1.005 {
            true => stretch(&pcm, speed),
            false => pcm,
        };
        let samples = resample(&fitted.samples, fitted.rate_hz, MIX_RATE_HZ);
        self.mixer.lock().ignore_poison().add(at, samples);
    }
}

fn now() -> Duration {
    Duration::from_nanos(flow::now().nseconds())
}

impl MediaNode for Settings {
    fn describe(&self) -> String {
        format!("a voice in {}", self.language.name())
    }

    async fn run(self, context: MediaContext) -> Result<(), Error> {
        let MediaContext { task, input, output, captions, services } = context;
        let Some(captions) = captions.into_iter().next() else {
            return Err(Error::build(&task.name, "there are no captions in its language"));
        };
        run(task, input, captions, output, services.voices, self).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_share_the_time_of_their_cue() {
        let (start, end) = (Duration::from_secs(10), Duration::from_secs(16));
        let text = "This sentence has twice the length, more or less. And this one has less.";
        let found = shared(text, Slot { start, end });
        let texts: Vec<&str> = found.iter().map(|(text, _)| *text).collect();
        assert_eq!(texts.join(" "), text);
        let slots: Vec<Slot> = found.iter().map(|(_, slot)| *slot).collect();
        assert_eq!((slots.len(), slots[0].start, slots[1].end), (2, start, end));
        assert_eq!(slots[0].end, slots[1].start);
        assert!(slots[0].end > Duration::from_secs(13) && slots[0].end < Duration::from_secs(15));
    }
}
