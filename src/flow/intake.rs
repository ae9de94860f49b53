//! The place where a publisher writes its media into a stream.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{CaptionFeeds, Tracks};
use crate::media::StreamName;

/// Longest time to drain the pipelines of a publisher that has left.
pub const DRAIN_MAX: Duration = Duration::from_secs(1);

/// A publisher's place in a stream. Its holder may write; dropping it marks the publisher as gone.
pub struct Intake {
    /// The stream that is published.
    pub stream: StreamName,
    /// The writers of its tracks, and what the API shows of it.
    pub tracks: Tracks,
    /// Captions that the publisher brings along. The stream uses them while the publisher is on air
    /// and the stream makes no captions itself.
    pub captions: CaptionFeeds,
    /// Cancelled when the stream wants this publisher gone: replaced, removed or stopped.
    pub cancel: CancellationToken,
    /// Runs when the intake is dropped.
    pub on_drop: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Drop for Intake {
    fn drop(&mut self) {
        if let Some(tell) = self.on_drop.take() {
            tell();
        }
    }
}
