//! Audio of one stream -> timestamped payloads: cuts the audio into frames for the sender, and
//! attaches timestamps and hints to each payload.

use std::collections::VecDeque;

use crate::aic::content::Class;
use crate::aic::engine::Codec;
use crate::aic::fallback::{CODEC_DELAY_SAMPLES, OpusError, WIDE_FRAME_SAMPLES};
use crate::aic::hints;
use crate::aic::ratio::Ratio;
use crate::aic::send::{CodecPolicy, OutgoingPacket, Sender, Settings, Used};
use crate::elements::aic::{CODEC, HINTS, frames, wide};

/// A step of the timestamps of more than this is a gap, not jitter.
const JUMP_MIN: gst::ClockTime = gst::ClockTime::from_mseconds(40);

/// State from the first caps until the element stops.
pub(super) struct State {
    sender: Sender,
    channels: usize,
    /// Interleaved samples of an incomplete frame.
    pending: Vec<f32>,
    /// Expected start of the next input, if it continues the last.
    expected: Option<gst::ClockTime>,
    /// Index and time of frames that have not been sent.
    times: VecDeque<(u64, gst::ClockTime)>,
    at: u64,
    discont: bool,
    used: Option<Used>,
    ratio: Ratio,
}

/// The result of some audio.
#[derive(Default)]
pub(super) struct ElementOutput {
    pub(super) buffers: Vec<gst::Buffer>,
    pub(super) change: Option<gst::Structure>,
}

impl State {
    pub(super) fn new(codec: Codec, channels: usize) -> Result<Self, OpusError> {
        Ok(Self {
            sender: Sender::new(codec, channels)?,
            channels,
            pending: Vec::with_capacity(2 * WIDE_FRAME_SAMPLES * channels),
            expected: None,
            times: VecDeque::new(),
            at: 0,
            discont: true,
            used: None,
            ratio: Ratio::default(),
        })
    }

    /// The codec of the last payload.
    pub(super) fn used(&self) -> Option<Used> {
        self.used
    }

    /// Drops audio that has not been sent.
    pub(super) fn flush(&mut self) {
        self.pending.clear();
        self.times.clear();
        self.expected = None;
        self.discont = true;
    }

    /// Whether this audio does not continue the last.
    pub(super) fn jumps(&self, buffer: &gst::Buffer) -> bool {
        match (buffer.pts(), self.expected) {
            (Some(start), Some(expected)) => {
                start.saturating_sub(expected).max(expected.saturating_sub(start)) > JUMP_MIN
            }
            _ => false,
        }
    }

    fn duration(&self, samples: usize) -> gst::ClockTime {
        wide(samples / self.channels)
    }

    /// Takes audio; sends complete frames.
    pub(super) fn take(
        &mut self,
        buffer: &gst::Buffer,
        settings: &Settings,
    ) -> Result<ElementOutput, String> {
        let start = buffer.pts().or(self.expected).unwrap_or_default();
        // Timestamps from each buffer follow a source whose clock differs slightly from ours.
        let mut first = start.saturating_sub(self.duration(self.pending.len()));
        let map = buffer.map_readable().map_err(|e| e.to_string())?;
        let sample = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        let before = self.pending.len();
        self.pending.extend(map.chunks_exact(4).map(sample));
        self.expected = Some(start + self.duration(self.pending.len() - before));
        let size = WIDE_FRAME_SAMPLES * self.channels;
        let pending = std::mem::take(&mut self.pending);
        let (mut made, mut sent) = (ElementOutput::default(), Vec::new());
        for frame in pending.chunks(size) {
            if frame.len() < size {
                self.pending.extend_from_slice(frame);
                break;
            }
            self.frame(frame, first, settings, &mut sent)?;
            first += frames(1);
        }
        self.wrap(sent, settings, &mut made);
        Ok(made)
    }

    fn frame(
        &mut self,
        frame: &[f32],
        at: gst::ClockTime,
        settings: &Settings,
        sent: &mut Vec<OutgoingPacket>,
    ) -> Result<(), String> {
        self.times.push_back((self.at, at));
        self.at += 1;
        self.sender.frame(frame, settings, sent).map_err(|e| format!("{e}"))
    }

    /// Sends everything that is buffered, followed by silence.
    pub(super) fn drain(&mut self, settings: &Settings) -> Result<ElementOutput, String> {
        let Some(end) = self.expected.take() else { return Ok(ElementOutput::default()) };
        let size = WIDE_FRAME_SAMPLES * self.channels;
        let held = self.duration(self.pending.len());
        let mut first = end.saturating_sub(held);
        // The receiver's output is delayed: this much silence pushes the end out.
        let mut rest = std::mem::take(&mut self.pending);
        let whole = (rest.len() + CODEC_DELAY_SAMPLES * self.channels).div_ceil(size) * size;
        rest.resize(whole, 0.0);
        let mut sent = Vec::new();
        for frame in rest.chunks(size) {
            self.frame(frame, first, settings, &mut sent)?;
            first += frames(1);
        }
        self.sender.finish(settings, &mut sent).map_err(|e| format!("{e}"))?;
        let mut made = ElementOutput::default();
        self.wrap(sent, settings, &mut made);
        self.discont = true;
        Ok(made)
    }

    /// Timestamps what was sent, and adds message and hints.
    fn wrap(&mut self, sent: Vec<OutgoingPacket>, settings: &Settings, made: &mut ElementOutput) {
        for sent in sent {
            while self.times.front().is_some_and(|(at, _)| *at < sent.first) {
                self.times.pop_front();
            }
            let pts = self.times.front().map(|(_, at)| *at);
            if self.used.replace(sent.used) != Some(sent.used) {
                made.change = Some(self.change(sent.used, settings));
            }
            self.ratio.sent(sent.payload.len(), self.at, settings);
            let checksum = hints::checksum(&sent.payload);
            let mut buffer = gst::Buffer::from_mut_slice(sent.payload);
            let writable = buffer.get_mut().expect("a new buffer has one owner");
            writable.set_pts(pts);
            writable.set_duration(frames(sent.frames));
            if std::mem::take(&mut self.discont) {
                writable.set_flags(gst::BufferFlags::DISCONT);
            }
            if sent.spurt {
                writable.set_flags(gst::BufferFlags::MARKER);
            }
            self.hint(writable, sent.comfort, checksum);
            made.buffers.push(buffer);
        }
    }

    /// Attaches the values for the header extension to a payload.
    fn hint(&self, buffer: &mut gst::BufferRef, comfort: bool, checksum: u16) {
        let Ok(mut meta) = gst::meta::CustomMeta::add(buffer, HINTS) else { return };
        let class = match self.sender.class() {
            _ if comfort => "background",
            Class::Speech => "speech",
            Class::Other => "other",
        };
        let said = meta.mut_structure();
        said.set("class", class);
        said.set("loudness-dbfs", f64::from(self.sender.level_dbfs()));
        said.set("predicted-ratio", self.ratio.predicted());
        said.set("achieved-ratio", self.ratio.achieved());
        // The base class gives the extension this meta, but not the payload.
        said.set("checksum", u32::from(checksum));
    }

    /// The message for a change of codec.
    fn change(&self, to: Used, settings: &Settings) -> gst::Structure {
        let why = self.sender.why();
        let reason = match (why, settings.wish) {
            (Some(why), _) => why.code(),
            (None, CodecPolicy::Auto) => "content",
            (None, _) => "asked",
        };
        gst::Structure::builder(CODEC)
            .field("codec", to.name())
            .field("reason", reason)
            .field("detail", why.map(ToString::to_string).unwrap_or_default())
            .build()
    }
}

/// Running totals since the start.
pub(super) fn stats(state: Option<&State>) -> gst::Structure {
    let sent = state.map(|s| s.sender.stats()).unwrap_or_default();
    let ratio = state.map(|s| &s.ratio);
    gst::Structure::builder("auralink-aic-stats")
        .field("frames", sent.frames)
        .field("aic", sent.aic)
        .field("opus", sent.opus)
        .field("fallback", sent.fallback)
        .field("misses", sent.misses)
        .field("bytes", sent.bytes)
        .field("codec", state.and_then(|s| s.used).map_or("none", Used::name))
        .field("reason", state.and_then(|s| s.sender.why()).map_or("", |why| why.code()))
        .field("predicted-ratio", ratio.map_or(0.0, Ratio::predicted))
        .field("achieved-ratio", ratio.map_or(0.0, Ratio::achieved))
        .build()
}
