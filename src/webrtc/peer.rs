//! One WebRTC connection: a `webrtcbin` in its own pipeline.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;
use gst_webrtc::{
    WebRTCICE, WebRTCICEGatheringState, WebRTCPeerConnectionState, WebRTCRTPTransceiver,
    WebRTCRTPTransceiverDirection, WebRTCSDPType, WebRTCSessionDescription, prelude::*,
};
use tokio::sync::{mpsc, watch};

use super::sdp::{self, Candidate, Choice, Description, Media};
use super::webrtc_internals::{self, IceEvents};
use super::{Channel, Config, certificate, channel, nice};
use crate::flow::{Blame, Error, Node};

/// `webrtcbin` replies within milliseconds; beyond this it hangs.
const PROMISE_TIMEOUT: Duration = Duration::from_secs(5);

/// Time limit for a peer to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// A peer that is silent for this long is gone (RFC 7675 section 5.1): it has time to change
/// networks. A silent publisher is off air long before, and its place is free for the next one.
const CONSENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Interval between checks for a silent peer.
const CONSENT_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A connection with a peer that made an offer or received ours.
pub(crate) struct Peer {
    node: Node,
    bin: gst::Element,
    connection: watch::Receiver<WebRTCPeerConnectionState>,
    gathering: watch::Receiver<WebRTCICEGatheringState>,
    heard: Arc<IceEvents>,
    /// The peer's section with the common transport and its certificate.
    tag: Option<Media>,
    /// Identifiers (`mid`) of all sections in use.
    mids: Vec<String>,
    /// Public addresses of this machine.
    announced: Vec<IpAddr>,
    channels: tokio::sync::Mutex<mpsc::Receiver<Channel>>,
}

impl Peer {
    /// A pipeline with a configured `webrtcbin` that is not started.
    ///
    /// # Errors
    /// [`Error::MissingElement`] when WebRTC is not installed.
    pub(crate) fn new(name: impl Into<String>, config: &Config) -> Result<Self, Error> {
        let node = Node::empty(name);
        let missing = || Error::MissingElement { factory: "webrtcbin".into() };
        let bin = gst::ElementFactory::make("webrtcbin")
            .property_from_str("bundle-policy", "max-bundle")
            .property("latency", config.jitter_ms)
            .build()
            .map_err(|_| missing())?;
        set_up_ice(&bin, config);
        let (tell, connection) = watch::channel(WebRTCPeerConnectionState::New);
        let tell = Arc::new(tell);
        let changed = Arc::clone(&tell);
        bin.connect_notify(Some("connection-state"), move |bin, _| {
            changed.send_replace(bin.property("connection-state"));
        });
        let (found, gathering) = watch::channel(WebRTCICEGatheringState::New);
        bin.connect_notify(Some("ice-gathering-state"), move |bin, _| {
            found.send_replace(bin.property("ice-gathering-state"));
        });
        let heard = Arc::new(IceEvents::default());
        webrtc_internals::listen(&bin, &heard, &tell);
        let channels = tokio::sync::Mutex::new(channel::listen(&bin, &tell));
        node.pipeline().add(&bin).map_err(|e| Error::build(node.name(), e))?;
        let announced = config.announced_addresses.clone();
        let (tag, mids) = (None, Vec::new());
        Ok(Self { node, bin, connection, gathering, heard, channels, tag, mids, announced })
    }

    /// The node that runs the pipeline.
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// The `webrtcbin` element.
    pub(crate) fn bin(&self) -> &gst::Element {
        &self.bin
    }

    /// The next data channel that the peer opens. Waits without limit if it opens none.
    pub(crate) async fn channel(&self) -> Channel {
        match self.channels.lock().await.recv().await {
            Some(channel) => channel,
            // The connection has ended; the caller is dropped soon.
            None => std::future::pending().await,
        }
    }

    /// Prepares to send a track; returns the pad for its packets. Sections of `webrtcbin`'s offer
    /// match the choices, in their order.
    pub(crate) fn send(
        &self,
        section: usize,
        choice: &Choice,
        ssrc: u32,
    ) -> Result<gst::Pad, Error> {
        let refused = || Error::build(self.node.name(), format!("no pad for {}", choice.kind));
        let pad = self.bin.request_pad_simple(&format!("sink_{section}")).ok_or_else(refused)?;
        let transceiver: WebRTCRTPTransceiver = pad.property("transceiver");
        transceiver.set_direction(WebRTCRTPTransceiverDirection::Sendonly);
        prepare(&transceiver, &caps(choice).field("ssrc", ssrc).build(), choice);
        Ok(pad)
    }

    /// Prepares to receive a track. `transport_cc` is the id of the header extension for congestion
    /// control.
    pub(crate) fn receive(&self, choice: &Choice, transport_cc: Option<u8>) {
        let mut caps = caps(choice);
        if let Some(id) = transport_cc {
            caps = caps.field(format!("extmap-{id}"), sdp::TRANSPORT_CC);
        }
        let caps = caps.build();
        let transceiver = self.bin.emit_by_name::<WebRTCRTPTransceiver>(
            "add-transceiver",
            &[&WebRTCRTPTransceiverDirection::Recvonly, &caps],
        );
        prepare(&transceiver, &caps, choice);
    }

    /// Starts the pipeline, applies the offer and creates our answer, with the candidates found
    /// within `gather_max`.
    ///
    /// # Errors
    /// When `webrtcbin` refuses the offer or hangs.
    pub(crate) async fn answer(
        &mut self,
        offer: &Description,
        choices: &[Choice],
        gather_max: Duration,
    ) -> Result<Description, Error> {
        self.mids = offer.transported(choices).map(|m| m.mid.clone()).collect();
        let media = offer.transported(choices).next();
        self.tag = media.cloned();
        self.node.start().await?;
        let reduced = sdp::reduced_offer(offer, choices);
        self.describe("set-remote-description", WebRTCSDPType::Offer, &reduced).await?;
        let ask = |promise| {
            self.bin.emit_by_name::<()>("create-answer", &[&None::<gst::Structure>, &promise]);
        };
        let reply = self.ask(ask).await?;
        let answer = reply.as_ref().and_then(|r| r.get::<WebRTCSessionDescription>("answer").ok());
        let answer = answer.ok_or_else(|| self.failure("webrtcbin made no answer"))?;
        let text = answer.sdp().as_text().map_err(|e| self.failure(&e.to_string()))?;
        self.describe("set-local-description", WebRTCSDPType::Answer, &text).await?;
        if let Some(media) = media {
            media.candidates.iter().for_each(|c| self.add_candidate(c));
        }
        let gathered = |s: &WebRTCICEGatheringState| *s == WebRTCICEGatheringState::Complete;
        // The answer contains the candidates found in time; clients learn the rest from our checks.
        let _ = tokio::time::timeout(gather_max, self.gathering().wait_for(gathered)).await;
        self.local_description()
    }

    /// `webrtcbin`'s description, with the candidates found so far.
    pub(super) fn local_description(&self) -> Result<Description, Error> {
        let local = self.bin.property::<Option<WebRTCSessionDescription>>("local-description");
        let local = local.and_then(|d| d.sdp().as_text().ok());
        let local = local.ok_or_else(|| self.failure("webrtcbin has no local description"))?;
        Description::parse(&local).map_err(|e| self.failure(&e.to_string()))
    }

    /// Follows the state of candidate gathering.
    pub(super) fn gathering(&self) -> watch::Receiver<WebRTCICEGatheringState> {
        self.gathering.clone()
    }

    /// Sets the peer's section with the common transport.
    pub(super) fn set_tag(&mut self, tag: Option<Media>) {
        self.tag = tag;
    }

    /// Adds a candidate from the peer.
    pub(crate) fn add_candidate(&self, candidate: &Candidate) {
        let line = format!("candidate:{candidate}");
        self.bin.emit_by_name::<()>("add-ice-candidate", &[&0u32, &line]);
    }

    /// Begins a new ICE generation with the peer's new credentials and first candidates. Returns
    /// our answer for the peer; media stays on the old path until a new one is found.
    ///
    /// # Errors
    /// When there is no transport yet, or libnice is missing.
    pub(crate) fn restart_ice(
        &self,
        (ufrag, password): (&str, &str),
        candidates: &[Candidate],
    ) -> Result<String, Error> {
        let transport = nice::Transport::of(&self.bin).zip(self.tag.as_ref());
        let (transport, tag) =
            transport.ok_or_else(|| self.failure("there is no ICE transport yet"))?;
        let own = transport.restart(ufrag, password).map_err(|e| self.failure(&e))?;
        candidates.iter().for_each(|c| self.add_candidate(c));
        Ok(sdp::restart_answer(tag, &self.mids, &own, &self.announced))
    }

    /// Requests key frames for all tracks that the peer sends.
    pub(crate) fn request_keyframes(&self) {
        for pad in self.bin.src_pads() {
            let event = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build();
            pad.send_event(event);
        }
    }

    /// Waits until media can flow, and verifies that the peer is the one that made the offer.
    ///
    /// # Errors
    /// When no connection is established within 15 s, or with another peer.
    pub(crate) async fn connected(&self) -> Result<(), Error> {
        use WebRTCPeerConnectionState::{Closed, Connected, Failed};
        let mut connection = self.connection.clone();
        let settled = connection.wait_for(|s| matches!(s, Connected | Failed | Closed));
        let state = tokio::time::timeout(CONNECT_TIMEOUT, settled).await;
        let state = state.map(|s| s.map_or(Closed, |s| *s));
        self.heard.touch(0);
        match state {
            Ok(Connected) => self.verify(),
            Ok(_) => Err(self.unreachable("the connection failed")),
            Err(_) => {
                let message = format!("no connection within {} s", CONNECT_TIMEOUT.as_secs());
                Err(self.unreachable(&message))
            }
        }
    }

    /// Waits until the peer has gone: it closed the connection, or was silent for the whole consent
    /// time. A failed path is not the end: the peer may return by another one, with or without an
    /// ICE restart.
    pub(crate) async fn gone(&self) -> &'static str {
        self.gone_after(CONSENT_TIMEOUT).await
    }

    /// The same with another time limit for silence.
    pub(crate) async fn gone_after(&self, silence: Duration) -> &'static str {
        let mut connection = self.connection.clone();
        loop {
            let over = connection.wait_for(|s| *s == WebRTCPeerConnectionState::Closed);
            match tokio::time::timeout(CONSENT_CHECK_INTERVAL, over).await {
                Ok(_) => return "it closed the connection",
                Err(_) if self.heard.age() > silence => return "nothing comes from it any more",
                Err(_) => {}
            }
        }
    }

    /// Bytes received from the peer.
    pub(crate) fn bytes_heard(&self) -> u64 {
        self.heard.bytes()
    }

    /// `webrtcbin`'s statistics (W3C names); `None` if it has none.
    pub(crate) async fn stats(&self) -> Option<gst::Structure> {
        let ask = |promise| {
            self.bin.emit_by_name::<()>("get-stats", &[&None::<gst::Pad>, &promise]);
        };
        self.ask(ask).await.ok().flatten()
    }

    /// `webrtcbin` does not check certificates: without this, anyone with the ICE password could
    /// impersonate the peer.
    fn verify(&self) -> Result<(), Error> {
        let Some((hash, value)) = self.tag.as_ref().and_then(|t| t.fingerprint.as_ref()) else {
            return Ok(());
        };
        let pem = certificate::of_peer(&self.bin);
        match pem.and_then(|pem| certificate::fingerprint(&pem, hash)) {
            Some(actual) if actual == *value => Ok(()),
            Some(_) => Err(self.unreachable("its certificate is not the one of its description")),
            None => Err(self.unreachable(&format!("its certificate cannot be checked by {hash}"))),
        }
    }

    pub(super) async fn describe(
        &self,
        signal: &str,
        kind: WebRTCSDPType,
        text: &str,
    ) -> Result<(), Error> {
        let message = gst_sdp::SDPMessage::parse_buffer(text.as_bytes());
        let message = message.map_err(|e| self.failure(&e.to_string()))?;
        let description = WebRTCSessionDescription::new(kind, message);
        let ask = |promise| self.bin.emit_by_name::<()>(signal, &[&description, &promise]);
        self.ask(ask).await.map(|_| ())
    }

    /// Sends a request to `webrtcbin` and waits for its reply.
    pub(super) async fn ask(
        &self,
        ask: impl FnOnce(gst::Promise),
    ) -> Result<Option<gst::Structure>, Error> {
        let (promise, reply) = gst::Promise::new_future();
        ask(promise);
        let reply =
            tokio::time::timeout(PROMISE_TIMEOUT, reply).await.map_err(|_| Error::Frozen {
                node: self.node.name().to_owned(),
                waiting_for: "a reply of webrtcbin",
                after: PROMISE_TIMEOUT,
            })?;
        let reply = reply.map_err(|e| self.failure(&format!("{e:?}")))?.map(|r| r.to_owned());
        match reply.as_ref().and_then(|r| r.get::<gst::glib::Error>("error").ok()) {
            Some(error) => Err(self.failure(error.message())),
            None => Ok(reply),
        }
    }

    pub(super) fn failure(&self, reason: &str) -> Error {
        Error::build(self.node.name(), reason)
    }

    pub(super) fn unreachable(&self, message: &str) -> Error {
        let hint = "open the UDP port range of [webrtc] in firewalls, set announced_addresses \
                    behind NAT, or configure TURN";
        Error::refused(Blame::Destination, message, hint)
    }
}

/// RTP caps of a choice, without format parameters.
fn caps(choice: &Choice) -> gst::caps::Builder<gst::caps::NoFeature> {
    let p = &choice.payload;
    gst::Caps::builder("application/x-rtp")
        .field("media", choice.kind.as_str())
        .field("encoding-name", p.name.to_ascii_uppercase())
        .field("payload", i32::from(p.pt))
        .field("clock-rate", i32::try_from(p.clock_rate).unwrap_or(0))
}

fn prepare(transceiver: &WebRTCRTPTransceiver, caps: &gst::Caps, choice: &Choice) {
    transceiver.set_codec_preferences(Some(caps));
    transceiver.set_property("do-nack", choice.payload.nack);
}

fn set_up_ice(bin: &gst::Element, config: &Config) {
    if let Some(uri) = config.stun_uri() {
        bin.set_property("stun-server", uri);
    }
    for uri in config.turn_uris() {
        if !bin.emit_by_name::<bool>("add-turn-server", &[&uri]) {
            tracing::warn!("a TURN server of the configuration is not taken by webrtcbin");
        }
    }
    let ice: WebRTCICE = bin.property("ice-agent");
    ice.set_min_rtp_port(u32::from(config.udp_port_min));
    ice.set_max_rtp_port(u32::from(config.udp_port_max));
    for address in &config.local_addresses {
        ice.emit_add_local_ip_address(&address.to_string());
    }
    let agent: gst::glib::Object = ice.property("agent");
    agent.set_property("ice-tcp", config.ice_tcp);
    // UPnP would search the network for a router unasked.
    agent.set_property("upnp", false);
    // Keep-alives with responses: detect a peer that has vanished.
    agent.set_property("keepalive-conncheck", true);
}
