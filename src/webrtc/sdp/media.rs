//! One media section of a description.

use super::simulcast::Simulcast;
use crate::media::{Codec, Format, H264Profile, Kind};

/// Direction of media, from the point of view of the description's author.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// The author sends.
    SendOnly,
    /// The author receives.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// The direction for an attribute name.
    pub fn from_attribute(name: &str) -> Option<Self> {
        Some(match name {
            "sendrecv" => Self::SendRecv,
            "sendonly" => Self::SendOnly,
            "recvonly" => Self::RecvOnly,
            "inactive" => Self::Inactive,
            _ => return None,
        })
    }

    /// The attribute name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// Whether the author of the description receives.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// Whether the author of the description sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }
}

/// One media section (an `m=` line and its attributes).
#[derive(Clone, Debug, Default)]
pub struct Media {
    /// `audio`, `video`, `application` …: needed to refuse it in an answer.
    pub media: String,
    /// Transport protocol of the `m=` line, likewise.
    pub protocol: String,
    /// First format of the `m=` line, likewise.
    pub format: String,
    /// Whether its port is not 0; port 0 marks it as refused.
    pub enabled: bool,
    /// Its identifier in the bundle (RFC 5888); unique, 1-32 characters.
    pub mid: String,
    /// Direction of its media.
    pub direction: Direction,
    /// ICE user name fragment and password.
    pub ice: Option<(String, String)>,
    /// Hash function and value of the DTLS certificate.
    pub fingerprint: Option<(String, String)>,
    /// `actpass`, `active` or `passive`.
    pub setup: Option<String>,
    /// RTP and RTCP share a port; WHIP requires it.
    pub rtcp_mux: bool,
    /// Supported codings, best first.
    pub payloads: Vec<Payload>,
    /// ICE candidates of its transport.
    pub candidates: Vec<super::Candidate>,
    /// Announced SSRCs, with their canonical names.
    pub ssrcs: Vec<(u32, String)>,
    /// Pairs of an SSRC and that of its retransmissions.
    pub retransmissions: Vec<(u32, u32)>,
    /// Id of the transport-wide congestion control header extension.
    pub transport_cc: Option<u8>,
    /// Id of the header extension with the time of capture.
    pub capture_time: Option<u8>,
    /// Id of the header extension `aic-hints` (docs/aic-rtp.md section 7).
    pub hints: Option<u8>,
    /// The layers in which its author sends one picture.
    pub simulcast: Simulcast,
    /// SCTP port of a section of data channels (RFC 8841).
    pub sctp_port: Option<u16>,
    /// Largest message accepted on a data channel, in bytes (RFC 8841 section 6).
    pub max_message_size: Option<u64>,
}

impl Media {
    /// Video or audio over DTLS-SRTP; `None` for anything else, such as data channels.
    pub fn kind(&self) -> Option<Kind> {
        let rtp = self.protocol.ends_with("RTP/SAVPF") || self.protocol.ends_with("RTP/SAVP");
        Kind::ALL.into_iter().find(|kind| rtp && self.media == kind.as_str())
    }

    /// Whether it carries data channels in the form of RFC 8841; older forms are refused.
    pub fn is_data(&self) -> bool {
        self.media == "application"
            && self.protocol == "UDP/DTLS/SCTP"
            && self.format == "webrtc-datachannel"
            && self.sctp_port.is_some()
            && !self.mid.is_empty()
    }
}

/// One payload type (RFC 3551) with its attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    /// Payload type, 0-127.
    pub pt: u8,
    /// Encoding name as in the description: `VP8`, `rtx` …
    pub name: String,
    /// RTP clock rate in Hz.
    pub clock_rate: u32,
    /// Channels, for audio.
    pub channels: Option<u8>,
    /// Format parameters as in the description.
    pub parameters: String,
    /// Whether lost packets may be requested again (`nack`).
    pub nack: bool,
    /// Whether key frames may be requested (`nack pli`).
    pub pli: bool,
    /// Whether key frames may be requested in the older way (`ccm fir`).
    pub fir: bool,
    /// Whether congestion control feedback is supported (`transport-cc`).
    pub transport_cc: bool,
}

impl Payload {
    /// The value of a format parameter, by its name; case is ignored.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.split(';').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The codec, if we can send and receive it by WebRTC in this form.
    pub fn codec(&self) -> Option<Codec> {
        let name = self.name.to_ascii_uppercase();
        match (name.as_str(), self.clock_rate) {
            ("VP8", 90_000) => Some(Codec::Vp8),
            // Profile 0 is 8 bit 4:2:0; feeds do not carry the others.
            ("VP9", 90_000) => self.parameter_is_zero("profile-id").then_some(Codec::Vp9),
            ("AV1", 90_000) => self.parameter_is_zero("profile").then_some(Codec::Av1),
            // Mode 0 cannot split a picture over packets.
            ("H264", 90_000) => {
                (self.parameter("packetization-mode") == Some("1")).then_some(Codec::H264)
            }
            ("OPUS", 48_000) => (self.channels == Some(2)).then_some(Codec::Opus),
            _ => None,
        }
    }

    fn parameter_is_zero(&self, name: &str) -> bool {
        self.parameter(name).is_none_or(|v| v == "0")
    }

    /// The payload type whose packets this one retransmits (RFC 4588).
    pub fn repeats(&self) -> Option<u8> {
        let rtx = self.name.eq_ignore_ascii_case("rtx");
        rtx.then(|| self.parameter("apt")?.parse().ok()).flatten()
    }

    /// H.264 profiles that a decoder of this payload supports, its own first (ITU-T H.264 annex
    /// A.2, RFC 6184 section 8.1).
    pub fn h264_profiles(&self) -> &'static [H264Profile] {
        use H264Profile::{Baseline, ConstrainedBaseline, High, Main};
        let id = self.parameter("profile-level-id").unwrap_or("42001f");
        let byte = |at: usize| id.get(at..at + 2).and_then(|h| u8::from_str_radix(h, 16).ok());
        let (Some(profile), Some(constraints)) = (byte(0), byte(2)) else { return &[] };
        // Bit 6: the stream also meets the constraints of Main, so baseline is "constrained".
        let constrained = constraints & 0x40 != 0;
        match profile {
            0x42 if constrained => &[ConstrainedBaseline],
            0x42 => &[Baseline, ConstrainedBaseline],
            0x4d => &[Main, ConstrainedBaseline],
            0x64 => &[High, Main, ConstrainedBaseline],
            // High 10, 4:2:2 and 4:4:4 Predictive decoders decode High.
            0x6e | 0x7a | 0xf4 => &[High, Main, ConstrainedBaseline],
            _ => &[],
        }
    }

    /// Whether a track of this format can be sent as this payload.
    pub fn carries(&self, format: &Format) -> bool {
        if self.codec() != Some(format.codec) || format.video.reorders {
            return false;
        }
        let profile = format.video.profile.filter(|_| format.codec == Codec::H264);
        profile.is_none_or(|p| self.h264_profiles().contains(&p))
    }
}
