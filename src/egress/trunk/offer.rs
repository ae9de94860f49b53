//! The SDP offer for each track.

use super::Video;
use crate::media::{Codec, Format, H264Profile, Kind};
use crate::webrtc::aic;
use crate::webrtc::sdp::{Direction, Media, Payload};

/// Id of the congestion control header extension.
const TRANSPORT_CC_ID: u8 = 1;

/// Id of the header extension for AIC-A hints.
const HINTS_ID: u8 = 3;

/// The media section of a track with these payloads, best first.
pub(super) fn section(kind: Kind, payloads: Vec<Payload>) -> Media {
    let hints = payloads.iter().any(|p| p.name == aic::NAME).then_some(HINTS_ID);
    Media {
        media: kind.as_str().into(),
        protocol: "UDP/TLS/RTP/SAVPF".into(),
        enabled: true,
        direction: Direction::SendOnly,
        payloads,
        transport_cc: Some(TRANSPORT_CC_ID),
        hints,
        ..Media::default()
    }
}

/// Audio payloads: AIC-A first if it may be used, and always Opus.
pub(super) fn audio_payloads(by_aic: bool) -> Vec<Payload> {
    let model = aic::model().filter(|_| by_aic);
    let aic = model.map(|model| Payload {
        pt: 102,
        name: aic::NAME.into(),
        clock_rate: aic::CLOCK_RATE_HZ,
        parameters: format!("model={model}"),
        transport_cc: true,
        ..Payload::default()
    });
    aic.into_iter().chain(payload(&Format::new(Codec::Opus))).collect()
}

/// Video payloads: the feed's own codec first if it may pass, or the requested codec, then all
/// codecs that can be encoded.
pub(super) fn video_payloads(format: &Format, video: Video, encoders: &[Codec]) -> Vec<Payload> {
    let mut formats: Vec<Format> = match video {
        Video::Off => return Vec::new(),
        Video::Pass => vec![format.clone()],
        Video::Encode(_) => Vec::new(),
    };
    let asked = match video {
        Video::Encode(codec) => Some(codec),
        Video::Pass | Video::Off => None,
    };
    let others = Video::ENCODED.into_iter().filter(|c| Some(*c) != asked);
    for codec in asked.into_iter().chain(others).filter(|c| encoders.contains(c)) {
        if formats.iter().all(|f| f.codec != codec) {
            let mut encoded = Format::new(codec);
            (encoded.video.width, encoded.video.height) = (format.video.width, format.video.height);
            formats.push(encoded);
        }
    }
    formats.iter().filter_map(payload).collect()
}

/// The payload of a codec that WebRTC carries. Lost video packets are retransmitted; audio has
/// other mechanisms.
pub(super) fn payload(format: &Format) -> Option<Payload> {
    let (pt, name, parameters) = match format.codec {
        Codec::Opus => (111, "opus", "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1".into()),
        Codec::H264 => (96, "H264", h264(format)),
        Codec::Vp8 => (98, "VP8", String::new()),
        Codec::Vp9 => (100, "VP9", "profile-id=0".into()),
        Codec::Av1 => (104, "AV1", String::new()),
        _ => return None,
    };
    let video = format.codec.kind() == Kind::Video;
    Some(Payload {
        pt,
        name: name.into(),
        clock_rate: if video { 90_000 } else { 48_000 },
        channels: (!video).then_some(2),
        parameters,
        nack: video,
        pli: video,
        fir: video,
        transport_cc: true,
    })
}

/// Profile, and the lowest level that allows the size (ITU-T H.264 table A-1, at 30 fps).
fn h264(format: &Format) -> String {
    let profile = match format.video.profile {
        Some(H264Profile::Baseline) => "4200",
        Some(H264Profile::Main) => "4d00",
        Some(H264Profile::High) => "6400",
        _ => "42e0",
    };
    let level = match format.video.width * format.video.height {
        ..=921_600 => "1f",
        921_601..=2_228_224 => "28",
        _ => "33",
    };
    format!("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}{level}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_streams_own_codec_comes_first_and_all_others_that_can_be_made_follow() {
        let names = |payloads: Vec<Payload>| -> String {
            payloads.iter().map(|p| p.name.clone()).collect::<Vec<_>>().join(" ")
        };
        let check = |codec, video, encoders: &[Codec], expect: &str| {
            assert_eq!(names(video_payloads(&Format::new(codec), video, encoders)), expect);
        };
        let all = [Codec::H264, Codec::Vp8, Codec::Av1];
        check(Codec::Vp8, Video::Pass, &all, "VP8 H264 AV1");
        check(Codec::Vp8, Video::Pass, &[], "VP8");
        check(Codec::RawVideo, Video::Encode(Codec::Av1), &all, "AV1 H264 VP8");
        check(Codec::RawVideo, Video::Encode(Codec::Vp9), &[Codec::H264], "H264");
        check(Codec::H264, Video::Off, &all, "");
    }

    #[test]
    fn h264_says_its_profile_and_a_level_with_room() {
        let check = |profile, width, height, expect: &str| {
            let mut format = Format::new(Codec::H264);
            format.video.profile = profile;
            (format.video.width, format.video.height) = (width, height);
            let payload = payload(&format).expect("a payload");
            assert_eq!(payload.parameter("profile-level-id"), Some(expect));
        };
        check(None, 1280, 720, "42e01f");
        check(Some(H264Profile::High), 1920, 1080, "640028");
        check(Some(H264Profile::Main), 3840, 2160, "4d0033");
        check(Some(H264Profile::Baseline), 0, 0, "42001f");
    }

    #[test]
    fn opus_is_always_offered() {
        assert_eq!(audio_payloads(false).iter().map(|p| p.pt).collect::<Vec<_>>(), [111]);
        assert_eq!(audio_payloads(true).last().map(|p| p.pt), Some(111));
    }
}
