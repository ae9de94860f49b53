//! Captions in the supplemental enhancement information of H.264 and H.265: user data registered by
//! ITU-T T.35 with the ATSC's identifier (`GA94`, ATSC A/53 part 4 section 6.2.3).

use std::ops::Range;

use super::cc_data::{self, Triplet};
use super::nal::{Role, Unit, VideoCodec, escape, next_start, unescaped};

/// Payload type of user data that is registered by ITU-T T.35.
const REGISTERED_PAYLOAD_TYPE: usize = 4;

/// United States, ATSC, `GA94`, captions.
const CAPTIONS: [u8; 8] = [0xb5, 0x00, 0x31, b'G', b'A', b'9', b'4', 0x03];

/// Most NAL units that are examined before the picture; real streams have far fewer.
const NAL_UNITS_MAX: usize = 256;

/// The part of an access unit before the picture.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// The captions in it.
    pub captions: Vec<Triplet>,
    codec: VideoCodec,
    /// Offset of the first slice, start code included.
    picture: usize,
    /// SEI units with captions, and each unit's remainder without them.
    cuts: Vec<(Range<usize>, Vec<u8>)>,
}

/// A rewritten access unit: `head`, followed by the old unit's bytes from `tail` on.
#[derive(Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// Everything before the picture.
    pub head: Vec<u8>,
    /// Offset of the picture in the old access unit.
    pub tail: usize,
}

/// Examines an access unit of a byte stream (Annex B) up to the picture, which is not read. `None`
/// if it has no picture.
pub fn inspect(unit: &[u8], codec: VideoCodec) -> Option<Head> {
    let mut head = Head { captions: Vec::new(), codec, picture: 0, cuts: Vec::new() };
    let mut start = next_start(unit, 0)?;
    for _ in 0..NAL_UNITS_MAX {
        let role = codec.role(*unit.get(start.end)?);
        if role == Role::Picture {
            head.picture = start.start;
            return Some(head);
        }
        let next = next_start(unit, start.end)?;
        if role == Role::Sei {
            head.look_into(
                unit,
                &Unit { whole: start.start..next.start, body: start.end..next.start },
            );
        }
        start = next;
    }
    None
}

impl Head {
    /// Reads the captions of an SEI unit and stores the unit's remainder without them.
    fn look_into(&mut self, bytes: &[u8], unit: &Unit) {
        let header = self.codec.header_len();
        let Some(body) = bytes[unit.body.clone()].get(header..) else { return };
        let payload = unescaped(body);
        let messages = messages(&payload);
        let is_captions = |(kind, data): &(usize, Range<usize>)| {
            *kind == REGISTERED_PAYLOAD_TYPE && payload[data.clone()].starts_with(&CAPTIONS)
        };
        if !messages.iter().any(is_captions) {
            return;
        }
        let mut rest = Vec::new();
        for message in &messages {
            let data = &payload[message.1.clone()];
            if is_captions(message) {
                self.captions.extend(cc_data::read(&data[CAPTIONS.len()..]));
            } else {
                write_message(&mut rest, message.0, data);
            }
        }
        let mut remains = Vec::new();
        if !rest.is_empty() {
            remains.extend_from_slice(&bytes[unit.whole.start..unit.body.start + header]);
            rest.push(0x80);
            escape(&rest, &mut remains);
        }
        self.cuts.push((unit.whole.clone(), remains));
    }

    /// The access unit with these captions, if any, instead of its own.
    pub fn rewrite(&self, unit: &[u8], captions: &[Triplet]) -> Rewritten {
        let mut head = Vec::with_capacity(self.picture + 128);
        let mut from = 0;
        for (cut, remains) in &self.cuts {
            head.extend_from_slice(&unit[from..cut.start]);
            head.extend_from_slice(remains);
            from = cut.end;
        }
        head.extend_from_slice(&unit[from..self.picture]);
        if !captions.is_empty() {
            write(self.codec, captions, &mut head);
        }
        Rewritten { head, tail: self.picture }
    }
}

/// Appends an SEI unit with captions, start code included.
fn write(codec: VideoCodec, captions: &[Triplet], out: &mut Vec<u8>) {
    let mut data = CAPTIONS.to_vec();
    data.extend(cc_data::write(captions));
    let mut payload = Vec::with_capacity(data.len() + 4);
    write_message(&mut payload, REGISTERED_PAYLOAD_TYPE, &data);
    // The stop bit of the unit.
    payload.push(0x80);
    out.extend([0, 0, 0, 1]);
    out.extend_from_slice(codec.sei_header());
    escape(&payload, out);
}

/// Type and range of each message of an SEI payload, without an incomplete one.
fn messages(payload: &[u8]) -> Vec<(usize, Range<usize>)> {
    let mut found = Vec::new();
    let mut at = 0;
    // A message has at least two bytes; the last byte is the stop bit.
    while at + 2 < payload.len() {
        let Some(kind) = number(payload, &mut at) else { break };
        let Some(size) = number(payload, &mut at) else { break };
        let Some(end) = at.checked_add(size).filter(|end| *end <= payload.len()) else { break };
        found.push((kind, at..end));
        at = end;
    }
    found
}

/// An SEI number: each 0xff byte adds 255.
fn number(payload: &[u8], at: &mut usize) -> Option<usize> {
    let mut value = 0;
    loop {
        let byte = *payload.get(*at)?;
        *at += 1;
        value += usize::from(byte);
        if byte != 0xff {
            return Some(value);
        }
    }
}

fn write_message(out: &mut Vec<u8>, kind: usize, data: &[u8]) {
    for mut value in [kind, data.len()] {
        while value >= 0xff {
            out.push(0xff);
            value -= 0xff;
        }
        out.push(value as u8);
    }
    out.extend_from_slice(data);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::captions::Field;

    /// Delimiter, parameter sets, an SEI with a recovery point, a slice.
    const H264: &[u8] = &[
        0, 0, 0, 1, 9, 0x10, 0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 1, 6, 6, 1, 0x9c,
        0x80, 0, 0, 1, 0x65, 0x88, 0, 0, 3, 0, 1,
    ];

    fn apply(unit: &[u8], codec: VideoCodec, captions: &[Triplet]) -> Vec<u8> {
        let rewritten = inspect(unit, codec).expect("a picture").rewrite(unit, captions);
        [&rewritten.head, &unit[rewritten.tail..]].concat()
    }

    fn triplets() -> Vec<Triplet> {
        vec![
            Triplet::line21(Field::One, [0x94, 0x20]),
            Triplet([0xff, 0, 0]),
            Triplet([0xfe, 0, 1]),
        ]
    }

    #[test]
    fn captions_come_before_the_picture_and_after_everything_else() {
        let made = apply(H264, VideoCodec::H264, &triplets());
        let slice = H264.len() - 10;
        assert_eq!(made[..slice], H264[..slice]);
        assert_eq!(made[made.len() - 10..], H264[slice..]);
        let sei = &made[slice..made.len() - 10];
        let expect = [
            &[0, 0, 0, 1, 6, 4, 20][..],
            &CAPTIONS,
            &[0xc3, 0xff, 0xfc, 0x94, 0x20, 0xff, 0, 0, 0xfe, 0, 1, 0xff, 0x80],
        ];
        assert_eq!(sei, expect.concat());
    }

    #[test]
    fn captions_are_read_replaced_and_removed() {
        let with = apply(H264, VideoCodec::H264, &triplets());
        assert_eq!(inspect(&with, VideoCodec::H264).expect("a picture").captions, triplets());
        let other = [Triplet::line21(Field::Two, [0x15, 0x2c])];
        let replaced = apply(&with, VideoCodec::H264, &other);
        assert_eq!(inspect(&replaced, VideoCodec::H264).expect("a picture").captions, other);
        assert_eq!(apply(&with, VideoCodec::H264, &[]), H264);
    }

    #[test]
    fn other_messages_of_the_same_unit_stay() {
        let mut payload = Vec::new();
        write_message(&mut payload, 5, &[7; 300]);
        let mut data = CAPTIONS.to_vec();
        data.extend(cc_data::write(&triplets()));
        write_message(&mut payload, REGISTERED_PAYLOAD_TYPE, &data);
        write_message(&mut payload, 1, &[0, 0, 0]);
        payload.push(0x80);
        let mut unit = vec![0, 0, 0, 1, 6];
        escape(&payload, &mut unit);
        unit.extend([0, 0, 1, 0x41, 9]);
        let bare = apply(&unit, VideoCodec::H264, &[]);
        let start = next_start(&bare, 4).expect("the slice").start;
        let rest = unescaped(&bare[5..start]);
        let kinds: Vec<_> = messages(&rest).into_iter().map(|(k, d)| (k, d.len())).collect();
        assert_eq!(kinds, [(5, 300), (1, 3)]);
    }

    #[test]
    fn h265_has_its_own_header() {
        let unit = [0, 0, 0, 1, 70, 1, 0x50, 0, 0, 1, 38, 1, 0xaf, 0];
        let made = apply(&unit, VideoCodec::H265, &triplets());
        assert_eq!(made[7..14], [0, 0, 0, 1, 78, 1, 4]);
        assert_eq!(inspect(&made, VideoCodec::H265).expect("a picture").captions, triplets());
        assert_eq!(inspect(&unit[..7], VideoCodec::H265), None, "no picture");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(
            bytes in proptest::collection::vec(
                prop_oneof![Just(0_u8), Just(0), Just(1), Just(6), Just(4), Just(0x65), any::<u8>()],
                0..300,
            ),
            h265: bool,
        ) {
            let codec = if h265 { VideoCodec::H265 } else { VideoCodec::H264 };
            if let Some(head) = inspect(&bytes, codec) {
                let made = head.rewrite(&bytes, &triplets());
                let whole = [&made.head, &bytes[made.tail..]].concat();
                let again = inspect(&whole, codec).expect("it still has its picture");
                prop_assert_eq!(again.captions, triplets());
            }
        }

        #[test]
        fn captions_that_are_garbage_do_no_harm(
            garbage in proptest::collection::vec(any::<u8>(), 0..120),
        ) {
            let mut payload = Vec::new();
            let message = [&CAPTIONS[..], &garbage].concat();
            write_message(&mut payload, REGISTERED_PAYLOAD_TYPE, &message);
            payload.push(0x80);
            let mut unit = vec![0, 0, 1, 6];
            escape(&payload, &mut unit);
            unit.extend([0, 0, 1, 0x41, 9]);
            prop_assert!(apply(&unit, VideoCodec::H264, &[]).starts_with(&[0, 0, 1, 0x41]));
        }
    }
}
