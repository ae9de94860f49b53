//! Converts GStreamer caps to [`Format`].

use crate::media::{AudioDetail, Codec, Format, H264Profile, Memory, VideoDetail};

/// The format of a feed with these caps; `None` for caps that no feed carries.
///
/// `frame` is a key frame of the feed, if there is one: only the SPS of an H.264 byte stream states
/// whether it reorders frames.
pub fn format_of(caps: &gst::CapsRef, frame: Option<&gst::BufferRef>) -> Option<Format> {
    let s = caps.structure(0)?;
    let codec = codec_of(s)?;
    let positive = |field: &str| s.get::<i32>(field).ok().and_then(|v| u32::try_from(v).ok());
    let mut format = Format::new(codec);
    if codec.kind() == crate::media::Kind::Audio {
        format.audio = AudioDetail {
            rate: positive("rate").unwrap_or(0),
            channels: positive("channels").unwrap_or(0),
        };
        return Some(format);
    }
    let fps = s.get::<gst::Fraction>("framerate").ok().filter(|f| f.denom() > 0);
    format.video = VideoDetail {
        width: positive("width").unwrap_or(0),
        height: positive("height").unwrap_or(0),
        fps: fps.map_or(0.0, |f| f.numer() as f32 / f.denom() as f32),
        ..VideoDetail::default()
    };
    format.memory = memory_of(caps);
    match codec {
        Codec::H264 => {
            let profile = h264_profile(s.get::<&str>("profile").unwrap_or_default());
            format.video.profile = Some(profile);
            format.video.reorders = frame
                .and_then(|f| f.map_readable().ok())
                .and_then(|map| sps_reorders(&map))
                .unwrap_or(!matches!(
                    profile,
                    H264Profile::ConstrainedBaseline | H264Profile::Baseline
                ));
        }
        // Encoders use B-frames by default, and only the VPS states the order. The feed corrects a
        // wrong assumption only in the other direction, from timestamps.
        Codec::H265 => format.video.reorders = true,
        _ => {}
    }
    Some(format)
}

/// The caps feature of frames in CUDA memory (`GST_CAPS_FEATURE_MEMORY_CUDA_MEMORY`).
const CUDA_MEMORY: &str = "memory:CUDAMemory";

fn memory_of(caps: &gst::CapsRef) -> Memory {
    match caps.features(0).is_some_and(|features| features.contains(CUDA_MEMORY)) {
        true => Memory::Cuda,
        false => Memory::System,
    }
}

/// The codec of media that feeds carry.
pub(super) fn codec_of(s: &gst::StructureRef) -> Option<Codec> {
    Some(match (s.name().as_str(), mpeg_version(s)) {
        ("video/x-h264", _) => Codec::H264,
        ("video/x-h265", _) => Codec::H265,
        ("video/x-vp8", _) => Codec::Vp8,
        ("video/x-vp9", _) => Codec::Vp9,
        ("video/x-av1", _) => Codec::Av1,
        ("video/x-raw", _) => Codec::RawVideo,
        ("audio/x-opus", _) => Codec::Opus,
        ("audio/x-raw", _) => Codec::RawAudio,
        ("audio/mpeg", 1) if s.get::<i32>("layer") == Ok(3) => Codec::Mp3,
        ("audio/mpeg", 1) => Codec::Mp2,
        ("audio/mpeg", 2 | 4) => Codec::Aac,
        _ => return None,
    })
}

/// `mpegversion`, or 0 if absent. A parser that has seen no media yet offers several; all of them
/// take the same branch, so the first is used.
pub(super) fn mpeg_version(s: &gst::StructureRef) -> i32 {
    let fixed = s.get::<i32>("mpegversion").ok();
    let range = || s.get::<gst::IntRange<i32>>("mpegversion").ok().map(|range| range.min());
    let list = || s.get::<gst::List>("mpegversion").ok()?.first()?.get::<i32>().ok();
    fixed.or_else(range).or_else(list).unwrap_or(0)
}

fn h264_profile(name: &str) -> H264Profile {
    match name {
        "constrained-baseline" => H264Profile::ConstrainedBaseline,
        "baseline" => H264Profile::Baseline,
        "main" => H264Profile::Main,
        "high" | "constrained-high" | "progressive-high" => H264Profile::High,
        _ => H264Profile::Other,
    }
}

/// Whether the first SPS in an Annex B access unit allows frames to be reordered: VUI
/// `max_num_reorder_frames`, or picture order type 2, which forbids it (ITU-T H.264 8.2.1.3).
/// `None` if there is no SPS or it does not state this.
fn sps_reorders(access_unit: &[u8]) -> Option<bool> {
    use h264_reader::nal::sps::{PicOrderCntType, SeqParameterSet};
    use h264_reader::rbsp::{BitReader, decode_nal};

    let sps = annex_b_nals(access_unit).find(|nal| nal.first().is_some_and(|b| b & 31 == 7))?;
    let rbsp = decode_nal(sps).ok()?;
    let sps = SeqParameterSet::from_bits(BitReader::new(&*rbsp)).ok()?;
    if matches!(sps.pic_order_cnt, PicOrderCntType::TypeTwo) {
        return Some(false);
    }
    let restrictions = sps.vui_parameters?.bitstream_restrictions?;
    Some(restrictions.max_num_reorder_frames > 0)
}

/// Whether decoding can start with a buffer that its parser marks as a key frame.
///
/// `h264parse` marks every I picture. At scene cuts encoders insert I pictures that are not IDR
/// pictures and have no parameter sets: a decoder that starts there shows nothing, or lacks the
/// references of later pictures.
pub(super) fn can_start_decoding(caps: &gst::CapsRef, buffer: &gst::BufferRef) -> bool {
    if caps.structure(0).is_none_or(|s| s.name() != "video/x-h264") {
        return true;
    }
    buffer.map_readable().is_ok_and(|map| has_sps_or_idr(&map))
}

/// Whether a buffer that its parser marks as a key frame is an H.264 recovery point and not an IDR
/// picture: parameter sets or the SEI message precede its first slice. Decoders like FFmpeg's start
/// there and show correct pictures a few frames later; browsers wait for an IDR picture.
pub(super) fn is_recovery_point(caps: &gst::CapsRef, buffer: &gst::BufferRef) -> bool {
    if caps.structure(0).is_none_or(|s| s.name() != "video/x-h264") {
        return false;
    }
    buffer.map_readable().is_ok_and(|map| recovers(&map))
}

fn recovers(access_unit: &[u8]) -> bool {
    let mut marked = false;
    for nal in annex_b_nals(access_unit) {
        match nal.first().map(|header| header & 31) {
            Some(kind) if is_slice(kind) => return marked && kind != IDR_NAL_TYPE,
            Some(SPS_NAL_TYPE) => marked = true,
            Some(SEI_NAL_TYPE) => {
                marked |=
                    h264_reader::rbsp::decode_nal(nal).is_ok_and(|rbsp| says_recovery_point(&rbsp))
            }
            _ => {}
        }
    }
    false
}

/// Type of the message that marks a recovery point (ITU-T H.264 D.1.8).
const RECOVERY_POINT_PAYLOAD_TYPE: usize = 6;

/// Whether one of the messages of an SEI NAL unit marks a recovery point (ITU-T H.264 7.3.2.3.1).
fn says_recovery_point(mut messages: &[u8]) -> bool {
    while let Some((kind, rest)) = sei_number(messages) {
        if kind == RECOVERY_POINT_PAYLOAD_TYPE {
            return true;
        }
        let Some((size, rest)) = sei_number(rest) else { return false };
        messages = rest.get(size..).unwrap_or_default();
    }
    false
}

/// Parses an SEI number (bytes of 255, then a last byte); returns it and the remaining bytes.
fn sei_number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let full = bytes.iter().take_while(|byte| **byte == 255).count();
    let last = *bytes.get(full)?;
    Some((full * 255 + usize::from(last), &bytes[full + 1..]))
}

/// Type of supplemental enhancement information (ITU-T H.264 table 7-1).
const SEI_NAL_TYPE: u8 = 6;
/// Type of a sequence parameter set (ITU-T H.264 table 7-1).
const SPS_NAL_TYPE: u8 = 7;

/// Type of the slices of an IDR picture (ITU-T H.264 table 7-1).
const IDR_NAL_TYPE: u8 = 5;

/// Types of the NAL units of an Annex B access unit of H.264, up to its first slice.
fn types_up_to_slice(access_unit: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = Some(access_unit);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let header = &bytes[find_start_code(bytes)? + 3..];
        let kind = header.first()? & 31;
        rest = (!is_slice(kind)).then_some(header);
        Some(kind)
    })
}

fn is_slice(kind: u8) -> bool {
    (1..=IDR_NAL_TYPE).contains(&kind)
}

/// Whether an Annex B access unit of H.264 has an SPS (type 7) before its first slice (1-5), or
/// this slice belongs to an IDR picture (5).
fn has_sps_or_idr(access_unit: &[u8]) -> bool {
    types_up_to_slice(access_unit).any(|kind| matches!(kind, IDR_NAL_TYPE | SPS_NAL_TYPE))
}

/// The NAL units of an Annex B byte stream, without their start codes.
fn annex_b_nals(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let start = find_start_code(rest)? + 3;
        let body = &rest[start..];
        let end = find_start_code(body).unwrap_or(body.len());
        rest = &body[end..];
        Some(&body[..end])
    })
}

fn find_start_code(bytes: &[u8]) -> Option<usize> {
    bytes.windows(3).position(|w| w == [0, 0, 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_layers_and_rates_are_told_apart() {
        gst::init().expect("GStreamer starts");
        let check = |caps: &str, expect: &str| {
            let caps: gst::Caps = caps.parse().expect("valid caps");
            assert_eq!(format_of(&caps, None).expect("known").to_string(), expect);
        };
        check("audio/mpeg,mpegversion=4,rate=44100,channels=2", "aac 44100 Hz 2 ch");
        check("audio/mpeg,mpegversion=1,layer=2,rate=48000,channels=1", "mp2 48000 Hz 1 ch");
        check("video/x-vp8,width=640,height=360,framerate=30/1", "vp8 640x360 30 fps");
        check("video/x-h264,profile=high,width=2,height=2", "h264 2x2 High B-frames");
        check("video/x-h264,profile=constrained-baseline", "h264 ConstrainedBaseline");
    }

    #[test]
    fn the_feature_of_raw_caps_tells_the_memory() {
        gst::init().expect("GStreamer starts");
        let check = |caps: &str, expect: Memory, shown: &str| {
            let caps: gst::Caps = caps.parse().expect("valid caps");
            let format = format_of(&caps, None).expect("known");
            assert_eq!((format.memory, format.to_string().as_str()), (expect, shown), "{caps}");
        };
        let size = "format=NV12,width=64,height=36";
        check(&format!("video/x-raw,{size}"), Memory::System, "rawvideo 64x36");
        let system = format!("video/x-raw(memory:SystemMemory),{size}");
        check(&system, Memory::System, "rawvideo 64x36");
        let cuda = format!("video/x-raw(memory:CUDAMemory),{size}");
        check(&cuda, Memory::Cuda, "rawvideo 64x36 in CUDA memory");
        let other = "video/x-raw(memory:CUDAMemory,meta:GstVideoOverlayComposition)";
        check(other, Memory::Cuda, "rawvideo in CUDA memory");
    }

    #[test]
    fn decoding_starts_where_parameter_sets_or_an_idr_picture_are() {
        let unit =
            |types: &[u8]| types.iter().flat_map(|t| [0, 0, 1, *t, 0x55]).collect::<Vec<_>>();
        for (types, expect) in [
            (&[9, 7, 8, 6, 5][..], true),
            (&[0x67, 0x68, 0x61], true),
            (&[9, 0x65], true),
            (&[9, 6, 0x61], false),
            (&[0x41, 0x67], false),
            (&[], false),
        ] {
            assert_eq!(has_sps_or_idr(&unit(types)), expect, "{types:?}");
        }
    }

    #[test]
    fn a_start_without_an_idr_picture_is_a_recovery_point() {
        gst::init().expect("GStreamer starts");
        let check = |caps: &str, types: &[u8], expect| {
            let caps: gst::Caps = caps.parse().expect("valid caps");
            let unit: Vec<u8> = types.iter().flat_map(|t| [0, 0, 1, *t, 0x55]).collect();
            let buffer = gst::Buffer::from_slice(unit);
            assert_eq!(is_recovery_point(&caps, &buffer), expect, "{caps}: {types:?}");
        };
        check("video/x-h264", &[9, 0x67, 0x68, 6, 0x41], true);
        check("video/x-h264", &[9, 0x67, 0x68, 6, 0x65, 0x41], false);
        check("video/x-h264", &[9, 6, 0x41], false);
        check("video/x-h264", &[9, 0x67, 0x68], false);
        check("video/x-h265", &[0x41], false);

        // FLV carries recovery points without parameter sets; only the SEI message marks them.
        let unit =
            |messages: &[u8]| [&[0, 0, 1, 6], messages, &[0x80, 0, 0, 1, 0x41, 0x55]].concat();
        assert!(recovers(&unit(&[6, 1, 0x04])));
        assert!(recovers(&unit(&[5, 2, 0xaa, 0xbb, 6, 1, 0x04])));
        assert!(!recovers(&unit(&[5, 2, 6, 6])));
        assert!(!recovers(&unit(&[255, 255])));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let mut with_sps = vec![0, 0, 1, 0x67];
            with_sps.extend(&bytes);
            sps_reorders(&with_sps);
            sps_reorders(&bytes);
        }
    }
}
