//! NAL units of a byte stream: what H.264 and H.265 have in common (Annex B), and which units come
//! before the picture.

use std::ops::Range;

/// The codec of the NAL units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoCodec {
    /// ITU-T H.264.
    H264,
    /// ITU-T H.265.
    H265,
}

/// The relevant kinds of NAL unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Part of a picture, or a prefix of one: everything from here on stays untouched.
    Picture,
    /// Supplemental enhancement information before the picture.
    Sei,
    /// Parameter sets, delimiters and others.
    Other,
}

impl VideoCodec {
    /// Length of a NAL unit's header, in bytes.
    pub(super) fn header_len(self) -> usize {
        match self {
            VideoCodec::H264 => 1,
            VideoCodec::H265 => 2,
        }
    }

    /// The header of an SEI NAL unit that comes before the picture.
    pub(super) fn sei_header(self) -> &'static [u8] {
        match self {
            VideoCodec::H264 => &[0x06],
            VideoCodec::H265 => &[39 << 1, 0x01],
        }
    }

    pub(super) fn role(self, first: u8) -> Role {
        match self {
            VideoCodec::H264 => match first & 0x1f {
                1..=5 | 14 | 20 => Role::Picture,
                6 => Role::Sei,
                _ => Role::Other,
            },
            VideoCodec::H265 => match first >> 1 & 0x3f {
                0..=31 => Role::Picture,
                39 => Role::Sei,
                _ => Role::Other,
            },
        }
    }
}

/// A NAL unit with its start code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// Range of start code and unit, up to the next start code.
    pub(super) whole: Range<usize>,
    /// Range of the unit alone.
    pub(super) body: Range<usize>,
}

/// The first start code at or after `from`, including a preceding zero byte. Reads no further than
/// that.
pub(super) fn next_start(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let mut at = from;
    // The third byte determines how far to advance.
    while let Some(third) = bytes.get(at + 2) {
        match third {
            1 if bytes[at] == 0 && bytes[at + 1] == 0 => {
                // A preceding zero byte belongs to the start code.
                let start = if at > from && bytes[at - 1] == 0 { at - 1 } else { at };
                return Some(start..at + 3);
            }
            0 => at += 1,
            _ => at += 3,
        }
    }
    None
}

/// The payload of a NAL unit without emulation prevention bytes.
pub(super) fn unescaped(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut zeros = 0;
    for byte in body {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        out.push(*byte);
    }
    out
}

/// Appends a payload with emulation prevention bytes.
pub(super) fn escape(payload: &[u8], out: &mut Vec<u8>) {
    let mut zeros = 0;
    for byte in payload {
        if zeros >= 2 && *byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        out.push(*byte);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn start_codes_are_found_with_their_zero() {
        let check = |bytes: &[u8], expect: Option<Range<usize>>| {
            assert_eq!(next_start(bytes, 0), expect, "{bytes:x?}");
        };
        check(&[0, 0, 1, 6], Some(0..3));
        check(&[0, 0, 0, 1, 6], Some(0..4));
        check(&[5, 0, 0, 0, 0, 1], Some(2..6));
        check(&[5, 5, 0, 0, 1], Some(2..5));
        check(&[0, 1, 0, 0, 2, 0, 0], None);
        check(&[], None);
    }

    proptest! {
        #[test]
        fn escaping_is_undone_and_hides_start_codes(
            payload in proptest::collection::vec(0_u8..5, 0..80),
        ) {
            let mut escaped = Vec::new();
            escape(&payload, &mut escaped);
            prop_assert_eq!(next_start(&escaped, 0), None);
            prop_assert_eq!(unescaped(&escaped), payload);
        }
    }
}
