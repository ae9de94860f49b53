//! What can go wrong.

use std::net::SocketAddr;

/// Why viewers cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No UDP port of the range is free.
    #[error("no UDP port from {first} to {last} is free for WebRTC viewers: {reason}")]
    Ports {
        /// First port of the range.
        first: u16,
        /// Last port of the range.
        last: u16,
        /// The system's reason for the last port.
        reason: std::io::Error,
    },
    /// A thread or its socket cannot be set up.
    #[error("the thread of WebRTC viewers cannot start: {0}")]
    Start(std::io::Error),
    /// The machine has no address for viewers.
    #[error("no network address for WebRTC viewers: set `webrtc.local_addresses`")]
    NoAddress,
    /// A description that str0m does not take.
    #[error("the connection cannot be set up: {0}")]
    Terms(String),
    /// A shard has too much to do, or has ended.
    #[error("WebRTC viewers are served too slowly: try again in a moment")]
    Busy,
}

/// Why a session has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The viewer closed the connection.
    Closed,
    /// Nothing came from the viewer for too long.
    Silent,
    /// The queue for the viewer is full.
    TooSlow,
    /// The viewer opened too many data channels.
    Channels,
    /// We closed the connection.
    Ours,
    /// str0m's reason.
    Failed(String),
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Closed => "it closed the connection",
            Self::Silent => "nothing comes from it any more",
            Self::TooSlow => "its queue is full",
            Self::Channels => "it opened too many data channels",
            Self::Ours => "the session has ended",
            Self::Failed(reason) => reason,
        })
    }
}

/// The ends of a path that a datagram takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Path {
    /// Our end.
    pub(super) local: SocketAddr,
    /// The viewer's end.
    pub(super) remote: SocketAddr,
    /// TCP instead of UDP.
    pub(super) is_tcp: bool,
}
