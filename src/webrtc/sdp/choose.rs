//! Chooses the section and payload of an offer for each track.

use super::{Description, Direction, Invalid, Media, Payload};
use crate::media::{Accept, Accepts, Codec, Format, Kind};
use crate::webrtc::payload_type::DYNAMIC_PAYLOAD_TYPES;

/// Video codecs of WebRTC, in the order of preference for encoding: H.264 passes through to HLS,
/// RTMP and recordings, and the others cost more to encode in software.
pub const VIDEO_CODECS: [Codec; 4] = [Codec::H264, Codec::Vp8, Codec::Vp9, Codec::Av1];

/// The section and payload that carry one track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Index of the section in the offer.
    pub index: usize,
    /// Video or audio.
    pub kind: Kind,
    /// Codec of the track.
    pub codec: Codec,
    /// The payload as offered.
    pub payload: Payload,
    /// Payload type of its retransmissions, if offered.
    pub rtx: Option<u8>,
}

impl Description {
    /// What the player that made this offer accepts.
    pub fn accepts(&self) -> Accepts {
        Accepts::media(self.accept(Kind::Video), self.accept(Kind::Audio))
    }

    fn accept(&self, kind: Kind) -> Option<Accept> {
        let (_, media) = self.section(kind, Direction::receives)?;
        let offered: Vec<Codec> = media.payloads.iter().filter_map(Payload::codec).collect();
        let preferred: Vec<Codec> = match kind {
            Kind::Video => VIDEO_CODECS.into_iter().filter(|c| offered.contains(c)).collect(),
            Kind::Audio => [Codec::Opus].into_iter().filter(|c| offered.contains(c)).collect(),
        };
        if preferred.is_empty() {
            return None;
        }
        let mut h264_profiles = Vec::new();
        for payload in media.payloads.iter().filter(|p| p.codec() == Some(Codec::H264)) {
            for profile in payload.h264_profiles() {
                if !h264_profiles.contains(profile) {
                    h264_profiles.push(*profile);
                }
            }
        }
        let (reorders, recovery_points, layers) = (false, false, true);
        let coded = Accept::any_of(preferred);
        Some(Accept { reorders, recovery_points, layers, h264_profiles, ..coded })
    }

    /// The payload for sending a track of this format to the peer that made the offer; `None` if
    /// the offer has none.
    pub fn choose_for(&self, format: &Format) -> Option<Choice> {
        let (index, media) = self.section(format.kind(), Direction::receives)?;
        let fitting = media.payloads.iter().filter(|p| p.carries(format));
        // Prefers a payload with exactly the stream's profile to one that only includes it; then
        // one whose type needs no conversion.
        let payload = fitting.min_by_key(|p| {
            let own = p.h264_profiles().first();
            let exact = format.codec != Codec::H264 || own.copied() == format.video.profile;
            (!exact, !DYNAMIC_PAYLOAD_TYPES.contains(&p.pt))
        })?;
        let mut chosen = choice(index, media, format.codec, payload);
        // All viewers get the same media, so such feedback would have no effect.
        chosen.payload.transport_cc = false;
        Some(chosen)
    }

    /// The payload with which the peer that made the offer sends us a track: for the first of
    /// `codecs` that is offered.
    pub fn choose_from(&self, kind: Kind, codecs: &[Codec]) -> Option<Choice> {
        let (index, media) = self.section(kind, Direction::sends)?;
        codecs.iter().find_map(|codec| {
            let mut fitting = media.payloads.iter().filter(|p| p.codec() == Some(*codec));
            fitting.next().map(|payload| choice(index, media, *codec, payload))
        })
    }

    /// The first payload of audio sent to us that meets a condition; it becomes Opus or raw audio
    /// here.
    pub fn choose_audio(&self, wanted: impl Fn(&Payload) -> bool) -> Option<Choice> {
        let (index, media) = self.section(Kind::Audio, Direction::sends)?;
        let payload = media.payloads.iter().find(|p| wanted(p))?;
        Some(choice(index, media, Codec::RawAudio, payload))
    }

    /// Checks that the chosen sections have what a connection needs, and share one transport.
    ///
    /// # Errors
    /// [`Invalid`], with what is missing.
    pub fn check(&self, choices: &[Choice]) -> Result<(), Invalid> {
        let chosen: Vec<&Media> = choices.iter().filter_map(|c| self.media.get(c.index)).collect();
        for media in &chosen {
            let missing = |what| Invalid::new(format!("section `{}` has no {what}", media.mid));
            let (ufrag, password) = media.ice.as_ref().ok_or_else(|| missing("a=ice-ufrag"))?;
            if ufrag.is_empty() || password.is_empty() {
                return Err(missing("complete a=ice-ufrag and a=ice-pwd"));
            }
            media.fingerprint.as_ref().ok_or_else(|| missing("a=fingerprint"))?;
            media
                .rtcp_mux
                .then_some(())
                .ok_or_else(|| missing("a=rtcp-mux (RFC 9725 requires it)"))?;
        }
        let Some((first, others)) = chosen.split_first() else {
            return Err(Invalid::new("it has no audio or video that can be used"));
        };
        for other in others {
            if !self.bundles(first, other) {
                return Err(Invalid::new(
                    "audio and video are not in one BUNDLE group (RFC 9725 requires it)",
                ));
            }
            if first.ice != other.ice || first.fingerprint != other.fingerprint {
                return Err(Invalid::new("bundled sections differ in ICE or fingerprint"));
            }
        }
        Ok(())
    }

    /// Whether `webrtcbin` made it: it names sections by their kind and a number, `video0`.
    pub fn is_of_webrtcbin(&self) -> bool {
        let named =
            |(index, media): (usize, &Media)| media.mid == format!("{}{index}", media.media);
        !self.media.is_empty() && self.media.iter().enumerate().all(named)
    }

    /// The section of data channels, if it shares the transport of the chosen sections; one with a
    /// transport of its own is refused.
    pub fn data_section(&self, choices: &[Choice]) -> Option<(usize, &Media)> {
        let first = choices.first().and_then(|c| self.media.get(c.index))?;
        // A bundled section inherits what it leaves out (RFC 9143 section 7.1.3).
        fn same<T: PartialEq>(own: &Option<T>, shared: &Option<T>) -> bool {
            own.is_none() || own == shared
        }
        let fits = |m: &Media| {
            m.enabled
                && m.is_data()
                && self.bundles(first, m)
                && same(&m.ice, &first.ice)
                && same(&m.fingerprint, &first.fingerprint)
        };
        self.media.iter().enumerate().find(|(_, m)| fits(m))
    }

    /// Whether a section without media stays, inactive, on the transport of the chosen sections. A
    /// refused section has no transport, and some players (aiortc) reject an answer with such a
    /// section.
    pub fn is_idle(&self, index: usize, choices: &[Choice]) -> bool {
        let first = choices.first().and_then(|c| self.media.get(c.index));
        let (Some(first), Some(media)) = (first, self.media.get(index)) else { return false };
        media.enabled
            && choices.iter().all(|c| c.index != index)
            && media.kind().is_some()
            && media.direction != Direction::SendOnly
            && media.rtcp_mux
            && self.bundles(first, media)
            && media.ice == first.ice
            && media.fingerprint == first.fingerprint
    }

    /// Audio and video sections that share the transport of the chosen ones, used or not.
    pub fn transported(&self, choices: &[Choice]) -> impl Iterator<Item = &Media> {
        let chosen = |index| choices.iter().any(|c| c.index == index);
        let stays = move |index: &usize| chosen(*index) || self.is_idle(*index, choices);
        (0..self.media.len()).filter(stays).filter_map(|index| self.media.get(index))
    }

    /// The same offer with data channels disabled.
    pub fn without_data(mut self) -> Self {
        self.media.iter_mut().filter(|m| m.is_data()).for_each(|m| m.enabled = false);
        self
    }

    /// The first section of a kind with a suitable direction.
    fn section(&self, kind: Kind, way: fn(Direction) -> bool) -> Option<(usize, &Media)> {
        let fits = |m: &Media| m.enabled && m.kind() == Some(kind) && way(m.direction);
        self.media.iter().enumerate().find(|(_, m)| fits(m))
    }
}

fn choice(index: usize, media: &Media, codec: Codec, payload: &Payload) -> Choice {
    let rtx = media.payloads.iter().find(|p| p.repeats() == Some(payload.pt)).map(|p| p.pt);
    let kind = codec.kind();
    let mut payload = payload.clone();
    payload.transport_cc &= media.transport_cc.is_some();
    Choice { index, kind, codec, payload, rtx }
}
