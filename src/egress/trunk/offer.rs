//! What a trunk offers for each track.

use crate::media::{Codec, Format, H264Profile, Kind};
use crate::webrtc::sdp::{Direction, Media, Payload};

/// Id of the congestion control header extension.
const TRANSPORT_CC_ID: u8 = 1;

/// The section of a track with these payloads, best first.
pub(super) fn section(kind: Kind, payloads: Vec<Payload>) -> Media {
    Media {
        media: kind.as_str().into(),
        protocol: "UDP/TLS/RTP/SAVPF".into(),
        enabled: true,
        direction: Direction::SendOnly,
        payloads,
        transport_cc: Some(TRANSPORT_CC_ID),
        ..Media::default()
    }
}

/// The payload of a codec that WebRTC carries. Lost packets of pictures are sent again; sound has
/// its own ways.
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

/// Profile and the lowest level that has room for the size (ITU-T H.264 table A-1, at 30 frames a
/// second).
fn h264(format: &Format) -> String {
    let profile = match format.video.profile {
        Some(H264Profile::Baseline) => "4200",
        Some(H264Profile::Main) => "4d00",
        Some(H264Profile::High) => "6400",
        _ => "42e0",
    };
    let level = match format.video.width * format.video.height {
        0..=921_600 => "1f",
        ..=2_228_224 => "28",
        _ => "33",
    };
    format!("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}{level}")
}
