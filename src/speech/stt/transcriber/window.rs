//! The sound that is not final yet, cut into utterances by the gate.

use std::time::Duration;

use super::ring::Piece;
use crate::speech::vad::{Detector, Edge, Gate, RATE, Spoken};

/// Sound before the onset that belongs to the utterance: soft consonants.
const BEFORE: Duration = Duration::from_millis(250);

/// While nobody speaks so much is kept, to look back for an onset.
const KEPT: Duration = Duration::from_millis(600);

/// Sound whose place differs by more than this from where the last ended is not its continuation.
const JUMP: Duration = Duration::from_millis(80);

/// What a piece of sound did.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    /// Somebody began to speak.
    Opened,
    /// The utterance is over.
    Closed(Spoken),
    /// The sound jumps in time; an utterance that was open is over.
    Jumped(Option<Spoken>),
}

/// See the module.
pub(super) struct Sound {
    detector: Box<dyn Detector>,
    gate: Gate,
    /// Samples from `from` on.
    samples: Vec<f32>,
    from: Duration,
    /// Samples at the end that the detector has not judged: less than a frame.
    unjudged: usize,
}

pub(super) fn length(samples: usize) -> Duration {
    Duration::from_nanos(samples as u64 * 1_000_000_000 / RATE as u64)
}

fn count(length: Duration) -> usize {
    (length.as_secs_f64() * RATE as f64).round() as usize
}

impl Sound {
    pub(super) fn new(detector: Box<dyn Detector>) -> Self {
        let gate = Gate::new(detector.thresholds());
        Self { detector, gate, samples: Vec::new(), from: Duration::ZERO, unjudged: 0 }
    }

    /// Whether somebody speaks.
    pub(super) fn is_open(&self) -> bool {
        self.gate.is_open()
    }

    /// What was spoken of the open utterance.
    pub(super) fn spoken(&self) -> Spoken {
        self.gate.spoken()
    }

    /// The samples of the window.
    pub(super) fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// Running time of the first of them.
    pub(super) fn from(&self) -> Duration {
        self.from
    }

    /// Running time behind the last.
    pub(super) fn edge(&self) -> Duration {
        self.from + length(self.samples.len())
    }

    /// Takes sound up to the next event; what is left of the piece comes back with it.
    pub(super) fn hear(&mut self, mut piece: Piece) -> Option<(Heard, Option<Piece>)> {
        let expected = self.edge();
        if self.samples.is_empty() {
            self.from = piece.at;
        } else if piece.at.abs_diff(expected) > JUMP {
            let spoken = self.gate.close();
            self.detector.reset();
            self.unjudged = 0;
            if spoken.is_none() {
                self.samples.clear();
            }
            return Some((Heard::Jumped(spoken), Some(piece)));
        } else if !self.is_open() {
            // Rounded time-stamps must not add up.
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
                    self.keep(since + BEFORE);
                    Heard::Opened
                }
                Some(Edge::Closed(spoken)) => Heard::Closed(spoken),
                None => {
                    if !self.is_open() {
                        self.keep(KEPT);
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

    /// Closes an utterance that is open, at the end of the stream.
    pub(super) fn close(&mut self) -> Option<Spoken> {
        self.gate.close()
    }

    /// Forgets what lies before this running time.
    pub(super) fn cut(&mut self, at: Duration) {
        let gone = count(at.saturating_sub(self.from)).min(self.samples.len());
        self.samples.drain(..gone);
        self.from += length(gone);
        self.unjudged = self.unjudged.min(self.samples.len());
    }

    /// Keeps only so much.
    pub(super) fn keep(&mut self, longest: Duration) {
        let surplus = self.samples.len().saturating_sub(count(longest));
        self.samples.drain(..surplus);
        self.from += length(surplus);
        self.unjudged = self.unjudged.min(self.samples.len());
    }
}
