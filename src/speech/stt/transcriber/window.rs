//! The audio that is not final yet, divided into utterances by the gate.

use std::time::Duration;

use super::ring::Piece;
use crate::speech::vad::{Detector, Edge, Gate, SPEECH_RATE_HZ, SpeechSegment};

/// Audio before the onset that belongs to the utterance: soft consonants.
const ONSET_LEAD: Duration = Duration::from_millis(250);

/// Audio that is kept without speech, to look back for an onset.
const LOOK_BACK: Duration = Duration::from_millis(600);

/// Audio whose time differs by more than this from the end of the last is a discontinuity.
const DISCONTINUITY_MIN: Duration = Duration::from_millis(80);

/// A change caused by a piece of audio.
#[derive(Debug, PartialEq)]
pub(super) enum WindowEvent {
    /// Speech has begun.
    Opened,
    /// The utterance has ended.
    Closed(SpeechSegment),
    /// The audio jumps in time; this ends an open utterance.
    Jumped(Option<SpeechSegment>),
}

/// The window of audio, with detector and gate.
pub(super) struct AudioWindow {
    detector: Box<dyn Detector>,
    gate: Gate,
    /// Samples from the running time `from` on.
    samples: Vec<f32>,
    from: Duration,
    /// Samples at the end that the detector has not judged: less than one frame.
    unjudged: usize,
}

pub(super) fn length(samples: usize) -> Duration {
    Duration::from_nanos(samples as u64 * 1_000_000_000 / SPEECH_RATE_HZ as u64)
}

fn count(length: Duration) -> usize {
    (length.as_secs_f64() * SPEECH_RATE_HZ as f64).round() as usize
}

impl AudioWindow {
    pub(super) fn new(detector: Box<dyn Detector>) -> Self {
        let gate = Gate::new(detector.thresholds());
        Self { detector, gate, samples: Vec::new(), from: Duration::ZERO, unjudged: 0 }
    }

    /// Whether there is speech.
    pub(super) fn is_open(&self) -> bool {
        self.gate.is_open()
    }

    /// The speech so far of the open utterance.
    pub(super) fn spoken(&self) -> SpeechSegment {
        self.gate.spoken()
    }

    /// The samples of the window.
    pub(super) fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// Running time of the first sample.
    pub(super) fn from(&self) -> Duration {
        self.from
    }

    /// Running time of the end.
    pub(super) fn edge(&self) -> Duration {
        self.from + length(self.samples.len())
    }

    /// Takes audio up to the next event; returns the rest of the piece with the event.
    pub(super) fn hear(&mut self, mut piece: Piece) -> Option<(WindowEvent, Option<Piece>)> {
        let expected = self.edge();
        if self.samples.is_empty() {
            self.from = piece.at;
        } else if piece.at.abs_diff(expected) > DISCONTINUITY_MIN {
            let spoken = self.gate.close();
            self.detector.reset();
            self.unjudged = 0;
            if spoken.is_none() {
                self.samples.clear();
            }
            return Some((WindowEvent::Jumped(spoken), Some(piece)));
        } else if !self.is_open() {
            // Prevents rounding errors of timestamps from accumulating.
            self.from = piece.at.saturating_sub(length(self.samples.len()));
        }
        let frame = self.detector.frame();
        let mut used = 0;
        while used < piece.samples.len() {
            let some = (frame - self.unjudged).min(piece.samples.len() - used);
            self.samples.extend_from_slice(&piece.samples[used..used + some]);
            used += some;
            self.unjudged += some;
            if self.unjudged < frame {
                break;
            }
            self.unjudged = 0;
            let judged = &self.samples[self.samples.len() - frame..];
            let probability = self.detector.probability(judged);
            let edge = self.gate.step(probability, length(frame));
            let heard = match edge {
                Some(Edge::Opened { since }) => {
                    self.keep(since + ONSET_LEAD);
                    WindowEvent::Opened
                }
                Some(Edge::Closed(spoken)) => WindowEvent::Closed(spoken),
                None => {
                    if !self.is_open() {
                        self.keep(LOOK_BACK);
                    }
                    continue;
                }
            };
            let rest: Vec<f32> = piece.samples.drain(used..).collect();
            let at = piece.at + length(used);
            let rest = (!rest.is_empty()).then_some(Piece { at, samples: rest });
            return Some((heard, rest));
        }
        None
    }

    /// Closes an open utterance at the end of the stream.
    pub(super) fn close(&mut self) -> Option<SpeechSegment> {
        self.gate.close()
    }

    /// Drops the audio before this running time.
    pub(super) fn cut(&mut self, at: Duration) {
        let gone = count(at.saturating_sub(self.from)).min(self.samples.len());
        self.samples.drain(..gone);
        self.from += length(gone);
        self.unjudged = self.unjudged.min(self.samples.len());
    }

    /// Keeps at most this much audio, the newest.
    pub(super) fn keep(&mut self, longest: Duration) {
        let surplus = self.samples.len().saturating_sub(count(longest));
        self.samples.drain(..surplus);
        self.from += length(surplus);
        self.unjudged = self.unjudged.min(self.samples.len());
    }
}
