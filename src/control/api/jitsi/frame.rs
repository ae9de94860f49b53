//! Messages from Jigasi: audio with its speaker in front.

use crate::media::Language;

/// Bytes of the header: `speaker|language`, padded with zeros.
const HEADER_BYTES: usize = 60;

/// One message of a meeting.
#[derive(Debug, PartialEq)]
pub(super) enum Message<'a> {
    /// Audio of one speaker.
    Audio(SpeakerAudio<'a>),
    /// All speakers have left.
    End,
}

/// A piece of audio of one speaker.
#[derive(Debug, PartialEq)]
pub(super) struct SpeakerAudio<'a> {
    /// The speaker's id, 1-59 bytes.
    pub(super) speaker: &'a str,
    /// The spoken language, if known.
    pub(super) language: Option<Language>,
    /// Little-endian 16-bit samples, 16 kHz, mono.
    pcm: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// What is wrong with the message, as text.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        if bytes.len() == 1 {
            return Ok(Self::End);
        }
        let Some((header, pcm)) = bytes.split_at_checked(HEADER_BYTES) else {
            return Err(format!(
                "{} bytes are less than the header of {HEADER_BYTES}",
                bytes.len()
            ));
        };
        let end = header.iter().position(|b| *b == 0).unwrap_or(HEADER_BYTES);
        let header = std::str::from_utf8(&header[..end]).map_err(|_| "the header is not UTF-8")?;
        // The speaker's name may contain `|`, the language cannot.
        let (speaker, language) =
            header.rsplit_once('|').ok_or("the header is not `speaker|language`")?;
        if speaker.is_empty() {
            return Err("the header names no speaker".into());
        }
        // Engines get the language without its region, as in Skynet.
        let language = language.split(['-', '_']).next().and_then(|tag| tag.parse().ok());
        Ok(Self::Audio(SpeakerAudio { speaker, language, pcm }))
    }
}

impl SpeakerAudio<'_> {
    /// The samples, -1 to 1.
    pub(super) fn samples(&self) -> Vec<f32> {
        let (samples, _) = self.pcm.as_chunks::<2>();
        samples.iter().map(|b| f32::from(i16::from_le_bytes(*b)) / 32_768.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(header: &[u8], pcm: &[u8]) -> Vec<u8> {
        let mut bytes = header.to_vec();
        bytes.resize(HEADER_BYTES, 0);
        bytes.extend(pcm);
        bytes
    }

    #[test]
    fn a_message_names_its_speaker_and_language() {
        let check = |header: &[u8], expect: Result<(&str, Option<&str>), &str>| {
            let bytes = message(header, &[0, 64, 0, 192, 7]);
            let found = Message::parse(&bytes);
            match expect {
                Ok((speaker, language)) => {
                    let Ok(Message::Audio(audio)) = found else { panic!("{found:?}") };
                    let tag = audio.language.as_ref().map(Language::as_str);
                    assert_eq!((audio.speaker, tag), (speaker, language));
                    assert_eq!(audio.samples(), [0.5, -0.5], "an odd byte is left out");
                }
                Err(part) => assert!(found.is_err_and(|e| e.contains(part))),
            }
        };
        check(b"room/ab12|en-US", Ok(("room/ab12", Some("en"))));
        check(b"a|b|pt_BR", Ok(("a|b", Some("pt"))));
        check("Zoë|null!".as_bytes(), Ok(("Zoë", None)));
        check(b"x|", Ok(("x", None)));
        check(b"no language", Err("speaker|language"));
        check(b"|en", Err("no speaker"));
        check(&[0xff, b'|', b'e', b'n'], Err("UTF-8"));
        assert_eq!(Message::parse(&[0]), Ok(Message::End));
        assert!(Message::parse(&[0; 59]).is_err() && Message::parse(&[]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Message::Audio(audio)) = Message::parse(&bytes) {
                prop_assert!(audio.samples().iter().all(|s| (-1.0..=1.0).contains(s)));
            }
        }
    }

    #[test]
    fn fuzz_jitsi_message() {
        crate::fuzz::run("jitsi-message", |bytes| {
            if let Ok(Message::Audio(audio)) = Message::parse(bytes) {
                assert!(audio.samples().iter().all(|sample| sample.abs() <= 1.0));
            }
        });
    }
}
