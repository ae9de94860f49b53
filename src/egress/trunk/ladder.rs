//! How the bandwidth of a path is shared: sound first, then as much of the pictures as fits.
//!
//! Pure: takes what was measured and `now`, answers what to send.

use std::time::{Duration, Instant};

use crate::aic::controller::{self, Choice, Controller, Measured};

/// Share of the estimate that may be used; the rest absorbs its error.
const USABLE: f64 = 0.9;
/// Sound alone has all there is up to this, in bit/s: AIC-A of 3 kbit/s with its headers, and where
/// that may not be used Opus of 20.
const SOUND_FIRST: [f64; 2] = [16_000.0, 45_000.0];
/// Share of what there is that sound may take beside pictures when there is more.
const SOUND_SHARE: f64 = 0.1;
/// Bandwidth that a step up needs, relative to what the step costs.
const HEADROOM: f64 = 1.25;
/// How long it must have been there.
const UP_AFTER: Duration = Duration::from_secs(5);
/// Pictures that cannot be made smaller may be too large for so long: key frames come in bursts.
const BURST: Duration = Duration::from_secs(2);
/// An estimate does not grow beyond what is sent, so that pictures that were stopped are tried again
/// after a while; each time that fails the next one is twice as far away.
const RETRY: Duration = Duration::from_secs(15);
const RETRY_MAX: Duration = Duration::from_secs(240);

/// Where more than this share of packets is lost, pictures are not tried again.
const LOST_MAX: f64 = 0.05;
/// Nor where less than this share of what they take has been seen to go through, or than the best sound
/// takes: sound finds that out.
const SEEN_MIN: f64 = 0.25;
const SEEN_ENOUGH: f64 = 150_000.0;

/// Pictures that take more than there is, and cannot be made smaller, stop sooner where so much is lost.
const HARM: f64 = 0.15;
const HARM_MAX: Duration = Duration::from_millis(500);

/// Least bit/s for pictures of each level that are encoded for the path.
const LEVELS: [(Level, f64); 3] =
    [(Level::Full, 400_000.0), (Level::Half, 100_000.0), (Level::Stills, 20_000.0)];

/// How much of the pictures goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// None.
    Off,
    /// One a second, at a third of the size.
    Stills,
    /// All, at half the size.
    Half,
    /// All.
    Full,
}

impl Level {
    /// For people.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Off => "no pictures",
            Self::Stills => "stills",
            Self::Half => "half size",
            Self::Full => "full pictures",
        }
    }
}

/// What pictures there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pictures {
    /// What they take when nothing is saved, bit/s.
    pub(super) wanted: f64,
    /// Whether they are encoded for the path, so that they can take less.
    pub(super) encoded: bool,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Path {
    /// Bandwidth for all, bit/s on the wire.
    pub(super) bandwidth: f64,
    /// Share of packets lost, 0.0-1.0.
    pub(super) loss: f64,
    /// Whether AIC-A may be used: it was agreed on, and the other end can hear it.
    pub(super) voice: bool,
    /// Whether the sound is a voice now.
    pub(super) speech: bool,
    /// Longest time that frames may wait for their packet.
    pub(super) patience: Duration,
}

/// What to send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Decision {
    /// A voice.
    pub(super) voice: Choice,
    /// Sound that is no voice: Opus.
    pub(super) other: Choice,
    /// Which of the two it is.
    pub(super) speech: bool,
    /// Pictures.
    pub(super) level: Level,
    /// Their bitrate, bit/s, where they are encoded.
    pub(super) video: f64,
}

impl Decision {
    /// What sound goes as now.
    pub(super) fn sound(self) -> Choice {
        if self.speech { self.voice } else { self.other }
    }
}

/// Decides for one trunk.
pub(super) struct Ladder {
    controller: Controller,
    pictures: Option<Pictures>,
    level: Level,
    /// Since when there is enough for a better level.
    enough: Option<Instant>,
    /// Since when there is too little for this one.
    short: Option<Instant>,
    /// When pictures were stopped, and after how long they are tried again.
    stopped: Option<Instant>,
    retry: Duration,
    /// When they were tried again.
    tried: Option<Instant>,
}

impl Ladder {
    /// For a trunk with these pictures.
    pub(super) fn new(pictures: Option<Pictures>) -> Self {
        let level = if pictures.is_some() { Level::Full } else { Level::Off };
        Self {
            controller: Controller::new(),
            pictures,
            level,
            enough: None,
            short: None,
            stopped: None,
            retry: RETRY,
            tried: None,
        }
    }

    /// The engine of AIC-A failed, here or there.
    pub(super) fn engine_failed(&mut self, now: Instant) {
        self.controller.engine_failed(now);
    }

    /// What pictures take now, where that is not ours to say.
    pub(super) fn set_wanted(&mut self, wanted: f64) {
        if let Some(pictures) = &mut self.pictures {
            pictures.wanted = wanted;
        }
    }

    /// What to send from now on.
    pub(super) fn decide(&mut self, path: &Path, now: Instant) -> Decision {
        let Path { loss, voice, speech, patience, .. } = *path;
        let bandwidth = self.sound(path.bandwidth, voice && !self.controller.rests(now));
        let measured = Measured { bandwidth, loss, voice, patience };
        let voice = self.controller.decide(&measured, now);
        let other = controller::other(self.sound(path.bandwidth, false), patience);
        let mut decision = Decision { voice, other, speech, level: Level::Off, video: 0.0 };
        if let Some(pictures) = self.pictures {
            let rest = (path.bandwidth * USABLE - decision.sound().wire()).max(0.0);
            let enough = (pictures.wanted * SEEN_MIN).min(SEEN_ENOUGH);
            let seen = path.bandwidth * USABLE >= enough;
            let may_try = pictures.encoded || (seen && loss < LOST_MAX);
            self.step(pictures, rest, (loss, may_try), now);
            (decision.level, decision.video) = (self.level, rest.min(pictures.wanted));
        }
        decision
    }

    /// What sound may take of the path, by AIC-A or not.
    fn sound(&self, bandwidth: f64, by_aic: bool) -> f64 {
        match self.pictures {
            // What cannot be made smaller and does not fit leaves everything to sound.
            Some(pictures) if !pictures.encoded && self.level == Level::Off => bandwidth,
            Some(_) => {
                let first = SOUND_FIRST[usize::from(!by_aic)];
                (bandwidth * SOUND_SHARE).max(bandwidth.min(first))
            }
            None => bandwidth,
        }
    }

    fn step(&mut self, pictures: Pictures, rest: f64, (loss, may_try): (f64, bool), now: Instant) {
        let fits = pictures.best(rest);
        if fits < self.level {
            self.enough = None;
            let since = *self.short.get_or_insert(now);
            let failed = self.tried.is_some() && loss > LOST_MAX;
            let patience = match loss {
                _ if pictures.encoded || failed => Duration::ZERO,
                loss if loss > HARM => HARM_MAX,
                _ => BURST,
            };
            if now.saturating_duration_since(since) >= patience {
                self.fall(fits, now);
            }
            return;
        }
        self.short = None;
        if self.tried.is_some_and(|at| now.saturating_duration_since(at) > RETRY) {
            (self.tried, self.retry) = (None, RETRY);
        }
        if self.level == Level::Off && may_try && self.is_time_to_try(now) {
            self.rise(if pictures.encoded { Level::Stills } else { Level::Full });
            self.tried = Some(now);
            return;
        }
        if pictures.best(rest / HEADROOM) <= self.level {
            self.enough = None;
            return;
        }
        let since = *self.enough.get_or_insert(now);
        if now.saturating_duration_since(since) >= UP_AFTER {
            self.rise(pictures.best(rest / HEADROOM));
        }
    }

    fn fall(&mut self, to: Level, now: Instant) {
        if to == Level::Off {
            let failed = self.tried.take().is_some();
            self.retry = if failed { (self.retry * 2).min(RETRY_MAX) } else { RETRY };
            self.stopped = Some(now);
        }
        (self.level, self.short) = (to, None);
    }

    fn rise(&mut self, to: Level) {
        (self.level, self.enough, self.short, self.stopped) = (to, None, None, None);
    }

    fn is_time_to_try(&self, now: Instant) -> bool {
        self.stopped.is_some_and(|at| now.saturating_duration_since(at) >= self.retry)
    }
}

impl Pictures {
    /// The best level for so many bit/s.
    fn best(self, rest: f64) -> Level {
        if !self.encoded {
            return if rest >= self.wanted { Level::Full } else { Level::Off };
        }
        let fits = |(_, least): &&(Level, f64)| rest >= least.min(self.wanted);
        LEVELS.iter().find(fits).map_or(Level::Off, |(level, _)| *level)
    }
}

#[cfg(test)]
#[path = "ladder_tests.rs"]
mod tests;
