//! SRT: one listener for publishers and players, and the caller that pulls.
//!
//! Everybody calls the same UDP port and says in the stream id what they want; see [`streamid`].
//! ```text
//! ffmpeg -re -i in.mp4 -c copy -f mpegts 'srt://box:8890?streamid=publish:studio-1:TOKEN'
//! ffplay 'srt://box:8890?streamid=read:studio-1:TOKEN'
//! ```

#[cfg(test)]
mod fuzz;
mod play;
mod publish;
pub mod pull;
mod server;
pub mod streamid;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::flow::Gate;

pub use server::Server;

/// The SRT listener.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether there is one.
    pub enabled: bool,
    /// UDP address that it listens on.
    pub listen: SocketAddr,
    /// How long packets are held back so that lost ones can be sent again, 20-30000 ms. The higher
    /// one of this and the caller's counts. Take four times the round-trip time.
    pub latency_ms: u32,
    /// Most publishers and players at once, 1-10000.
    pub connections_max: usize,
    /// Oldest SRT version that callers may have, as `1.3.0`. Encoders older than 1.3.0 cannot send
    /// a streamid: they need [`Self::default_stream`].
    pub peer_version_min: String,
    /// Stream that a caller without any streamid publishes to; none refuses such callers.
    pub default_stream: Option<crate::media::StreamName>,
    /// After how long without a sign of life a caller counts as gone, 1000-60000 ms.
    pub peer_timeout_ms: u32,
    /// How long a publisher may stay connected without sending anything, 2-3600 s.
    pub idle_timeout_s: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: (Ipv4Addr::UNSPECIFIED, 8890).into(),
            latency_ms: 120,
            connections_max: 500,
            peer_version_min: "1.0.0".into(),
            default_stream: None,
            peer_timeout_ms: 5000,
            idle_timeout_s: 10,
        }
    }
}

impl Config {
    /// Checks the values.
    ///
    /// # Errors
    /// [`Error::Config`] with the field and its range.
    pub fn check(&self) -> Result<(), Error> {
        let ranges = [
            ("latency_ms", u64::from(self.latency_ms), 20..=30_000),
            ("connections_max", self.connections_max as u64, 1..=10_000),
            ("peer_timeout_ms", u64::from(self.peer_timeout_ms), 1_000..=60_000),
            ("idle_timeout_s", u64::from(self.idle_timeout_s), 2..=3_600),
        ];
        for (field, value, range) in ranges {
            if !range.contains(&value) {
                let message = format!("{value} is not in {}-{}", range.start(), range.end());
                return Err(Error::Config { field, message });
            }
        }
        self.version_min().map(|_| ())
    }

    fn version_min(&self) -> Result<[u8; 3], Error> {
        let parts: Vec<u8> =
            self.peer_version_min.split('.').map_while(|p| p.parse().ok()).collect();
        parts.try_into().map_err(|_| Error::Config {
            field: "peer_version_min",
            message: format!("`{}` is not a version such as 1.3.0", self.peer_version_min),
        })
    }
}

/// The listener cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value of the configuration.
    #[error("srt.{field}: {message}")]
    Config {
        /// Field of [`Config`].
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The port cannot be had.
    #[error("SRT cannot listen on {address}; is the port taken by another program?")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What libsrt says.
        #[source]
        source: crate::srt::Error,
    },
    /// The listener broke while it ran.
    #[error("the SRT listener broke")]
    Listen(#[from] crate::srt::Error),
    /// No thread for the listener.
    #[error("no thread for the SRT listener")]
    Thread(#[from] std::io::Error),
}

/// Listens until `cancel`; at once `Ok` when it is not enabled. To know the port that was bound,
/// use [`Server`].
///
/// # Errors
/// A wrong configuration, a taken port, a broken listener.
pub async fn serve(
    config: Config,
    gate: Arc<dyn Gate>,
    cancel: CancellationToken,
) -> Result<(), Error> {
    if !config.enabled {
        return Ok(());
    }
    Server::bind(config)?.run(gate, cancel).await
}

#[cfg(test)]
mod tests;
