//! Messages split into chunks (Adobe RTMP 1.0, section 5.3).
//!
//! Invariant: a peer makes us hold at most what it has sent, never what it announces, and at most
//! [`Limits::held_bytes`] of that.

use std::collections::HashMap;

use bytes::{Buf, Bytes, BytesMut};

/// The sender's chunk size changes. This and the types below are those of the RTMP specification
/// 1.0 (sections 5.4 and 7.1).
pub(super) const SET_CHUNK_SIZE_MESSAGE_TYPE: u8 = 1;
/// Discards a partially sent message.
pub(super) const ABORT_MESSAGE_TYPE: u8 = 2;
/// Number of bytes received so far.
pub(super) const ACKNOWLEDGEMENT_MESSAGE_TYPE: u8 = 3;
/// Stream begin, ping and similar.
pub(super) const USER_CONTROL_MESSAGE_TYPE: u8 = 4;
/// Number of bytes after which the peer wants an acknowledgement.
pub(super) const WINDOW_SIZE_MESSAGE_TYPE: u8 = 5;
/// Limit of unacknowledged bytes.
pub(super) const PEER_BANDWIDTH_MESSAGE_TYPE: u8 = 6;
/// Audio.
pub(super) const AUDIO_MESSAGE_TYPE: u8 = 8;
/// Video.
pub(super) const VIDEO_MESSAGE_TYPE: u8 = 9;
/// A command in AMF3, in practice a zero byte followed by AMF0.
pub(super) const COMMAND_AMF3_MESSAGE_TYPE: u8 = 17;
/// A command in AMF0.
pub(super) const COMMAND_MESSAGE_TYPE: u8 = 20;
/// Several FLV tags in one.
pub(super) const AGGREGATE_MESSAGE_TYPE: u8 = 22;

/// Whether RTMP defines this message type: those above, metadata and shared objects.
pub(super) fn is_known(kind: u8) -> bool {
    matches!(
        kind,
        SET_CHUNK_SIZE_MESSAGE_TYPE..=PEER_BANDWIDTH_MESSAGE_TYPE
            | AUDIO_MESSAGE_TYPE
            | VIDEO_MESSAGE_TYPE
            | 15..=COMMAND_MESSAGE_TYPE
            | AGGREGATE_MESSAGE_TYPE
    )
}

/// Initial chunk size.
const FIRST_CHUNK_BYTES: usize = 128;

/// Chunk size that we send: each of our answers fits in one chunk.
pub(super) const SENT_CHUNK_BYTES: usize = 4096;

/// A timestamp field with this value is followed by a timestamp of four bytes.
const EXTENDED_TIMESTAMP_CODE: u32 = 0x00ff_ffff;

/// One message: a command, a video frame or a piece of audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Message type: one of the constants of this module.
    pub(super) kind: u8,
    /// Message stream id; 0 is the connection itself.
    pub(super) stream: u32,
    /// Timestamp in milliseconds, wrapping at 2^32.
    pub(super) timestamp: u32,
    /// Content of the message.
    pub(super) payload: Bytes,
}

/// Limits on the memory that a peer can use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Maximum size of a message, in bytes.
    pub(super) message_bytes: usize,
    /// Maximum size of all partially received messages together, in bytes.
    pub(super) held_bytes: usize,
    /// Maximum number of chunk streams.
    pub(super) streams: usize,
}

impl Limits {
    /// For a peer without a credential: just enough for a long `connect`.
    pub(super) const STRANGER: Self =
        Self { message_bytes: 64 << 10, held_bytes: 64 << 10, streams: 16 };

    /// For a publisher: a key frame of 4K video at 100 Mbit/s.
    pub(super) const PUBLISHER: Self =
        Self { message_bytes: 8 << 20, held_bytes: 16 << 20, streams: 64 };
}

/// Why bytes are not a chunk stream that we can parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// A chunk continues a message on its chunk stream, but there is none.
    #[error("a chunk continues a message that was never begun")]
    NoPredecessor,
    /// A message begins on a chunk stream whose previous message is incomplete.
    #[error("a message begins inside another one")]
    Interrupted,
    /// The chunk size is zero.
    #[error("the peer sets a chunk size of 0")]
    ChunkSize,
    /// A message exceeds the limit.
    #[error("a message of {size} bytes is over the limit of {max}")]
    MessageTooLarge {
        /// The announced size, in bytes.
        size: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// The partially received messages exceed the limit.
    #[error("unfinished messages are over the limit of {0} bytes or too many")]
    TooMuchHeld(usize),
}

/// Reassembles messages from chunks. Sans-IO: bytes in, messages out.
pub(super) struct Decoder {
    chunk_size: usize,
    limits: Limits,
    streams: HashMap<u32, ChunkStream>,
    held: usize,
    /// The chunk that is being received: its chunk stream and the bytes left.
    current: Option<(u32, usize)>,
}

/// State of a chunk stream: the last header, and the message being received.
#[derive(Default)]
struct ChunkStream {
    timestamp: u32,
    delta: u32,
    extended: bool,
    length: usize,
    kind: u8,
    stream: u32,
    partial: Option<BytesMut>,
}

/// A parsed chunk header and its length in bytes.
struct Header {
    bytes: usize,
    format: u8,
    id: u32,
    /// Timestamp or delta, depending on the format.
    time: u32,
    extended: bool,
    length_and_kind: Option<(usize, u8)>,
    stream: Option<u32>,
}

impl Decoder {
    /// A decoder for a new connection.
    pub(super) fn new(limits: Limits) -> Self {
        let streams = HashMap::new();
        Self { chunk_size: FIRST_CHUNK_BYTES, limits, streams, held: 0, current: None }
    }

    /// Changes the limits, once the peer is identified.
    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Consumes input and returns the next message. `None` if it needs more input. Chunk sizes and
    /// aborts are handled here and not returned.
    ///
    /// # Errors
    /// [`Error`]; the connection cannot be parsed any further.
    pub(super) fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Message>, Error> {
        loop {
            let (id, left) = match self.current {
                Some(current) => current,
                None => match self.begin_chunk(input)? {
                    Some(current) => current,
                    None => return Ok(None),
                },
            };
            let count = left.min(input.len());
            self.append(id, &input[..count])?;
            input.advance(count);
            if count < left {
                self.current = Some((id, left - count));
                return Ok(None);
            }
            self.current = None;
            if let Some(message) = self.complete(id)? {
                return Ok(Some(message));
            }
        }
    }

    /// Reads a chunk header. Returns the chunk stream and the number of payload bytes that follow.
    fn begin_chunk(&mut self, input: &mut BytesMut) -> Result<Option<(u32, usize)>, Error> {
        let Some(header) = self.read_header(input)? else { return Ok(None) };
        if !self.streams.contains_key(&header.id) && self.streams.len() >= self.limits.streams {
            return Err(Error::TooMuchHeld(self.limits.held_bytes));
        }
        let state = self.streams.entry(header.id).or_default();
        if header.format != 3 && state.partial.is_some() {
            return Err(Error::Interrupted);
        }
        if let Some((length, kind)) = header.length_and_kind {
            (state.length, state.kind) = (length, kind);
        }
        state.stream = header.stream.unwrap_or(state.stream);
        if state.length > self.limits.message_bytes {
            let max = self.limits.message_bytes;
            return Err(Error::MessageTooLarge { size: state.length, max });
        }
        if state.partial.is_none() {
            state.extended = header.extended;
            if header.format != 3 {
                state.delta = header.time;
            }
            // After a full header the delta of a message without header is that header's timestamp:
            // section 5.3.1.2.4.
            let base = if header.format == 0 { 0 } else { state.timestamp };
            state.timestamp = base.wrapping_add(state.delta);
            state.partial = Some(BytesMut::new());
        }
        let received = state.partial.as_ref().map_or(0, BytesMut::len);
        let left = (state.length - received).min(self.chunk_size);
        input.advance(header.bytes);
        Ok(Some((header.id, left)))
    }

    /// Reads a header without consuming it. `None` if it is incomplete.
    fn read_header(&self, input: &[u8]) -> Result<Option<Header>, Error> {
        let Some((format, id, basic)) = read_basic(input) else { return Ok(None) };
        let state = self.streams.get(&id);
        // librtmp opens chunk streams with format 1; only stream 0 can then be inherited.
        if state.is_none() && format >= 2 {
            return Err(Error::NoPredecessor);
        }
        let fields = [11, 7, 3, 0][usize::from(format)];
        let Some(field) = input.get(basic..basic + fields) else { return Ok(None) };
        let be24 = |b: &[u8]| u32::from_be_bytes([0, b[0], b[1], b[2]]);
        let mut header = Header {
            bytes: basic + fields,
            format,
            id,
            time: if format < 3 { be24(field) } else { 0 },
            extended: false,
            length_and_kind: (format < 2).then(|| (be24(&field[3..]) as usize, field[6])),
            stream: (format == 0)
                .then(|| u32::from_le_bytes([field[7], field[8], field[9], field[10]])),
        };
        let announced = format < 3 && header.time == EXTENDED_TIMESTAMP_CODE;
        let inherited = format == 3 && state.is_some_and(|s| s.extended);
        if announced || inherited {
            let tail = &input[header.bytes..];
            let Some(&[a, b, c, d]) = tail.get(..4) else { return Ok(None) };
            let time = u32::from_be_bytes([a, b, c, d]);
            // The specification repeats the extended timestamp on every chunk of a message, but
            // some senders do not. These four bytes show which, unless the payload happens to have
            // the same value.
            let repeats = state.is_some_and(|s| s.partial.is_none() || s.delta == time);
            header.extended = true;
            if announced || repeats {
                header.time = time;
                header.bytes += 4;
            }
        }
        Ok(Some(header))
    }

    fn append(&mut self, id: u32, bytes: &[u8]) -> Result<(), Error> {
        if self.held + bytes.len() > self.limits.held_bytes {
            return Err(Error::TooMuchHeld(self.limits.held_bytes));
        }
        let partial = self.streams.get_mut(&id).and_then(|s| s.partial.as_mut());
        let Some(partial) = partial else { return Err(Error::NoPredecessor) };
        partial.extend_from_slice(bytes);
        self.held += bytes.len();
        Ok(())
    }

    /// Returns the message of a chunk stream if it is complete and not a chunk control message.
    fn complete(&mut self, id: u32) -> Result<Option<Message>, Error> {
        let Some(state) = self.streams.get_mut(&id) else { return Ok(None) };
        let Some(payload) = state.partial.take_if(|p| p.len() >= state.length) else {
            return Ok(None);
        };
        self.held -= payload.len();
        let (kind, stream, timestamp) = (state.kind, state.stream, state.timestamp);
        let number = payload.get(..4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
        match (kind, number) {
            (SET_CHUNK_SIZE_MESSAGE_TYPE, Some(size)) => {
                // No message exceeds 24 bits of length.
                self.chunk_size = (size & 0x7fff_ffff).min(0x00ff_ffff) as usize;
                if self.chunk_size == 0 { Err(Error::ChunkSize) } else { Ok(None) }
            }
            (ABORT_MESSAGE_TYPE, Some(aborted)) => {
                let given_up = self.streams.get_mut(&aborted).and_then(|s| s.partial.take());
                self.held -= given_up.map_or(0, |p| p.len());
                Ok(None)
            }
            (SET_CHUNK_SIZE_MESSAGE_TYPE | ABORT_MESSAGE_TYPE, None) => Ok(None),
            _ => Ok(Some(Message { kind, stream, timestamp, payload: payload.freeze() })),
        }
    }
}

/// Format, chunk stream and size of a basic header.
fn read_basic(input: &[u8]) -> Option<(u8, u32, usize)> {
    let first = *input.first()?;
    let format = first >> 6;
    Some(match first & 0x3f {
        0 => (format, 64 + u32::from(*input.get(1)?), 2),
        1 => (format, 64 + u32::from(*input.get(1)?) + 256 * u32::from(*input.get(2)?), 3),
        id => (format, id.into(), 1),
    })
}

/// Encodes a message in chunks of `chunk_size`, always with a full header.
pub(super) fn encode(message: &Message, chunk_stream: u8, chunk_size: usize, out: &mut Vec<u8>) {
    let length = u32::try_from(message.payload.len()).unwrap_or(u32::MAX);
    out.push(chunk_stream & 0x3f);
    out.extend(&message.timestamp.min(EXTENDED_TIMESTAMP_CODE).to_be_bytes()[1..]);
    out.extend(&length.to_be_bytes()[1..]);
    out.push(message.kind);
    out.extend(message.stream.to_le_bytes());
    for (index, piece) in message.payload.chunks(chunk_size).enumerate() {
        if index > 0 {
            out.push(0xc0 | (chunk_stream & 0x3f));
        }
        if message.timestamp >= EXTENDED_TIMESTAMP_CODE {
            out.extend(message.timestamp.to_be_bytes());
        }
        out.extend(piece);
    }
}

#[cfg(test)]
mod tests;
