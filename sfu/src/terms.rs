//! What viewer and appliance have agreed on.

use std::net::SocketAddr;

/// ICE user name fragment and password of one end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// User name fragment.
    pub ufrag: String,
    /// Password.
    pub password: String,
}

/// The viewer's end of a connection and what it receives.
#[derive(Clone, Debug)]
pub struct Terms {
    /// ICE credentials of the viewer.
    pub remote: Credentials,
    /// Hash function (`sha-256`) and value of the viewer's DTLS certificate.
    pub fingerprint: (String, String),
    /// Whether we begin the DTLS handshake; otherwise the viewer does.
    pub is_active: bool,
    /// Tracks that are sent, in the order of their indices.
    pub tracks: Vec<TrackTerms>,
    /// Whether the viewer may open data channels.
    pub has_data: bool,
    /// How what the line carries is estimated; `None` if it is not.
    pub congestion: Option<CongestionTerms>,
}

/// How what the viewer's line carries is estimated: by transport-wide feedback and Google congestion
/// control (draft-holmer-rmcat-transport-wide-cc-extensions-01, draft-ietf-rmcat-gcc-02).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CongestionTerms {
    /// Id of the header extension with transport-wide sequence numbers, in all tracks.
    pub extension_id: u8,
    /// The estimate to begin with, in kbit/s.
    pub initial_kbps: u32,
}

/// One track that a viewer receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackTerms {
    /// Video or audio.
    pub is_video: bool,
    /// RTP payload type.
    pub payload_type: u8,
    /// Payload type of retransmissions (RFC 4588).
    pub rtx: Option<u8>,
    /// RTP clock rate in Hz.
    pub clock_rate_hz: u32,
    /// Whether lost packets are requested (RFC 4585).
    pub nack: bool,
    /// Id of the header extension with the time of capture (`abs-capture-time`). It is not sent where
    /// what the line carries is estimated.
    pub capture_time_id: Option<u8>,
}

/// Our end of one track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTrack {
    /// SSRC of its packets.
    pub ssrc: u32,
    /// SSRC of its retransmissions.
    pub rtx_ssrc: Option<u32>,
}

/// Our end of a connection.
#[derive(Clone, Debug)]
pub struct LocalEnd {
    /// Our ICE credentials.
    pub credentials: Credentials,
    /// Hash function and value of our DTLS certificate, as in `a=fingerprint`.
    pub fingerprint: (String, String),
    /// Addresses at which the viewer reaches us, by UDP.
    pub addresses: Vec<SocketAddr>,
    /// Whether it reaches us by TCP there too.
    pub has_tcp: bool,
    /// The tracks, in the order of the terms.
    pub tracks: Vec<LocalTrack>,
}
