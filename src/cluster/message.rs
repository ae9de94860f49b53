//! What appliances of a cluster tell each other.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How an edge plays a stream of its origin, and whom it may let play. Contains secrets: only for the
/// appliances of the cluster.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StreamAccess {
    /// Whether it is on air, be it with the slate.
    pub live: bool,
    /// For how long its publisher has been there, in milliseconds; `null` while there is none.
    #[serde(default)]
    pub live_ms: Option<u64>,
    /// Playing needs no token.
    pub open_play: bool,
    /// Token of viewers.
    pub play_token: Option<String>,
    /// Passphrase of players by SRT.
    pub srt_passphrase: Option<String>,
    /// UDP port from which it can be played by SRT; `null` if it cannot.
    pub srt_port: Option<u16>,
}

impl fmt::Debug for StreamAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { live, open_play, srt_port, .. } = self;
        write!(f, "StreamAccess(live {live}, open {open_play}, srt {srt_port:?})")
    }
}

/// The load of an appliance and what it can take.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ApplianceLoad {
    /// Version of AuraLink.
    pub version: String,
    /// Streams, on air or not, without those that it has from an origin.
    pub streams: usize,
    /// Streams on air, with those that it has from an origin.
    pub streams_live: usize,
    /// Streams that it has from an origin.
    pub streams_from_origins: usize,
    /// Most streams at once.
    pub streams_max: usize,
    /// Viewers of all streams.
    pub viewers: u64,
    /// Most viewers at once.
    pub viewers_max: usize,
    /// Processors that it may use.
    pub cpus: usize,
    /// Share of all its processors that is busy, 0-100.
    pub cpu_percent: f64,
}

impl ApplianceLoad {
    /// How much of what it can take is taken, 0-1: of its places for viewers or of its processors, whichever
    /// is more.
    pub fn ratio(&self) -> f64 {
        let places = self.viewers as f64 / self.viewers_max.max(1) as f64;
        places.max(self.cpu_percent / 100.0).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown_and_newer_fields_are_passed_over() {
        let text = r#"{"live":true,"open_play":false,"play_token":"hunter2","srt_passphrase":"hunter22",
            "srt_port":8890,"newer":1}"#;
        let access: StreamAccess = serde_json::from_str(text).expect("reads");
        assert_eq!(format!("{access:?}"), "StreamAccess(live true, open false, srt Some(8890))");
    }
}
