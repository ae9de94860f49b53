//! Archives every committed cue, for search.

use std::sync::Arc;

use crate::flow::{CaptionFeeds, Error, Task};
use crate::media::{Accepts, Captions, Cue, StreamName};

/// Stores cues. Implementations must not block the caller.
pub trait CueSink: Send + Sync + 'static {
    /// Stores a committed cue of a stream for `days` days; 0 keeps it forever.
    fn keep(&self, stream: &StreamName, cue: &Cue, days: u32);
}

/// Accepts captions, but no media.
pub fn accepts() -> Accepts {
    Accepts::default().with_captions(Captions { text: true, embedded: false })
}

/// Passes every committed cue of a stream to the cue sink until the task is cancelled, once if it
/// comes on two feeds. Reports `kept`.
///
/// # Errors
/// None: the store reports its own errors.
pub async fn run(
    task: Task,
    stream: StreamName,
    captions: CaptionFeeds,
    cue_sink: Arc<dyn CueSink>,
    days: u32,
) -> Result<(), Error> {
    let mut cues = captions.read();
    let mut kept = 0_u64;
    task.status.set_running();
    loop {
        tokio::select! {
            () = task.cancel.cancelled() => return Ok(()),
            (feed, cue) = cues.next() => {
                if cue.is_committed() && !captions.repeat(&feed, &cue) {
                    cue_sink.keep(&stream, &cue, days);
                    kept += 1;
                    task.status.set("kept", kept);
                }
            }
        }
    }
}
