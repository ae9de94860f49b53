use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

static MODEL: LazyLock<Model> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/aic-audio/aic-a2.safetensors");
    Model::read(&std::fs::read(path).expect("weights of the source tree")).expect("weights")
});

fn codes(stages: usize) -> impl Strategy<Value = Codes> {
    vec(0_u8..16, stages).prop_map(|codes| Codes::new(&codes))
}

fn packet() -> impl Strategy<Value = Packet> {
    let rate = (0..RATE_STAGES.len()).prop_map(|rate| RATE_STAGES[rate]);
    (1..=FRAMES_MAX, rate, 0..=REDUNDANT_FRAMES_MAX, any::<bool>(), any::<bool>()).prop_flat_map(
        |(frames, stages, redundant, comfort, constant)| {
            let redundant = if comfort { 0 } else { redundant };
            (vec(codes(stages), frames), vec(codes(REDUNDANT_STAGES), redundant)).prop_map(
                move |(frames, redundant)| Packet { frames, redundant, comfort, constant },
            )
        },
    )
}

fn read(bytes: &[u8]) -> Result<Packet, PacketError> {
    Coded::read(bytes).and_then(|coded| coded.open(&MODEL))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_is_read(packet in packet()) {
        let bytes = packet.write(&MODEL).expect("valid");
        prop_assert!(bytes.len() <= PACKET_BYTES_MAX);
        let coded = Coded::read(&bytes).expect("valid");
        // Codes at random are less likely than any speech: their own bits may be fewer.
        let constant = coded.header().constant;
        prop_assert!(constant || !packet.constant);
        prop_assert_eq!(coded.open(&MODEL), Ok(Packet { constant, ..packet }));
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_what_is_read_is_written_the_same(
        bytes in vec(any::<u8>(), 0..2 * PACKET_BYTES_MAX)
    ) {
        if let Ok(packet) = read(&bytes) {
            prop_assert_eq!(packet.write(&MODEL).expect("was read"), bytes);
        }
    }

    #[test]
    fn a_damaged_packet_is_read_or_refused(
        packet in packet(),
        at in 0..8 * PACKET_BYTES_MAX,
        cut in 0..PACKET_BYTES_MAX,
    ) {
        let mut bytes = packet.write(&MODEL).expect("valid");
        let length = bytes.len();
        bytes[at / 8 % length] ^= 1 << (at % 8);
        let _ = read(&bytes);
        let _ = read(&bytes[..cut.min(length)]);
    }

    #[test]
    fn a_packet_with_more_bytes_is_refused(packet in packet(), more in vec(any::<u8>(), 1..4)) {
        let bytes = packet.write(&MODEL).expect("valid");
        let longer = [&bytes[..], &more].concat();
        prop_assert!(read(&longer).is_err());
    }
}

#[test]
fn constant_sizes_are_those_of_the_document() {
    let check = |frames, stages, redundant, expect| {
        assert_eq!(constant_size(frames, stages, redundant), expect);
    };
    check(1, 14, 0, 8);
    check(1, 18, 0, 10);
    check(3, 18, 0, 28);
    check(3, 33, 0, 51);
    check(1, 18, 1, 14);
    check(4, 46, 2, 101);
}

#[test]
fn the_bytes_are_those_of_the_document() {
    let packet = Packet {
        frames: vec![Codes::new(&[1; 14]), Codes::new(&[2; 14])],
        redundant: vec![Codes::new(&[3; 8])],
        comfort: false,
        constant: true,
    };
    // 11 01 01 00, then 4 bits each: the redundant frame, and the frames stage by stage.
    let bytes = [&[0xd4][..], &[0x33; 4], &[0x12; 14]].concat();
    assert_eq!(packet.write(&MODEL).expect("valid"), bytes);
}

#[test]
fn refusals_say_what_is_wrong() {
    let check = |bytes: &[u8], expect| assert_eq!(read(bytes), Err(expect));
    check(&[], PacketError::Short { have: 0, want: 1 });
    check(&[0x00, 0x10, 0], PacketError::Version(0));
    check(&[0x40, 0x10, 0], PacketError::Version(1));
    check(&[0xc0, 0, 0, 0], PacketError::Short { have: 4, want: 8 });
    check(&[&[0xc0][..], &[0; 8]].concat(), PacketError::Long(1));
    check(&[&[0x80][..], &[7; 8]].concat(), PacketError::Long(1));
    // 33 stages of one frame end in the middle of a byte.
    check(&[&[0xc2][..], &[0; 16], &[1]].concat(), PacketError::Reserved);
    check(&[0x80, 1, 0], PacketError::Damaged);
    assert!(Packet::default().write(&MODEL).is_err());
    let odd = Packet { frames: vec![Codes::new(&[1; 15])], ..Packet::default() };
    assert_eq!(odd.write(&MODEL), Err(PacketError::Stages));
}

#[test]
fn a_rate_is_the_best_that_is_allowed() {
    let check = |stages, expect| assert_eq!(rate(stages), expect, "{stages}");
    check(0, 14);
    check(17, 14);
    check(18, 18);
    check(45, 33);
    check(99, 46);
}
