//! How long a stream waits for the engine: so long per frame, or, as files can, as long as it takes.

use std::time::Duration;

use super::engine::Codec;

/// How long a file waits: for the engine to start, and for each frame.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// How the engine is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Longest wait per frame.
    pub deadline: Duration,
    /// Wait as long as it takes, as files can.
    pub wait: bool,
}

impl Default for Patience {
    fn default() -> Self {
        Self { deadline: Duration::from_millis(40), wait: false }
    }
}

impl Patience {
    /// Longest wait for the next frame. Who may wait lets the engine start before the first one, which
    /// `waited` remembers.
    pub(super) fn limit(self, codec: &Codec, waited: &mut bool) -> Duration {
        if !self.wait {
            return self.deadline;
        }
        if !std::mem::replace(waited, true) {
            // What is wrong shows with the frame.
            let _ = codec.wait(WAIT_MAX);
        }
        WAIT_MAX
    }
}
