//! The AIC-A packet: the content of one RTP packet and of one record of a block of an `.aic` file.
//!
//! `docs/aic-rtp.md` defines the format. In short: one byte of header, then the codes of the
//! redundant frames and of the packet's own, either range coded or, where sizes must not tell
//! anything, as they are.
//!
//! Invariant: no input causes a panic, takes more memory than [`PACKET_BYTES_MAX`] explains, or more
//! work than its codes: at most 200.

use crate::{Codes, Model};

/// Stages of the rates that a packet can have.
pub const RATE_STAGES: [usize; 4] = [14, 18, 33, 46];

/// Stages of a redundant frame: a third of the bits, and loss is nearly inaudible.
pub const REDUNDANT_STAGES: usize = 8;

/// Most frames of its own in a packet: 80 ms.
pub const FRAMES_MAX: usize = 4;

/// Most frames of earlier packets repeated in a packet.
pub const REDUNDANT_FRAMES_MAX: usize = 2;

/// Longest packet in bytes.
pub const PACKET_BYTES_MAX: usize = constant_size(FRAMES_MAX, RATE_STAGES[3], REDUNDANT_FRAMES_MAX);

/// First two bits of a packet whose codes are range coded.
pub const CODED_VERSION: u8 = 2;
/// First two bits of a packet whose size depends on nothing but its header.
pub const CONSTANT_VERSION: u8 = 3;
/// Value of the redundant frames' two bits in a description of the background.
const COMFORT_CODE: u8 = 3;
/// Bytes of the header.
pub const HEADER_BYTES: usize = 1;
/// Bits of a code.
pub const CODE_BITS: usize = 4;

/// Why bytes are not a valid packet, or a packet cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Shorter than its header states, or empty.
    #[error("the packet ends after {have} of {want} bytes")]
    Short {
        /// Bytes present.
        have: usize,
        /// Bytes required by the header.
        want: usize,
    },
    /// Longer than its header allows, in bytes.
    #[error("the packet has {0} bytes more than its header says")]
    Long(usize),
    /// A version that is not supported.
    #[error("version {0} of the packet format is unknown")]
    Version(u8),
    /// A reserved bit is set, or padding is not zero.
    #[error("reserved bits are set")]
    Reserved,
    /// No sender writes such bytes.
    #[error("the codes of the packet are damaged")]
    Damaged,
    /// More or fewer frames or redundant frames than the format allows.
    #[error("{what} must be {least} to {most}, not {is}")]
    Count {
        /// What is counted.
        what: &'static str,
        /// Fewest allowed.
        least: usize,
        /// Most allowed.
        most: usize,
        /// The actual number.
        is: usize,
    },
    /// A frame has a number of stages that the packet cannot state.
    #[error("frames of a packet have 14, 18, 33 or 46 stages, all the same, redundant ones 8")]
    Stages,
}

/// The highest rate of at most this many stages, or the lowest, in stages.
pub fn rate(stages: usize) -> usize {
    RATE_STAGES.iter().copied().rfind(|rate| *rate <= stages).unwrap_or(RATE_STAGES[0])
}

/// What the first byte says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Frames of its own, 1 to [`FRAMES_MAX`].
    pub frames: usize,
    /// Frames of earlier packets, 0 to [`REDUNDANT_FRAMES_MAX`].
    pub redundant: usize,
    /// Stages of the packet's own frames: one of [`RATE_STAGES`].
    pub stages: usize,
    /// Whether nothing follows for a while: see [`Packet::comfort`].
    pub comfort: bool,
    /// Whether the size is constant: see [`Packet::constant`].
    pub constant: bool,
}

impl Header {
    fn read(first: u8) -> Result<Self, PacketError> {
        let version = first >> 6;
        if version != CODED_VERSION && version != CONSTANT_VERSION {
            return Err(PacketError::Version(version));
        }
        let (redundant, comfort) = match first >> 2 & 3 {
            COMFORT_CODE => (0, true),
            redundant => (redundant.into(), false),
        };
        Ok(Self {
            frames: usize::from(first >> 4 & 3) + 1,
            redundant,
            stages: RATE_STAGES[usize::from(first & 3)],
            comfort,
            constant: version == CONSTANT_VERSION,
        })
    }

    fn byte(self) -> u8 {
        let version = if self.constant { CONSTANT_VERSION } else { CODED_VERSION };
        let redundant = if self.comfort { COMFORT_CODE } else { self.redundant as u8 };
        let rate = RATE_STAGES.iter().position(|rate| *rate == self.stages).unwrap_or(0);
        version << 6 | (self.frames as u8 - 1) << 4 | redundant << 2 | rate as u8
    }

    fn constant_size(self) -> usize {
        constant_size(self.frames, self.stages, self.redundant)
    }
}

/// Bytes of a packet whose codes are not range coded; no packet of this header is longer.
pub const fn constant_size(frames: usize, stages: usize, redundant: usize) -> usize {
    HEADER_BYTES + (CODE_BITS * (frames * stages + redundant * REDUNDANT_STAGES)).div_ceil(8)
}

/// The bytes of one packet, of which only the header has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coded {
    header: Header,
    bytes: Vec<u8>,
}

impl Coded {
    /// Checks header and size.
    ///
    /// # Errors
    /// Too short, too long, or an unknown version.
    pub fn read(bytes: &[u8]) -> Result<Self, PacketError> {
        let first = bytes.first().ok_or(PacketError::Short { have: 0, want: HEADER_BYTES })?;
        let header = Header::read(*first)?;
        let size = header.constant_size();
        if bytes.len() > size {
            return Err(PacketError::Long(bytes.len() - size));
        }
        if header.constant && bytes.len() < size {
            return Err(PacketError::Short { have: bytes.len(), want: size });
        }
        Ok(Self { header, bytes: bytes.to_vec() })
    }

    /// What the first byte says.
    pub fn header(&self) -> Header {
        self.header
    }

    /// The whole packet.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The frames.
    ///
    /// # Errors
    /// The codes are damaged: the bytes are not exactly those that a sender writes.
    pub fn open(&self, model: &Model) -> Result<Packet, PacketError> {
        let Header { frames, redundant, stages, comfort, constant } = self.header;
        let body = &self.bytes[HEADER_BYTES..];
        let mut all = if constant {
            let mut nibbles = Nibbles { bytes: body, at: 0 };
            let mut all = nibbles.group(redundant, REDUNDANT_STAGES);
            all.extend(nibbles.group(frames, stages));
            if nibbles.rest_is_set() {
                return Err(PacketError::Reserved);
            }
            all
        } else {
            let of = std::iter::repeat_n(REDUNDANT_STAGES, redundant);
            let of = of.chain(std::iter::repeat_n(stages, frames));
            model.unpack(of, body).ok_or(PacketError::Damaged)?
        };
        let frames = all.split_off(redundant);
        Ok(Packet { frames, redundant: all, comfort, constant })
    }
}

/// Frames of speech, and earlier ones repeated in case their packet was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// 1 to [`FRAMES_MAX`] frames, oldest first, all of the same one of [`RATE_STAGES`].
    pub frames: Vec<Codes>,
    /// 0 to [`REDUNDANT_FRAMES_MAX`] frames that came right before `frames`, oldest first, of
    /// [`REDUNDANT_STAGES`] each.
    pub redundant: Vec<Codes>,
    /// The last frame describes the background; nothing follows until speech starts again or the
    /// background changes (discontinuous transmission). There are no redundant frames then.
    pub comfort: bool,
    /// The size must not depend on what is said (RFC 6562): the codes are not range coded.
    pub constant: bool,
}

impl Packet {
    /// Serialises the packet.
    ///
    /// # Errors
    /// The packet has no frames, too many, or frames of other stages than it can state.
    pub fn write(&self, model: &Model) -> Result<Vec<u8>, PacketError> {
        let mut header = self.header()?;
        if !self.constant {
            let body = model.pack(self.redundant.iter().chain(&self.frames));
            // Codes that are all unlikely may take more than their own bits.
            if HEADER_BYTES + body.len() <= header.constant_size() {
                return Ok([&[header.byte()], &body[..]].concat());
            }
            header.constant = true;
        }
        let mut bytes = vec![header.byte()];
        let mut half = None;
        for group in [&self.redundant, &self.frames] {
            let stages = group.first().map_or(0, Codes::stages);
            for code in (0..stages).flat_map(|s| group.iter().map(move |f| f.as_slice()[s])) {
                match half.take() {
                    Some(first) => bytes.push(first << CODE_BITS | code),
                    None => half = Some(code),
                }
            }
        }
        bytes.extend(half.map(|first: u8| first << CODE_BITS));
        Ok(bytes)
    }

    fn header(&self) -> Result<Header, PacketError> {
        let stages = self.frames.first().map_or(0, Codes::stages);
        within("frames", self.frames.len(), 1, FRAMES_MAX)?;
        let most = if self.comfort { 0 } else { REDUNDANT_FRAMES_MAX };
        within("redundant frames", self.redundant.len(), 0, most)?;
        let fit = RATE_STAGES.contains(&stages)
            && self.frames.iter().all(|f| f.stages() == stages)
            && self.redundant.iter().all(|f| f.stages() == REDUNDANT_STAGES);
        if !fit {
            return Err(PacketError::Stages);
        }
        let (frames, redundant) = (self.frames.len(), self.redundant.len());
        Ok(Header { frames, redundant, stages, comfort: self.comfort, constant: self.constant })
    }
}

fn within(what: &'static str, is: usize, least: usize, most: usize) -> Result<(), PacketError> {
    let fits = (least..=most).contains(&is);
    if fits { Ok(()) } else { Err(PacketError::Count { what, least, most, is }) }
}

/// Codes as they are, the first in the high half of a byte.
struct Nibbles<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Nibbles<'_> {
    /// Returns zeros past the end.
    fn next(&mut self) -> u8 {
        let byte = self.bytes.get(self.at / 2).copied().unwrap_or(0);
        let is_first = self.at.is_multiple_of(2);
        self.at += 1;
        if is_first { byte >> CODE_BITS } else { byte & 15 }
    }

    /// Frames whose codes are in order of their stages.
    fn group(&mut self, frames: usize, stages: usize) -> Vec<Codes> {
        let mut group = vec![Codes::default(); frames];
        for _ in 0..stages {
            group.iter_mut().for_each(|frame| frame.push(self.next()));
        }
        group
    }

    fn rest_is_set(&mut self) -> bool {
        (self.at..2 * self.bytes.len()).any(|_| self.next() != 0)
    }
}

#[cfg(test)]
mod tests;
