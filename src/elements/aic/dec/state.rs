//! Payloads of one stream -> timestamped audio, and messages to the application.

use crate::aic::engine::Codec;
use crate::aic::engine_timeout::EngineTimeout;
use crate::aic::fallback::{CODEC_DELAY_SAMPLES, OpusError, WIDE_FRAME_SAMPLES, WIDE_RATE_HZ};
use crate::aic::payload::Payload;
use crate::aic::receive::{MISSING_FRAMES_MAX, Receiver};
use crate::aic::send::Used;
use crate::aic::weights::{self, ModelId, NO_MODEL};
use crate::elements::aic::{AVAILABLE, UNAVAILABLE, frames, wide};

/// Divisor for following timestamps that differ by less than half a frame.
const FOLLOW_DIVISOR: u64 = 16;

/// State from the first caps until the element stops.
pub(super) struct State {
    receiver: Receiver,
    channels: usize,
    foreign: bool,
    /// Start of the next frame, in the sender's time.
    next: Option<gst::ClockTime>,
    discont: bool,
    /// Frames of silence that the clock has filled since the last payload.
    filled: usize,
    /// Reason in the last message to the application, if it was `aic-unavailable`.
    told: Option<&'static str>,
}

/// The result of a payload.
#[derive(Default)]
pub(super) struct ElementOutput {
    pub(super) buffer: Option<gst::Buffer>,
    pub(super) news: Option<gst::Structure>,
    /// Whether a silence begins or goes on.
    pub(super) silence: bool,
}

impl State {
    pub(super) fn new(codec: Codec, channels: usize, foreign: bool) -> Result<Self, OpusError> {
        let receiver = Receiver::new(codec, channels, foreign)?;
        Ok(Self { receiver, channels, foreign, next: None, discont: true, filled: 0, told: None })
    }

    /// Sets how to wait for the engine from now on.
    pub(super) fn set_engine_timeout(&mut self, engine_timeout: EngineTimeout) {
        self.receiver.set_engine_timeout(engine_timeout);
    }

    /// Whether the sender has other weights.
    pub(super) fn is_foreign(&self) -> bool {
        self.foreign
    }

    /// Resets: the next payload does not continue the last one.
    pub(super) fn begin_anew(&mut self) {
        self.receiver.reset();
        (self.next, self.filled) = (None, 0);
        self.discont = true;
    }

    /// Takes the hints of a payload; returns whether the payload arrived unaltered.
    pub(super) fn check(&mut self, hints: &gst::StructureRef, ours: Option<ModelId>) -> bool {
        let theirs = hints.get::<&str>("model").ok().and_then(weights::parse);
        if let (Some(theirs), Some(ours)) = (theirs.filter(|t| *t != NO_MODEL), ours) {
            self.foreign = theirs != ours;
            self.receiver.set_foreign(self.foreign);
        }
        hints.get("checksum-right") != Ok(false)
    }

    /// Handles an altered payload: its frames will be missing before the next one.
    pub(super) fn refuse(&mut self) -> ElementOutput {
        self.receiver.altered();
        ElementOutput { news: self.news(), ..ElementOutput::default() }
    }

    /// Start of the next frame while the sender is silent, for at most [`MISSING_FRAMES_MAX`].
    pub(super) fn silence(&self) -> Option<gst::ClockTime> {
        self.next.filter(|_| self.receiver.is_silent() && self.filled < MISSING_FRAMES_MAX)
    }

    /// The next frame of a silence.
    pub(super) fn fill_silence(&mut self) -> ElementOutput {
        let mut audio = Vec::new();
        self.receiver.conceal(1, &mut audio);
        self.filled += 1;
        self.wrap(self.next.unwrap_or_default(), audio)
    }

    /// Decodes a payload, and fills what is missing before it.
    pub(super) fn take(&mut self, buffer: &gst::Buffer) -> ElementOutput {
        let payload = buffer.map_readable().ok().and_then(|map| Payload::read(&map).ok());
        let Some(payload) = payload else {
            // Its frames will be missing before the next payload.
            self.receiver.damaged();
            return ElementOutput::default();
        };
        let half = frames(1) / 2;
        let start = buffer.pts().or(self.next).unwrap_or_default();
        let mut missing = 0;
        // What the clock has filled is not played again.
        let late = self.next.map_or(0, |next| {
            ((next.saturating_sub(start) + half).nseconds() / frames(1).nseconds()) as usize
        });
        let late = if late <= std::mem::take(&mut self.filled) { late } else { 0 };
        let start = start + frames(late as u64);
        match self.next {
            Some(next) if start + half < next => {
                // Late, or a duplicate.
                self.receiver.damaged();
                return ElementOutput::default();
            }
            Some(next) => {
                let gap = (start + half).saturating_sub(next).nseconds() / frames(1).nseconds();
                missing = gap as usize;
                if missing > MISSING_FRAMES_MAX {
                    self.begin_anew();
                    missing = 0;
                }
            }
            None => {}
        }
        let first = start.saturating_sub(frames(missing as u64));
        let first = match self.next {
            // Follows jitter of the timestamps slowly.
            Some(next) if first > next => next + (first - next) / FOLLOW_DIVISOR,
            Some(next) => next - (next - first) / FOLLOW_DIVISOR,
            None => first,
        };
        let mut audio = Vec::new();
        self.receiver.payload(&payload, missing, &mut audio);
        let filled = late * WIDE_FRAME_SAMPLES * self.channels;
        audio.drain(..filled.min(audio.len()));
        self.wrap(first, audio)
    }

    /// The jitter buffer reports that nothing before `end` will arrive.
    pub(super) fn gap(&mut self, end: gst::ClockTime) -> Option<ElementOutput> {
        let next = self.next?;
        let missing = (end + frames(1) / 2).saturating_sub(next).nseconds() / frames(1).nseconds();
        if missing as usize > MISSING_FRAMES_MAX {
            return None;
        }
        // The next packet may repeat the last of the missing frames.
        let held = if self.receiver.is_silent() { 0 } else { self.receiver.worth_waiting() };
        let now = (missing as usize).saturating_sub(held);
        let mut audio = Vec::new();
        self.receiver.conceal(now, &mut audio);
        Some(self.wrap(next, audio))
    }

    /// Timestamps audio whose first frame started at `first` in the sender's time.
    fn wrap(&mut self, first: gst::ClockTime, mut audio: Vec<f32>) -> ElementOutput {
        let silence = self.receiver.is_silent();
        let mut made = ElementOutput { buffer: None, news: self.news(), silence };
        let length = wide(audio.len() / self.channels);
        self.next = Some(first + length);
        // The output is delayed against the input; drops what would lie before zero.
        let start = match first.checked_sub(wide(CODEC_DELAY_SAMPLES)) {
            Some(start) => start,
            None => {
                let early = wide(CODEC_DELAY_SAMPLES) - first;
                let samples = early.nseconds() * WIDE_RATE_HZ as u64 / 1_000_000_000;
                audio.drain(..audio.len().min(samples as usize * self.channels));
                gst::ClockTime::ZERO
            }
        };
        if audio.is_empty() {
            return made;
        }
        let count = audio.len() / self.channels;
        let bytes: Vec<u8> = audio.iter().flat_map(|x| x.to_le_bytes()).collect();
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        let writable = buffer.get_mut().expect("a new buffer has one owner");
        writable.set_pts(start);
        writable.set_duration(wide(count));
        if std::mem::take(&mut self.discont) {
            writable.set_flags(gst::BufferFlags::DISCONT);
        }
        made.buffer = Some(buffer);
        made
    }

    /// The message about a change that the application has not been told.
    fn news(&mut self) -> Option<gst::Structure> {
        let trouble = self.receiver.trouble();
        let code = trouble.map(|why| if self.foreign { "model" } else { why.code() });
        if code.is_some() == self.told.is_some() {
            return None;
        }
        self.told = code;
        Some(match (code, trouble) {
            (Some(code), Some(why)) => gst::Structure::builder(UNAVAILABLE)
                .field("reason", code)
                .field("detail", why.to_string())
                .build(),
            _ => gst::Structure::new_empty(AVAILABLE),
        })
    }
}

/// Running totals since the start.
pub(super) fn stats(state: Option<&State>) -> gst::Structure {
    let got = state.map(|s| s.receiver.stats()).unwrap_or_default();
    gst::Structure::builder("auralink-aic-stats")
        .field("frames", got.frames)
        .field("concealed", got.concealed)
        .field("recovered", got.recovered)
        .field("comfort", got.comfort)
        .field("damaged", got.damaged)
        .field("misses", got.misses)
        .field("codec", state.and_then(|s| s.receiver.used()).map_or("none", Used::name))
        .field("reason", state.and_then(|s| s.told).unwrap_or(""))
        .build()
}
