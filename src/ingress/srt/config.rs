//! The settings of the SRT listener.

use std::net::{Ipv4Addr, SocketAddr};

use serde::Deserialize;

use super::Error;
use crate::media::StreamName;

/// Settings of the SRT listener.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the listener runs.
    pub enabled: bool,
    /// UDP address of the listener.
    pub listen: SocketAddr,
    /// Time for retransmission of lost packets, 20-30000 ms. The higher value of this and the
    /// caller's applies. Recommended: four times the round-trip time.
    pub latency_ms: u32,
    /// Maximum number of publishers and players, 1-10000.
    pub connections_max: usize,
    /// Minimum SRT version of callers, such as `1.3.0`. Encoders older than 1.3.0 cannot send a
    /// streamid: they need [`Self::default_stream`].
    pub peer_version_min: String,
    /// Stream that a caller without a streamid publishes to; if missing, such callers are refused.
    pub default_stream: Option<StreamName>,
    /// Time without any packet after which a caller counts as gone, 1000-60000 ms.
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

    pub(super) fn version_min(&self) -> Result<[u8; 3], Error> {
        let parts: Vec<u8> =
            self.peer_version_min.split('.').map_while(|p| p.parse().ok()).collect();
        parts.try_into().map_err(|_| Error::Config {
            field: "peer_version_min",
            message: format!("`{}` is not a version such as 1.3.0", self.peer_version_min),
        })
    }
}
