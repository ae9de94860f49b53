//! Why the SRT listener cannot start or continue.

use std::net::SocketAddr;

/// Why the listener cannot start or continue.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A configured value is out of range.
    #[error("srt.{field}: {message}")]
    Config {
        /// Field of [`Config`](super::Config).
        field: &'static str,
        /// The reason.
        message: String,
    },
    /// The port cannot be bound.
    #[error("SRT cannot listen on {address}; is the port taken by another program?")]
    Bind {
        /// The configured address.
        address: SocketAddr,
        /// The error of libsrt.
        #[source]
        source: crate::srt::Error,
    },
    /// The listener failed while running.
    #[error("the SRT listener broke")]
    Listen(#[from] crate::srt::Error),
    /// The thread of the listener cannot be started.
    #[error("no thread for the SRT listener")]
    Thread(#[from] std::io::Error),
}
