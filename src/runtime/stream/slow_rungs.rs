//! Which rungs of the ladder this machine is too slow for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::media::{Backoff, Codec, Rung};
use crate::runtime::RefusedRung;

/// Time over which the frames of a rung are counted against those of the source.
const COUNT_WINDOW: Duration = Duration::from_secs(10);

/// Share of the source's frames below which a rung is not encoded in real time.
const REAL_TIME_RATIO_MIN: f64 = 0.9;

/// Least frames of the source in a window, so that the share says something.
const COUNTED_FRAMES_MIN: u64 = 50;

/// How long a rung is refused; a rung that is encoded for ten minutes without delay is trusted again.
const REFUSAL: Backoff =
    Backoff::new(Duration::from_secs(60), Duration::from_secs(3600), Duration::from_secs(600));

/// What a rung has been given and has made so far, in frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frames {
    pub(super) source: u64,
    pub(super) encoded: u64,
}

/// By height and codec: a rung is encoded once for each. Pure: callers pass in the time.
#[derive(Debug, Default)]
pub(super) struct SlowRungs(BTreeMap<(u32, Codec), Pace>);

#[derive(Debug)]
struct Pace {
    /// Where the current window began; `None` while the rung is not encoded.
    window: Option<(Instant, Frames)>,
    /// Since when it is encoded.
    since: Instant,
    /// Until when it is refused, and the share of frames that was the reason.
    refused: Option<(Instant, f64)>,
    refusal: Backoff,
}

impl SlowRungs {
    /// Takes the frames of all rungs that are encoded now. Of those that are late the largest is
    /// refused, which may leave time for the others; returns it with its share of frames.
    pub(super) fn observe(
        &mut self,
        now: Instant,
        encoded: &[(Rung, Codec, Frames)],
    ) -> Option<(Rung, f64)> {
        for (of, pace) in &mut self.0 {
            if encoded.iter().all(|(rung, codec, _)| (rung.height, *codec) != *of) {
                pace.window = None;
            }
        }
        let mut late: Option<(Rung, Codec, f64)> = None;
        for (rung, codec, frames) in encoded {
            // Its encoder is still starting.
            if frames.encoded == 0 {
                continue;
            }
            let fresh = || Pace { window: None, since: now, refused: None, refusal: REFUSAL };
            let pace = self.0.entry((rung.height, *codec)).or_insert_with(fresh);
            if let Some(ratio) = pace.ratio(now, *frames) {
                let larger = late.is_none_or(|(other, ..)| *rung > other);
                late = if larger { Some((*rung, *codec, ratio)) } else { late };
            }
        }
        let (rung, codec, ratio) = late?;
        let pace = self.0.get_mut(&(rung.height, codec))?;
        let pause = pace.refusal.pause(now.saturating_duration_since(pace.since));
        pace.refused = Some((now + pause, ratio));
        Some((rung, ratio))
    }

    /// Whether a rung is not offered.
    pub(super) fn refuses(&self, now: Instant, rung: Rung) -> bool {
        let of_rung = self.0.iter().filter(|((height, _), _)| *height == rung.height);
        of_rung.filter_map(|(_, pace)| pace.refused).any(|(end, _)| now < end)
    }

    /// The rungs that are not offered.
    pub(super) fn refused(&self, now: Instant) -> Vec<RefusedRung> {
        let refused = |((height, _), pace): (&(u32, Codec), &Pace)| {
            let (end, real_time_ratio) = pace.refused.filter(|(end, _)| now < *end)?;
            let retry_s = end.duration_since(now).as_secs();
            Some(RefusedRung { height: *height, real_time_ratio, retry_s })
        };
        self.0.iter().filter_map(refused).collect()
    }
}

impl Pace {
    /// The share of frames at the end of a window, if it is too small.
    fn ratio(&mut self, now: Instant, frames: Frames) -> Option<f64> {
        let Some((began, before)) = self.window else {
            self.window = Some((now, frames));
            self.since = now;
            return None;
        };
        if now.saturating_duration_since(began) < COUNT_WINDOW {
            return None;
        }
        self.window = Some((now, frames));
        let source = frames.source.saturating_sub(before.source);
        let encoded = frames.encoded.saturating_sub(before.encoded);
        let ratio = encoded as f64 / source.max(1) as f64;
        (source >= COUNTED_FRAMES_MIN && ratio < REAL_TIME_RATIO_MIN).then_some(ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rung(height: u32) -> Rung {
        Rung { height, kbps: None }
    }

    /// Frames after some seconds of 30 frames, of which this many are encoded.
    fn after(seconds: u32, fps: u32) -> Frames {
        Frames { source: u64::from(30 * seconds), encoded: u64::from(1 + fps * seconds) }
    }

    #[test]
    fn the_largest_of_the_late_is_refused_and_tried_again() {
        let (mut slow, start) = (SlowRungs::default(), Instant::now());
        let mut refused = Vec::new();
        for second in 0..=10 {
            let now = start + second * SECOND;
            let all = [
                (rung(1080), Codec::H264, after(second, 30)),
                (rung(720), Codec::H264, after(second, 15)),
                (rung(480), Codec::H264, after(second, 26)),
            ];
            refused.extend(slow.observe(now, &all));
        }
        assert_eq!(refused, [(rung(720), 0.5)], "1080p keeps up, and 480p may recover");
        let later = start + 11 * SECOND;
        assert!(slow.refuses(later, rung(720)) && !slow.refuses(later, rung(480)));
        let expect = RefusedRung { height: 720, real_time_ratio: 0.5, retry_s: 59 };
        assert_eq!(slow.refused(later), [expect]);
        // It is tried again after a minute, and then refused for two.
        assert!(!slow.refuses(start + 71 * SECOND, rung(720)));
        for second in 71..=82 {
            slow.observe(start + second * SECOND, &[(rung(720), Codec::H264, after(second, 15))]);
        }
        assert!(slow.refuses(start + 190 * SECOND, rung(720)));
    }

    #[test]
    fn a_start_a_pause_and_a_silent_source_are_no_delay() {
        let (mut slow, start) = (SlowRungs::default(), Instant::now());
        for second in 0..60 {
            let now = start + second * SECOND;
            // The encoder starts after eight seconds and is taken away between 30 and 40.
            let frames = Frames {
                source: u64::from(30 * second),
                encoded: u64::from(30 * second.saturating_sub(8)),
            };
            let all = [(rung(720), Codec::H264, frames)];
            let of = if (30..40).contains(&second) { &[][..] } else { &all[..] };
            assert_eq!(slow.observe(now, of), None, "{second}");
        }
        for second in 60..90 {
            let frames = Frames { source: 1800, encoded: 1560 };
            assert_eq!(
                slow.observe(start + second * SECOND, &[(rung(720), Codec::H264, frames)]),
                None
            );
        }
    }

    #[test]
    fn two_codecs_of_one_rung_are_counted_apart() {
        let (mut slow, start) = (SlowRungs::default(), Instant::now());
        let later = Frames { source: 0, encoded: 9000 };
        for second in 0..60 {
            let now = start + second * SECOND;
            let frames = after(second, 30);
            let older = Frames { source: frames.source, encoded: later.encoded + frames.encoded };
            let all = [(rung(480), Codec::H264, older), (rung(480), Codec::Vp8, frames)];
            // The viewers of one leave.
            let of = if second < 25 { &all[..] } else { &all[1..] };
            assert_eq!(slow.observe(now, of), None, "{second}");
        }
    }
}
