//! What a sender of voice does with the bandwidth it has: codec, stages, redundancy, frames per packet.
//!
//! Pure: takes what was measured and `now`, answers what to send. The rate falls at once and rises
//! late: a step up needs 1.25 times its bandwidth for 5 seconds, and the engine that failed is left
//! alone for 10, 30, then 120 seconds.

use std::time::{Duration, Instant};

use super::packet::size;
use super::watch::BackOff;

/// Bytes of IPv4, UDP, RTP and the SRTP tag around each packet.
pub const WIRE_OVERHEAD: usize = 20 + 8 + 12 + 10;

/// Share of the estimate that may be used; the rest absorbs its error.
const USABLE: f64 = 0.9;
/// Bandwidth that a step up needs, relative to what the step costs.
const HEADROOM: f64 = 1.25;
/// How long it must have been there.
const UP_AFTER: Duration = Duration::from_secs(5);
/// How long there must have been enough for shorter packets: a step up comes first.
const SHORTER_AFTER: Duration = Duration::from_secs(6);

/// What was measured of a path and of the sound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Bandwidth for this voice, bit/s on the wire.
    pub bandwidth: f64,
    /// Share of packets lost, 0.0-1.0.
    pub loss: f64,
    /// Whether AIC-A may be used: both ends have it, and nothing speaks against it.
    pub voice: bool,
    /// Longest time that frames may wait for their packet.
    pub patience: Duration,
}

/// What to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// AIC-A.
    Aic {
        /// Stages of each frame: 500 bit/s each.
        stages: usize,
        /// Frames of 20 ms per packet.
        frames: usize,
        /// Earlier frames repeated in each packet.
        redundant: usize,
        /// Stages of those.
        redundant_stages: usize,
    },
    /// Opus.
    Opus {
        /// Payload rate, bit/s.
        bitrate: u32,
        /// Frames of 20 ms per packet.
        frames: usize,
    },
}

impl Choice {
    fn frames(self) -> usize {
        let (Self::Aic { frames, .. } | Self::Opus { frames, .. }) = self;
        frames
    }

    /// Whether a voice survives so much loss in it.
    fn bears(self, loss: f64) -> bool {
        loss <= LOSSY || !matches!(self, Self::Opus { bitrate, .. } if bitrate > OPUS_FEC_MAX)
    }

    fn with_frames(mut self, number: usize) -> Self {
        let (Self::Aic { frames, .. } | Self::Opus { frames, .. }) = &mut self;
        *frames = number;
        self
    }

    /// Bit/s on the wire, headers included.
    pub fn wire(self) -> f64 {
        let (bytes, frames) = match self {
            Self::Aic { stages, frames, redundant, redundant_stages } => {
                (size(frames, stages, redundant, redundant_stages), frames)
            }
            Self::Opus { bitrate, frames } => (frames * bitrate as usize / 8 / 50, frames),
        };
        ((bytes + WIRE_OVERHEAD) * 8 * 50) as f64 / frames as f64
    }
}

/// The rungs, from the least bandwidth: stages of AIC-A, and Opus from where it sounds better for the
/// same bandwidth on the wire (docs/measurements.md).
const RUNGS: [Rung; 8] = [
    Rung::Stages(3),
    Rung::Stages(6),
    Rung::Stages(12),
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

/// Opus where AIC-A may not be used, from the least bandwidth. At 6 kbit/s it is hardly understood.
const OPUS: [u32; 6] = [8_000, 12_000, 20_000, 32_000, 64_000, 128_000];

/// Beyond this rate Opus repeats nothing of earlier frames (RFC 6716 section 2.1.7: only its layer for
/// speech does), which is worse than a lower rate where more than this share of packets is lost.
const OPUS_FEC_MAX: u32 = 32_000;
const LOSSY: f64 = 0.05;

/// From this rate on headers are no longer what Opus costs most.
const OPUS_ALONE: u32 = 32_000;

/// Decides for one stream.
#[derive(Debug, Default)]
pub struct Controller {
    /// None before the first look.
    rung: Option<usize>,
    /// Since when there is enough for the next rung.
    enough: Option<Instant>,
    /// Frames per packet, and since when there is enough for fewer.
    frames: usize,
    shorter: Option<Instant>,
    back_off: BackOff,
}

impl Controller {
    /// Starts on the best rung that there is bandwidth for.
    pub fn new() -> Self {
        Self::default()
    }

    /// The engine failed (an error, a missed deadline, a foreign model): Opus from now on, until the
    /// back-off is over.
    pub fn engine_failed(&mut self, now: Instant) {
        self.back_off.failed(now);
    }

    /// Whether the engine is left alone because it failed.
    pub fn rests(&self, now: Instant) -> bool {
        self.back_off.is_on(now)
    }

    /// What to send from now on.
    pub fn decide(&mut self, measured: &Measured, now: Instant) -> Choice {
        let usable = if measured.bandwidth.is_finite() { measured.bandwidth * USABLE } else { 0.0 };
        let rung = self.step(measured, usable, now);
        if !measured.voice || self.back_off.is_on(now) {
            return voice_in_opus(measured);
        }
        self.pack(choice(RUNGS[rung], measured, usable), now)
    }

    /// Packets get longer at once, and shorter late: a better rung is worth more than 20 ms.
    fn pack(&mut self, choice: Choice, now: Instant) -> Choice {
        let frames = choice.frames();
        if frames >= self.frames {
            (self.frames, self.shorter) = (frames, None);
        } else if now.saturating_duration_since(*self.shorter.get_or_insert(now)) >= SHORTER_AFTER {
            (self.frames, self.shorter) = (frames, None);
        }
        choice.with_frames(self.frames)
    }

    fn step(&mut self, measured: &Measured, usable: f64, now: Instant) -> usize {
        let fits = |rung: usize, usable| {
            let choice = choice(RUNGS[rung], measured, usable);
            choice.wire() <= usable && choice.bears(measured.loss)
        };
        let spare = usable / HEADROOM;
        let best = || (1..RUNGS.len()).rev().find(|rung| fits(*rung, spare)).unwrap_or(0);
        let before = *self.rung.get_or_insert_with(best);
        let mut rung = before;
        while rung > 0 && !fits(rung, usable) {
            rung -= 1;
        }
        if rung < before || rung + 1 == RUNGS.len() || !fits(rung + 1, spare) {
            self.enough = None;
        } else if now.saturating_duration_since(*self.enough.get_or_insert(now)) >= UP_AFTER {
            rung = best().max(rung + 1);
            self.enough = None;
        }
        self.rung = Some(rung);
        rung
    }
}

/// What sound that is no voice goes as: the best Opus that fits so many bit/s on the wire, and the lowest
/// where none does.
pub fn other(bandwidth: f64, patience: Duration) -> Choice {
    best_opus(bandwidth, patience, |_| true)
}

/// What a voice goes as where AIC-A may not be used.
fn voice_in_opus(measured: &Measured) -> Choice {
    best_opus(measured.bandwidth, measured.patience, |choice| choice.bears(measured.loss))
}

fn best_opus(bandwidth: f64, patience: Duration, may: impl Fn(Choice) -> bool) -> Choice {
    let usable = bandwidth * USABLE;
    let with = |bitrate: &u32| opus(*bitrate, patience, usable);
    let fits = |choice: &Choice| choice.wire() <= usable && may(*choice);
    OPUS.iter().rev().map(with).find(fits).unwrap_or(with(&OPUS[0]))
}

/// A rung with as few frames per packet as the bandwidth allows, and redundancy by loss.
fn choice(rung: Rung, measured: &Measured, usable: f64) -> Choice {
    let stages = match rung {
        Rung::Stages(stages) => stages,
        Rung::Opus(bitrate) => return opus(bitrate, measured.patience, usable),
    };
    let redundant = match measured.loss {
        loss if loss > 0.05 => 2,
        loss if loss > 0.01 => 1,
        _ => 0,
    };
    let redundant_stages = if redundant == 0 { 0 } else { stages.min(3) };
    let with = |frames| Choice::Aic { stages, frames, redundant, redundant_stages };
    packed(with, longest(measured.patience), usable)
}

fn opus(bitrate: u32, patience: Duration, usable: f64) -> Choice {
    let longest = if bitrate < OPUS_ALONE { longest(patience) } else { 1 };
    packed(|frames| Choice::Opus { bitrate, frames }, longest, usable)
}

/// Most frames that may wait for their packet.
fn longest(patience: Duration) -> usize {
    (patience.as_millis() / 20).clamp(1, 3) as usize
}

/// The fewest frames per packet that fit, and the most where none do.
fn packed(with: impl Fn(usize) -> Choice, longest: usize, usable: f64) -> Choice {
    (1..longest).map(&with).find(|c| c.wire() <= usable).unwrap_or_else(|| with(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(kilobits: f64, loss: f64) -> Measured {
        let patience = Duration::from_millis(60);
        Measured { bandwidth: kilobits * 1000.0, loss, voice: true, patience }
    }

    /// What is sent after so many seconds on this path.
    fn after(
        controller: &mut Controller,
        measured: Measured,
        start: Instant,
        seconds: u64,
    ) -> Choice {
        let mut choice = controller.decide(&measured, start);
        for tenth in 0..=seconds * 10 {
            choice = controller.decide(&measured, start + Duration::from_millis(100 * tenth));
        }
        choice
    }

    fn aic(stages: usize, frames: usize) -> Choice {
        Choice::Aic { stages, frames, redundant: 0, redundant_stages: 0 }
    }

    #[test]
    fn the_ladder() {
        let check = |kilobits, expect| {
            let found = after(&mut Controller::new(), path(kilobits, 0.0), Instant::now(), 60);
            assert_eq!(found, expect, "{kilobits} kbit/s");
        };
        check(5.0, aic(3, 3));
        check(f64::NAN, aic(3, 3));
        check(16.0, aic(6, 2));
        check(22.0, aic(12, 2));
        check(30.0, Choice::Opus { bitrate: 12_000, frames: 2 });
        check(60.0, Choice::Opus { bitrate: 20_000, frames: 1 });
        check(80.0, Choice::Opus { bitrate: 32_000, frames: 1 });
        check(600.0, Choice::Opus { bitrate: 128_000, frames: 1 });
    }

    #[test]
    fn down_at_once_and_up_late() {
        let (mut controller, start) = (Controller::new(), Instant::now());
        assert_eq!(controller.decide(&path(22.0, 0.0), start), aic(12, 2));
        assert_eq!(controller.decide(&path(9.0, 0.0), start), aic(3, 3));
        assert_eq!(after(&mut controller, path(22.0, 0.0), start, 4), aic(3, 3));
        assert_eq!(after(&mut controller, path(22.0, 0.0), start, 16), aic(12, 2));
    }

    #[test]
    fn a_path_that_swings_does_not_make_the_codec_swing() {
        let (mut controller, start) = (Controller::new(), Instant::now());
        let choices: Vec<Choice> = (0..200_u32)
            .map(|i| {
                let kilobits = if i % 2 == 0 { 11.2 } else { 14.0 };
                controller.decide(&path(kilobits, 0.0), start + Duration::from_millis(300) * i)
            })
            .collect();
        assert!(choices.iter().all(|c| matches!(c, Choice::Aic { stages: 3, .. })), "{choices:?}");
    }

    #[test]
    fn loss_brings_redundancy() {
        let check = |loss, expect| {
            let choice = Controller::new().decide(&path(22.0, loss), Instant::now());
            let Choice::Aic { redundant, .. } = choice else { panic!("{choice:?}") };
            assert_eq!(redundant, expect, "{loss}");
        };
        check(0.0, 0);
        check(0.03, 1);
        check(0.2, 2);
    }

    #[test]
    fn a_better_rung_comes_before_shorter_packets() {
        let (mut controller, start) = (Controller::new(), Instant::now());
        assert_eq!(controller.decide(&path(12.0, 0.0), start), aic(3, 3));
        let better = after(&mut controller, path(22.0, 0.0), start, 5);
        assert_eq!(better, aic(12, 3));
        assert_eq!(after(&mut controller, path(22.0, 0.0), start, 7), aic(12, 2));
        assert_eq!(controller.decide(&path(18.0, 0.0), start + Duration::from_secs(8)), aic(12, 3));
    }

    #[test]
    fn a_voice_on_a_lossy_path_goes_as_what_repeats_itself() {
        let check = |loss, voice, bitrate| {
            let found =
                Controller::new().decide(&Measured { voice, ..path(600.0, loss) }, Instant::now());
            assert_eq!(found, Choice::Opus { bitrate, frames: 1 }, "{loss}");
        };
        check(0.02, true, 128_000);
        check(0.1, true, 32_000);
        check(0.02, false, 128_000);
        check(0.1, false, 32_000);
        let music = other(600_000.0, Duration::from_millis(60));
        assert_eq!(music, Choice::Opus { bitrate: 128_000, frames: 1 });
    }

    #[test]
    fn music_and_a_failed_engine_get_opus_and_failures_wait_longer_each_time() {
        let (mut controller, start) = (Controller::new(), Instant::now());
        let music = Measured { voice: false, ..path(60.0, 0.0) };
        let sent = Controller::new().decide(&music, start);
        assert_eq!(sent, Choice::Opus { bitrate: 32_000, frames: 1 });
        let mut at = start;
        for wait in [10, 30, 120, 120] {
            controller.engine_failed(at);
            let still = at + Duration::from_secs(wait) - Duration::from_millis(1);
            assert!(matches!(controller.decide(&path(22.0, 0.0), still), Choice::Opus { .. }));
            at += Duration::from_secs(wait);
            assert!(matches!(controller.decide(&path(22.0, 0.0), at), Choice::Aic { .. }));
        }
    }
}
