//! Converts decoder configuration records to caps.

use bytes::Bytes;
use h264_reader::avcc::AvcDecoderConfigurationRecord;

use crate::media::Codec;

/// Whether frames of a codec cannot be decoded without a record before them.
pub(super) fn is_required(codec: Codec) -> bool {
    matches!(codec, Codec::H264 | Codec::H265 | Codec::Vp8 | Codec::Aac | Codec::Opus)
}

/// The caps for the feed's parser, from a track's record.
///
/// # Errors
/// The reason, as text, if the record is invalid.
pub(super) fn caps(codec: Codec, record: &Bytes) -> Result<gst::Caps, String> {
    let coded = |caps: &str| -> Result<gst::Caps, String> {
        let mut caps: gst::Caps = caps.parse().map_err(|e| format!("{e}"))?;
        let data = gst::Buffer::from_slice(record.clone());
        caps.make_mut().set("codec_data", data);
        Ok(caps)
    };
    let plain = |caps: &str| caps.parse::<gst::Caps>().map_err(|e| format!("{e}"));
    match codec {
        Codec::H264 if AvcDecoderConfigurationRecord::try_from(&record[..]).is_err() => {
            Err(format!("{} bytes are not an AVCDecoderConfigurationRecord", record.len()))
        }
        Codec::H264 => coded("video/x-h264,stream-format=avc,alignment=au"),
        Codec::H265 if record.len() < 23 => {
            Err(format!("{} bytes are not an HEVCDecoderConfigurationRecord", record.len()))
        }
        Codec::H265 => coded("video/x-h265,stream-format=hvc1,alignment=au"),
        Codec::Av1 => plain("video/x-av1,stream-format=obu-stream,alignment=tu"),
        Codec::Vp8 => match record.first_chunk() {
            Some(&[a, b, c, d]) => {
                let side = |low, high| i32::from(u16::from_le_bytes([low, high]) & 0x3fff);
                let (width, height) = (side(a, b), side(c, d));
                plain(&format!("video/x-vp8,width={width},height={height}"))
            }
            None => Err("the size is missing".to_owned()),
        },
        Codec::Vp9 => plain("video/x-vp9"),
        Codec::Aac if record.len() < 2 => {
            Err(format!("{} bytes are not an AudioSpecificConfig", record.len()))
        }
        Codec::Aac => coded("audio/mpeg,mpegversion=4,stream-format=raw,framed=true"),
        Codec::Mp3 => plain("audio/mpeg,mpegversion=1,layer=3"),
        Codec::Opus => opus(record),
        other => Err(format!("{other} does not come by RTMP")),
    }
}

/// Caps from an Opus identification header (RFC 7845, section 5.1).
fn opus(record: &[u8]) -> Result<gst::Caps, String> {
    let head = record.strip_prefix(b"OpusHead").filter(|h| h.len() >= 11);
    let Some(head) = head else { return Err("it does not begin with an OpusHead".to_owned()) };
    let (channels, family) = (head[1], head[10]);
    let (streams, coupled) = match (family, channels) {
        (0, 1) => (1, 0),
        (0, 2) => (1, 1),
        _ => {
            return Err(format!("Opus with {channels} channels of mapping family {family}"));
        }
    };
    Ok(gst::Caps::builder("audio/x-opus")
        .field("rate", 48_000)
        .field("channels", i32::from(channels))
        .field("channel-mapping-family", 0)
        .field("stream-count", streams)
        .field("coupled-count", coupled)
        .build())
}

/// The record of a codec that sends none and whose parser does not need one: VP8 has its size in
/// each key frame (RFC 6386, section 9.1).
pub(super) fn of_key_frame(codec: Codec, frame: &Bytes) -> Option<Bytes> {
    let is_key = |f: &Bytes| f.len() >= 10 && f[0] & 1 == 0 && f[3..6] == [0x9d, 0x01, 0x2a];
    (codec == Codec::Vp8 && is_key(frame)).then(|| frame.slice(6..10))
}

/// The header that must precede a key frame so that decoding can begin there: the sequence header
/// of AV1, which MP4 and RTMP may keep only in the record. `None` for other codecs, whose parsers
/// handle it.
pub(super) fn missing_header(codec: Codec, record: &Bytes, key_frame: &[u8]) -> Option<Bytes> {
    let needed = codec == Codec::Av1 && record.len() > 4 && !has_sequence_header(key_frame);
    needed.then(|| record.slice(4..))
}

/// Whether a temporal unit of AV1 has a sequence header (AV1 specification, section 5.3).
fn has_sequence_header(mut unit: &[u8]) -> bool {
    while let Some(&header) = unit.first() {
        if (header >> 3) & 15 == 1 {
            return true;
        }
        // Without a size field the OBU extends to the end.
        if header & 2 == 0 {
            return false;
        }
        let size_at = 1 + usize::from(header >> 2 & 1);
        let Some((size, length)) = leb128(unit.get(size_at..).unwrap_or_default()) else {
            return false;
        };
        let next = size_at.saturating_add(length).saturating_add(size);
        unit = unit.get(next..).unwrap_or_default();
    }
    false
}

/// Decodes a little-endian base-128 number. Returns it and its length in bytes.
fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_become_caps() {
        gst::init().expect("GStreamer starts");
        let opus = Bytes::from_static(b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00");
        let caps = caps(Codec::Opus, &opus).expect("valid").to_string();
        assert!(
            caps.contains("channels=(int)2") && caps.contains("coupled-count=(int)1"),
            "{caps}"
        );
    }

    #[test]
    fn broken_records_are_named() {
        gst::init().expect("GStreamer starts");
        let check = |codec, record: &'static [u8], expect: &str| {
            let message = caps(codec, &Bytes::from_static(record)).expect_err("refused");
            assert!(message.contains(expect), "{message}");
        };
        check(Codec::H264, b"", "AVCDecoderConfigurationRecord");
        check(Codec::H264, b"\0\0\0\x01\x67\x42\0\x1e", "AVCDecoderConfigurationRecord");
        check(Codec::H265, b"\x01", "HEVC");
        check(Codec::Aac, b"\x11", "AudioSpecificConfig");
        check(Codec::Opus, b"OpusTags", "OpusHead");
        check(Codec::Opus, b"OpusHead\x01\x06\0\0\0\0\0\0\0\0\x01", "6 channels");
    }

    #[test]
    fn an_av1_key_frame_gets_the_sequence_header_that_it_lacks() {
        let record = Bytes::from_static(&[0x81, 0, 0, 0, 0x0a, 1, 0]);
        let check = |frame: &[u8], expect: bool| {
            assert_eq!(missing_header(Codec::Av1, &record, frame).is_some(), expect, "{frame:?}");
        };
        check(&[0x12, 0, 0x0a, 1, 0, 0x32, 1, 0], false);
        check(&[0x12, 0, 0x32, 1, 0], true);
        check(&[0x32, 0xff, 0xff, 0xff, 0xff], true);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            gst::init().expect("GStreamer starts");
            let record = Bytes::from(bytes.clone());
            for codec in Codec::ALL {
                let _ = caps(codec, &record);
                let _ = missing_header(codec, &record, &bytes);
            }
        }
    }
}
