//! Decides which recordings to delete: by age, by size limit, for free space. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Settings;

/// A finished recording, as the policy sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// File name without extension; names sort by start time.
    pub(super) name: String,
    /// Size in bytes.
    pub(super) bytes: u64,
    /// When it was last written, in ms since 1970.
    pub(super) written_ms: i64,
}

/// Space used and available.
#[derive(Clone, Copy, Debug)]
pub(super) struct Space {
    /// Bytes of the open recording, which count but are never deleted.
    pub(super) open: u64,
    /// Free bytes of the file system.
    pub(super) free: u64,
}

/// The age limit, and how many recordings it may delete.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ages {
    /// Recordings written before this time are too old, in ms since 1970. `None` deletes none by
    /// age.
    pub(super) cutoff_ms: Option<i64>,
    /// Maximum number of recordings to delete by age now.
    pub(super) count_max: usize,
}

/// Recordings deleted by age within the last hour. Even if a clock is wrong, most recordings stay
/// for hours, in which an admin can notice.
#[derive(Debug, Default)]
pub(super) struct Pace(VecDeque<Instant>);

impl Pace {
    /// How many may still be deleted by age: within an hour as many as were made in it (`fresh`),
    /// plus a quarter of all.
    pub(super) fn count_max(&mut self, now: Instant, all: usize, fresh: usize) -> usize {
        while self.0.front().is_some_and(|at| now.duration_since(*at) >= PACE_PERIOD) {
            self.0.pop_front();
        }
        // Deleted recordings existed when the hour began.
        let share = (all + self.0.len()).div_ceil(4);
        (fresh + share).saturating_sub(self.0.len())
    }

    /// Notes that `count` recordings were deleted by age now.
    pub(super) fn gone(&mut self, now: Instant, count: usize) {
        self.0.extend(std::iter::repeat_n(now, count));
    }
}

/// The hour of [`Pace`].
pub(super) const PACE_PERIOD: Duration = Duration::from_secs(3600);

/// The decision of the policy.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Names of recordings to delete, oldest first.
    pub(super) delete: Vec<String>,
    /// How many of them are deleted by age.
    pub(super) by_age: usize,
    /// How many are too old but stay for now.
    pub(super) over_age: usize,
    /// Less space is free than required, and nothing more may be deleted.
    pub(super) full: bool,
}

/// Decides about the finished recordings of a stream.
pub(super) fn judge(
    mut files: Vec<Kept>,
    space: Space,
    ages: Ages,
    settings: &Settings,
) -> Verdict {
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let cutoff_ms = ages.cutoff_ms.filter(|_| settings.keep_hours > 0).unwrap_or(i64::MIN);
    let bytes_max = u64::from(settings.keep_mib) << 20;
    let free_min = u64::from(settings.keep_free_mib) << 20;
    // Without an age or size limit the admin has not agreed to deletions: a full disk then stops
    // the recorder.
    let rotates = settings.keep_hours > 0 || settings.keep_mib > 0;
    let mut total = space.open + files.iter().map(|f| f.bytes).sum::<u64>();
    let mut free = space.free;
    let (mut delete, mut by_age, mut over_age) = (Vec::new(), 0, 0);
    for file in files {
        let old = file.written_ms < cutoff_ms;
        let goes = old && by_age < ages.count_max;
        let over = settings.keep_mib > 0 && total > bytes_max;
        let tight = rotates && free < free_min;
        over_age += usize::from(old && !(goes || over || tight));
        by_age += usize::from(goes);
        if goes || over || tight {
            total -= file.bytes;
            free = free.saturating_add(file.bytes);
            delete.push(file.name);
        }
    }
    Verdict { delete, by_age, over_age, full: free < free_min }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    const HOUR_MS: i64 = 3_600_000;

    /// Checks with ten recordings of 10 MiB, one per hour, `0` the oldest.
    fn check(settings: Settings, space: Space, expect: &[&str], full: bool) {
        let files = (0..10).rev().map(|n| Kept {
            name: n.to_string(),
            bytes: 10 * MIB,
            written_ms: HOUR_MS * n as i64 + HOUR_MS / 2,
        });
        let now_ms = 10 * HOUR_MS;
        let cutoff_ms = Some(now_ms - HOUR_MS * i64::from(settings.keep_hours));
        let ages = Ages { cutoff_ms, count_max: usize::MAX };
        let verdict = judge(files.collect(), space, ages, &settings);
        assert_eq!((verdict.delete.as_slice(), verdict.full), (&expect.map_owned()[..], full));
    }

    trait MapOwned {
        fn map_owned(&self) -> Vec<String>;
    }

    impl MapOwned for &[&str] {
        fn map_owned(&self) -> Vec<String> {
            self.iter().map(|s| (*s).to_owned()).collect()
        }
    }

    #[test]
    fn the_oldest_go_first_and_only_as_many_as_must() {
        let roomy = Space { open: 0, free: 1000 * MIB };
        let settings = Settings { keep_free_mib: 100, ..Settings::default() };
        check(settings, roomy, &[], false);
        check(Settings { keep_hours: 7, ..settings }, roomy, &["0", "1", "2"], false);
        check(Settings { keep_mib: 80, ..settings }, roomy, &["0", "1"], false);
        let open = Space { open: 15 * MIB, ..roomy };
        check(Settings { keep_mib: 80, ..settings }, open, &["0", "1", "2", "3"], false);
    }

    #[test]
    fn age_alone_takes_only_so_many_and_a_clock_that_was_set_none() {
        let files = || {
            let file = |n| Kept { name: format!("{n}"), bytes: 10 * MIB, written_ms: n };
            (0..7).map(file).collect::<Vec<_>>()
        };
        let settings = Settings { keep_hours: 1, keep_free_mib: 0, ..Settings::default() };
        let space = Space { open: 0, free: 1000 * MIB };
        let check = |cutoff_ms, count_max, delete: usize, over_age| {
            let verdict = judge(files(), space, Ages { cutoff_ms, count_max }, &settings);
            let found = (verdict.delete.len(), verdict.by_age, verdict.over_age);
            assert_eq!(found, (delete, delete, over_age));
        };
        check(Some(1000), 2, 2, 5);
        check(Some(3), 9, 3, 0);
        check(None, 9, 0, 0);
        // A size limit does not depend on clocks.
        let budget = Settings { keep_mib: 30, ..settings };
        let ages = Ages { cutoff_ms: None, count_max: 0 };
        assert_eq!(judge(files(), space, ages, &budget).delete, ["0", "1", "2", "3"]);
    }

    #[test]
    fn what_is_made_goes_as_fast_and_the_rest_a_quarter_an_hour() {
        let t0 = Instant::now();
        let at = |minutes: u64| t0 + Duration::from_secs(60 * minutes);
        let mut pace = Pace::default();
        assert_eq!(pace.count_max(at(0), 7, 0), 2);
        pace.gone(at(0), 2);
        assert_eq!(pace.count_max(at(1), 5, 0), 0);
        assert_eq!(pace.count_max(at(59), 5, 0), 0);
        assert_eq!(pace.count_max(at(60), 5, 0), 2);
        assert_eq!(Pace::default().count_max(at(0), 1, 0), 1, "the last one goes as well");
        // One per minute, kept for an hour: none has to stay longer.
        let mut pace = Pace::default();
        for minute in 60..600 {
            assert!(pace.count_max(at(minute), 61, 60) >= 1, "minute {minute}");
            pace.gone(at(minute), 1);
        }
    }

    #[test]
    fn free_space_is_made_only_where_rotation_was_agreed_to() {
        let tight = Space { open: 0, free: 75 * MIB };
        let settings = Settings { keep_free_mib: 100, ..Settings::default() };
        check(settings, tight, &[], true);
        check(Settings { keep_hours: 100, ..settings }, tight, &["0", "1", "2"], false);
        let hopeless = Space { open: 0, free: 0 };
        let all: Vec<_> = (0..10).map(|n| n.to_string()).collect();
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        let settings = Settings { keep_hours: 100, keep_free_mib: 200, ..settings };
        check(settings, hopeless, &all, true);
    }
}
