//! How long a stream waits for the engine: a deadline per frame, or, for files, practically
//! unlimited.

use std::time::Duration;

use super::engine::Codec;

/// How long a file waits for the start of the engine, and for each frame.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The waiting policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineTimeout {
    /// Longest wait per frame.
    pub deadline: Duration,
    /// Waits up to 60 s instead, as for files.
    pub wait: bool,
}

impl Default for EngineTimeout {
    fn default() -> Self {
        Self { deadline: Duration::from_millis(40), wait: false }
    }
}

impl EngineTimeout {
    /// Longest wait for the next frame. With `wait` the engine may first start completely, once;
    /// `waited` remembers it.
    pub(super) fn limit(self, codec: &Codec, waited: &mut bool) -> Duration {
        if !self.wait {
            return self.deadline;
        }
        if !std::mem::replace(waited, true) {
            // An error is reported with the frame.
            let _ = codec.wait(WAIT_MAX);
        }
        WAIT_MAX
    }
}
