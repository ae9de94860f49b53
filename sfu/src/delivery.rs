//! What reaches one viewer.

use std::net::SocketAddr;
use std::time::Duration;

/// Figures of the path to one viewer, from what is sent and from the viewer's reports.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Delivery {
    /// The viewer's address on the path in use.
    pub address: Option<SocketAddr>,
    /// Whether that path is TCP.
    pub is_tcp: bool,
    /// Bytes sent, with retransmissions and encryption, without the headers of IP and UDP.
    pub sent_bytes: u64,
    /// Rate of the bytes sent lately, in kbit/s.
    pub kbps: f64,
    /// What the line carries, as it is estimated, in kbit/s. `None` if the viewer does not report it or
    /// the stream has no ladder.
    pub estimate_kbps: Option<f64>,
    /// Packets lost on the path, before retransmission.
    pub lost: u64,
    /// Share of packets lost lately, 0-1; of the track that lost most.
    pub loss: Option<f64>,
    /// Round-trip time.
    pub round_trip: Option<Duration>,
    /// Jitter of the arrival, of the track with the highest.
    pub jitter: Option<Duration>,
}
