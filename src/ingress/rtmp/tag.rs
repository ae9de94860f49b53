//! Content of audio and video messages: FLV tags (Adobe FLV 10.1, annex E.4) and their extension
//! Enhanced RTMP (veovera.org, version 2).
//!
//! If a message has several tracks, track 0 is taken, because a feed has only one.

use bytes::{Buf, Bytes};

use crate::media::{Codec, Kind};

/// Parsed content of a message: the only view of RTMP that the rest of the appliance gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// Decoder configuration, needed before the first frame: `avcC`, `hvcC`, `av1C`, AAC
    /// AudioSpecificConfig, OpusHead.
    Config {
        /// Codec of the record.
        codec: Codec,
        /// The configuration record.
        record: Bytes,
    },
    /// One access unit of video or packet of audio.
    Frame {
        /// Codec of the frame.
        codec: Codec,
        /// Whether decoding can begin here; always true for audio.
        key: bool,
        /// Presentation minus decode time, in milliseconds.
        composition_ms: i32,
        /// The coded data.
        data: Bytes,
    },
    /// Nothing to use: an end of sequence, colour metadata, another track.
    Nothing,
}

/// Why a message is not usable media.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// The message ends inside its header.
    #[error("a media message is cut short")]
    Truncated,
    /// The codec is not supported by any feed.
    #[error("{0} is not taken: send H.264, HEVC, AV1, VP8 or VP9 with AAC, Opus or MP3")]
    Codec(String),
}

/// Parses the payload of an audio or video message.
///
/// # Errors
/// [`Error`]; the message must then be dropped, but the next one may be usable.
pub(super) fn parse(kind: Kind, payload: Bytes) -> Result<Packet, Error> {
    let mut reader = Reader(payload);
    // Encoders send empty messages to keep a track alive.
    let Ok(first) = reader.u8() else { return Ok(Packet::Nothing) };
    match kind {
        Kind::Video if first & 0x80 != 0 => enhanced(kind, first & 0x0f, (first >> 4) & 7, reader),
        Kind::Video => legacy_video(first, reader),
        Kind::Audio if first >> 4 == 9 => enhanced(kind, first & 0x0f, KEY_FRAME_TYPE, reader),
        Kind::Audio => legacy_audio(first, reader),
    }
}

/// Frame type of a key frame.
const KEY_FRAME_TYPE: u8 = 1;
/// Frame type of a command message for the player, without video data.
const COMMAND_FRAME_TYPE: u8 = 5;

fn legacy_video(first: u8, mut reader: Reader) -> Result<Packet, Error> {
    let codec = match first & 0x0f {
        7 => Codec::H264,
        // Never standardised, but sent by many encoders in China before Enhanced RTMP.
        12 => Codec::H265,
        id => return Err(Error::Codec(format!("video codec {id} of FLV"))),
    };
    if first >> 4 == COMMAND_FRAME_TYPE {
        return Ok(Packet::Nothing);
    }
    let packet = reader.u8()?;
    let composition_ms = reader.i24()?;
    Ok(match packet {
        0 => Packet::Config { codec, record: reader.0 },
        1 if reader.0.is_empty() => Packet::Nothing,
        1 => Packet::Frame {
            codec,
            key: first >> 4 == KEY_FRAME_TYPE,
            composition_ms,
            data: reader.0,
        },
        _ => Packet::Nothing,
    })
}

fn legacy_audio(first: u8, mut reader: Reader) -> Result<Packet, Error> {
    let frame = |codec, data| Packet::Frame { codec, key: true, composition_ms: 0, data };
    match first >> 4 {
        10 if reader.u8()? == 0 => Ok(Packet::Config { codec: Codec::Aac, record: reader.0 }),
        10 | 2 | 14 if reader.0.is_empty() => Ok(Packet::Nothing),
        10 => Ok(frame(Codec::Aac, reader.0)),
        2 | 14 => Ok(frame(Codec::Mp3, reader.0)),
        id => Err(Error::Codec(format!("sound format {id} of FLV"))),
    }
}

/// The packet has the decoder configuration (Enhanced RTMP, as the types below).
const SEQUENCE_START_PACKET_TYPE: u8 = 0;
/// The packet has media.
const CODED_FRAMES_PACKET_TYPE: u8 = 1;
/// Video only: like [`CODED_FRAMES_PACKET_TYPE`], with an implied composition offset of zero.
const CODED_FRAMES_X_PACKET_TYPE: u8 = 3;
/// A modifier precedes the packet.
const MOD_EX_PACKET_TYPE: u8 = 7;

fn enhanced(kind: Kind, packet: u8, frame: u8, mut reader: Reader) -> Result<Packet, Error> {
    let mut packet = packet;
    // Modifiers (nanosecond offsets) precede the rest. They are skipped: feeds have millisecond
    // precision.
    while packet == MOD_EX_PACKET_TYPE {
        let length = match usize::from(reader.u8()?) + 1 {
            256 => usize::from(reader.u16()?) + 1,
            short => short,
        };
        reader.take(length)?;
        packet = reader.u8()? & 0x0f;
    }
    if kind == Kind::Video && frame == COMMAND_FRAME_TYPE {
        return Ok(Packet::Nothing);
    }
    let multitrack = if kind == Kind::Video { 6 } else { 5 };
    if packet != multitrack {
        let codec = fourcc(kind, reader.fourcc()?)?;
        return body(codec, packet, frame, reader);
    }
    let first = reader.u8()?;
    let (layout, packet) = (first >> 4, first & 0x0f);
    let shared = if layout == MANY_CODECS_LAYOUT_TYPE { None } else { Some(reader.fourcc()?) };
    while !reader.0.is_empty() {
        let code = match shared {
            Some(code) => code,
            None => reader.fourcc()?,
        };
        let track = reader.u8()?;
        let data = match layout {
            ONE_TRACK_LAYOUT_TYPE => reader.0.split_off(0),
            _ => {
                let length = reader.u24()?;
                reader.take(length as usize)?
            }
        };
        if track == 0 {
            return body(fourcc(kind, code)?, packet, frame, Reader(data));
        }
        if layout == ONE_TRACK_LAYOUT_TYPE {
            break;
        }
    }
    Ok(Packet::Nothing)
}

/// The message has a packet of one track (Enhanced RTMP, `AvMultitrackType`).
const ONE_TRACK_LAYOUT_TYPE: u8 = 0;
/// The message has packets of several tracks, each with its codec.
const MANY_CODECS_LAYOUT_TYPE: u8 = 2;

fn body(codec: Codec, packet: u8, frame: u8, mut reader: Reader) -> Result<Packet, Error> {
    match packet {
        SEQUENCE_START_PACKET_TYPE => return Ok(Packet::Config { codec, record: reader.0 }),
        CODED_FRAMES_PACKET_TYPE | CODED_FRAMES_X_PACKET_TYPE => {}
        _ => return Ok(Packet::Nothing),
    }
    let has_offset =
        packet == CODED_FRAMES_PACKET_TYPE && matches!(codec, Codec::H264 | Codec::H265);
    let composition_ms = if has_offset { reader.i24()? } else { 0 };
    if reader.0.is_empty() {
        return Ok(Packet::Nothing);
    }
    Ok(Packet::Frame { codec, key: frame == KEY_FRAME_TYPE, composition_ms, data: reader.0 })
}

fn fourcc(kind: Kind, code: [u8; 4]) -> Result<Codec, Error> {
    let codec = match &code {
        b"avc1" => Codec::H264,
        b"hvc1" => Codec::H265,
        b"av01" => Codec::Av1,
        b"vp09" => Codec::Vp9,
        b"vp08" => Codec::Vp8,
        b"mp4a" => Codec::Aac,
        b"Opus" => Codec::Opus,
        b".mp3" => Codec::Mp3,
        _ => return Err(Error::Codec(format!("`{}`", code.escape_ascii()))),
    };
    // A FourCC of the other kind would end up in the wrong feed.
    if codec.kind() == kind { Ok(codec) } else { Err(Error::Codec(format!("{codec} as {kind}"))) }
}

/// Reads big-endian fields from the front.
struct Reader(Bytes);

impl Reader {
    fn take(&mut self, count: usize) -> Result<Bytes, Error> {
        if self.0.len() < count { Err(Error::Truncated) } else { Ok(self.0.split_to(count)) }
    }

    fn u8(&mut self) -> Result<u8, Error> {
        self.0.try_get_u8().map_err(|_| Error::Truncated)
    }

    fn u16(&mut self) -> Result<u16, Error> {
        self.0.try_get_u16().map_err(|_| Error::Truncated)
    }

    fn u24(&mut self) -> Result<u32, Error> {
        let bytes = self.take(3)?;
        Ok(u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]))
    }

    fn i24(&mut self) -> Result<i32, Error> {
        let bytes = self.take(3)?;
        Ok(i32::from_be_bytes([bytes[0], bytes[1], bytes[2], 0]) >> 8)
    }

    fn fourcc(&mut self) -> Result<[u8; 4], Error> {
        let bytes = self.take(4)?;
        Ok([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

/// The tags in an aggregate message as `(message type, timestamp, payload)`. Timestamps are shifted
/// so that the first one equals that of the message (Adobe RTMP 1.0, section 7.1.6). Stops at the
/// first truncated tag, or after a thousand.
pub(super) fn split_aggregate(timestamp: u32, payload: Bytes) -> Vec<(u8, u32, Bytes)> {
    let mut reader = Reader(payload);
    let mut offset = None;
    let mut next = || -> Result<(u8, u32, Bytes), Error> {
        let kind = reader.u8()?;
        let length = reader.u24()?;
        let low = reader.u24()?;
        let time = low | u32::from(reader.u8()?) << 24;
        reader.take(3)?;
        let data = reader.take(length as usize)?;
        // The length of the tag, repeated.
        reader.take(4)?;
        let offset = *offset.get_or_insert(timestamp.wrapping_sub(time));
        Ok((kind, time.wrapping_add(offset), data))
    };
    std::iter::from_fn(|| next().ok()).take(1000).collect()
}

/// Whether bytes from an arbitrary position are MPEG-TS: sync bytes at the packet distance.
pub(super) fn is_mpegts(bytes: &[u8]) -> bool {
    const PACKET_BYTES: usize = 188;
    const PACKETS_MIN: usize = 5;
    let synced = |first: usize| {
        let mut sync = bytes.iter().skip(first).step_by(PACKET_BYTES).take(PACKETS_MIN);
        sync.clone().count() == PACKETS_MIN && sync.all(|byte| *byte == 0x47)
    };
    (0..PACKET_BYTES).any(synced)
}

#[cfg(test)]
mod tests;
