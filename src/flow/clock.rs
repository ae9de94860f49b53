//! One clock and one base time for every pipeline, so that a running time means the same in all.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gst::prelude::*;

struct Shared {
    clock: gst::Clock,
    base: gst::ClockTime,
    /// Wall-clock time at which running time was zero.
    epoch: Duration,
}

static SHARED: OnceLock<Shared> = OnceLock::new();

/// Initialises GStreamer and our elements. Call it first; more calls are free.
///
/// # Errors
/// When GStreamer itself cannot start.
pub fn init() -> Result<(), gst::glib::Error> {
    gst::init()?;
    if let Err(error) = crate::elements::register() {
        tracing::error!(%error, "GStreamer refuses our elements");
    }
    shared();
    Ok(())
}

fn shared() -> &'static Shared {
    SHARED.get_or_init(|| {
        let clock = gst::SystemClock::obtain();
        let base = clock.time();
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Shared { clock, base, epoch }
    })
}

/// Running time now: how long the shared clock has been going.
pub fn now() -> gst::ClockTime {
    let shared = shared();
    shared.clock.time().saturating_sub(shared.base)
}

/// Wall-clock time (since the Unix epoch) of a running time.
pub fn wall_clock(running: gst::ClockTime) -> Duration {
    shared().epoch + Duration::from_nanos(running.nseconds())
}

/// Puts a pipeline on the shared clock and base time.
pub(super) fn share(pipeline: &gst::Pipeline) {
    let shared = shared();
    pipeline.use_clock(Some(&shared.clock));
    pipeline.set_start_time(gst::ClockTime::NONE);
    pipeline.set_base_time(shared.base);
}
