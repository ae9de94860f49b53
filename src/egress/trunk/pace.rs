//! Evens out audio. Transport streams deliver it in bursts of a quarter of a second, and the
//! shorter jitter buffer of the other end would treat late packets as lost.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use gst::prelude::*;

use crate::flow;
use crate::media::IgnorePoison;

/// Tolerated unevenness: jitter buffers absorb this much.
const UNEVENNESS_TOLERATED: Duration = Duration::from_millis(60);

/// Maximum holding time: audio that is later is not a burst; its source had stalled.
const HELD_MAX: Duration = Duration::from_millis(500);

/// The maximum lateness is remembered for one to two of these windows: speech pauses recur, and
/// FFmpeg sends their few bytes even later.
const LATENESS_WINDOW: Duration = Duration::from_secs(60);

/// How long after its time audio is sent, so that the latest packet of the window is still in
/// order. Pure: callers pass in the lateness of each buffer and `now`.
#[derive(Debug)]
struct Pace {
    since: Instant,
    /// Maximum lateness in the current and the previous window.
    latest: [Duration; 2],
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self { since: now, latest: [Duration::ZERO; 2] }
    }

    /// Takes the lateness of an audio buffer. Returns how long after its time all audio is sent.
    fn held(&mut self, late: Duration, now: Instant) -> Duration {
        if now.saturating_duration_since(self.since) >= LATENESS_WINDOW {
            self.latest = [Duration::ZERO, self.latest[0]];
            self.since = now;
        }
        if late <= HELD_MAX + UNEVENNESS_TOLERATED {
            self.latest[0] = self.latest[0].max(late);
        }
        self.latest[0].max(self.latest[1]).saturating_sub(UNEVENNESS_TOLERATED)
    }
}

/// Sets the delay of a `clocksync` from the lateness of the audio that reaches it.
pub(super) fn attach(clocksync: &gst::Element) {
    let Some(pad) = clocksync.static_pad("sink") else { return };
    let pace = Mutex::new(Pace::new(Instant::now()));
    let element = clocksync.downgrade();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let due = info.buffer().and_then(|buffer| buffer.pts());
        if let (Some(due), Some(clocksync)) = (due, element.upgrade()) {
            let late = Duration::from_nanos(flow::now().saturating_sub(due).nseconds());
            let mut pace = pace.lock().ignore_poison();
            let held = pace.held(late, Instant::now());
            clocksync.set_property("ts-offset", i64::try_from(held.as_nanos()).unwrap_or(0));
        }
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_are_spread_and_even_sound_is_not_held() {
        let start = Instant::now();
        let check = |lates: &[u64], expect: u64| {
            let mut pace = Pace::new(start);
            let held = lates.iter().enumerate().map(|(at, late)| {
                let now = start + Duration::from_millis(at as u64 * 20);
                pace.held(Duration::from_millis(*late), now)
            });
            assert_eq!(held.last(), Some(Duration::from_millis(expect)), "{lates:?}");
        };
        check(&[5, 12, 30, 8], 0);
        check(&[230, 210, 190, 20, 0], 170);
        // A source that stalled and resumed is not a burst.
        check(&[40, 3_000, 2_900, 30], 0);
    }

    #[test]
    fn a_burst_is_forgotten() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let (burst, even) = (Duration::from_millis(300), Duration::from_millis(10));
        let mut pace = Pace::new(start);
        assert_eq!(pace.held(burst, start), Duration::from_millis(240));
        assert_eq!(pace.held(even, at(61)), Duration::from_millis(240));
        assert_eq!(pace.held(even, at(122)), Duration::ZERO);
    }
}
