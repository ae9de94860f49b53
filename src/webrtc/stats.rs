//! What `webrtcbin`'s statistics say, in the W3C's names.

use std::time::Duration;

/// How a connection is going.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Connection {
    /// What comes in, each source by itself.
    pub(crate) inbound: Vec<Flow>,
    /// What goes out.
    pub(crate) outbound: Vec<Flow>,
    /// Share of packets that the peer has lost lately of what we send, by its reports; the worst of
    /// them.
    pub(crate) remote_loss: Option<f64>,
    /// Round-trip time, where the peer reports on what we send.
    pub(crate) round_trip: Option<Duration>,
}

/// Packets of one source. Totals.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Flow {
    /// The source.
    pub(crate) ssrc: u32,
    /// Packets that went through.
    pub(crate) packets: u64,
    /// Their payload, in bytes.
    pub(crate) bytes: u64,
    /// Packets that did not come and were not recovered.
    pub(crate) lost: u64,
    /// How unevenly they come.
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

    /// Packets that did not come of any source.
    pub(crate) fn lost(&self) -> u64 {
        self.inbound.iter().map(|flow| flow.lost).sum()
    }

    /// What goes out of a source.
    pub(crate) fn sent(&self, ssrc: u32) -> Flow {
        self.outbound.iter().find(|flow| flow.ssrc == ssrc).cloned().unwrap_or_default()
    }
}

fn flow(entry: &gst::StructureRef, way: &str) -> Flow {
    let count = |field: &str| entry.get::<u64>(format!("{field}-{way}").as_str()).unwrap_or(0);
    // Late packets that come after all make the count step back, even below zero. What `webrtcbin` of
    // GStreamer 1.22 itself says is always zero: it takes the number of its source for another type.
    let source = entry.get::<gst::Structure>("gst-rtpsource-stats").ok();
    let lost = source.and_then(|source| source.get::<i32>("packets-lost").ok());
    let jitter = entry.get::<f64>("jitter").unwrap_or(0.0);
    Flow {
        ssrc: entry.get("ssrc").unwrap_or(0),
        packets: count("packets"),
        bytes: count("bytes"),
        lost: lost.and_then(|lost| u64::try_from(lost).ok()).unwrap_or(0),
        jitter: Duration::try_from_secs_f64(jitter).unwrap_or_default(),
    }
}
