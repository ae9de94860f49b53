//! Steps of the wall clock, so that ages count time that has really passed. Pure.
//!
//! Files carry the wall-clock time at which they were written. When that clock is set, by hand, by
//! NTP or after its battery died, everything written before looks older or younger than it is. The
//! boot clock cannot be set: if the two do not advance alike, there was a step.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Smaller differences are no step, in ms: the clocks are read one after the other.
const STEP_MIN_MS: i64 = 30_000;

/// Between two boots it is unknown whether the machine was off or its clock was set: at most this
/// much, in ms, counts as time that passed, the rest as a step.
const OFF_MAX_MS: i64 = 3_600_000;

/// How long nothing counts as old after a step, in ms: an admin has time to look.
const HOLD_MS: i64 = 3_600_000;

/// Most steps kept. Without the older steps, ages that reach back beyond them are off by their
/// size.
const STEPS_MAX: usize = 64;

/// Both clocks at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Identifier of the machine's boot.
    pub boot: String,
    /// Time since that boot, suspended time included, in ms.
    pub since_boot_ms: i64,
    /// Wall-clock time, in ms since 1970.
    pub wall_ms: i64,
}

/// A step: the wall clock was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Wall-clock time before the step, in ms since 1970.
    pub before_ms: i64,
    /// Wall-clock time after the step at the same moment, in ms since 1970.
    pub after_ms: i64,
    /// When the step was detected.
    pub seen: Reading,
}

impl Step {
    /// Size of the step, in ms; negative if the clock was set back.
    pub fn by_ms(&self) -> i64 {
        self.after_ms.saturating_sub(self.before_ms)
    }
}

/// All known steps, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Steps {
    last: Option<Reading>,
    steps: Vec<Step>,
}

impl Steps {
    /// No steps and no reading yet.
    pub const fn new() -> Self {
        Self { last: None, steps: Vec::new() }
    }

    /// Records a reading; returns the step since the previous reading, if any.
    pub fn observe(&mut self, now: Reading) -> Option<&Step> {
        let last = self.last.replace(now.clone())?;
        let passed = match last.boot == now.boot {
            true => now.since_boot_ms - last.since_boot_ms,
            false => now.wall_ms.saturating_sub(last.wall_ms).clamp(0, OFF_MAX_MS),
        };
        let before_ms = last.wall_ms.saturating_add(passed);
        if now.wall_ms.abs_diff(before_ms) < STEP_MIN_MS.unsigned_abs() {
            return None;
        }
        if self.steps.len() >= STEPS_MAX {
            self.steps.remove(0);
        }
        self.steps.push(Step { before_ms, after_ms: now.wall_ms, seen: now });
        self.steps.last()
    }

    /// The newest step.
    pub fn newest(&self) -> Option<&Step> {
        self.steps.last()
    }

    /// Whether ages can be relied on: no step was seen within the last hour of this boot.
    pub fn settled(&self, now: &Reading) -> bool {
        self.newest().is_none_or(|step| {
            step.seen.boot != now.boot || now.since_boot_ms - step.seen.since_boot_ms >= HOLD_MS
        })
    }

    /// Wall-clock time, in ms since 1970 and as the clock showed it then: what was written before
    /// it is older than `age`. `None` within an hour after a step.
    ///
    /// After a clock was set back, two moments share one time; the younger one counts, so that
    /// nothing seems older than it is.
    pub fn written(&self, age: Duration, now: &Reading) -> Option<i64> {
        if !self.settled(now) {
            return None;
        }
        let mut left = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let (mut end, mut cutoff) = (now.wall_ms, i64::MAX);
        // Walks back in time from step to step; between two steps the clock ran evenly.
        for step in self.steps.iter().rev() {
            let length = end.saturating_sub(step.after_ms).max(0);
            if left < length {
                break;
            }
            left -= length;
            // Everything after the step is younger, even if an earlier moment shares its time.
            cutoff = cutoff.min(step.after_ms);
            end = step.before_ms;
        }
        Some(cutoff.min(end.saturating_sub(left)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const YEAR: i64 = 365 * 24 * HOUR;

    /// A machine whose clocks are moved by hand.
    struct Machine {
        now: Reading,
        steps: Steps,
    }

    impl Machine {
        fn new() -> Self {
            let now = Reading { boot: "0".into(), since_boot_ms: 0, wall_ms: 50 * YEAR };
            let mut machine = Self { now, steps: Steps::default() };
            machine.look();
            machine
        }

        fn look(&mut self) {
            self.steps.observe(self.now.clone());
        }

        /// Time passes; the clocks are read each minute.
        fn pass(&mut self, hours: i64) {
            for _ in 0..hours * 60 {
                self.now.since_boot_ms += HOUR / 60;
                self.now.wall_ms += HOUR / 60;
                self.look();
            }
        }

        fn set(&mut self, by_ms: i64) {
            self.now.wall_ms += by_ms;
            self.look();
        }

        fn reboot(&mut self, wall_ms: i64) {
            let boot = self.now.boot.clone() + "'";
            self.now = Reading { boot, since_boot_ms: 5000, wall_ms };
            self.look();
        }

        /// Whether something written at this wall-clock time is older than `hours`; `None` if that
        /// is undecided.
        fn is_older(&self, written_ms: i64, hours: i64) -> Option<bool> {
            let age = Duration::from_secs(hours.unsigned_abs() * 3600);
            Some(written_ms < self.steps.written(age, &self.now)?)
        }
    }

    #[test]
    fn without_steps_an_age_is_a_difference() {
        let mut machine = Machine::new();
        let written = machine.now.wall_ms;
        machine.pass(10);
        assert_eq!(machine.is_older(written, 9), Some(true));
        assert_eq!(machine.is_older(written, 11), Some(false));
        assert_eq!(machine.steps, Steps { last: Some(machine.now.clone()), steps: Vec::new() });
    }

    #[test]
    fn a_clock_that_jumps_ahead_makes_nothing_old() {
        for by in [HOUR, 24 * HOUR, 10 * YEAR] {
            let mut machine = Machine::new();
            let written = machine.now.wall_ms;
            machine.pass(3);
            machine.set(by);
            assert_eq!(machine.is_older(written, 1), None, "nothing is said for an hour");
            let after = machine.now.wall_ms;
            machine.pass(2);
            assert_eq!(machine.is_older(written, 4), Some(true), "it is five hours old, by {by}");
            assert_eq!(machine.is_older(written, 6), Some(false), "it is five hours old, by {by}");
            assert_eq!(machine.is_older(after, 1), Some(true));
            assert_eq!(machine.is_older(after, 3), Some(false));
        }
    }

    #[test]
    fn a_clock_that_jumps_there_and_back_makes_nothing_old() {
        let mut machine = Machine::new();
        let written = machine.now.wall_ms;
        machine.pass(3);
        machine.set(10 * YEAR);
        machine.pass(1);
        machine.set(-10 * YEAR);
        machine.pass(2);
        assert_eq!(machine.is_older(written, 5), Some(true), "it is six hours old");
        assert_eq!(machine.is_older(written, 7), Some(false));
    }

    #[test]
    fn a_clock_that_was_set_back_never_makes_things_older() {
        let mut machine = Machine::new();
        let written = machine.now.wall_ms;
        machine.pass(30);
        machine.set(-10 * HOUR);
        let late = machine.now.wall_ms;
        machine.pass(5);
        assert_eq!(machine.is_older(written, 36), Some(false), "it is 35 hours old");
        assert_eq!(machine.is_older(written, 34), Some(true));
        assert_eq!(machine.is_older(late, 6), Some(false), "it is five hours old");
        assert_eq!(machine.is_older(late, 4), Some(true));
    }

    #[test]
    fn a_machine_that_was_off_or_whose_battery_died_deletes_nothing_for_it() {
        let mut machine = Machine::new();
        let written = machine.now.wall_ms;
        machine.pass(3);
        machine.reboot(machine.now.wall_ms + 60_000);
        assert_eq!(machine.is_older(written, 4), Some(false), "a reboot is no step");
        machine.reboot(machine.now.wall_ms + 5 * YEAR);
        assert_eq!(machine.is_older(written, 1), None);
        machine.pass(2);
        assert_eq!(
            machine.is_older(written, 7),
            Some(false),
            "three, two, and one for the time off"
        );
        assert_eq!(machine.is_older(written, 5), Some(true));
        machine.reboot(0);
        machine.pass(2);
        assert_eq!(machine.is_older(written, 9), Some(false), "1970 makes nothing old either");
    }

    #[test]
    fn what_is_kept_on_disk_reads_back_and_holds_a_bounded_number() {
        let mut machine = Machine::new();
        for _ in 0..200 {
            machine.set(HOUR);
        }
        assert_eq!(machine.steps.steps.len(), STEPS_MAX);
        let text = serde_json::to_string(&machine.steps).expect("JSON");
        assert_eq!(serde_json::from_str::<Steps>(&text).expect("reads"), machine.steps);
        assert_eq!(serde_json::from_str::<Steps>("{}").expect("reads"), Steps::default());
    }
}
