//! One track of a programme: the content of its PMT entry (ISO/IEC 13818-1 2.4.4.9, ETSI EN 300 468
//! for the descriptors of DVB, SMPTE RA for registered formats).

use std::fmt;

use crate::media::{Kind, Offered};

/// A track of a programme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Elementary {
    /// PID of the track, 16-8190.
    pub(super) pid: u16,
    /// Video or audio; `None` for anything else, and for codecs that no demuxer here supports.
    pub(super) kind: Option<Kind>,
    /// Display name of its codec or purpose.
    pub(super) codec: String,
    /// Language as three lowercase letters of ISO 639-2.
    pub(super) language: Option<String>,
}

impl Elementary {
    /// Converts the track for the choice among the tracks of its programme.
    pub(super) fn offered(&self) -> Offered {
        Offered {
            label: format!("PID {}", self.pid),
            name: self.to_string(),
            kind: self.kind,
            pid: Some(self.pid),
            language: self.language.clone(),
        }
    }
}

impl fmt::Display for Elementary {
    /// `PID 257 (0x101), E-AC-3, language deu`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PID {} ({:#x}), {}", self.pid, self.pid, self.codec)?;
        match &self.language {
            Some(language) => write!(f, ", language {language}"),
            None => Ok(()),
        }
    }
}

/// Reads one entry of a PMT.
pub(super) fn read(pid: u16, stream_type: u8, descriptors: &[u8]) -> Elementary {
    let descriptors: Vec<(u8, &[u8])> = split(descriptors).collect();
    let (kind, codec) = by_type(stream_type)
        .or_else(|| descriptors.iter().find_map(|(tag, body)| by_descriptor(*tag, body)))
        .map_or_else(
            || (None, format!("stream type {stream_type:#04x}")),
            |(kind, codec)| (kind, codec.to_owned()),
        );
    let language = descriptors.iter().find_map(|(tag, body)| language(*tag, body));
    Elementary { pid, kind, codec, language }
}

fn split(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_at_checked(2)?;
        let (body, rest) = rest.split_at_checked(usize::from(head[1]))?;
        bytes = rest;
        Some((head[0], body))
    })
}

type Named = (Option<Kind>, &'static str);

fn by_type(stream_type: u8) -> Option<Named> {
    let (video, audio) = (Some(Kind::Video), Some(Kind::Audio));
    Some(match stream_type {
        0x01 => (video, "MPEG-1 video"),
        0x02 => (video, "MPEG-2 video"),
        0x03 | 0x04 => (audio, "MPEG audio"),
        0x0f => (audio, "AAC"),
        0x11 => (audio, "AAC in LATM"),
        0x1b => (video, "H.264"),
        0x24 => (video, "H.265"),
        0x81 => (audio, "AC-3"),
        0x87 => (audio, "E-AC-3"),
        0x8a => (audio, "DTS"),
        0x10 => (None, "MPEG-4 part 2 video"),
        0x15 => (None, "metadata"),
        0x21 => (None, "JPEG 2000"),
        0x33 => (None, "H.266"),
        // `tsdemux` knows this number, used by Blu-ray discs and ffmpeg, only in Blu-ray
        // programmes.
        0x82 => (None, "DTS"),
        0x83 => (None, "TrueHD"),
        0x86 => (None, "SCTE-35 cues"),
        _ => return None,
    })
}

/// Kind and codec of private data, from a descriptor with this tag.
fn by_descriptor(tag: u8, body: &[u8]) -> Option<Named> {
    let audio = Some(Kind::Audio);
    Some(match (tag, body.first_chunk::<4>()) {
        (0x05, Some(b"Opus")) => (audio, "Opus"),
        (0x05, Some(b"BSSD")) => (audio, "SMPTE 302M"),
        (0x05, Some(b"AC-3")) => (audio, "AC-3"),
        (0x05, Some(b"EAC3")) => (audio, "E-AC-3"),
        (0x05, Some(b"DTS1" | b"DTS2" | b"DTS3")) => (audio, "DTS"),
        (0x05, Some(b"HEVC")) => (Some(Kind::Video), "H.265"),
        (0x05, Some(b"AV01")) => (None, "AV1"),
        (0x05, Some(b"AC-4")) => (None, "AC-4"),
        (0x05, Some(b"KLVA")) => (None, "KLV metadata"),
        (0x05, Some(b"VANC")) => (None, "ancillary data (SMPTE 2038)"),
        (0x05, Some(b"CUEI")) => (None, "SCTE-35 cues"),
        (0x6a, _) => (audio, "AC-3"),
        (0x7a, _) => (audio, "E-AC-3"),
        (0x7b, _) => (audio, "DTS"),
        (0x7f, Some([0x15, ..])) => (None, "AC-4"),
        (0x56 | 0x46, _) => (None, "teletext"),
        (0x59, _) => (None, "DVB subtitles"),
        _ => return None,
    })
}

/// The language of a track, from its language, teletext or subtitling descriptor.
fn language(tag: u8, body: &[u8]) -> Option<String> {
    let code = body.first_chunk::<3>().filter(|_| matches!(tag, 0x0a | 0x56 | 0x46 | 0x59))?;
    let letters = code.iter().all(u8::is_ascii_alphabetic);
    letters.then(|| String::from_utf8_lossy(code).to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracks_are_told_by_type_and_descriptors() {
        let check = |stream_type, descriptors: &[u8], expect: &str, kind| {
            let track = read(257, stream_type, descriptors);
            assert_eq!((track.to_string().as_str(), track.kind), (expect, kind));
        };
        let audio = Some(Kind::Audio);
        check(0x1b, &[], "PID 257 (0x101), H.264", Some(Kind::Video));
        check(0x0f, b"\x0a\x04DEU\0", "PID 257 (0x101), AAC, language deu", audio);
        check(6, b"\x05\x04BSSD\x0a\x04eng\0", "PID 257 (0x101), SMPTE 302M, language eng", audio);
        check(6, b"\x7a\x01\0", "PID 257 (0x101), E-AC-3", audio);
        check(6, b"\x59\x08eng\x10\0\0\0\0", "PID 257 (0x101), DVB subtitles, language eng", None);
        check(6, b"\x05\x09cut", "PID 257 (0x101), stream type 0x06", None);
        check(0x8a, b"", "PID 257 (0x101), DTS", audio);
        check(0x82, b"", "PID 257 (0x101), DTS", None);
        check(0xc3, b"", "PID 257 (0x101), stream type 0xc3", None);
    }
}
