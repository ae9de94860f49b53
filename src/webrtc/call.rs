//! Connections that we start: we make the offer, the peer answers later.

use std::time::Duration;

use gst::prelude::*;
use gst_webrtc::{
    WebRTCDataChannel, WebRTCICEGatheringState, WebRTCRTPTransceiver,
    WebRTCRTPTransceiverDirection, WebRTCSDPType, WebRTCSessionDescription,
};

use super::sdp::{self, Agreed, Description, LocalTransport, Media, Payload};
use super::{Channel, Config, Peer, channel};
use crate::flow::Error;

/// An offered track.
pub(crate) struct Track {
    /// Its description in the offer: payloads, best first, and header extensions.
    pub(crate) media: Media,
    /// Pad for its packets once there is an answer.
    pub(crate) pad: gst::Pad,
    /// SSRC of its packets.
    pub(crate) ssrc: u32,
}

/// A call that waits for its answer.
pub(crate) struct Call {
    /// The tracks, in the order of their sections in the offer.
    tracks: Vec<Track>,
    /// `webrtcbin`'s offer.
    local: Description,
    /// Our offer for the peer.
    pub(crate) offer: String,
    /// The data channel, if data channels are installed.
    pub(crate) channel: Option<Channel>,
}

impl Peer {
    /// Starts the pipeline and offers these tracks, with their sections in this order, and a data
    /// channel of this name, with the candidates found within `config.gather_ms`.
    ///
    /// # Errors
    /// When `webrtcbin` refuses or hangs.
    pub(crate) async fn call(
        &self,
        medias: Vec<Media>,
        label: &str,
        config: &Config,
    ) -> Result<Call, Error> {
        let mut tracks = Vec::new();
        for (index, media) in medias.into_iter().enumerate() {
            tracks.push(self.offer_track(index, media)?);
        }
        self.node().start().await?;
        let channel = channel::available().then(|| self.open_channel(label)).flatten();
        let ask = |promise| {
            self.bin().emit_by_name::<()>("create-offer", &[&None::<gst::Structure>, &promise]);
        };
        let reply = self.ask(ask).await?;
        let offer = reply.as_ref().and_then(|r| r.get::<WebRTCSessionDescription>("offer").ok());
        let offer = offer.ok_or_else(|| self.failure("webrtcbin made no offer"))?;
        let text = offer.sdp().as_text().map_err(|e| self.failure(&e.to_string()))?;
        self.describe("set-local-description", WebRTCSDPType::Offer, &text).await?;
        let gathered = |s: &WebRTCICEGatheringState| *s == WebRTCICEGatheringState::Complete;
        let gather_max = Duration::from_millis(config.gather_ms);
        // The offer contains the candidates found in time; the peer learns the rest from our
        // checks.
        let _ = tokio::time::timeout(gather_max, self.gathering().wait_for(gathered)).await;
        let local = self.local_description()?;
        let names = tracks.iter_mut().zip(&local.media);
        names.for_each(|(track, own)| track.media.mid.clone_from(&own.mid));
        let sections: Vec<Media> = tracks.iter().map(|t| t.media.clone()).collect();
        let transport = LocalTransport {
            description: local,
            announced: config.announced_addresses.clone(),
            is_lite: false,
            session_id: rand::random::<u64>() >> 2,
        };
        let offer = sdp::offer(&sections, &transport);
        Ok(Call { tracks, local: transport.description, offer, channel })
    }

    fn offer_track(&self, index: usize, media: Media) -> Result<Track, Error> {
        let refused = || self.failure(&format!("no pad for {}", media.media));
        let name = format!("sink_{index}");
        let pad = self.bin().request_pad_simple(&name).ok_or_else(refused)?;
        let transceiver: WebRTCRTPTransceiver = pad.property("transceiver");
        transceiver.set_direction(WebRTCRTPTransceiverDirection::Sendonly);
        let ssrc = rand::random::<u32>();
        let mut caps = gst::Caps::new_empty();
        let all = caps.make_mut();
        for payload in &media.payloads {
            all.append_structure(structure(&media, payload, ssrc));
        }
        transceiver.set_codec_preferences(Some(&caps));
        transceiver.set_property("do-nack", media.payloads.iter().any(|p| p.nack));
        Ok(Track { media, pad, ssrc })
    }

    fn open_channel(&self, label: &str) -> Option<Channel> {
        let options = None::<gst::Structure>;
        let channel = self
            .bin()
            .emit_by_name::<Option<WebRTCDataChannel>>("create-data-channel", &[&label, &options]);
        channel.map(Channel::new)
    }

    /// Applies the peer's answer; returns what was agreed on for each track, and the data channel.
    ///
    /// # Errors
    /// When the answer does not fit, or `webrtcbin` refuses it.
    pub(crate) async fn answered(
        &mut self,
        call: Call,
        answer: &Description,
    ) -> Result<(Vec<(Agreed, Track)>, Option<Channel>), Error> {
        let sections: Vec<Media> = call.tracks.iter().map(|t| t.media.clone()).collect();
        let agreed = answer.agreed(&sections).map_err(|e| self.unreachable(&e.to_string()))?;
        let first = agreed.first().and_then(|a| answer.media.get(a.index));
        self.set_tag(first.cloned());
        let reduced = sdp::reduced_answer(&call.local, answer, &agreed);
        self.describe("set-remote-description", WebRTCSDPType::Answer, &reduced).await?;
        let candidates = answer.media.iter().flat_map(|m| &m.candidates);
        candidates.for_each(|c| self.add_candidate(c));
        let tracks = call.tracks.into_iter().enumerate().filter_map(|(index, track)| {
            let agreed = agreed.iter().find(|a| a.index == index)?;
            Some((agreed.clone(), track))
        });
        Ok((tracks.collect(), call.channel))
    }
}

/// RTP caps of a payload, without format parameters, which `webrtcbin` would compare literally.
fn structure(media: &Media, payload: &Payload, ssrc: u32) -> gst::Structure {
    let mut caps = gst::Structure::builder("application/x-rtp")
        .field("media", &media.media)
        .field("encoding-name", payload.name.to_ascii_uppercase())
        .field("payload", i32::from(payload.pt))
        .field("clock-rate", i32::try_from(payload.clock_rate).unwrap_or(0))
        .field("ssrc", ssrc);
    if let Some(channels) = payload.channels {
        caps = caps.field("encoding-params", channels.to_string());
    }
    if let Some(id) = media.transport_cc {
        caps = caps.field(format!("extmap-{id}"), sdp::TRANSPORT_CC);
    }
    if payload.transport_cc {
        caps = caps.field("rtcp-fb-transport-cc", true);
    }
    caps.build()
}
