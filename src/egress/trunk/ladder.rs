//! Shares the bandwidth of a path: audio first, then as much video as fits.
//!
//! Pure: takes measurements and `now`, returns what to send.

use std::time::{Duration, Instant};

use crate::aic::controller::{self, Choice, Controller, Measured};

/// Share of the estimate that is used; the rest covers its error. More makes queues, less wastes
/// bandwidth.
const USABLE_BANDWIDTH_RATIO: f64 = 0.9;
/// Bandwidth up to which audio gets everything, in bit/s: AIC-A of 6 kbit/s with headers, or Opus
/// of 20 kbit/s if AIC-A may not be used.
const AUDIO_FIRST_BPS: [f64; 2] = [20_000.0, 45_000.0];
/// Share of a larger bandwidth that audio may use beside video, which gains more from it.
const AUDIO_BANDWIDTH_RATIO: f64 = 0.1;
/// Bandwidth needed for a step up, relative to the cost of the step. Less makes the level swing,
/// more leaves bandwidth unused.
const STEP_UP_HEADROOM_FACTOR: f64 = 1.25;
/// How long that bandwidth must have been available.
const UP_AFTER: Duration = Duration::from_secs(5);
/// How long video that cannot be reduced may exceed the bandwidth: key frames come in bursts.
const BURST_TIME: Duration = Duration::from_secs(2);
/// Pause before stopped video is tried again. The estimate does not grow beyond what is sent, so
/// only a try can show more. Each failed try doubles the pause.
const RETRY_PAUSE: Duration = Duration::from_secs(15);
/// Longest pause between tries.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(240);

/// Video that cannot be reduced is not tried again at a higher packet loss than this share.
const RETRY_LOSS_RATIO_MAX: f64 = 0.05;
/// It is also not tried while less bandwidth has been seen than this share of its bit rate, or than
/// [`RETRY_BANDWIDTH_BPS_MIN`], whichever is less.
const RETRY_BANDWIDTH_RATIO_MIN: f64 = 0.25;
/// What the best audio takes: audio explores up to there.
const RETRY_BANDWIDTH_BPS_MIN: f64 = 150_000.0;

/// Above this loss, video that exceeds the bandwidth and cannot be reduced is stopped sooner.
const HARMFUL_LOSS_RATIO: f64 = 0.15;
/// How long such video may exceed the bandwidth.
const HARMFUL_LOSS_TIME_MAX: Duration = Duration::from_millis(500);

/// Minimum bit rate for each level of encoded video, bit/s.
const LEVELS: [(Level, f64); 3] =
    [(Level::Full, 400_000.0), (Level::Half, 100_000.0), (Level::Stills, 20_000.0)];

/// How much of the video is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// No video.
    Off,
    /// One frame per second, at a third of the size.
    Stills,
    /// All frames, at half the size.
    Half,
    /// All frames at full size.
    Full,
}

impl Level {
    /// Name of the level for the admin.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Off => "no pictures",
            Self::Stills => "stills",
            Self::Half => "half size",
            Self::Full => "full pictures",
        }
    }
}

/// Properties of the video.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct VideoNeeds {
    /// Its full bit rate, bit/s.
    pub(super) wanted: f64,
    /// Whether it is encoded for the path, so that its bit rate can be reduced.
    pub(super) encoded: bool,
}

/// Measurements of the path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Path {
    /// Total bandwidth, bit/s on the wire.
    pub(super) bandwidth: f64,
    /// Share of packets lost, 0.0-1.0.
    pub(super) loss: f64,
    /// Whether AIC-A may be used: negotiated, and the other end can decode it.
    pub(super) voice: bool,
    /// Whether the audio is voice now.
    pub(super) speech: bool,
    /// Maximum time that frames may wait for their packet.
    pub(super) patience: Duration,
}

/// What to send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Decision {
    /// Codec choice for voice.
    pub(super) voice: Choice,
    /// Codec choice for other audio: Opus.
    pub(super) other: Choice,
    /// Whether the audio is voice now.
    pub(super) speech: bool,
    /// Level of the video.
    pub(super) level: Level,
    /// Bit rate of encoded video, bit/s.
    pub(super) video: f64,
}

impl Decision {
    /// The choice for the current audio.
    pub(super) fn audio(self) -> Choice {
        if self.speech { self.voice } else { self.other }
    }
}

/// The decision state of one trunk.
pub(super) struct Ladder {
    controller: Controller,
    video: Option<VideoNeeds>,
    level: Level,
    /// Since when the bandwidth suffices for a better level.
    enough: Option<Instant>,
    /// Since when the bandwidth is too small for the current level.
    short: Option<Instant>,
    /// When video was stopped, and the pause before the next try.
    stopped: Option<Instant>,
    retry: Duration,
    /// When video was last tried again.
    tried: Option<Instant>,
}

impl Ladder {
    /// A ladder for a trunk with this video, if any.
    pub(super) fn new(video: Option<VideoNeeds>) -> Self {
        let level = if video.is_some() { Level::Full } else { Level::Off };
        Self {
            controller: Controller::new(),
            video,
            level,
            enough: None,
            short: None,
            stopped: None,
            retry: RETRY_PAUSE,
            tried: None,
        }
    }

    /// Notes that the AIC-A engine failed, here or at the other end.
    pub(super) fn engine_failed(&mut self, now: Instant) {
        self.controller.engine_failed(now);
    }

    /// Sets the bit rate of video that is not encoded here.
    pub(super) fn set_wanted(&mut self, wanted: f64) {
        if let Some(video) = &mut self.video {
            video.wanted = wanted;
        }
    }

    /// Decides what to send from now on.
    pub(super) fn decide(&mut self, path: &Path, now: Instant) -> Decision {
        let Path { loss, voice, speech, patience, .. } = *path;
        let bandwidth = self.audio(path.bandwidth, voice && !self.controller.rests(now));
        let measured = Measured { bandwidth, loss, voice, patience };
        let voice = self.controller.decide(&measured, now);
        let other = controller::other(self.audio(path.bandwidth, false), patience);
        let mut decision = Decision { voice, other, speech, level: Level::Off, video: 0.0 };
        if let Some(video) = self.video {
            let rest = (path.bandwidth * USABLE_BANDWIDTH_RATIO - decision.audio().wire()).max(0.0);
            let enough = (video.wanted * RETRY_BANDWIDTH_RATIO_MIN).min(RETRY_BANDWIDTH_BPS_MIN);
            let seen = path.bandwidth * USABLE_BANDWIDTH_RATIO >= enough;
            let may_try = video.encoded || (seen && loss < RETRY_LOSS_RATIO_MAX);
            self.step(video, rest, (loss, may_try), now);
            (decision.level, decision.video) = (self.level, rest.min(video.wanted));
        }
        decision
    }

    /// The bandwidth that audio may use, with AIC-A or without.
    fn audio(&self, bandwidth: f64, by_aic: bool) -> f64 {
        match self.video {
            // Video that does not fit and cannot be reduced leaves everything to audio.
            Some(video) if !video.encoded && self.level == Level::Off => bandwidth,
            Some(_) => {
                let first = AUDIO_FIRST_BPS[usize::from(!by_aic)];
                (bandwidth * AUDIO_BANDWIDTH_RATIO).max(bandwidth.min(first))
            }
            None => bandwidth,
        }
    }

    fn step(&mut self, video: VideoNeeds, rest: f64, (loss, may_try): (f64, bool), now: Instant) {
        let fits = video.best(rest);
        if fits < self.level {
            self.enough = None;
            let since = *self.short.get_or_insert(now);
            let failed = self.tried.is_some() && loss > RETRY_LOSS_RATIO_MAX;
            let patience = match loss {
                _ if video.encoded || failed => Duration::ZERO,
                loss if loss > HARMFUL_LOSS_RATIO => HARMFUL_LOSS_TIME_MAX,
                _ => BURST_TIME,
            };
            if now.saturating_duration_since(since) >= patience {
                self.fall(fits, now);
            }
            return;
        }
        self.short = None;
        if self.tried.is_some_and(|at| now.saturating_duration_since(at) > RETRY_PAUSE) {
            (self.tried, self.retry) = (None, RETRY_PAUSE);
        }
        if self.level == Level::Off && may_try && self.is_time_to_try(now) {
            self.rise(if video.encoded { Level::Stills } else { Level::Full });
            self.tried = Some(now);
            return;
        }
        if video.best(rest / STEP_UP_HEADROOM_FACTOR) <= self.level {
            self.enough = None;
            return;
        }
        let since = *self.enough.get_or_insert(now);
        if now.saturating_duration_since(since) >= UP_AFTER {
            self.rise(video.best(rest / STEP_UP_HEADROOM_FACTOR));
        }
    }

    fn fall(&mut self, to: Level, now: Instant) {
        if to == Level::Off {
            let failed = self.tried.take().is_some();
            self.retry = if failed { (self.retry * 2).min(RETRY_PAUSE_MAX) } else { RETRY_PAUSE };
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

impl VideoNeeds {
    /// The best level for the bandwidth `rest`, bit/s.
    fn best(self, rest: f64) -> Level {
        if !self.encoded {
            return if rest >= self.wanted { Level::Full } else { Level::Off };
        }
        let fits = |(_, least): &&(Level, f64)| rest >= least.min(self.wanted);
        LEVELS.iter().find(fits).map_or(Level::Off, |(level, _)| *level)
    }
}

#[cfg(test)]
mod tests;
