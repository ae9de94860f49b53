use std::io::Cursor;

use proptest::prelude::*;

use super::*;

const HEADER: Header = Header { model: [1, 2, 3, 4], start_ms: 1_700_000_000_123 };

/// A packet of 80 ms with this in it, short or long: blocks are full by time or by size.
fn packet(code: u8) -> Coded {
    let bytes = [0xb3, code, 7, code, 9].repeat(if code < 100 { 1 } else { 15 });
    Coded::read(&bytes).expect("valid")
}

const PACKET_SAMPLES: u64 = 4 * FRAME_SAMPLES as u64;

/// `count` packets, with a second of silence after every 300th.
fn times(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(|n| n * PACKET_SAMPLES + n / 300 * u64::from(RATE_HZ))
}

fn file(count: u64) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), HEADER).expect("memory");
    let mut end = 0;
    for (n, first) in times(count).enumerate() {
        writer.put(first, &packet(n as u8)).expect("memory");
        end = first + PACKET_SAMPLES;
    }
    let whole = writer.finish(end).expect("memory");
    assert_eq!((whole.len() - HEADER_BYTES) % BLOCK_BYTES, 0);
    whole
}

fn parts(bytes: &[u8]) -> Vec<Part> {
    let reader = Reader::new(bytes).expect("a header");
    assert_eq!(reader.header(), HEADER);
    reader.map(|part| part.expect("memory")).collect()
}

/// Packets with their times, of whole blocks.
fn packets(parts: &[Part]) -> Vec<(u64, Coded)> {
    let mut all = Vec::new();
    for part in parts {
        if let Part::Block(block) = part {
            let mut at = block.first;
            for packet in &block.packets {
                all.push((at, packet.clone()));
                at += (packet.header().frames * FRAME_SAMPLES) as u64;
            }
        }
    }
    all
}

fn written(count: u64) -> Vec<(u64, Coded)> {
    times(count).enumerate().map(|(n, at)| (at, packet(n as u8))).collect()
}

#[test]
fn the_checksum_is_that_of_zlib() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}

#[test]
fn what_was_written_is_read_with_its_times() {
    let parts = parts(&file(500));
    assert_eq!(packets(&parts), written(500));
    let end = times(500).last().expect("some") + PACKET_SAMPLES;
    assert_eq!(parts.last(), Some(&Part::End(end)));
    assert_eq!(
        Reader::new(Cursor::new(file(500))).expect("a file").end().expect("memory"),
        (end, true)
    );
}

#[test]
fn a_file_that_is_cut_off_anywhere_plays_up_to_the_cut() {
    let whole = file(500);
    for cut in (0..whole.len()).step_by(97) {
        if cut < HEADER_BYTES {
            assert!(matches!(Reader::new(&whole[..cut]), Err(ContainerError::Foreign)));
            continue;
        }
        let left = packets(&parts(&whole[..cut]));
        assert_eq!(left, written(500)[..left.len()]);
        assert_eq!(parts(&whole[..cut]).len(), (cut - HEADER_BYTES) / BLOCK_BYTES);
        let mut reader = Reader::new(Cursor::new(&whole[..cut])).expect("a header");
        let end = left.last().map_or(0, |(at, _)| at + PACKET_SAMPLES);
        assert_eq!(reader.end().expect("memory"), (end, false));
    }
}

#[test]
fn damage_costs_its_own_block() {
    let mut bytes = file(500);
    bytes[HEADER_BYTES + BLOCK_BYTES + 500] ^= 1;
    let parts = parts(&bytes);
    assert_eq!(parts.iter().filter(|p| **p == Part::Damaged).count(), 1);
    let left = packets(&parts);
    assert!(left.len() > 300 && left.len() < 500, "{}", left.len());
    assert!(left.iter().all(|p| written(500).contains(p)));
}

#[test]
fn every_moment_is_found_also_beside_damage() {
    for damaged in [None, Some(0), Some(2), Some(3)] {
        let mut bytes = file(500);
        if let Some(block) = damaged {
            bytes[HEADER_BYTES + block * BLOCK_BYTES + 500] ^= 1;
        }
        let whole = packets(&parts(&bytes));
        let mut reader = Reader::new(Cursor::new(bytes)).expect("a file");
        for sample in (0..800_000).step_by(12_345) {
            reader.seek(sample).expect("memory");
            let found = reader.by_ref().map(|p| p.expect("memory")).collect::<Vec<_>>();
            let found = packets(&found);
            // All from there on, and no more than a block before it.
            let wanted: Vec<_> =
                whole.iter().filter(|(at, _)| at + PACKET_SAMPLES > sample).cloned().collect();
            assert!(found.ends_with(&wanted), "{damaged:?}, {sample}");
            // A block has at most 50 packets of 80 ms.
            assert!(found.len() <= wanted.len() + 50, "{damaged:?}, {sample}");
        }
    }
}

#[test]
fn a_block_at_an_impossible_time_is_damage() {
    let mut writer = Writer::new(Vec::new(), HEADER).expect("memory");
    for first in [0, u64::MAX - 5_000, 1_000_000] {
        writer.put(first, &packet(1)).expect("memory");
    }
    let bytes = writer.finish(100).expect("memory");
    let kinds: Vec<bool> = parts(&bytes).iter().map(|p| *p == Part::Damaged).collect();
    // A minute for each damaged block: the third may be at 62 s, the end not before it.
    assert_eq!(kinds, [false, true, false, true]);
}

proptest! {
    #[test]
    fn any_block_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), BLOCK_BYTES)) {
        let mut block = [0; BLOCK_BYTES];
        block.copy_from_slice(&bytes);
        // Behind a checksum that holds.
        seal(&mut block);
        if let Some(block) = Block::read(&block) {
            prop_assert!(block.packets.len() <= BLOCK_BYTES / 2);
        }
    }

    #[test]
    fn damaged_files_end(at in 0_usize..10_000, with in any::<u8>(), tail in any::<Vec<u8>>()) {
        let mut bytes = file(300);
        let length = bytes.len();
        bytes[at % length] ^= with;
        bytes.extend(tail);
        if let Ok(reader) = Reader::new(&*bytes) {
            prop_assert!(reader.count() <= bytes.len() / BLOCK_BYTES);
        }
    }
}
