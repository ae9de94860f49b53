//! Simulcast (RFC 8853): an author sends one picture in several layers, each with an identifier, its
//! `rid` (RFC 8851), that a header extension carries in the first packets of the layer (RFC 8852).

use crate::media::SENT_LAYERS_MAX;

/// Header extensions that say which section and layer a packet belongs to.
const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
const REPAIRED_RID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";

/// Most identifiers read of a section; further ones are ignored.
const LISTED_ITEMS_MAX: usize = 16;

/// Longest identifier, in characters: what one-byte header extensions carry.
const RID_CHARS_MAX: usize = 16;

/// What a section says about the layers that its author sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Simulcast {
    /// Layers that are sent, with the payload types that they are limited to; empty for any.
    rids: Vec<(String, Vec<u8>)>,
    /// The order of the layers; of alternatives the first.
    order: Vec<String>,
    mid: Option<u8>,
    rid: Option<u8>,
    repaired_rid: Option<u8>,
}

/// The layers of a chosen section that we receive: at least two, and at most [`SENT_LAYERS_MAX`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentLayers {
    /// Their identifiers, in the author's order.
    pub rids: Vec<String>,
    /// Layers beyond what is received.
    pub left_out: Vec<String>,
    /// Id of the header extension with the identifier.
    pub rid_extension: u8,
    /// Ids and names of all header extensions that say to which layer a packet belongs.
    pub(super) extensions: Vec<(u8, &'static str)>,
}

impl Simulcast {
    /// Reads an `extmap`; others than those of layers are ignored.
    pub(super) fn read_extension(&mut self, uri: &str, id: Option<u8>) {
        match uri {
            MID => self.mid = id,
            RID => self.rid = id,
            REPAIRED_RID => self.repaired_rid = id,
            _ => {}
        }
    }

    /// Reads the value of `a=rid`: `h send`, `l send pt=96,97;max-width=640`.
    pub(super) fn read_rid(&mut self, value: &str) {
        let mut words = value.split_ascii_whitespace();
        let (Some(rid), Some("send")) = (words.next().and_then(identifier), words.next()) else {
            return;
        };
        let limits = words.next().unwrap_or_default().split(';');
        let pts = limits.filter_map(|limit| limit.strip_prefix("pt=")).flat_map(|l| l.split(','));
        let pts = pts.filter_map(|pt| pt.parse().ok()).take(LISTED_ITEMS_MAX).collect();
        if self.rids.len() < LISTED_ITEMS_MAX && self.rids.iter().all(|(known, _)| *known != rid) {
            self.rids.push((rid, pts));
        }
    }

    /// Reads the value of `a=simulcast`: `send h;~l recv a`, `send 1,2;3`. A tilde marks a layer that is
    /// paused at first.
    pub(super) fn read_list(&mut self, value: &str) {
        let mut words = value.split_ascii_whitespace();
        let sent = words.by_ref().skip_while(|word| *word != "send").nth(1).unwrap_or_default();
        let first = |alternatives: &str| {
            let first = alternatives.split(',').next().unwrap_or_default();
            identifier(first.strip_prefix('~').unwrap_or(first))
        };
        self.order = sent.split(';').filter_map(first).take(LISTED_ITEMS_MAX).collect();
    }

    /// The layers that are sent with this payload type, if there are several.
    pub(crate) fn sent(&self, payload_type: u8) -> Option<SentLayers> {
        let carries = |name: &&String| {
            let limits = self.rids.iter().find(|(rid, _)| rid == *name).map(|(_, pts)| pts);
            limits.is_some_and(|pts| pts.is_empty() || pts.contains(&payload_type))
        };
        let mut names: Vec<String> = Vec::new();
        for name in self.order.iter().filter(carries) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        let left_out = names.split_off(names.len().min(SENT_LAYERS_MAX));
        let extensions = [(self.mid, MID), (self.rid, RID), (self.repaired_rid, REPAIRED_RID)];
        let extensions = extensions.into_iter().filter_map(|(id, uri)| Some((id?, uri))).collect();
        let layers = SentLayers { rids: names, left_out, rid_extension: self.rid?, extensions };
        (layers.rids.len() > 1).then_some(layers)
    }
}

/// An identifier in the characters of RFC 8851 section 10.
fn identifier(text: &str) -> Option<String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let length = 1..=RID_CHARS_MAX;
    (length.contains(&text.len()) && text.bytes().all(fits)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::Description;
    use super::*;
    use crate::media::{Codec, Kind};

    /// The layers of an offer of VP8 (96) and H.264 (41) with these lines, for VP8.
    fn check(lines: &str, expect: &[&str]) -> Option<SentLayers> {
        let head = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
        let video = "m=video 9 UDP/TLS/RTP/SAVPF 96 41\r\na=mid:0\r\na=sendonly\r\n\
                     a=rtpmap:96 VP8/90000\r\na=rtpmap:41 H264/90000\r\n";
        let offer = Description::parse(&format!("{head}{video}{lines}")).expect("an offer");
        let choice = offer.choose_from(Kind::Video, &[Codec::Vp8]).expect("VP8");
        let found = offer.media[0].simulcast.sent(choice.payload.pt);
        let rids = found.as_ref().map(|layers| layers.rids.clone()).unwrap_or_default();
        assert_eq!(rids, expect, "{lines}");
        found
    }

    #[test]
    fn layers_are_read_in_their_order() {
        let extensions = format!("a=extmap:4 {MID}\r\na=extmap:10 {RID}\r\n");
        let rids = "a=rid:q send\r\na=rid:h send\r\na=rid:f send pt=96;max-width=1280\r\n";
        let list = "a=simulcast:send q;~h;f\r\n";
        let found = check(&format!("{extensions}{rids}{list}"), &["q", "h", "f"]).expect("layers");
        assert_eq!(found.rid_extension, 10);
        assert_eq!(found.extensions, [(4, MID), (10, RID)]);
        check(&format!("{extensions}{rids}a=simulcast:recv a send f,h;q\r\n"), &["f", "q"]);
        check(&format!("{rids}{list}"), &[]);
        check(&format!("{extensions}{rids}"), &[]);
        check(&format!("{extensions}{list}"), &[]);
        check(&format!("{extensions}{rids}a=simulcast:send q\r\n"), &[]);
    }

    #[test]
    fn a_layer_of_another_codec_and_too_many_are_left_out() {
        let head = format!("a=extmap:10 {RID}\r\n");
        let other =
            "a=rid:a send pt=41\r\na=rid:b send\r\na=rid:c send\r\na=simulcast:send a;b;c\r\n";
        check(&format!("{head}{other}"), &["b", "c"]);
        let rids: String = (0..6).map(|n| format!("a=rid:{n} send\r\n")).collect();
        let many = format!("{head}{rids}a=simulcast:send 0;1;2;3;4;5;0\r\n");
        let found = check(&many, &["0", "1", "2", "3"]).expect("layers");
        assert_eq!(found.left_out, ["4", "5"]);
        check(&format!("{head}a=rid:a/b send\r\na=rid:b send\r\na=simulcast:send a/b;b\r\n"), &[]);
    }
}
