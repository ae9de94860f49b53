//! Tables that are intact, split, broken and changed.

use super::*;

/// A section with its length and CRC.
pub(in crate::mpegts) fn section(table: u8, id: u16, version: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(5 + body.len() + 4).expect("short");
    let mut bytes = vec![table];
    bytes.extend((0xb000 | length).to_be_bytes());
    bytes.extend(id.to_be_bytes());
    bytes.extend([0xc1 | version << 1, 0, 0]);
    bytes.extend(body);
    let crc = crc(&bytes);
    bytes.extend(crc.to_be_bytes());
    bytes
}

/// Packets of a PID with these sections one after the other.
pub(in crate::mpegts) fn packets(pid: u16, sections: &[Vec<u8>]) -> Vec<u8> {
    let mut payload = vec![0];
    payload.extend(sections.concat());
    let mut bytes = Vec::new();
    for (index, piece) in payload.chunks(184).enumerate() {
        let begins = if index == 0 { 0x4000 } else { 0 };
        bytes.push(0x47);
        bytes.extend((begins | pid).to_be_bytes());
        bytes.push(0x10 | index as u8 & 15);
        bytes.extend(piece);
        bytes.resize(bytes.len().next_multiple_of(PACKET_BYTES), 0xff);
    }
    bytes
}

pub(in crate::mpegts) fn pat(version: u8, programs: &[(u16, u16)]) -> Vec<u8> {
    let body = programs.iter().flat_map(|(n, pid)| [n.to_be_bytes(), (0xe000 | pid).to_be_bytes()]);
    packets(0, &[section(0, 1, version, &body.flatten().collect::<Vec<u8>>())])
}

/// The table of a programme; each track has a type and descriptors.
pub(in crate::mpegts) fn pmt(pid: u16, number: u16, tracks: &[(u8, u16, &[u8])]) -> Vec<u8> {
    let mut body = vec![0xe1, 0, 0xf0, 0];
    for (stream_type, track, descriptors) in tracks {
        body.push(*stream_type);
        body.extend((0xe000 | track).to_be_bytes());
        body.extend((0xf000 | descriptors.len() as u16).to_be_bytes());
        body.extend(*descriptors);
    }
    packets(pid, &[section(2, number, 0, &body)])
}

fn shown(tables: &Tables, number: u16) -> Vec<String> {
    let tracks = tables.program(number).map(|p| p.tracks.clone()).unwrap_or_default();
    tracks.iter().map(ToString::to_string).collect()
}

#[test]
fn programmes_and_their_tracks_are_read() {
    let mut tables = Tables::default();
    assert!(tables.push(&pat(0, &[(0, 16), (7, 0x1000), (3, 0x1001)])));
    assert_eq!(tables.numbers(), [7, 3]);
    let map = pmt(0x1000, 7, &[(0x1b, 256, b""), (0x0f, 257, b"\x0a\x04eng\0")]);
    assert!(tables.push(&map));
    assert_eq!(shown(&tables, 7), ["PID 256 (0x100), H.264", "PID 257 (0x101), AAC, language eng"]);
    assert!(!tables.push(&map), "the same again is nothing new");
    assert!(!tables.push(&pmt(0x1005, 3, &[(2, 300, b"")])), "not where the PAT says");
    assert!(tables.push(&pat(1, &[(3, 0x1001)])));
    assert_eq!((tables.numbers(), tables.program(7)), (vec![3], None));
}

#[test]
fn tables_come_in_pieces_behind_garbage_and_over_several_packets() {
    let long: Vec<(u8, u16, &[u8])> =
        (0..60).map(|n| (0x0f, 256 + n, &b"\x0a\x04deu\0"[..])).collect();
    let mut bytes = vec![1, 2, 3];
    bytes.extend(pat(0, &[(1, 0x1000)]));
    bytes.extend(pmt(0x1000, 1, &long));
    let mut tables = Tables::default();
    for piece in bytes.chunks(50) {
        tables.push(piece);
    }
    assert_eq!(shown(&tables, 1).len(), 60);
}

#[test]
fn a_broken_table_is_not_believed() {
    let mut tables = Tables::default();
    let mut bytes = pat(0, &[(1, 0x1000)]);
    bytes[20] ^= 1;
    assert!(!tables.push(&bytes));
    assert!(tables.numbers().is_empty());
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_survived(
        batches in proptest::collection::vec(proptest::collection::vec(0_u8.., 0..600), 1..6),
        sections in proptest::collection::vec(proptest::collection::vec(0_u8.., 0..200), 1..4),
    ) {
        let mut tables = Tables::default();
        tables.push(&pat(0, &[(1, 0x1000)]));
        for body in sections {
            tables.push(&packets(0x1000, &[section(2, 1, 0, &body)]));
            tables.push(&packets(0, &[section(0, 1, 0, &body)]));
        }
        for bytes in batches {
            tables.push(&bytes);
        }
        proptest::prop_assert!(tables.rest.len() < PACKET_BYTES);
    }
}
