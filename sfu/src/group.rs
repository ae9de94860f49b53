//! The packets since the last key frame: a viewer that joins sees a picture at once.

use super::Packet;

/// Most bytes kept. A longer group of pictures is not worth replaying.
const GROUP_BYTES_MAX: usize = 6 << 20;

/// Clock ticks between the squeezed frames of a replay, as a fraction of a second: 1 ms.
const SQUEEZED_FRAMES_PER_S: u32 = 1000;

/// The current group of pictures. Empty before the first key frame, and after one that is too long.
#[derive(Debug, Default)]
pub(super) struct Group {
    packets: Vec<Packet>,
    bytes: usize,
}

impl Group {
    /// Adds the next packet.
    pub(super) fn push(&mut self, packet: &Packet) {
        if packet.is_start {
            self.clear();
        } else if self.packets.is_empty() {
            return;
        }
        self.bytes += packet.payload.len();
        self.packets.push(packet.clone());
        if self.bytes > GROUP_BYTES_MAX {
            self.clear();
        }
    }

    /// Forgets all packets.
    pub(super) fn clear(&mut self) {
        self.packets.clear();
        self.bytes = 0;
    }

    /// The group squeezed into the last milliseconds: a player decodes it as fast as it can and
    /// shows the newest picture at once, at the live edge.
    pub(super) fn squeezed(&self, clock_rate_hz: u32) -> Vec<Packet> {
        let Some((last, captured)) = self.packets.last().map(|p| (p.time, p.captured)) else {
            return Vec::new();
        };
        let step = clock_rate_hz / SQUEEZED_FRAMES_PER_S;
        let mut packets = self.packets.clone();
        let (mut time, mut back) = (last, 0_u32);
        for packet in packets.iter_mut().rev() {
            if packet.time != time {
                time = packet.time;
                back += 1;
            }
            packet.time = last.wrapping_sub(back.wrapping_mul(step));
            // Sender reports pair both times.
            packet.captured = captured;
        }
        packets
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn packet(number: u64, time: u32, is_start: bool, bytes: usize) -> Packet {
        let payload = vec![0; bytes].into();
        Packet { number, time, marker: false, is_start, captured: Instant::now(), payload }
    }

    #[test]
    fn a_group_is_squeezed_to_its_last_frame() {
        let mut group = Group::default();
        group.push(&packet(1, 500, false, 1));
        assert!(group.squeezed(90_000).is_empty(), "nothing can be decoded before a key frame");
        for (number, time, is_start) in [
            (2, 1000, true),
            (3, 1000, false),
            (4, 4000, false),
            (5, 7000, false),
            (6, 7000, false),
        ] {
            group.push(&packet(number, time, is_start, 1));
        }
        let times: Vec<u32> = group.squeezed(90_000).iter().map(|p| p.time).collect();
        assert_eq!(times, [6820, 6820, 6910, 7000, 7000]);
        group.push(&packet(7, 10_000, true, 1));
        assert_eq!(group.squeezed(90_000).len(), 1);
    }

    #[test]
    fn an_endless_group_is_not_kept() {
        let mut group = Group::default();
        group.push(&packet(0, 0, true, GROUP_BYTES_MAX));
        group.push(&packet(1, 0, false, 1));
        group.push(&packet(2, 0, false, 1));
        assert!(group.squeezed(90_000).is_empty());
    }
}
