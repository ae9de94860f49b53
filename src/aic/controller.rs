//! How a voice sender uses its bandwidth: codec, stages, redundancy, frames per packet.
//!
//! Pure: takes measurements and `now`, returns what to send. The rate falls at once and rises
//! slowly: a step up needs 1.25 times its bandwidth for 5 seconds. A failed engine rests for 10,
//! 30, then 120 seconds.

use std::time::{Duration, Instant};

use super::engine_health::BackOff;
use super::quality;

pub use super::choice::{Choice, WIRE_OVERHEAD_BYTES};

/// Share of the estimate that may be used; the rest absorbs its error. More makes queues, less
/// wastes bandwidth.
const USABLE_BANDWIDTH_RATIO: f64 = 0.9;
/// Bandwidth that a step up needs, relative to what the step costs. Less makes the rung swing, more
/// leaves bandwidth unused.
const STEP_UP_HEADROOM_FACTOR: f64 = 1.25;
/// How long this bandwidth must have been available.
const UP_AFTER: Duration = Duration::from_secs(5);
/// How long the bandwidth for shorter packets must have been available; longer than for a step up.
const SHORTER_AFTER: Duration = Duration::from_secs(6);

/// Measurements of a path and of the audio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Bandwidth for this voice, bit/s on the wire.
    pub bandwidth: f64,
    /// Packet loss, 0.0-1.0.
    pub loss: f64,
    /// Whether AIC-A may be used: both ends support it and nothing else prevents it.
    pub voice: bool,
    /// Longest time that frames may wait for their packet.
    pub patience: Duration,
}

/// The rungs, by rising bandwidth: stages of AIC-A, then Opus from where it scores better at the
/// same bandwidth on the wire. A rung is used when it scores better than all below it, at the loss
/// of the path (`quality::score`).
const RUNGS: [Rung; 9] = [
    Rung::Stages(14),
    Rung::Stages(18),
    Rung::Stages(33),
    Rung::Opus(9_000),
    Rung::Opus(12_000),
    Rung::Opus(20_000),
    Rung::Opus(32_000),
    Rung::Opus(64_000),
    Rung::Opus(128_000),
];

#[derive(Clone, Copy)]
enum Rung {
    Stages(usize),
    Opus(u32),
}

/// Opus without AIC-A, by rising bandwidth. At 6 kbit/s a voice is hardly intelligible.
const OPUS_RATES_BPS: [u32; 6] = [9_000, 12_000, 20_000, 32_000, 64_000, 128_000];

/// From this rate on, packets have one frame: the payload costs more than the headers.
const OPUS_SINGLE_FRAME_BPS_MIN: u32 = 32_000;

/// Decides for one stream.
#[derive(Debug, Default)]
pub struct Controller {
    /// `None` before the first decision.
    rung: Option<usize>,
    /// Since when the bandwidth for the next rung has been available.
    enough: Option<Instant>,
    /// Frames per packet, and since when the bandwidth for fewer has been available.
    frames: usize,
    shorter: Option<Instant>,
    back_off: BackOff,
}

impl Controller {
    /// Starts on the best rung that the bandwidth allows.
    pub fn new() -> Self {
        Self::default()
    }

    /// The engine failed (an error, a missed deadline, a foreign model): use Opus until the
    /// back-off ends.
    pub fn engine_failed(&mut self, now: Instant) {
        self.back_off.failed(now);
    }

    /// Whether the engine rests after a failure.
    pub fn rests(&self, now: Instant) -> bool {
        self.back_off.is_on(now)
    }

    /// Decides what to send from now on.
    pub fn decide(&mut self, measured: &Measured, now: Instant) -> Choice {
        let usable = if measured.bandwidth.is_finite() {
            measured.bandwidth * USABLE_BANDWIDTH_RATIO
        } else {
            0.0
        };
        let rung = self.step(measured, usable, now);
        if !measured.voice || self.back_off.is_on(now) {
            return voice_in_opus(measured);
        }
        self.pack(choice(RUNGS[rung], measured, usable), now)
    }

    /// Lengthens packets at once and shortens them late: a better rung is worth more than 20 ms.
    fn pack(&mut self, choice: Choice, now: Instant) -> Choice {
        let frames = choice.frames();
        if frames >= self.frames {
            (self.frames, self.shorter) = (frames, None);
        } else if now.saturating_duration_since(*self.shorter.get_or_insert(now)) >= SHORTER_AFTER {
            (self.frames, self.shorter) = (self.frames - 1, None);
        }
        choice.with_frames(self.frames)
    }

    fn step(&mut self, measured: &Measured, usable: f64, now: Instant) -> usize {
        let of = |rung: usize, usable| choice(RUNGS[rung], measured, usable);
        let score = |rung| quality::score(of(rung, usable), measured.loss);
        let pays = |rung: usize| (0..rung).all(|below| score(below) < score(rung));
        let fits = |rung: usize, usable| of(rung, usable).wire() <= usable && pays(rung);
        let spare = usable / STEP_UP_HEADROOM_FACTOR;
        let best = || (1..RUNGS.len()).rev().find(|rung| fits(*rung, spare)).unwrap_or(0);
        let before = *self.rung.get_or_insert_with(best);
        let mut rung = before;
        while rung > 0 && !fits(rung, usable) {
            rung -= 1;
        }
        let next = (rung + 1..RUNGS.len()).find(|next| pays(*next));
        match next.filter(|next| rung == before && fits(*next, spare)) {
            None => self.enough = None,
            Some(next) => {
                let since = *self.enough.get_or_insert(now);
                if now.saturating_duration_since(since) >= UP_AFTER {
                    (rung, self.enough) = (next, None);
                }
            }
        }
        self.rung = Some(rung);
        rung
    }
}

/// How to send audio other than voice: the best Opus that fits this many bit/s on the wire, or the
/// lowest if none does.
pub fn other(bandwidth: f64, patience: Duration) -> Choice {
    let usable = bandwidth * USABLE_BANDWIDTH_RATIO;
    let fitting = opus_fitting(patience, usable).last();
    fitting.unwrap_or_else(|| opus(OPUS_RATES_BPS[0], patience, usable))
}

/// Earlier frames that a packet of AIC-A repeats, at this share of packets lost.
pub fn redundancy(loss: f64) -> usize {
    match loss {
        loss if loss > 0.05 => 2,
        loss if loss > 0.01 => 1,
        _ => 0,
    }
}

/// The loss that Opus is told to prepare for, in percent, in steps of 5: each change costs bits.
pub fn opus_loss_percent(loss: f64) -> u32 {
    ((loss * 20.0).ceil() * 5.0).clamp(5.0, 30.0) as u32
}

/// How to send a voice without AIC-A.
fn voice_in_opus(measured: &Measured) -> Choice {
    let usable = measured.bandwidth * USABLE_BANDWIDTH_RATIO;
    let score = |choice: &Choice| quality::score(*choice, measured.loss);
    let best = opus_fitting(measured.patience, usable).max_by(|a, b| score(a).total_cmp(&score(b)));
    best.unwrap_or_else(|| opus(OPUS_RATES_BPS[0], measured.patience, usable))
}

/// The rates of Opus that fit this many bit/s on the wire, rising.
fn opus_fitting(patience: Duration, usable: f64) -> impl Iterator<Item = Choice> {
    let with = move |bitrate| opus(bitrate, patience, usable);
    OPUS_RATES_BPS.into_iter().map(with).filter(move |choice| choice.wire() <= usable)
}

/// A rung with as few frames per packet as the bandwidth allows, and redundancy according to loss.
fn choice(rung: Rung, measured: &Measured, usable: f64) -> Choice {
    let stages = match rung {
        Rung::Stages(stages) => stages,
        Rung::Opus(bitrate) => return opus(bitrate, measured.patience, usable),
    };
    let redundant = redundancy(measured.loss);
    let with = |frames| Choice::Aic { stages, frames, redundant };
    packed(with, longest(measured.patience), usable)
}

fn opus(bitrate: u32, patience: Duration, usable: f64) -> Choice {
    let longest = if bitrate < OPUS_SINGLE_FRAME_BPS_MIN { longest(patience) } else { 1 };
    packed(|frames| Choice::Opus { bitrate, frames }, longest, usable)
}

/// Most frames that may wait for their packet.
fn longest(patience: Duration) -> usize {
    (patience.as_millis() / 20).clamp(1, 3) as usize
}

/// The fewest frames per packet that fit, or the most if none do.
fn packed(with: impl Fn(usize) -> Choice, longest: usize, usable: f64) -> Choice {
    (1..longest).map(&with).find(|c| c.wire() <= usable).unwrap_or_else(|| with(longest))
}

#[cfg(test)]
mod tests;
