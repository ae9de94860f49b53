//! Writes descriptions: the part of an offer that `webrtcbin` sees, and the part of `webrtcbin`'s
//! answer that the peer sees.

use std::fmt::Write;
use std::net::IpAddr;

use super::candidate::CandidateKind;
use super::simulcast::SentLayers;
use super::{
    CAPTURE_TIME, Candidate, Choice, Description, Direction, Fragment, Media, Payload, TRANSPORT_CC,
};
use crate::aic::hints;
use crate::media::{Codec, Kind};

/// Largest message on a data channel, in bytes.
const MESSAGE_BYTES_MAX: u64 = 64 << 10;

/// An offer with only the chosen sections, each with only its chosen payload, for `webrtcbin`.
///
/// Format parameters are left out: `webrtcbin` would compare them literally with its caps, and the
/// choice is already made.
pub fn reduced_offer(offer: &Description, choices: &[Choice]) -> String {
    let mut text = String::from("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n");
    let chosen = || choices.iter().filter_map(|c| Some((c, offer.media.get(c.index)?)));
    let data = offer.data_section(choices).map(|(_, media)| media);
    let mids = chosen().map(|(_, m)| m).chain(data).map(|m| m.mid.as_str());
    put(&mut text, format_args!("a=group:BUNDLE {}", mids.collect::<Vec<_>>().join(" ")));
    for (choice, media) in chosen() {
        let rtx = choice.rtx.map(|pt| format!(" {pt}")).unwrap_or_default();
        let pt = choice.payload.pt;
        put(&mut text, format_args!("m={} 9 UDP/TLS/RTP/SAVPF {pt}{rtx}", choice.kind));
        put(&mut text, format_args!("c=IN IP4 0.0.0.0\r\na=mid:{}\r\na=rtcp-mux", media.mid));
        put(&mut text, format_args!("a={}\r\na=rtcp-rsize", media.direction.as_str()));
        put_transport(&mut text, media, "actpass");
        put_payload(&mut text, choice, "");
        if let Some(id) = transport_cc(choice, media) {
            put(&mut text, format_args!("a=extmap:{id} {TRANSPORT_CC}"));
        }
        if media.direction.sends() {
            put_ssrcs(&mut text, media, None);
        }
    }
    // Data channels come last, so that media sections have the same order as the choices.
    if let (Some(data), Some((_, first))) = (data, chosen().next()) {
        put_data(&mut text, data);
        put_transport(&mut text, first, "actpass");
    }
    text
}

/// The ICE, DTLS and setup attributes of a section.
pub(super) fn put_transport(text: &mut String, media: &Media, setup: &str) {
    let setup = media.setup.as_deref().unwrap_or(setup);
    put(text, format_args!("a=setup:{setup}"));
    if let Some((ufrag, password)) = &media.ice {
        put(text, format_args!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}"));
    }
    if let Some((hash, value)) = &media.fingerprint {
        put(text, format_args!("a=fingerprint:{hash} {value}"));
    }
}

/// The head of a section of data channels (RFC 8841), with the largest message bounded.
pub(super) fn put_data(text: &mut String, media: &Media) {
    put(text, format_args!("m=application 9 UDP/DTLS/SCTP webrtc-datachannel"));
    put(text, format_args!("c=IN IP4 0.0.0.0\r\na=mid:{}", media.mid));
    // The default is 64 KiB; 0 means any size (RFC 8841 section 6.1).
    let size = media.max_message_size.filter(|size| *size > 0).unwrap_or(MESSAGE_BYTES_MAX);
    let (port, size) = (media.sctp_port.unwrap_or(5000), size.min(MESSAGE_BYTES_MAX));
    put(text, format_args!("a=sctp-port:{port}\r\na=max-message-size:{size}"));
}

/// Our end of the transport in an answer.
pub struct LocalTransport {
    /// `webrtcbin`'s answer, with its candidates.
    pub description: Description,
    /// Public addresses of this machine.
    pub announced: Vec<IpAddr>,
    /// Whether we only answer the peer's checks (ICE-lite, RFC 8445 section 2.5).
    pub is_lite: bool,
    /// Random session id, different for each session.
    pub session_id: u64,
}

/// An answer and the choices that it contains.
pub struct SdpAnswer<'a> {
    /// The peer's offer.
    pub offer: &'a Description,
    /// The chosen sections and payloads of the offer.
    pub choices: &'a [Choice],
    /// Channels of the audio that we send, to state whether it is stereo.
    pub audio_channels: u32,
    /// Direction of media, from our point of view.
    pub direction: Direction,
}

/// The answer for the peer: all sections of its offer in order. Unused ones are inactive if they
/// can share the transport, else refused.
pub fn answer(answer: &SdpAnswer<'_>, local: &LocalTransport) -> String {
    let mut text = String::new();
    put(&mut text, format_args!("v=0\r\no=- {} 1 IN IP4 0.0.0.0", local.session_id));
    put(&mut text, format_args!("s=-\r\nt=0 0\r\na=ice-options:trickle"));
    if local.is_lite {
        put(&mut text, format_args!("a=ice-lite"));
    }
    let data = answer.offer.data_section(answer.choices).map(|(index, _)| index);
    let choice_of = |index: usize| answer.choices.iter().find(|c| c.index == index);
    let sections = || answer.offer.media.iter().enumerate();
    let is_idle = |index| answer.offer.is_idle(index, answer.choices);
    let used = |(index, _): &(usize, &Media)| {
        choice_of(*index).is_some() || data == Some(*index) || is_idle(*index)
    };
    let mids: Vec<&str> = sections().filter(used).map(|(_, m)| m.mid.as_str()).collect();
    put(&mut text, format_args!("a=group:BUNDLE {}\r\na=msid-semantic: WMS *", mids.join(" ")));
    let mut tagged = true;
    for (index, media) in sections() {
        match choice_of(index) {
            Some(choice) => put_section(&mut text, answer, choice, media, local, tagged),
            None if data == Some(index) => put_data_section(&mut text, media, local, tagged),
            None if is_idle(index) => put_idle_section(&mut text, media, local, tagged),
            None => {
                put_refused(&mut text, media);
                continue;
            }
        }
        tagged = false;
    }
    text
}

fn put_data_section(text: &mut String, offered: &Media, local: &LocalTransport, tagged: bool) {
    let own = local.description.media.iter().find(|m| m.mid == offered.mid);
    let Some(own) = own else { return put_refused(text, offered) };
    let port = own.sctp_port.or(Some(5000));
    put_data(text, &Media { mid: offered.mid.clone(), sctp_port: port, ..Media::default() });
    put_transport(text, own, "active");
    if tagged {
        put_own_candidates(text, local);
    }
}

/// A section without media on the shared transport.
fn put_idle_section(text: &mut String, offered: &Media, local: &LocalTransport, tagged: bool) {
    let (own, payload) = (local.description.media.first(), offered.payloads.first());
    let (Some(own), Some(payload)) = (own, payload) else { return put_refused(text, offered) };
    let (media, protocol, pt) = (&offered.media, &offered.protocol, payload.pt);
    put(text, format_args!("m={media} 9 {protocol} {pt}\r\nc=IN IP4 0.0.0.0"));
    put(text, format_args!("a=mid:{}\r\na=inactive\r\na=rtcp-mux", offered.mid));
    put_transport(text, own, "active");
    put_codec(text, payload, None, &payload.parameters);
    if tagged {
        put_own_candidates(text, local);
    }
}

fn put_section(
    text: &mut String,
    answer: &SdpAnswer<'_>,
    choice: &Choice,
    offered: &Media,
    local: &LocalTransport,
    tagged: bool,
) {
    let own = local.description.media.iter().find(|m| m.mid == offered.mid);
    let Some(own) = own else { return put_refused(text, offered) };
    let rtx = choice.rtx.map(|pt| format!(" {pt}")).unwrap_or_default();
    let (media, protocol, pt) = (&offered.media, &offered.protocol, choice.payload.pt);
    put(text, format_args!("m={media} 9 {protocol} {pt}{rtx}\r\nc=IN IP4 0.0.0.0"));
    put(text, format_args!("a=mid:{}\r\na={}", offered.mid, answer.direction.as_str()));
    put(text, format_args!("a=rtcp-mux\r\na=rtcp-rsize"));
    put_transport(text, own, "active");
    put_payload(text, choice, &parameters(choice, answer.audio_channels));
    if let Some(id) = transport_cc(choice, offered) {
        put(text, format_args!("a=extmap:{id} {TRANSPORT_CC}"));
    }
    if let Some(id) = own.capture_time {
        put(text, format_args!("a=extmap:{id} {CAPTURE_TIME}"));
    }
    if let Some(id) = aic_hints(choice, offered) {
        put(text, format_args!("a=extmap:{id} {}", hints::URI));
    }
    let layers = offered.simulcast.sent(choice.payload.pt);
    if let Some(layers) = layers.filter(|_| answer.direction.receives()) {
        put_layers(text, &layers);
    }
    if answer.direction.sends() {
        put(text, format_args!("a=msid:auralink {}", choice.kind));
        put_ssrcs(text, own, Some(choice.kind));
    }
    // One transport carries all sections: its candidates belong in the first one.
    if tagged {
        put_own_candidates(text, local);
    }
}

pub(super) fn put_own_candidates(text: &mut String, local: &LocalTransport) {
    let own: Vec<&Candidate> = local.description.media.iter().flat_map(|m| &m.candidates).collect();
    put_candidates(text, &own, &local.announced);
}

fn put_candidates(text: &mut String, own: &[&Candidate], announced: &[IpAddr]) {
    for candidate in own {
        put(text, format_args!("a=candidate:{candidate}"));
    }
    // A machine behind 1:1 NAT is reached at its public addresses on the same ports. Each port is
    // announced once, whatever the number of local addresses.
    let mut ports = Vec::new();
    for candidate in own.iter().filter(|c| c.kind == CandidateKind::Host) {
        if ports.contains(&(candidate.tcp, candidate.port)) {
            continue;
        }
        ports.push((candidate.tcp, candidate.port));
        for (index, address) in announced.iter().enumerate() {
            put(text, format_args!("a=candidate:{}", candidate.announced(*address, index)));
        }
    }
    put(text, format_args!("a=end-of-candidates"));
}

/// Our end of the transport after an ICE restart, for the peer (RFC 9725 section 4.3.2).
///
/// `tag` is the section with the common transport: media, protocol and mid, as offered.
pub fn restart_answer(
    tag: &Media,
    mids: &[String],
    own: &Fragment,
    announced: &[IpAddr],
) -> String {
    let mut text = String::from("a=ice-options:trickle\r\n");
    put(&mut text, format_args!("a=group:BUNDLE {}", mids.join(" ")));
    put(&mut text, format_args!("m={} 9 {} 0\r\na=mid:{}", tag.media, tag.protocol, tag.mid));
    if let (Some(ufrag), Some(password)) = (&own.ufrag, &own.password) {
        put(&mut text, format_args!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}"));
    }
    put_candidates(&mut text, &own.candidates.iter().collect::<Vec<_>>(), announced);
    text
}

fn put_refused(text: &mut String, media: &Media) {
    let (kind, protocol, format) = (&media.media, &media.protocol, &media.format);
    put(text, format_args!("m={kind} 0 {protocol} {format}\r\nc=IN IP4 0.0.0.0"));
    if !media.mid.is_empty() {
        put(text, format_args!("a=mid:{}", media.mid));
    }
    put(text, format_args!("a=inactive"));
}

/// Format parameters of our answer: the offered ones, and for audio whether it is stereo.
fn parameters(choice: &Choice, audio_channels: u32) -> String {
    let offered = &choice.payload.parameters;
    if choice.codec != Codec::Opus || audio_channels != 2 {
        return offered.clone();
    }
    let separator = if offered.is_empty() { "" } else { ";" };
    let stated = |name: &str| choice.payload.parameter(name).is_some();
    let mut text = offered.clone();
    if !stated("stereo") {
        text = format!("{text}{separator}stereo=1");
    }
    if !stated("sprop-stereo") { format!("{text};sprop-stereo=1") } else { text }
}

fn put_payload(text: &mut String, choice: &Choice, parameters: &str) {
    put_codec(text, &choice.payload, choice.rtx, parameters);
}

/// Attributes of one payload type and of its retransmissions.
pub(super) fn put_codec(text: &mut String, p: &Payload, rtx: Option<u8>, parameters: &str) {
    let pt = p.pt;
    let channels = p.channels.map(|c| format!("/{c}")).unwrap_or_default();
    put(text, format_args!("a=rtpmap:{pt} {}/{}{channels}", p.name, p.clock_rate));
    if !parameters.is_empty() {
        put(text, format_args!("a=fmtp:{pt} {parameters}"));
    }
    let feedback = [
        (p.nack, "nack"),
        (p.pli, "nack pli"),
        (p.fir, "ccm fir"),
        (p.transport_cc, "transport-cc"),
    ];
    for (_, name) in feedback.iter().filter(|(on, _)| *on) {
        put(text, format_args!("a=rtcp-fb:{pt} {name}"));
    }
    if let Some(rtx) = rtx {
        put(text, format_args!("a=rtpmap:{rtx} rtx/{}", p.clock_rate));
        put(text, format_args!("a=fmtp:{rtx} apt={pt}"));
    }
}

/// Receives the layers of a section (RFC 8853).
fn put_layers(text: &mut String, layers: &SentLayers) {
    for (id, uri) in &layers.extensions {
        put(text, format_args!("a=extmap:{id} {uri}"));
    }
    for rid in &layers.rids {
        put(text, format_args!("a=rid:{rid} recv"));
    }
    put(text, format_args!("a=simulcast:recv {}", layers.rids.join(";")));
}

pub(super) fn put_ssrcs(text: &mut String, media: &Media, ours: Option<Kind>) {
    for (main, repeats) in &media.retransmissions {
        put(text, format_args!("a=ssrc-group:FID {main} {repeats}"));
    }
    for (ssrc, cname) in &media.ssrcs {
        put(text, format_args!("a=ssrc:{ssrc} cname:{cname}"));
        if let Some(kind) = ours {
            put(text, format_args!("a=ssrc:{ssrc} msid:auralink {kind}"));
        }
    }
}

/// Only publishers get congestion control feedback: what we send is the same for all viewers and
/// not adapted to one.
pub(crate) fn transport_cc(choice: &Choice, media: &Media) -> Option<u8> {
    media.transport_cc.filter(|_| choice.payload.transport_cc)
}

/// Hints are only for received AIC-A, which is decoded at ingress.
pub(crate) fn aic_hints(choice: &Choice, media: &Media) -> Option<u8> {
    media.hints.filter(|_| choice.codec == Codec::RawAudio)
}

pub(super) fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(line);
    text.push_str("\r\n");
}
