//! Why the RTMP server cannot run.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The port cannot be bound.
    #[error("cannot listen for RTMP on {address}: {source}; is another server running there?")]
    Bind {
        /// The configured address.
        address: SocketAddr,
        /// The I/O error.
        source: std::io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("cannot use {} for RTMPS: {message}", .path.display())]
    Tls {
        /// Path of the file.
        path: PathBuf,
        /// The reason.
        message: String,
    },
    /// The configuration contradicts itself.
    #[error("`ingress.rtmp.{field}`: {message}")]
    Config {
        /// Name of the field, such as `tls_cert`.
        field: &'static str,
        /// The reason.
        message: &'static str,
    },
}
