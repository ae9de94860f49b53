//! Our own offers and their answers: for outgoing calls such as trunks.

use super::write::{put, put_data, put_own_candidates, put_ssrcs, put_transport};
use super::{Description, Direction, Invalid, LocalTransport, Media, Payload, TRANSPORT_CC};
use crate::aic::hints;
use crate::media::Kind;

/// What the other end accepts of one offered section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Index of the section, in the offer and in the answer.
    pub index: usize,
    /// Video or audio.
    pub kind: Kind,
    /// The payload as we offered it.
    pub payload: Payload,
    /// Payload type of its retransmissions, if both sides have it.
    pub rtx: Option<u8>,
    /// Id of the congestion control header extension, if both sides have it.
    pub transport_cc: Option<u8>,
    /// Id of the header extension `aic-hints`, if both sides have it.
    pub hints: Option<u8>,
}

/// The offer for the peer: the described sections with the transport, sources and retransmissions
/// from `webrtcbin`'s offer, and its section of data channels.
pub fn offer(sections: &[Media], local: &LocalTransport) -> String {
    let own = &local.description.media;
    let mut text = String::new();
    put(&mut text, format_args!("v=0\r\no=- {} 1 IN IP4 0.0.0.0", local.session_id));
    put(&mut text, format_args!("s=-\r\nt=0 0\r\na=ice-options:trickle"));
    let used = || own.iter().filter(|m| m.is_data() || section(sections, m).is_some());
    let mids: Vec<&str> = used().map(|m| m.mid.as_str()).collect();
    put(&mut text, format_args!("a=group:BUNDLE {}\r\na=msid-semantic: WMS *", mids.join(" ")));
    for (index, media) in used().enumerate() {
        match section(sections, media) {
            Some(described) => put_track(&mut text, described, media),
            None => {
                put_data(&mut text, media);
                put_transport(&mut text, media, "actpass");
            }
        }
        // One transport carries all sections: its candidates belong in the first one.
        if index == 0 {
            put_own_candidates(&mut text, local);
        }
    }
    text
}

/// The description of a section of `webrtcbin`, by its `mid`.
fn section<'a>(sections: &'a [Media], own: &Media) -> Option<&'a Media> {
    sections.iter().find(|m| m.mid == own.mid)
}

fn put_track(text: &mut String, media: &Media, own: &Media) {
    let repeats = |pt: u8| own.payloads.iter().find(|p| p.repeats() == Some(pt));
    let all = media.payloads.iter().flat_map(|p| [Some(p), repeats(p.pt)]).flatten();
    let pts: Vec<String> = all.map(|p| p.pt.to_string()).collect();
    let (kind, mid) = (&media.media, &media.mid);
    put(text, format_args!("m={kind} 9 {} {}", media.protocol, pts.join(" ")));
    put(text, format_args!("c=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na={}", media.direction.as_str()));
    put(text, format_args!("a=rtcp-mux\r\na=rtcp-rsize"));
    put_transport(text, own, "actpass");
    for payload in &media.payloads {
        let rtx = repeats(payload.pt).map(|p| p.pt);
        super::write::put_codec(text, payload, rtx, &payload.parameters);
    }
    if let Some(id) = media.transport_cc {
        put(text, format_args!("a=extmap:{id} {TRANSPORT_CC}"));
    }
    if let Some(id) = media.hints {
        put(text, format_args!("a=extmap:{id} {}", hints::URI));
    }
    put(text, format_args!("a=msid:auralink {kind}"));
    put_ssrcs(text, own, media.kind());
}

impl Description {
    /// What the author of this answer accepts of an offer with these sections, in their order.
    ///
    /// # Errors
    /// [`Invalid`] if it does not answer that offer, or lacks what a connection needs.
    pub fn agreed(&self, offered: &[Media]) -> Result<Vec<Agreed>, Invalid> {
        if self.media.len() < offered.len() {
            return Err(Invalid::new("it answers fewer sections than were offered"));
        }
        let pairs = offered.iter().zip(&self.media).enumerate();
        let agreed: Vec<Agreed> =
            pairs.filter_map(|(index, (ours, theirs))| agree(index, ours, theirs)).collect();
        let used: Vec<&Media> = agreed.iter().filter_map(|a| self.media.get(a.index)).collect();
        let Some(first) = used.first() else {
            return Err(Invalid::new("it takes none of what was offered"));
        };
        for media in &used {
            let missing = |what| Invalid::new(format!("section `{}` has no {what}", media.mid));
            let complete =
                |(ufrag, password): &(String, String)| !ufrag.is_empty() && !password.is_empty();
            if !media.ice.as_ref().is_some_and(complete) {
                return Err(missing("complete a=ice-ufrag and a=ice-pwd"));
            }
            media.fingerprint.as_ref().ok_or_else(|| missing("a=fingerprint"))?;
            if first.ice != media.ice || first.fingerprint != media.fingerprint {
                return Err(Invalid::new("bundled sections differ in ICE or fingerprint"));
            }
        }
        Ok(agreed)
    }
}

fn agree(index: usize, ours: &Media, theirs: &Media) -> Option<Agreed> {
    let kind = ours.kind()?;
    if !theirs.enabled || theirs.kind() != Some(kind) || !theirs.direction.receives() {
        return None;
    }
    // The first payload of the answer that we offered: the peer's preference.
    let alike = |ours: &Payload, p: &Payload| {
        let same = ours.pt == p.pt && ours.clock_rate == p.clock_rate;
        same && ours.name.eq_ignore_ascii_case(&p.name)
    };
    let pairs = theirs.payloads.iter().filter_map(|p| {
        let offered = ours.payloads.iter().find(|ours| alike(ours, p))?;
        Some((offered.clone(), p))
    });
    let (mut payload, answered) = { pairs }.next()?;
    payload.nack &= answered.nack;
    payload.pli &= answered.pli;
    payload.fir &= answered.fir;
    payload.transport_cc &= answered.transport_cc;
    let rtx = theirs.payloads.iter().find(|p| p.repeats() == Some(payload.pt)).map(|p| p.pt);
    let transport_cc = ours.transport_cc.filter(|id| theirs.transport_cc == Some(*id));
    let hints = ours.hints.filter(|id| theirs.hints == Some(*id));
    Some(Agreed { index, kind, payload, rtx, transport_cc, hints })
}

/// The answer reduced to what was agreed on, for `webrtcbin`. Format parameters are left out, as in
/// [`super::reduced_offer`].
pub fn reduced_answer(offer: &Description, answer: &Description, agreed: &[Agreed]) -> String {
    let mut text = String::from("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n");
    let Some(first) = agreed.first().and_then(|a| answer.media.get(a.index)) else { return text };
    let data =
        |index: usize| answer.media.get(index).filter(|m| m.enabled && m.media == "application");
    let choice = |index: usize| agreed.iter().find(|a| a.index == index);
    let sections = || offer.media.iter().enumerate();
    let used = |(index, _): &(usize, &Media)| choice(*index).is_some() || data(*index).is_some();
    let mids: Vec<&str> = sections().filter(used).map(|(_, m)| m.mid.as_str()).collect();
    put(&mut text, format_args!("a=group:BUNDLE {}", mids.join(" ")));
    for (index, ours) in sections() {
        if let Some(agreed) = choice(index) {
            let rtx = agreed.rtx.map(|pt| format!(" {pt}")).unwrap_or_default();
            let (kind, pt) = (agreed.kind, agreed.payload.pt);
            put(&mut text, format_args!("m={kind} 9 UDP/TLS/RTP/SAVPF {pt}{rtx}"));
            put(&mut text, format_args!("c=IN IP4 0.0.0.0\r\na=mid:{}\r\na=rtcp-mux", ours.mid));
            put(&mut text, format_args!("a={}\r\na=rtcp-rsize", Direction::RecvOnly.as_str()));
            put_transport(&mut text, first, "active");
            super::write::put_codec(&mut text, &agreed.payload, agreed.rtx, "");
            if let Some(id) = agreed.transport_cc {
                put(&mut text, format_args!("a=extmap:{id} {TRANSPORT_CC}"));
            }
        } else if let Some(theirs) = data(index) {
            put_data(&mut text, &Media { mid: ours.mid.clone(), ..theirs.clone() });
            put_transport(&mut text, first, "active");
        } else {
            let pt = ours.payloads.first().map(|p| p.pt.to_string());
            let format = pt.unwrap_or_else(|| ours.format.clone());
            put(&mut text, format_args!("m={} 0 {} {format}", ours.media, ours.protocol));
            put(&mut text, format_args!("c=IN IP4 0.0.0.0\r\na=mid:{}\r\na=inactive", ours.mid));
        }
    }
    text
}
