//! Reads `webrtcbin`'s statistics, which use the W3C's names.

use std::time::Duration;

/// Statistics of a connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Connection {
    /// Incoming packets of each source.
    pub(crate) inbound: Vec<RtpStats>,
    /// Outgoing packets of each source.
    pub(crate) outbound: Vec<RtpStats>,
    /// Recent packet loss of what we send as a ratio, from the peer's reports; the highest of them.
    pub(crate) remote_loss: Option<f64>,
    /// Round-trip time, if the peer sends reports.
    pub(crate) round_trip: Option<Duration>,
}

/// Totals of one source's packets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RtpStats {
    /// SSRC of the source.
    pub(crate) ssrc: u32,
    /// Packets sent or received.
    pub(crate) packets: u64,
    /// Their payload, in bytes.
    pub(crate) bytes: u64,
    /// Packets lost and not recovered.
    pub(crate) lost: u64,
    /// Jitter of their arrival.
    pub(crate) jitter: Duration,
}

impl Connection {
    /// Reads the statistics of one connection.
    pub(crate) fn read(stats: &gst::StructureRef) -> Self {
        let mut found = Self::default();
        for (name, value) in stats.iter() {
            let Ok(entry) = value.get::<gst::Structure>() else { continue };
            if name.starts_with("rtp-inbound") {
                found.inbound.push(flow(&entry, "received"));
            } else if name.starts_with("rtp-outbound") {
                found.outbound.push(flow(&entry, "sent"));
            } else if name.starts_with("rtp-remote-inbound") {
                let seconds = entry.get::<f64>("round-trip-time").unwrap_or(0.0);
                let time = Duration::try_from_secs_f64(seconds).ok().filter(|t| !t.is_zero());
                found.round_trip = found.round_trip.max(time);
                if let Ok(loss) = entry.get::<f64>("fraction-lost") {
                    found.remote_loss = Some(found.remote_loss.unwrap_or(0.0).max(loss));
                }
            }
        }
        found
    }

    /// Lost packets of all incoming sources.
    pub(crate) fn lost(&self) -> u64 {
        self.inbound.iter().map(|flow| flow.lost).sum()
    }

    /// Outgoing packets of a source.
    pub(crate) fn sent(&self, ssrc: u32) -> RtpStats {
        self.outbound.iter().find(|flow| flow.ssrc == ssrc).cloned().unwrap_or_default()
    }
}

fn flow(entry: &gst::StructureRef, way: &str) -> RtpStats {
    let count = |field: &str| entry.get::<u64>(format!("{field}-{way}").as_str()).unwrap_or(0);
    // Late packets make the count step back, even below zero. The loss reported by `webrtcbin` of
    // GStreamer 1.22 is always zero: it reads its source's count as another type.
    let source = entry.get::<gst::Structure>("gst-rtpsource-stats").ok();
    let lost = source.and_then(|source| source.get::<i32>("packets-lost").ok());
    let jitter = entry.get::<f64>("jitter").unwrap_or(0.0);
    RtpStats {
        ssrc: entry.get("ssrc").unwrap_or(0),
        packets: count("packets"),
        bytes: count("bytes"),
        lost: lost.and_then(|lost| u64::try_from(lost).ok()).unwrap_or(0),
        jitter: Duration::try_from_secs_f64(jitter).unwrap_or_default(),
    }
}
