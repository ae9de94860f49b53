//! When each piece of MPEG-TS was due, by its clock references.
//!
//! `tsdemux` places a live stream on the clock by comparing its clock references (PCR, ISO/IEC
//! 13818-1 2.4.3.5) with their arrival. Every burst or delay of the network moves its estimate, and
//! with it all timestamps, by tens of milliseconds. So arrival is smoothed here: each reference
//! gets its time by the publisher's clock, and that clock is aligned with ours in steps too small
//! to notice.

use std::time::Duration;

use crate::media::{Kind, Timeline};

/// Size of a TS packet.
const PACKET_BYTES: usize = 188;

/// Range of the 42-bit reference: 2^33 ticks of 90 kHz, each of 300 ticks of 27 MHz.
const WRAP_TICKS: u64 = (1 << 33) * 300;

/// Start of unwrapped references: large enough that steps back stay positive.
const BASE_TICKS: i128 = 1 << 52;

/// Ticks of a reference per ms: it counts at 27 MHz.
const TICKS_PER_MS: u64 = 27_000;

/// References of another programme are followed after those of this one were missing for this long,
/// in ns.
const SILENCE_NS_MAX: i64 = 1_000_000_000;

/// A publisher's clock. All times are in ns.
#[derive(Debug, Default)]
pub(super) struct Pacer {
    /// PID of the followed references.
    pid: Option<u16>,
    /// The last reference in ticks of 27 MHz, and the same unwrapped.
    last: Option<(u64, i128)>,
    /// When the last reference was due.
    due: Option<i64>,
    timeline: Timeline,
    /// When a followed reference last arrived.
    seen: i64,
    /// See [`Self::references_ms`].
    references_ms: Vec<i64>,
}

impl Pacer {
    /// The clock references of the last call of [`Self::pace`], in milliseconds.
    pub(super) fn references_ms(&self) -> &[i64] {
        &self.references_ms
    }

    /// Follows the references of this PID from `now` on.
    pub(super) fn follow(&mut self, pid: u16, now: u64) {
        if self.pid != Some(pid) {
            *self = Self { pid: Some(pid), seen: now.cast_signed(), ..Self::default() };
        }
    }

    /// Splits bytes that arrived at `now` before each clock reference; returns each piece with the
    /// time when it was due.
    pub(super) fn pace(&mut self, bytes: Vec<u8>, now: u64) -> Vec<(Vec<u8>, u64)> {
        let now = now.cast_signed();
        let mut cuts = Vec::new();
        self.references_ms.clear();
        for (index, packet) in bytes.chunks_exact(PACKET_BYTES).enumerate() {
            if let Some(ticks) = self.reference(packet, now) {
                cuts.push((index * PACKET_BYTES, self.place(ticks, now)));
            }
        }
        let due = |time: i64| u64::try_from(time).unwrap_or(0);
        let before = self.due.unwrap_or(now);
        match cuts.as_slice() {
            [] => vec![(bytes, due(before))],
            [(0, at)] => vec![(bytes, due(*at))],
            [(first, at), ..] => {
                let mut pieces = Vec::with_capacity(cuts.len() + 1);
                if *first > 0 {
                    pieces.push((bytes[..*first].to_vec(), due(*at)));
                }
                let ends = cuts[1..].iter().map(|(cut, _)| *cut).chain([bytes.len()]);
                for ((cut, at), end) in cuts.iter().zip(ends) {
                    pieces.push((bytes[*cut..end].to_vec(), due(*at)));
                }
                pieces
            }
        }
    }

    /// The clock reference of a packet, if it has one and belongs to the followed programme.
    fn reference(&mut self, packet: &[u8], now: i64) -> Option<u64> {
        // Sync byte, adaptation field present and long enough, PCR flag.
        let has =
            packet[0] == 0x47 && packet[3] & 0x20 != 0 && packet[4] >= 7 && packet[5] & 0x10 != 0;
        if !has {
            return None;
        }
        let pid = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
        if self.pid != Some(pid) && self.pid.is_some() && now - self.seen < SILENCE_NS_MAX {
            return None;
        }
        self.pid = Some(pid);
        self.seen = now;
        let b = |n: usize| u64::from(packet[6 + n]);
        let base = b(0) << 25 | b(1) << 17 | b(2) << 9 | b(3) << 1 | b(4) >> 7;
        Some(base * 300 + ((b(4) & 1) << 8 | b(5)))
    }

    /// When a reference that arrived at `now` was due.
    fn place(&mut self, ticks: u64, now: i64) -> i64 {
        let all = self.last.map_or(BASE_TICKS, |(last, all)| {
            let forward = i128::from((ticks + WRAP_TICKS - last % WRAP_TICKS) % WRAP_TICKS);
            let wrap = i128::from(WRAP_TICKS);
            // The shorter way round the wrap is the right one.
            all + if forward < wrap / 2 { forward } else { forward - wrap }
        });
        self.last = Some((ticks, all));
        self.references_ms.push(i64::try_from(ticks / TICKS_PER_MS).unwrap_or(i64::MAX));
        // 27 MHz: a tick is 1000/27 ns.
        let source = u64::try_from(all * 1000 / 27).unwrap_or(0);
        let now = Duration::from_nanos(u64::try_from(now).unwrap_or(0));
        let due = self.timeline.map(Kind::Video, Duration::from_nanos(source), now);
        let due = i64::try_from(due.as_nanos()).unwrap_or(i64::MAX);
        self.due = Some(due);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn packet(pid: u16, ticks: Option<u64>) -> Vec<u8> {
        let mut p = vec![0xff; PACKET_BYTES];
        p[0] = 0x47;
        p[1..3].copy_from_slice(&pid.to_be_bytes());
        p[3] = 0x10;
        if let Some(ticks) = ticks {
            let (base, extension) = (ticks / 300 % (1 << 33), ticks % 300);
            p[3] = 0x30;
            p[4] = 7;
            p[5] = 0x10;
            p[6..10].copy_from_slice(&((base >> 1) as u32).to_be_bytes());
            p[10] = (base as u8 & 1) << 7 | 0x7e | (extension >> 8) as u8;
            p[11] = extension as u8;
        }
        p
    }

    /// Sends one reference; returns when it was due, in ms.
    fn send(pacer: &mut Pacer, ticks: u64, now_ms: u64) -> f64 {
        let pieces = pacer.pace(packet(256, Some(ticks)), now_ms * MS);
        assert_eq!(pieces.len(), 1);
        pieces[0].1 as f64 / MS as f64
    }

    #[test]
    fn jitter_is_taken_out_and_wrapping_is_nothing() {
        let mut pacer = Pacer::default();
        let start = WRAP_TICKS - 27_000 * 50;
        assert_eq!(send(&mut pacer, start, 1000), 1000.0);
        for (n, jitter) in (1..50).zip([0, 35, 80, 3, 0, 61, 9].into_iter().cycle()) {
            let due =
                send(&mut pacer, (start + n * 20 * 27_000) % WRAP_TICKS, 1000 + n * 20 + jitter);
            assert!((due - (1000 + n * 20) as f64).abs() < 1e-3, "{n}: {due}");
        }
    }

    #[test]
    fn another_crystal_is_followed_without_steps() {
        let mut pacer = Pacer::default();
        let mut last = send(&mut pacer, 0, 1000);
        // One hour with a clock that is 100 ppm fast and a reference every 100 ms.
        for n in 1..36_000_u64 {
            let now = 1000 + n * 100;
            let due = send(&mut pacer, n * 2_700_270 % WRAP_TICKS, now);
            assert!(due - last > 98.9 && due - last < 101.1, "{last} {due}");
            assert!((due - now as f64).abs() < 3.0, "{due} at {now}");
            last = due;
        }
    }

    #[test]
    fn a_jump_begins_anew_and_other_programmes_do_not_count() {
        let mut pacer = Pacer::default();
        send(&mut pacer, 27_000_000, 1000);
        assert_eq!(send(&mut pacer, 27_000_000 * 900, 1040), 1040.0);
        assert_eq!(send(&mut pacer, 5, 1080), 1080.0);
        let other = pacer.pace(packet(300, Some(27_000_000 * 50)), 1100 * MS);
        assert_eq!(other[0].1, 1080 * MS);
        pacer.follow(300, 1120 * MS);
        assert_eq!(pacer.pace(packet(300, Some(27_000_000 * 50)), 1120 * MS)[0].1, 1120 * MS);
        assert_eq!(send(&mut pacer, 54_000_000, 1140), 1120.0, "no longer followed");
    }

    #[test]
    fn pieces_begin_with_a_reference() {
        let mut pacer = Pacer::default();
        let pcr = |ms: u64| packet(256, Some(ms * 27_000));
        let all = [packet(1, None), pcr(0), packet(1, None), pcr(20), pcr(40)].concat();
        let pieces = pacer.pace(all, 5000 * MS);
        let shape: Vec<_> =
            pieces.iter().map(|(b, at)| (b.len() / PACKET_BYTES, at / MS)).collect();
        assert_eq!(shape, [(1, 5000), (2, 5000), (1, 5020), (1, 5040)]);
        assert_eq!(pacer.references_ms(), [0, 20, 40]);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived_and_kept(
            batches in proptest::collection::vec((proptest::collection::vec(0_u8.., 0..900), 0_u64..), 1..9)
        ) {
            let mut pacer = Pacer::default();
            for (mut bytes, now) in batches {
                for start in (0..bytes.len()).step_by(PACKET_BYTES) {
                    bytes[start] = 0x47;
                }
                let pieces = pacer.pace(bytes.clone(), now >> 2);
                let all: Vec<u8> = pieces.into_iter().flat_map(|(piece, _)| piece).collect();
                proptest::prop_assert_eq!(all, bytes);
            }
        }
    }
}
