//! The AIC-A packet: the content of one RTP packet and of one record of an `.aic` file.
//!
//! `docs/aic-rtp.md` defines the format. In short: two bytes of header, then codes of 10 bits
//! without gaps. The redundant frames come first, then the packet's own frames, each group stage by
//! stage, so that cutting the end drops the last stages of all frames.
//!
//! Invariant: pure, and no input causes a panic or takes more memory than [`PACKET_BYTES_MAX`]
//! explains.

/// Most stages that the quantiser has: 6 kbit/s.
pub const STAGES_MAX: usize = 12;

/// Most frames of its own in a packet: 80 ms.
pub const FRAMES_MAX: usize = 4;

/// Most frames of earlier packets repeated in a packet.
pub const REDUNDANT_FRAMES_MAX: usize = 3;

/// Longest packet in bytes.
pub const PACKET_BYTES_MAX: usize = size(FRAMES_MAX, STAGES_MAX, REDUNDANT_FRAMES_MAX, STAGES_MAX);

/// Version of the format, in the first bits of a packet.
const PACKET_VERSION: u8 = 0;
const HEADER_BYTES: usize = 2;
const CODE_BITS: usize = 10;
const CODE_MASK: u16 = (1 << CODE_BITS) - 1;

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
    /// Longer than its header states, in bytes.
    #[error("the packet has {0} bytes more than its header says")]
    Long(usize),
    /// A version that is not supported.
    #[error("version {0} of the packet format is unknown")]
    Version(u8),
    /// A reserved bit is set, or padding is not zero.
    #[error("reserved bits are set")]
    Reserved,
    /// More or fewer stages, frames or redundant frames than the format allows.
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
    /// Frames of one group have different numbers of stages.
    #[error("the frames of a packet must have the same number of stages")]
    Uneven,
}

/// The codes of one frame, coarse stage first; each is below 1024.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Codes {
    codes: [u16; STAGES_MAX],
    stages: u8,
}

impl Codes {
    /// Takes at most [`STAGES_MAX`] codes; only the lowest 10 bits of each count.
    pub fn new(codes: &[u16]) -> Self {
        let mut all = [0; STAGES_MAX];
        let stages = codes.len().min(STAGES_MAX);
        for (to, from) in all.iter_mut().zip(codes) {
            *to = from & CODE_MASK;
        }
        Self { codes: all, stages: stages as u8 }
    }

    /// The codes, coarse stage first.
    pub fn as_slice(&self) -> &[u16] {
        &self.codes[..self.stages()]
    }

    /// Number of stages.
    pub fn stages(&self) -> usize {
        usize::from(self.stages)
    }

    /// The same frame with at most this many stages: fewer bits, coarser audio.
    pub fn truncated(&self, stages: usize) -> Self {
        Self::new(&self.codes[..self.stages().min(stages)])
    }
}

/// Frames of speech, and earlier ones repeated in case their packet was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// 1 to [`FRAMES_MAX`] frames, oldest first, all of the same number of stages.
    pub frames: Vec<Codes>,
    /// 0 to [`REDUNDANT_FRAMES_MAX`] frames that came right before `frames`, oldest first, all of
    /// the same number of stages (usually fewer than `frames` have).
    pub redundant: Vec<Codes>,
    /// The last frame describes the background; nothing follows until speech starts again or the
    /// background changes (discontinuous transmission).
    pub comfort: bool,
}

/// Bytes of a packet with these numbers of frames and stages.
pub const fn size(
    frames: usize,
    stages: usize,
    redundant: usize,
    redundant_stages: usize,
) -> usize {
    HEADER_BYTES + (CODE_BITS * (frames * stages + redundant * redundant_stages)).div_ceil(8)
}

impl Packet {
    /// Serialises the packet.
    ///
    /// # Errors
    /// The packet has no frames, too many, or uneven ones.
    pub fn write(&self) -> Result<Vec<u8>, PacketError> {
        let stages = even(&self.frames)?;
        let redundant_stages = even(&self.redundant)?;
        within("frames", self.frames.len(), 1, FRAMES_MAX)?;
        within("stages", stages, 1, STAGES_MAX)?;
        within("redundant frames", self.redundant.len(), 0, REDUNDANT_FRAMES_MAX)?;
        if !self.redundant.is_empty() {
            within("redundant stages", redundant_stages, 1, STAGES_MAX)?;
        }
        let mut bits = BitWriter::default();
        bits.put(u16::from(PACKET_VERSION), 2);
        bits.put(self.frames.len() as u16 - 1, 2);
        bits.put(self.redundant.len() as u16, 2);
        bits.put(u16::from(self.comfort), 1);
        bits.put(0, 1);
        bits.put(stages as u16, 4);
        bits.put(redundant_stages as u16, 4);
        for group in [&self.redundant, &self.frames] {
            let stages = group.first().map_or(0, Codes::stages);
            for stage in 0..stages {
                for frame in group {
                    bits.put(frame.codes[stage], CODE_BITS);
                }
            }
        }
        Ok(bits.bytes)
    }

    /// Parses the bytes of exactly one packet.
    ///
    /// # Errors
    /// Too short, too long, an unknown version, or reserved bits are set.
    pub fn read(bytes: &[u8]) -> Result<Self, PacketError> {
        let &[first, second, ..] = bytes else {
            return Err(PacketError::Short { have: bytes.len(), want: HEADER_BYTES });
        };
        if first >> 6 != PACKET_VERSION {
            return Err(PacketError::Version(first >> 6));
        }
        let frames = usize::from(first >> 4 & 3) + 1;
        let redundant = usize::from(first >> 2 & 3);
        let (stages, redundant_stages) = (usize::from(second >> 4), usize::from(second & 15));
        if first & 1 != 0 || (redundant == 0) != (redundant_stages == 0) {
            return Err(PacketError::Reserved);
        }
        within("stages", stages, 1, STAGES_MAX)?;
        within("redundant stages", redundant_stages, 0, STAGES_MAX)?;
        let want = size(frames, stages, redundant, redundant_stages);
        if bytes.len() < want {
            return Err(PacketError::Short { have: bytes.len(), want });
        }
        if bytes.len() > want {
            return Err(PacketError::Long(bytes.len() - want));
        }
        let mut bits = BitReader { bytes, at: 8 * HEADER_BYTES };
        let redundant = bits.group(redundant, redundant_stages);
        let frames = bits.group(frames, stages);
        if bits.rest_is_set() {
            return Err(PacketError::Reserved);
        }
        Ok(Self { frames, redundant, comfort: first >> 1 & 1 == 1 })
    }

    /// The packet with at most this many stages in its own frames. A relay uses it for a receiver
    /// with less bandwidth, without the codec.
    ///
    /// # Errors
    /// The bytes are not a valid packet, or `stages` is zero.
    pub fn truncate(bytes: &[u8], stages: usize) -> Result<Vec<u8>, PacketError> {
        let mut packet = Self::read(bytes)?;
        for frame in &mut packet.frames {
            *frame = frame.truncated(stages);
        }
        packet.write()
    }
}

/// The common number of stages of all frames; zero if there are none.
fn even(frames: &[Codes]) -> Result<usize, PacketError> {
    let stages = frames.first().map_or(0, Codes::stages);
    let even = frames.iter().all(|f| f.stages() == stages);
    if even { Ok(stages) } else { Err(PacketError::Uneven) }
}

fn within(what: &'static str, is: usize, least: usize, most: usize) -> Result<(), PacketError> {
    let fits = (least..=most).contains(&is);
    if fits { Ok(()) } else { Err(PacketError::Count { what, least, most, is }) }
}

/// Writes most significant bits first.
#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    used: usize,
}

impl BitWriter {
    fn put(&mut self, value: u16, bits: usize) {
        for bit in (0..bits).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let set = (value >> bit & 1) as u8;
            if let Some(last) = self.bytes.last_mut() {
                *last |= set << (7 - self.used % 8);
            }
            self.used += 1;
        }
    }
}

struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl BitReader<'_> {
    /// Returns zeros past the end.
    fn bit(&mut self) -> u16 {
        let byte = self.bytes.get(self.at / 8).copied().unwrap_or(0);
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        u16::from(bit)
    }

    fn group(&mut self, frames: usize, stages: usize) -> Vec<Codes> {
        let empty = Codes { codes: [0; STAGES_MAX], stages: stages as u8 };
        let mut group = vec![empty; frames];
        for stage in 0..stages {
            for frame in &mut group {
                for _ in 0..CODE_BITS {
                    frame.codes[stage] = frame.codes[stage] << 1 | self.bit();
                }
            }
        }
        group
    }

    fn rest_is_set(&mut self) -> bool {
        (self.at..8 * self.bytes.len()).any(|_| self.bit() == 1)
    }
}

#[cfg(test)]
mod tests;
