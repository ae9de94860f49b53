//! Mapping a source's own timestamps onto the appliance's clock.

use std::time::Duration;

/// How far a source may run ahead of or behind the clock. More than this is drift that has added
/// up, or a jump, and the time base is set anew.
const DRIFT_MAX: Duration = Duration::from_millis(1500);

/// Maps timestamps of one publisher, which start anywhere and may jump or run backwards, onto
/// running time of the shared clock. One timeline serves all tracks of a publisher, so that what
/// was together stays together.
#[derive(Debug, Default)]
pub struct Timeline {
    /// Running time minus source time, once known. Nanoseconds; may be negative.
    offset_ns: Option<i128>,
}

/// Where a timestamp falls on the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Running time of the sample.
    pub at: Duration,
    /// Whether the time base was set anew here: what follows does not continue what came before.
    pub jumped: bool,
}

impl Timeline {
    /// Maps `source` (the publisher's decode time), received at `now` (running time).
    ///
    /// The first sample is placed at `now`. Later ones keep their distance from it, until the
    /// publisher's clock has left ours by more than 1.5 s, slowly or by a jump: then the time base
    /// is set anew at `now`.
    pub fn map(&mut self, source: Duration, now: Duration) -> Mapped {
        let source_ns = i128::try_from(source.as_nanos()).unwrap_or(i128::MAX / 2);
        let now_ns = i128::try_from(now.as_nanos()).unwrap_or(i128::MAX / 2);
        let fresh = now_ns - source_ns;
        let jumped = match self.offset_ns {
            None => true,
            Some(offset) => (fresh - offset).unsigned_abs() > DRIFT_MAX.as_nanos(),
        };
        if jumped {
            self.offset_ns = Some(fresh);
        }
        let at = source_ns + self.offset_ns.unwrap_or(fresh);
        let at = u64::try_from(at.max(0)).unwrap_or(u64::MAX);
        Mapped { at: Duration::from_nanos(at), jumped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn keeps_distances_whatever_the_arrival_jitter() {
        let mut timeline = Timeline::default();
        assert_eq!(timeline.map(ms(90_000), ms(500)), Mapped { at: ms(500), jumped: true });
        assert_eq!(timeline.map(ms(90_040), ms(610)), Mapped { at: ms(540), jumped: false });
        assert_eq!(timeline.map(ms(90_020), ms(611)), Mapped { at: ms(520), jumped: false });
    }

    #[test]
    fn a_jump_or_a_step_back_sets_the_base_anew() {
        let mut timeline = Timeline::default();
        timeline.map(ms(10_000), ms(1_000));
        assert_eq!(timeline.map(ms(99_000), ms(1_040)), Mapped { at: ms(1_040), jumped: true });
        assert_eq!(timeline.map(ms(0), ms(1_080)), Mapped { at: ms(1_080), jumped: true });
    }

    #[test]
    fn absurd_timestamps_do_not_overflow() {
        let mut timeline = Timeline::default();
        timeline.map(Duration::MAX, ms(1));
        assert_eq!(timeline.map(ms(5), ms(7)).at, ms(7));
    }
}
