use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn group(frames: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<Codes>> {
    (frames, 1..=STAGES_MAX).prop_flat_map(|(frames, stages)| {
        vec(vec(0_u16..1024, stages).prop_map(|c| Codes::new(&c)), frames)
    })
}

fn packet() -> impl Strategy<Value = Packet> {
    (group(1..=FRAMES_MAX), group(0..=REDUNDANT_FRAMES_MAX), any::<bool>())
        .prop_map(|(frames, redundant, comfort)| Packet { frames, redundant, comfort })
}

proptest! {
    #[test]
    fn what_was_written_is_read(packet in packet()) {
        let bytes = packet.write().expect("valid");
        prop_assert!(bytes.len() <= PACKET_BYTES_MAX);
        prop_assert_eq!(Packet::read(&bytes), Ok(packet));
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_what_is_read_is_written_the_same(
        bytes in vec(any::<u8>(), 0..2 * PACKET_BYTES_MAX)
    ) {
        if let Ok(packet) = Packet::read(&bytes) {
            prop_assert_eq!(packet.write().expect("was read"), bytes);
        }
    }

    #[test]
    fn a_damaged_packet_is_read_or_refused(
        packet in packet(),
        at in 0..8 * PACKET_BYTES_MAX,
        cut in 0..PACKET_BYTES_MAX,
    ) {
        let mut bytes = packet.write().expect("valid");
        let length = bytes.len();
        bytes[at / 8 % length] ^= 1 << (at % 8);
        let _ = Packet::read(&bytes);
        let _ = Packet::read(&bytes[..cut.min(length)]);
    }

    #[test]
    fn fewer_stages_are_the_first_ones(packet in packet(), stages in 1..=STAGES_MAX) {
        let cut = Packet::truncate(&packet.write().expect("valid"), stages).expect("cut");
        let cut = Packet::read(&cut).expect("a packet");
        prop_assert_eq!(&cut.redundant, &packet.redundant);
        for (less, more) in cut.frames.iter().zip(&packet.frames) {
            prop_assert_eq!(*less, more.truncated(stages));
        }
    }
}

#[test]
fn sizes_are_those_of_the_document() {
    let check = |frames, stages, redundant, redundant_stages, expect| {
        assert_eq!(size(frames, stages, redundant, redundant_stages), expect);
    };
    check(1, 3, 0, 0, 6);
    check(1, 6, 0, 0, 10);
    check(1, 12, 0, 0, 17);
    check(3, 6, 0, 0, 25);
    check(1, 6, 1, 3, 14);
}

#[test]
fn the_bytes_are_those_of_the_document() {
    let packet = Packet {
        frames: vec![Codes::new(&[0x2aa, 0x001]), Codes::new(&[0x155, 0x3ff])],
        redundant: vec![Codes::new(&[0x200])],
        comfort: false,
    };
    // 00 01 01 0 0, 0010 0001, then 10 bits each: 0x200, 0x2aa 0x155, 0x001 0x3ff, and 6 zeros.
    let bytes = [0x14, 0x21, 0x80, 0x2a, 0xa5, 0x54, 0x01, 0xff, 0xc0];
    assert_eq!(packet.write().expect("valid"), bytes);
}

#[test]
fn refusals_say_what_is_wrong() {
    let check = |bytes: &[u8], expect| assert_eq!(Packet::read(bytes), Err(expect));
    check(&[], PacketError::Short { have: 0, want: 2 });
    check(&[0, 0x10, 0], PacketError::Short { have: 3, want: 4 });
    check(&[0, 0x10, 0, 0, 0], PacketError::Long(1));
    check(&[0x40, 0x10, 0, 0], PacketError::Version(1));
    check(&[0x01, 0x10, 0, 0], PacketError::Reserved);
    check(&[0x00, 0x11, 0, 0, 0, 0], PacketError::Reserved);
    check(&[0x00, 0x10, 0, 0x01], PacketError::Reserved);
    check(&[0, 0, 0], PacketError::Count { what: "stages", least: 1, most: 12, is: 0 });
    check(&[0, 0xd0, 0], PacketError::Count { what: "stages", least: 1, most: 12, is: 13 });
    assert!(Packet::default().write().is_err());
}
