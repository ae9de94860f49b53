//! Counts outgoing audio packets and their content.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gst::prelude::*;

use crate::aic::packet::CODED_VERSION;
use crate::aic::predict::SentFrames;
use crate::webrtc::opus_sequence_gaps;

/// Running totals of an audio track. Cheap to clone; clones share the totals.
#[derive(Clone, Default)]
pub(super) struct PacketCounter(Arc<Totals>);

#[derive(Default)]
struct Totals {
    packets: AtomicU64,
    bytes: AtomicU64,
    frames: AtomicU64,
    aic: AtomicU64,
}

/// Totals at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PacketTotals {
    /// Frames, packets and bytes sent.
    pub(super) sent: SentFrames,
    /// Number of AIC-A packets among them.
    pub(super) aic: u64,
}

impl PacketTotals {
    /// The difference from an earlier reading.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            sent: SentFrames {
                frames: self.sent.frames.saturating_sub(before.sent.frames),
                packets: self.sent.packets.saturating_sub(before.sent.packets),
                bytes: self.sent.bytes.saturating_sub(before.sent.bytes),
            },
            aic: self.aic.saturating_sub(before.aic),
        }
    }
}

impl PacketCounter {
    /// Counts the packets that leave a payloader by this pad. `aic` means that they are AIC-A
    /// packets, which may contain Opus.
    pub(super) fn attach(&self, pad: &gst::Pad, aic: bool) {
        let totals = Arc::clone(&self.0);
        let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        pad.add_probe(kinds, move |_, info| {
            match &info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => totals.count(buffer, aic),
                Some(gst::PadProbeData::BufferList(list)) => {
                    list.iter().for_each(|buffer| totals.count(buffer, aic));
                }
                _ => {}
            }
            gst::PadProbeReturn::Ok
        });
    }

    /// The current totals.
    pub(super) fn read(&self) -> PacketTotals {
        let of = |total: &AtomicU64| total.load(Ordering::Relaxed);
        let totals = &self.0;
        let sent = SentFrames {
            frames: of(&totals.frames),
            packets: of(&totals.packets),
            bytes: of(&totals.bytes),
        };
        PacketTotals { sent, aic: of(&totals.aic) }
    }
}

impl Totals {
    fn count(&self, buffer: &gst::BufferRef, aic: bool) {
        let Ok(map) = buffer.map_readable() else { return };
        let Some(payload) = payload(&map) else { return };
        let (frames, is_aic) = match payload.first() {
            // AIC-A frames (section 3 of docs/aic-rtp.md); version 1 contains Opus.
            Some(first) if aic && first >> 6 >= CODED_VERSION => {
                (u64::from(first >> 4 & 3) + 1, true)
            }
            Some(_) if aic => (opus_frames(&payload[1..]), false),
            Some(_) => (opus_frames(payload), false),
            None => return,
        };
        self.packets.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(payload.len() as u64, Ordering::Relaxed);
        self.frames.fetch_add(frames, Ordering::Relaxed);
        self.aic.fetch_add(u64::from(is_aic), Ordering::Relaxed);
    }
}

/// Number of 20 ms frames in an Opus packet, at least one.
fn opus_frames(packet: &[u8]) -> u64 {
    (opus_sequence_gaps::duration(packet) / 20_000).max(1)
}

/// The payload after the RTP header and its extension (RFC 3550 section 5.1).
fn payload(packet: &[u8]) -> Option<&[u8]> {
    let first = *packet.first()?;
    let mut at = 12 + 4 * usize::from(first & 15);
    if first & 0x10 != 0 {
        let length = packet.get(at + 2..at + 4)?;
        at += 4 + 4 * usize::from(u16::from_be_bytes([length[0], length[1]]));
    }
    packet.get(at..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_counted_by_what_they_carry() {
        gst::init().expect("GStreamer starts");
        let packet = |first: u8, extension: bool, payload: &[u8]| {
            let mut bytes = vec![0x80 | u8::from(extension) << 4, 111];
            bytes.resize(12, 0);
            if extension {
                bytes.extend([0xbe, 0xde, 0, 1, 0x11, 1, 2, 0]);
            }
            bytes.push(first);
            bytes.extend(payload);
            gst::Buffer::from_slice(bytes)
        };
        let totals = Totals::default();
        totals.count(&packet(0xa0, true, &[0; 24]), true);
        totals.count(&packet(0x40, true, &[0; 50]), true);
        totals.count(&packet(0x08, false, &[0; 50]), false);
        totals.count(&gst::Buffer::from_slice([0x9f, 0, 0]), true);
        let packet_counter = PacketCounter(Arc::new(totals));
        let read = packet_counter.read();
        assert_eq!(read.sent, SentFrames { frames: 5, packets: 3, bytes: 25 + 51 + 51 });
        assert_eq!(read.aic, 1);
        assert_eq!(read.since(read), PacketTotals::default());
    }
}
