use proptest::prelude::*;

use super::*;

fn check(kind: Kind, bytes: &[u8], expect: Packet) {
    assert_eq!(parse(kind, Bytes::copy_from_slice(bytes)), Ok(expect), "{bytes:02x?}");
}

fn config(codec: Codec, record: &[u8]) -> Packet {
    Packet::Config { codec, record: Bytes::copy_from_slice(record) }
}

fn frame(codec: Codec, key: bool, composition_ms: i32, data: &[u8]) -> Packet {
    Packet::Frame { codec, key, composition_ms, data: Bytes::copy_from_slice(data) }
}

#[test]
fn legacy_tags() {
    use Codec::{Aac, H264, H265, Mp3};
    check(Kind::Video, &[0x17, 0, 0, 0, 0, 1, 2], config(H264, &[1, 2]));
    check(Kind::Video, &[0x17, 1, 0, 0, 80, 5], frame(H264, true, 80, &[5]));
    check(Kind::Video, &[0x27, 1, 0xff, 0xff, 0xff, 5], frame(H264, false, -1, &[5]));
    check(Kind::Video, &[0x17, 2, 0, 0, 0], Packet::Nothing);
    check(Kind::Video, &[0x1c, 0, 0, 0, 0, 9], config(H265, &[9]));
    check(Kind::Audio, &[0xaf, 0, 0x11, 0x90], config(Aac, &[0x11, 0x90]));
    check(Kind::Audio, &[0xaf, 1, 0x21], frame(Aac, true, 0, &[0x21]));
    check(Kind::Audio, &[0x2f, 0xff, 0xfb], frame(Mp3, true, 0, &[0xff, 0xfb]));
    check(Kind::Audio, &[], Packet::Nothing);
}

#[test]
fn enhanced_tags() {
    use Codec::{Av1, H264, H265, Opus, Vp9};
    check(Kind::Video, b"\x90hvc1\x01\x02", config(H265, &[1, 2]));
    check(Kind::Video, b"\x91hvc1\x00\x00\x50\x09", frame(H265, true, 80, &[9]));
    check(Kind::Video, b"\xa3hvc1\x09", frame(H265, false, 0, &[9]));
    check(Kind::Video, b"\x91av01\x0a", frame(Av1, true, 0, &[10]));
    check(Kind::Video, b"\xa1vp09\x0b", frame(Vp9, false, 0, &[11]));
    check(Kind::Video, b"\x94hvc1colour", Packet::Nothing);
    check(Kind::Audio, b"\x90OpusOpusHead", config(Opus, b"OpusHead"));
    check(Kind::Audio, b"\x91Opus\x01", frame(Opus, true, 0, &[1]));
    // A modifier of three bytes before the packet type.
    check(Kind::Video, b"\x97\x02\x00\x00\x07\x01avc1\x00\x00\x02\x09", frame(H264, true, 2, &[9]));
}

#[test]
fn of_several_tracks_number_zero_is_taken() {
    use Codec::{H264, Opus};
    check(Kind::Video, b"\x96\x01avc1\x00\x00\x00\x05\x09", frame(H264, true, 5, &[9]));
    check(Kind::Video, b"\x96\x01avc1\x01\x00\x00\x05\x09", Packet::Nothing);
    let many = b"\x95\x11Opus\x01\x00\x00\x01\xaa\x00\x00\x00\x01\xbb";
    check(Kind::Audio, many, frame(Opus, true, 0, &[0xbb]));
    let codecs = b"\x95\x21mp4a\x01\x00\x00\x01\xaaOpus\x00\x00\x00\x01\xbb";
    check(Kind::Audio, codecs, frame(Opus, true, 0, &[0xbb]));
}

#[test]
fn what_is_not_taken_is_named() {
    let refused = |kind, bytes: &'static [u8]| {
        parse(kind, Bytes::from_static(bytes)).expect_err("refused").to_string()
    };
    assert!(refused(Kind::Video, b"\x14abc").contains("video codec 4"));
    assert!(refused(Kind::Audio, b"\xb2a").contains("sound format 11"));
    assert!(refused(Kind::Audio, b"\x90fLaCx").contains("`fLaC`"));
    assert!(refused(Kind::Audio, b"\x91av01x").contains("av1 as audio"));
    assert_eq!(parse(Kind::Video, Bytes::from_static(&[0x17, 1, 0])), Err(Error::Truncated));
}

#[test]
fn an_independent_parser_reads_the_same_frames() {
    use rtmp_rs::media::enhanced_video::EnhancedVideoData;
    let tag = Bytes::from_static(b"\x91hvc1\x00\x00\x50\x09\x08");
    let theirs = EnhancedVideoData::parse(tag.clone()).expect("valid");
    let ours = parse(Kind::Video, tag).expect("valid");
    assert_eq!(ours, frame(Codec::H265, true, 80, &[9, 8]));
    assert!(format!("{theirs:?}").contains("80"), "{theirs:?}");
}

#[test]
fn aggregates_are_taken_apart() {
    let mut bytes = Vec::new();
    for (kind, time, data) in [(8u8, 1000u32, &b"a"[..]), (9, 1040, b"vv")] {
        bytes.push(kind);
        bytes.extend(&(data.len() as u32).to_be_bytes()[1..]);
        bytes.extend(&time.to_be_bytes()[1..]);
        bytes.extend([0, 0, 0, 0]);
        bytes.extend(data);
        bytes.extend((11 + data.len() as u32).to_be_bytes());
    }
    bytes.extend([9, 0, 0]);
    let tags = split_aggregate(50, bytes.into());
    assert_eq!(tags, [(8, 50, Bytes::from_static(b"a")), (9, 90, Bytes::from_static(b"vv"))]);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>, timestamp: u32) {
        for kind in Kind::ALL {
            let _ = parse(kind, bytes.clone().into());
            for first in [0x96, 0x95, 0x97, 0x17, 0xaf] {
                let mut tag = vec![first];
                tag.extend(&bytes);
                let _ = parse(kind, tag.into());
            }
        }
        split_aggregate(timestamp, bytes.into());
    }
}

#[test]
fn mpeg_ts_is_recognised_wherever_it_is_cut() {
    let mut packets = vec![0_u8; 188 * 6];
    packets.iter_mut().step_by(188).for_each(|byte| *byte = 0x47);
    assert!(is_mpegts(&packets) && is_mpegts(&packets[100..]));
    assert!(!is_mpegts(&packets[..188 * 4]) && !is_mpegts(&[]));
    packets[188] = 0;
    assert!(!is_mpegts(&packets[..188 * 5]));
}
