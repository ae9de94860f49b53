//! Preserves holes of received audio in outgoing sequence numbers.
//!
//! A payloader numbers its input consecutively, so a viewer would treat earlier packet loss as
//! silence. If the numbers have the same holes, the viewer's jitter buffer restores lost frames
//! from the copy that Opus carries in the next packet (in-band FEC, RFC 6716 section 2.1.7), as if
//! it received the publisher directly.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use gst::prelude::*;

use crate::media::IgnorePoison;

/// A longer hole is not just packet loss: pauses are not sent, and sources are switched. Then one
/// missing number is enough.
const LOST_PACKETS_MAX: u64 = 10;

/// Detects holes between Opus packets. Pure.
#[derive(Debug, Default)]
struct Holes {
    /// Time of the next packet if nothing is lost.
    next: Option<gst::ClockTime>,
}

impl Holes {
    /// Number of packets missing before this one; `discont` marks that some are.
    fn before(&mut self, time: gst::ClockTime, discont: bool, packet: &[u8]) -> u16 {
        let length = gst::ClockTime::from_useconds(duration(packet));
        let due = self.next.replace(time + length);
        let Some(due) = due.filter(|_| discont) else { return 0 };
        let gap = time.saturating_sub(due).nseconds();
        // Half a frame allows for jitter of timestamps.
        let lost = (gap + length.nseconds() / 2) / length.nseconds().max(1);
        if lost > LOST_PACKETS_MAX { 1 } else { lost as u16 }
    }
}

/// Duration of an Opus packet in microseconds (RFC 6716 section 3.1), at least 2500.
pub(crate) fn duration(packet: &[u8]) -> u64 {
    let toc = packet.first().copied().unwrap_or(0x08);
    let config = usize::from(toc >> 3);
    let frame = match config {
        0..12 => [10_000, 20_000, 40_000, 60_000][config % 4],
        12..16 => [10_000, 20_000][config % 2],
        _ => [2_500, 5_000, 10_000, 20_000][config % 4],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1).map_or(1, |n| u64::from(n & 63).max(1)),
    };
    frame * frames
}

/// Makes the packets of an `rtpopuspay` keep the holes of its input.
pub(crate) fn keep(payloader: &gst::Element) {
    let pads = payloader.static_pad("sink").zip(payloader.static_pad("src"));
    let Some((entry, exit)) = pads else { return };
    let missing = Arc::new(AtomicU16::new(0));
    let (found, holes) = (Arc::clone(&missing), std::sync::Mutex::new(Holes::default()));
    entry.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(buffer) = info.buffer() else { return gst::PadProbeReturn::Ok };
        if let (Some(time), Ok(packet)) = (buffer.pts(), buffer.map_readable()) {
            let discont = buffer.flags().contains(gst::BufferFlags::DISCONT);
            let mut holes = holes.lock().ignore_poison();
            found.fetch_add(holes.before(time, discont, &packet), Ordering::Relaxed);
        }
        gst::PadProbeReturn::Ok
    });
    exit.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let missing = missing.load(Ordering::Relaxed);
        if let Some(buffer) = info.buffer_mut().filter(|_| missing > 0)
            && let Ok(mut packet) = buffer.make_mut().map_writable()
            && let Some(number) = packet.get_mut(2..4)
        {
            // Sequence number of RFC 3550 section 5.1.
            let moved = u16::from_be_bytes([number[0], number[1]]).wrapping_add(missing);
            number.copy_from_slice(&moved.to_be_bytes());
        }
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 ms of Opus.
    const PACKET: [u8; 3] = [0x78, 1, 2];

    #[test]
    fn lengths_of_packets() {
        for (packet, expect) in [
            (&[0x08, 0][..], 20_000),
            (&[0x18, 0], 60_000),
            (&[0x79, 0], 40_000),
            (&[0x7b, 3], 60_000),
            (&[0x7b, 0], 20_000),
            (&[0xe0, 0], 2_500),
            (&[], 20_000),
        ] {
            assert_eq!(duration(packet), expect, "{packet:?}");
        }
    }

    #[test]
    fn losses_are_holes_and_pauses_are_none() {
        let mut holes = Holes::default();
        let mut check = |milliseconds, discont, expect: u16| {
            let time = gst::ClockTime::from_mseconds(milliseconds);
            assert_eq!(holes.before(time, discont, &PACKET), expect, "{milliseconds} ms");
        };
        check(5_000, true, 0);
        check(5_020, false, 0);
        check(5_060, true, 1);
        check(5_140, true, 3);
        check(5_560, false, 0);
        check(9_000, true, 1);
        check(8_000, true, 0);
    }

    #[test]
    fn packets_are_numbered_with_their_holes() {
        gst::init().expect("GStreamer starts");
        let payloader = gst::ElementFactory::make("rtpopuspay").build().expect("it is installed");
        keep(&payloader);
        let mut harness = gst_check::Harness::with_element(&payloader, Some("sink"), Some("src"));
        harness.set_src_caps_str("audio/x-opus,channels=2,channel-mapping-family=0");
        let numbers: Vec<u16> = [(0, true), (20, false), (80, true), (100, false)]
            .into_iter()
            .map(|(milliseconds, discont)| {
                let mut buffer = gst::Buffer::from_slice(PACKET);
                let change = buffer.get_mut().expect("it is ours");
                change.set_pts(gst::ClockTime::from_mseconds(milliseconds));
                if discont {
                    change.set_flags(gst::BufferFlags::DISCONT);
                }
                harness.push(buffer).expect("it is taken");
                let packet = harness.pull().expect("a packet");
                let bytes = packet.map_readable().expect("it is readable");
                u16::from_be_bytes([bytes[2], bytes[3]])
            })
            .collect();
        let steps: Vec<u16> = numbers.windows(2).map(|n| n[1].wrapping_sub(n[0])).collect();
        assert_eq!(steps, [1, 3, 1]);
    }
}
