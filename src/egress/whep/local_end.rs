//! Our end of a connection that shares packets, and how it is described to the viewer.

use std::net::IpAddr;

use crate::flow::Error;
use crate::media::Kind;
use crate::webrtc::IceEnd;
use crate::webrtc::sdp::{
    self, Candidate, Choice, Description, Direction, Fragment, LocalTransport, Media, SdpAnswer,
};
use auralink_sfu::{
    self as sfu, CongestionTerms, Connection, Credentials, Delivery, Engine, LocalEnd, Terms,
    TrackTerms,
};

/// SCTP port of data channels (RFC 8841).
const SCTP_PORT_NUMBER: u16 = 5000;

/// Our end of the connection.
pub(super) struct End {
    pub(super) connection: Connection,
    pub(super) local: LocalEnd,
    /// The viewer's section with the common transport.
    pub(super) tag: Media,
    /// Identifiers (`mid`) of all sections in use.
    pub(super) mids: Vec<String>,
    pub(super) announced: Vec<IpAddr>,
}

impl IceEnd for End {
    /// Nothing: with ICE-lite the viewer's checks tell its addresses.
    fn add_candidate(&self, _: &Candidate) {}

    fn restart_ice(
        &self,
        (ufrag, password): (&str, &str),
        _: &[Candidate],
    ) -> Result<String, Error> {
        let remote = Credentials { ufrag: ufrag.to_owned(), password: password.to_owned() };
        let own = self.connection.restart(remote);
        let own = own.map_err(|e| Error::build("an ICE restart", e))?;
        let fragment = Fragment {
            ufrag: Some(own.ufrag),
            password: Some(own.password),
            candidates: candidates(&self.local),
        };
        Ok(sdp::restart_answer(&self.tag, &self.mids, &fragment, &self.announced))
    }

    fn delivery(&self) -> Option<Delivery> {
        Some(self.connection.delivery())
    }
}

/// Opens a session for a viewer with these choices of its offer; returns our end and the answer.
/// `audio_channels` are those of the audio that it gets.
///
/// # Errors
/// What is wrong with the offer or with this machine.
pub(super) fn open(
    engine: &Engine,
    (offer, choices): (&Description, &[Choice]),
    congestion: Option<CongestionTerms>,
    audio_channels: u32,
    announced: &[IpAddr],
) -> Result<(End, String), sfu::Error> {
    let tag = offer.transported(choices).next().cloned();
    let tag = tag.ok_or_else(|| sfu::Error::Terms("the offer has no transport".into()))?;
    let terms = terms(offer, choices, &tag, congestion);
    let (connection, local) = engine.open(&terms)?;
    let announced = announced.to_vec();
    let transport = LocalTransport {
        description: describe(offer, choices, &terms, &local),
        announced: announced.clone(),
        is_lite: true,
        session_id: rand::random::<u64>() >> 2,
    };
    let direction = Direction::SendOnly;
    let answer = sdp::answer(&SdpAnswer { offer, choices, audio_channels, direction }, &transport);
    let mids = offer.transported(choices).map(|m| m.mid.clone()).collect();
    Ok((End { connection, local, tag, mids, announced }, answer))
}

/// What viewer and appliance have agreed on.
fn terms(
    offer: &Description,
    choices: &[Choice],
    tag: &Media,
    congestion: Option<CongestionTerms>,
) -> Terms {
    let (ufrag, password) = tag.ice.clone().unwrap_or_default();
    let capture_time = |choice: &Choice| offer.media.get(choice.index)?.capture_time;
    let track = |choice: &Choice| TrackTerms {
        is_video: choice.kind == Kind::Video,
        capture_time_id: capture_time(choice).filter(|_| congestion.is_none()),
        payload_type: choice.payload.pt,
        rtx: choice.rtx,
        clock_rate_hz: choice.payload.clock_rate,
        nack: choice.payload.nack,
    };
    Terms {
        remote: Credentials { ufrag, password },
        fingerprint: tag.fingerprint.clone().unwrap_or_default(),
        // The end that waits chooses the cipher: ours prefers AES-GCM.
        is_active: tag.setup.as_deref() == Some("passive"),
        tracks: choices.iter().map(track).collect(),
        has_data: offer.data_section(choices).is_some(),
        congestion,
    }
}

/// Our end in the form of a description, for the answer.
fn describe(
    offer: &Description,
    choices: &[Choice],
    terms: &Terms,
    local: &LocalEnd,
) -> Description {
    let setup = if terms.is_active { "active" } else { "passive" };
    let own = |mid: &str| Media {
        mid: mid.to_owned(),
        ice: Some((local.credentials.ufrag.clone(), local.credentials.password.clone())),
        fingerprint: Some(local.fingerprint.clone()),
        setup: Some(setup.to_owned()),
        ..Media::default()
    };
    let cname = format!("{:016x}", rand::random::<u64>());
    let mut media = Vec::new();
    let tracks = local.tracks.iter().zip(&terms.tracks);
    for (choice, (track, terms)) in choices.iter().zip(tracks) {
        let Some(offered) = offer.media.get(choice.index) else { continue };
        let ssrcs = std::iter::once(track.ssrc).chain(track.rtx_ssrc);
        media.push(Media {
            ssrcs: ssrcs.map(|ssrc| (ssrc, cname.clone())).collect(),
            capture_time: terms.capture_time_id,
            retransmissions: track.rtx_ssrc.map(|rtx| (track.ssrc, rtx)).into_iter().collect(),
            ..own(&offered.mid)
        });
    }
    if let Some((_, data)) = offer.data_section(choices) {
        media.push(Media { sctp_port: Some(SCTP_PORT_NUMBER), ..own(&data.mid) });
    }
    if let Some(first) = media.first_mut() {
        first.candidates = candidates(local);
    }
    Description { media, bundle: Vec::new() }
}

fn candidates(local: &LocalEnd) -> Vec<Candidate> {
    let kinds = [false, true].into_iter().take(1 + usize::from(local.has_tcp));
    let all = kinds.flat_map(|tcp| local.addresses.iter().map(move |at| (tcp, *at)));
    all.enumerate().map(|(n, (tcp, at))| Candidate::host(at, tcp, n)).collect()
}
