//! Wakes the decoder while the sender is silent, so that comfort noise comes by the receiver's clock.

use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::media::IgnorePoison;

/// How often a silence that cannot be filled now is looked at again.
const RETRY_TIME: Duration = Duration::from_millis(100);

/// When frames are heard: `None` before it is known.
#[derive(Default)]
pub(super) struct Timing {
    pub(super) segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    /// That of the pipeline, if it is live.
    pub(super) latency: Option<gst::ClockTime>,
    pub(super) is_live: bool,
}

/// What one look at the decoder found.
pub(super) enum Look {
    /// There is no silence: the next packet tells.
    Sound,
    /// The next frame is due then.
    Due(Duration),
    /// It cannot be filled: there is no clock, or downstream takes nothing.
    Never,
    /// The decoder is gone.
    Gone,
}

#[derive(Default)]
struct Signal {
    stopped: bool,
    looked_for: bool,
}

/// A thread that looks at a decoder.
pub(super) struct SilenceClock {
    signal: Arc<(Mutex<Signal>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl SilenceClock {
    /// Starts the thread; `look` fills what is due.
    pub(super) fn start(mut look: impl FnMut() -> Look + Send + 'static) -> std::io::Result<Self> {
        let signal = Arc::new((Mutex::new(Signal::default()), Condvar::new()));
        let told = Arc::clone(&signal);
        let run = move || {
            let (signal, changed) = &*told;
            loop {
                let longest = match look() {
                    Look::Gone => return,
                    Look::Due(time) => Some(time),
                    Look::Never => Some(RETRY_TIME),
                    Look::Sound => None,
                };
                let mut now = signal.lock().ignore_poison();
                let waits = |now: &mut Signal| !now.stopped && !now.looked_for;
                now = match longest {
                    Some(longest) => {
                        changed.wait_timeout_while(now, longest, waits).ignore_poison().0
                    }
                    None => changed.wait_while(now, waits).ignore_poison(),
                };
                if now.stopped {
                    return;
                }
                now.looked_for = false;
            }
        };
        let thread = std::thread::Builder::new().name("aic-silence".into()).spawn(run)?;
        Ok(Self { signal, thread: Some(thread) })
    }

    /// A silence has begun: it is looked at now.
    pub(super) fn wake(&self) {
        self.signal.0.lock().ignore_poison().looked_for = true;
        self.signal.1.notify_one();
    }

    /// Tells the thread to end, without waiting for it.
    pub(super) fn stop(&self) {
        self.signal.0.lock().ignore_poison().stopped = true;
        self.signal.1.notify_one();
    }
}

impl Drop for SilenceClock {
    fn drop(&mut self) {
        self.stop();
        let thread = self.thread.take().filter(|t| t.thread().id() != std::thread::current().id());
        // A panic in it was reported where it happened.
        let _ = thread.map(JoinHandle::join);
    }
}
