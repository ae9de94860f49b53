//! The packets with which decoding can start, by their payloads.

use crate::media::Codec;

/// Finds the first packet of each key frame. Pure.
#[derive(Debug, Default)]
pub(super) struct Starts {
    /// Timestamp of the key frame whose first packet was found.
    found: Option<u32>,
}

impl Starts {
    /// Whether decoding can start with a packet of this RTP timestamp. Packets come in order.
    pub(super) fn is_start(&mut self, codec: Codec, time: u32, payload: &[u8]) -> bool {
        if self.found == Some(time) || !begins_key_frame(codec, payload).unwrap_or(false) {
            return false;
        }
        self.found = Some(time);
        true
    }
}

/// Whether a payload holds the beginning of a key frame; `None` if it is cut off.
fn begins_key_frame(codec: Codec, payload: &[u8]) -> Option<bool> {
    let first = *payload.first()?;
    // An IDR slice or a sequence parameter set (ITU-T H.264 table 7-1).
    let is_key = |nal: u8| matches!(nal & 0x1f, 5 | 7);
    Some(match codec {
        Codec::H264 => match first & 0x1f {
            // STAP-A and FU-A (RFC 6184 section 5.2).
            24 => nals(payload.get(1..)?).any(is_key),
            28 => payload.get(1).is_some_and(|head| head & 0x80 != 0 && is_key(*head)),
            _ => is_key(first),
        },
        // Start of the first partition, and no inter frame (RFC 7741 sections 4.2 and 4.3).
        Codec::Vp8 => first & 0x17 == 0x10 && payload.get(vp8_descriptor_bytes(payload)?)? & 1 == 0,
        // Begin of a frame without inter-picture prediction (RFC 9628 section 4.2).
        Codec::Vp9 => first & 0x08 != 0 && first & 0x40 == 0,
        // The first packet of a coded video sequence (AV1 RTP specification, section 4.4).
        Codec::Av1 => first & 0x08 != 0,
        _ => false,
    })
}

/// The first bytes of the NAL units in an aggregate.
fn nals(mut units: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let (size, rest) = units.split_first_chunk::<2>()?;
        let unit = rest.get(..usize::from(u16::from_be_bytes(*size)))?;
        units = rest.get(unit.len()..)?;
        unit.first().copied()
    })
}

/// Length of a VP8 payload descriptor in bytes (RFC 7741 section 4.2).
fn vp8_descriptor_bytes(payload: &[u8]) -> Option<usize> {
    let first = *payload.first()?;
    if first & 0x80 == 0 {
        return Some(1);
    }
    let extended = *payload.get(1)?;
    let picture_id = match extended & 0x80 != 0 {
        true => 1 + usize::from(payload.get(2)? >> 7),
        false => 0,
    };
    let layer_index = usize::from(extended & 0x40 != 0);
    let layer_and_key = usize::from(extended & 0x30 != 0);
    Some(2 + picture_id + layer_index + layer_and_key)
}
