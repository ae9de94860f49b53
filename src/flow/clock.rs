//! One clock and one base time for all pipelines, so that running time means the same in each; and
//! the wall clock, which may be set at any time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gst::prelude::*;
use rustix::time::{ClockId, clock_gettime};

use super::steps::{Reading, Step, Steps};
use crate::media::IgnorePoison;

/// Smaller differences between the wall clock and ours are not followed: reading them takes time.
const FOLLOW_MIN: Duration = Duration::from_millis(50);

/// Both clocks are read again until the readings are less than this apart.
const READINGS_APART_MAX: gst::ClockTime = gst::ClockTime::from_mseconds(5);

struct Shared {
    clock: gst::Clock,
    base: gst::ClockTime,
    /// Wall-clock time at which running time was zero, in ns since 1970, by the current wall clock.
    epoch_ns: AtomicU64,
}

static SHARED: OnceLock<Shared> = OnceLock::new();

static STEPS: Mutex<Steps> = Mutex::new(Steps::new());

/// Starts the clock; GStreamer runs already. More calls are free.
pub fn start_clock() {
    shared();
}

fn shared() -> &'static Shared {
    SHARED.get_or_init(|| {
        let clock = gst::SystemClock::obtain();
        let base = clock.time();
        Shared { clock, base, epoch_ns: AtomicU64::new(nanos(wall())) }
    })
}

/// Running time now: time since the shared base time.
pub fn now() -> gst::ClockTime {
    let shared = shared();
    shared.clock.time().saturating_sub(shared.base)
}

/// Wall-clock time (since the Unix epoch) of a running time, by the current wall clock.
pub fn wall_clock(running: gst::ClockTime) -> Duration {
    Duration::from_nanos(shared().epoch_ns.load(Ordering::Relaxed) + running.nseconds())
}

/// Follows the wall clock if it was set; returns the step, if any. Call it once a second.
pub fn follow_wall_clock() -> Option<Step> {
    let known = Duration::from_nanos(shared().epoch_ns.load(Ordering::Relaxed));
    // If the thread was interrupted between the readings, read again.
    for _ in 0..8 {
        let before = now();
        let wall = wall();
        if now().saturating_sub(before) > READINGS_APART_MAX {
            continue;
        }
        let epoch = wall.saturating_sub(Duration::from_nanos(before.nseconds()));
        if epoch.abs_diff(known) > FOLLOW_MIN {
            shared().epoch_ns.store(nanos(epoch), Ordering::Relaxed);
        }
        break;
    }
    steps().observe(reading()).cloned()
}

/// Restores the steps known when the previous process ended.
pub fn restore_steps(known: Steps) {
    *steps() = known;
}

/// The known steps, to be restored at the next start.
pub fn known_steps() -> Steps {
    steps().clone()
}

/// Whether ages can be relied on: the wall clock was not set within the last hour.
pub fn is_settled() -> bool {
    steps().settled(&reading())
}

/// The wall-clock time, in ms since 1970, at which something of this age was written, with later
/// steps of the clock taken into account. `None` within an hour after a step.
pub fn written_at(age: Duration) -> Option<i64> {
    let now = reading();
    let mut steps = steps();
    // The clock may have been set a moment ago.
    steps.observe(now.clone());
    steps.written(age, &now)
}

fn steps() -> std::sync::MutexGuard<'static, Steps> {
    STEPS.lock().ignore_poison()
}

fn reading() -> Reading {
    static BOOT: OnceLock<String> = OnceLock::new();
    let boot = || std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let since = clock_gettime(ClockId::Boottime);
    Reading {
        boot: BOOT.get_or_init(boot).clone(),
        since_boot_ms: since.tv_sec * 1000 + since.tv_nsec / 1_000_000,
        wall_ms: i64::try_from(wall().as_millis()).unwrap_or(i64::MAX),
    }
}

fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2)
}

/// Puts a pipeline on the shared clock and base time.
pub(super) fn share(pipeline: &gst::Pipeline) {
    let shared = shared();
    pipeline.use_clock(Some(&shared.clock));
    pipeline.set_start_time(gst::ClockTime::NONE);
    pipeline.set_base_time(shared.base);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_told_as_it_is_and_nothing_is_a_step() {
        crate::init().expect("GStreamer");
        let off = |at: Duration| wall().abs_diff(at);
        assert!(off(wall_clock(now())) < Duration::from_secs(1));
        // The next reading corrects a mapping that is ten seconds wrong.
        let right = shared().epoch_ns.load(Ordering::Relaxed);
        shared().epoch_ns.store(right - 10_000_000_000, Ordering::Relaxed);
        follow_wall_clock();
        assert!(off(wall_clock(now())) < Duration::from_secs(1));
        let hour_ago = written_at(Duration::from_secs(3600)).expect("the clock was not set");
        let hour_ago = Duration::from_millis(hour_ago.unsigned_abs());
        assert!(off(hour_ago + Duration::from_secs(3600)) < Duration::from_secs(1));
    }
}
