//! Parses a description.

use super::candidate::is_ice_text;
use super::{
    CAPTURE_TIME, Candidate, Direction, Invalid, Media, Payload, TEXT_BYTES_MAX, TRANSPORT_CC,
};
use crate::aic::hints;
use crate::webrtc::payload_type::RTCP_PAYLOAD_TYPES;

/// Most media sections accepted.
const MEDIA_SECTIONS_MAX: usize = 16;
/// Most payload types, candidates or SSRCs of one section; further ones are ignored.
const LIST_ITEMS_MAX: usize = 64;

/// A session description: an offer or an answer.
#[derive(Clone, Debug, Default)]
pub struct Description {
    /// Its media sections in their order.
    pub media: Vec<Media>,
    /// Identifiers of the sections that share one transport (RFC 9143).
    pub bundle: Vec<String>,
}

impl Description {
    /// Parses a description. Unknown lines are ignored; known ones must be well-formed.
    ///
    /// # Errors
    /// [`Invalid`], with the reason.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Invalid::new(format!("it is larger than {} KiB", TEXT_BYTES_MAX >> 10)));
        }
        if !text.starts_with("v=0") {
            return Err(Invalid::new("it does not begin with v=0"));
        }
        let mut session = Media::default();
        let mut description = Self::default();
        let lines = (1..).zip(text.lines().map(str::trim_end));
        for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
            // The line is not quoted: it may be a misplaced secret.
            let Some((field, value)) = line.split_once('=') else {
                return Err(Invalid::new(format!("line {number} has no `=`")));
            };
            match field {
                "m" if description.media.len() >= MEDIA_SECTIONS_MAX => {
                    return Err(Invalid::new(format!(
                        "more than {MEDIA_SECTIONS_MAX} media sections"
                    )));
                }
                "m" => description.media.push(media_line(value)?),
                "a" => {
                    let (name, value) = value.split_once(':').unwrap_or((value, ""));
                    match description.media.last_mut() {
                        Some(media) => attribute(media, name, value)?,
                        None if name == "group" => description.bundle = bundle(value),
                        None => attribute(&mut session, name, value)?,
                    }
                }
                _ => {}
            }
        }
        description.finish(&session)
    }

    /// Copies session attributes into the sections and checks the `mid`s.
    fn finish(mut self, session: &Media) -> Result<Self, Invalid> {
        if self.media.is_empty() {
            return Err(Invalid::new("it has no media section"));
        }
        for index in 0..self.media.len() {
            let (before, rest) = self.media.split_at_mut(index);
            let Some(media) = rest.first_mut() else { break };
            media.ice = media.ice.take().or_else(|| session.ice.clone());
            media.fingerprint = media.fingerprint.take().or_else(|| session.fingerprint.clone());
            media.setup = media.setup.take().or_else(|| session.setup.clone());
            if media.mid.is_empty() && media.kind().is_some() {
                return Err(Invalid::new(format!("section {index} has no a=mid")));
            }
            if before.iter().any(|m| !m.mid.is_empty() && m.mid == media.mid) {
                return Err(Invalid::new(format!("a=mid:{} is there twice", media.mid)));
            }
        }
        Ok(self)
    }

    /// Whether both sections share one transport.
    pub fn bundles(&self, a: &Media, b: &Media) -> bool {
        self.bundle.contains(&a.mid) && self.bundle.contains(&b.mid)
    }
}

/// The first characters of a text, for an error message.
fn excerpt(text: &str) -> String {
    text.chars().take(60).collect::<String>().escape_debug().to_string()
}

/// A text that is safe to write back into a description.
fn token(text: &str, length_max: usize) -> Option<String> {
    let printable = text.bytes().all(|b| b.is_ascii_graphic());
    (printable && (1..=length_max).contains(&text.len())).then(|| text.to_owned())
}

fn required(name: &str, value: Option<String>) -> Result<String, Invalid> {
    value.ok_or_else(|| Invalid::new(format!("{name} is not well-formed")))
}

fn bundle(value: &str) -> Vec<String> {
    let mut words = value.split_ascii_whitespace();
    if words.next() != Some("BUNDLE") {
        return Vec::new();
    }
    words.take(MEDIA_SECTIONS_MAX).filter_map(|mid| token(mid, 32)).collect()
}

fn media_line(value: &str) -> Result<Media, Invalid> {
    let malformed = || Invalid::new(format!("`m={}` is not well-formed", excerpt(value)));
    let mut words = value.split_ascii_whitespace();
    let mut next = || words.next().and_then(|w| token(w, 32)).ok_or_else(malformed);
    let (media, port, protocol, format) = (next()?, next()?, next()?, next()?);
    let port: u16 = port.split('/').next().unwrap_or("").parse().map_err(|_| malformed())?;
    let mut media =
        Media { media, protocol, enabled: port != 0, format: format.clone(), ..Media::default() };
    if media.kind().is_none() {
        return Ok(media);
    }
    for word in std::iter::once(format.as_str()).chain(words).take(LIST_ITEMS_MAX) {
        let pt: u8 = word.parse().ok().filter(|pt| *pt < 128).ok_or_else(malformed)?;
        // A type that collides with RTCP must not be used (RFC 5761 section 4).
        let usable = !RTCP_PAYLOAD_TYPES.contains(&pt);
        if usable && !media.payloads.iter().any(|p| p.pt == pt) {
            media.payloads.push(Payload { pt, ..Payload::default() });
        }
    }
    Ok(media)
}

/// Parses one attribute of a section or of the session.
fn attribute(media: &mut Media, name: &str, value: &str) -> Result<(), Invalid> {
    let value = value.trim();
    if let Some(direction) = Direction::from_attribute(name) {
        media.direction = direction;
        return Ok(());
    }
    match name {
        "mid" => media.mid = required("a=mid", token(value, 32))?,
        "bundle-only" => media.enabled = true,
        "rtcp-mux" => media.rtcp_mux = true,
        "ice-ufrag" => {
            let ufrag = token(value, 256).filter(|t| is_ice_text(t) && t.len() >= 4);
            media.ice.get_or_insert_default().0 = required("a=ice-ufrag", ufrag)?;
        }
        "ice-pwd" => {
            let password = token(value, 256).filter(|t| is_ice_text(t) && t.len() >= 22);
            media.ice.get_or_insert_default().1 = required("a=ice-pwd", password)?;
        }
        "setup" => {
            let known = ["actpass", "active", "passive"].contains(&value);
            media.setup = Some(required("a=setup", known.then(|| value.to_owned()))?);
        }
        "fingerprint" => {
            // Of several (RFC 8122 section 5) the one that everybody can check.
            let better = media.fingerprint.as_ref().is_none_or(|(hash, _)| hash != "sha-256");
            let found = fingerprint(value)?;
            media.fingerprint = if better { Some(found) } else { media.fingerprint.take() };
        }
        "candidate" if media.candidates.len() < LIST_ITEMS_MAX => {
            media.candidates.extend(Candidate::parse(value));
        }
        "extmap" => {
            let (id, uri) = value.split_once(' ').unwrap_or_default();
            let id = || id.parse().ok().filter(|id| (1..15).contains(id));
            match uri {
                TRANSPORT_CC => media.transport_cc = id(),
                CAPTURE_TIME => media.capture_time = id(),
                hints::URI => media.hints = id(),
                _ => media.simulcast.read_extension(uri, id()),
            }
        }
        "rid" => media.simulcast.read_rid(value),
        "simulcast" => media.simulcast.read_list(value),
        "rtpmap" | "fmtp" | "rtcp-fb" => payload_attribute(media, name, value),
        "sctp-port" => media.sctp_port = value.parse().ok().filter(|port| *port != 0),
        "max-message-size" => media.max_message_size = value.parse().ok(),
        "ssrc" => ssrc(media, value),
        "ssrc-group" => ssrc_group(media, value),
        _ => {}
    }
    Ok(())
}

fn fingerprint(value: &str) -> Result<(String, String), Invalid> {
    let parts = value.split_once(' ').and_then(|(hash, value)| {
        let hex = |b: u8| b.is_ascii_hexdigit() || b == b':';
        let value = token(value.trim(), 256).filter(|v| v.bytes().all(hex))?;
        Some((token(hash, 16)?.to_ascii_lowercase(), value.to_ascii_uppercase()))
    });
    parts.ok_or_else(|| Invalid::new("a=fingerprint is not well-formed"))
}

fn payload_attribute(media: &mut Media, name: &str, value: &str) {
    let Some((pt, value)) = value.split_once(' ') else { return };
    let wanted = |p: &&mut Payload| pt == "*" || pt.parse() == Ok(p.pt);
    for payload in media.payloads.iter_mut().filter(wanted) {
        match name {
            "rtpmap" => {
                let mut parts = value.trim().split('/');
                payload.name = parts.next().and_then(|n| token(n, 32)).unwrap_or_default();
                payload.clock_rate = parts.next().and_then(|r| r.parse().ok()).unwrap_or(0);
                payload.channels = parts.next().and_then(|c| c.parse().ok());
            }
            "fmtp" => {
                let printable = value.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
                if printable && value.len() <= 512 {
                    value.clone_into(&mut payload.parameters);
                }
            }
            _ => match value.trim() {
                "nack" => payload.nack = true,
                "nack pli" => payload.pli = true,
                "ccm fir" => payload.fir = true,
                "transport-cc" => payload.transport_cc = true,
                _ => {}
            },
        }
    }
}

fn ssrc(media: &mut Media, value: &str) {
    let Some((ssrc, attribute)) = value.split_once(' ') else { return };
    let Ok(ssrc) = ssrc.parse::<u32>() else { return };
    let Some(cname) = attribute.trim().strip_prefix("cname:").and_then(|c| token(c, 64)) else {
        return;
    };
    if media.ssrcs.len() < LIST_ITEMS_MAX && !media.ssrcs.iter().any(|(s, _)| *s == ssrc) {
        media.ssrcs.push((ssrc, cname));
    }
}

fn ssrc_group(media: &mut Media, value: &str) {
    let mut words = value.split_ascii_whitespace();
    if words.next() != Some("FID") || media.retransmissions.len() >= LIST_ITEMS_MAX {
        return;
    }
    let mut next = || words.next()?.parse().ok();
    if let (Some(main), Some(repeats)) = (next(), next()) {
        media.retransmissions.push((main, repeats));
    }
}
