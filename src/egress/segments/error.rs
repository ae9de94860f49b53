//! Why a requested item is not available.

/// Why a requested item is not available.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// It has left the window.
    #[error("it has left the live window")]
    Gone,
    /// It never existed, or is too far ahead.
    #[error("there is no such segment")]
    Unknown,
    /// It is overdue: the stream is stalled.
    #[error("nothing has come for 10 seconds")]
    Late,
}
