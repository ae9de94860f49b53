//! Checks whether media arrives at the pace at which it plays.

use std::time::Duration;

/// Media further ahead of real time than this is not live: a file is sent without `-re`. An encoder
/// that was held up sends late, never ahead.
const AHEAD_MAX: Duration = Duration::from_secs(10);

/// The same limit at the end, which detects shorter files.
const AHEAD_AT_END_MAX: Duration = Duration::from_secs(3);

/// What stayed for less than this sent a piece of a file when it was ahead by more than this: much of
/// a file that is sent at once is lost on the way, and the rest is short.
const SHORT_STAY: Duration = Duration::from_secs(1);

/// A longer step, in ms, is a jump of the clock, not media.
const STEP_MAX_MS: i64 = 1000;

/// A step back further than this, in ms, begins a new time base.
const BACK_MAX_MS: i64 = 1000;

/// Compares the duration of received media with the time that it took.
#[derive(Debug, Default)]
pub struct Pace {
    /// When the first piece arrived.
    since: Option<Duration>,
    /// When the last piece arrived.
    now: Duration,
    /// The latest media time, in milliseconds.
    latest_ms: Option<i64>,
    media: Duration,
    told: bool,
}

impl Pace {
    /// Records the media time of a piece that arrived at `now`, by any monotonic clock. Returns a
    /// text, once, if media arrives too fast.
    pub fn follow(&mut self, media_ms: i64, now: Duration) -> Option<String> {
        let since = *self.since.get_or_insert(now);
        self.now = now;
        let step = self.latest_ms.map_or(0, |latest| media_ms - latest);
        if (1..=STEP_MAX_MS).contains(&step) {
            self.media += Duration::from_millis(step.unsigned_abs());
        }
        if self.latest_ms.is_none() || !(-BACK_MAX_MS..=0).contains(&step) {
            self.latest_ms = Some(media_ms);
        }
        let ahead = self.media.saturating_sub(now - since);
        (!self.told && ahead > AHEAD_MAX).then(|| {
            self.told = true;
            self.words()
        })
    }

    /// At the end of the media: a text if it arrived too fast.
    pub fn at_end(&self) -> Option<String> {
        let took = self.now - self.since?;
        let ahead = self.media.saturating_sub(took);
        let ahead_max = if took < SHORT_STAY { SHORT_STAY } else { AHEAD_AT_END_MAX };
        (self.told || ahead > ahead_max).then(|| self.words())
    }

    fn words(&self) -> String {
        let took = self.now - self.since.unwrap_or(self.now);
        format!(
            "it sends faster than its media plays: {:.0} s of it came in {:.1} s",
            self.media.as_secs_f64(),
            took.as_secs_f64()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `seconds` of media at `speed` times its pace.
    fn send(
        pace: &mut Pace,
        from_ms: i64,
        seconds: i64,
        speed: f64,
        late_s: f64,
    ) -> Option<String> {
        let piece = |n: i64| {
            let now = Duration::from_secs_f64(late_s + n as f64 * 0.02 / speed);
            pace.follow(from_ms + n * 20, now)
        };
        (0..seconds * 50).filter_map(piece).next()
    }

    #[test]
    fn a_file_without_re_is_told_once() {
        let mut pace = Pace::default();
        let told = send(&mut pace, 1 << 30, 60, 40.0, 100.0).expect("too fast");
        assert!(told.contains("faster than its media plays: 10 s of it came in 0.3 s"), "{told}");
        assert!(pace.at_end().is_some());
        assert_eq!(send(&mut pace, (1 << 30) + 60_000, 60, 40.0, 102.0), None, "only once");
    }

    #[test]
    fn a_short_clip_is_known_at_its_end() {
        let mut pace = Pace::default();
        assert_eq!(send(&mut pace, 0, 5, 20.0, 0.0), None);
        assert!(pace.at_end().expect("too fast").contains("5 s of it came in 0.2 s"));
        let mut rest = Pace::default();
        assert_eq!(send(&mut rest, 0, 2, 20.0, 0.0), None);
        assert!(rest.at_end().is_some(), "what was left of one that was sent at once");
        let mut brief = Pace::default();
        assert_eq!(send(&mut brief, 0, 2, 1.0, 0.0), None);
        assert_eq!(brief.at_end(), None, "a short visit");
    }

    #[test]
    fn live_media_is_never_too_fast() {
        let mut pace = Pace::default();
        assert_eq!(send(&mut pace, 0, 600, 1.0005, 0.0), None, "a fast crystal");
        assert_eq!(send(&mut pace, 600_000, 60, 50.0, 660.0), None, "held up for a minute");
        assert_eq!(send(&mut pace, 86_400_000, 20, 1.0, 662.0), None, "a jump of a day");
        assert_eq!(send(&mut pace, 0, 20, 1.0, 682.0), None, "and back");
        assert_eq!(pace.at_end(), None);
        assert_eq!(Pace::default().at_end(), None);
    }
}
