//! What `webrtcbin`'s statistics say, in the W3C's names.

use std::time::Duration;

/// How a connection is going.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Reception {
    /// Packets that did not come and were not recovered.
    pub(crate) lost: u64,
    /// Round-trip time, where the peer reports on what we send.
    pub(crate) round_trip: Option<Duration>,
}

impl Reception {
    /// Sums up the tracks of one connection.
    pub(crate) fn read(stats: &gst::StructureRef) -> Self {
        let mut sum = Self::default();
        for (name, value) in stats.iter() {
            let Ok(entry) = value.get::<gst::Structure>() else { continue };
            if name.starts_with("rtp-inbound") {
                // Late packets that come after all make the count step back, even below zero.
                let lost = entry.get::<i64>("packets-lost").unwrap_or(0);
                sum.lost += u64::try_from(lost).unwrap_or(0);
            } else if name.starts_with("rtp-remote-inbound") {
                let seconds = entry.get::<f64>("round-trip-time").unwrap_or(0.0);
                let time = Duration::try_from_secs_f64(seconds).ok().filter(|t| !t.is_zero());
                sum.round_trip = sum.round_trip.max(time);
            }
        }
        sum
    }
}
