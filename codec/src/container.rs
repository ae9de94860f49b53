//! The `.aic` file: a header, then blocks of one size, each of which is checked and placed in time by
//! itself.
//!
//! ```text
//! header  "AICA"  version 3  3 zero bytes  model id (4)  start, ms since 1970 (8)  CRC-32 (4)
//! block   CRC-32 of the rest (4)  first sample (8)  packets, each: length (1), packet (length); zeros
//! ```
//!
//! Numbers are big-endian. A file is only ever appended to. Blocks lie at multiples of their size
//! behind the header and their times rise, so a moment is found by bisection: the blocks are the
//! index, and a crash cannot lose it. A block that is cut off or damaged costs its own sound, nothing
//! else. A block without packets ends the file, at its first sample.
//!
//! Invariant: no input causes a panic, or takes more memory than a block.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};

use crate::packet::{Coded, FRAMES_MAX, PACKET_BYTES_MAX};
use crate::{DecoderState, FRAME_SAMPLES, Model, RATE_HZ};

/// First bytes of a file.
const MAGIC: &[u8; 4] = b"AICA";
/// The only version that is read and written.
const FORMAT_VERSION: u8 = 3;
/// Bytes before the first block.
pub const HEADER_BYTES: usize = 24;
/// Bytes of a block: 2.5 s of speech at 3 kbit/s.
pub const BLOCK_BYTES: usize = 1024;
/// A block ends after this many samples, 4 s, even if it is not full: a crash costs no more.
const BLOCK_SAMPLES_MAX: u64 = 4 * RATE_HZ as u64;
/// Bytes of a block before its first packet.
const BLOCK_HEADER_BYTES: usize = 12;
/// Longest silence between two blocks, in samples: 60 s. After a longer one a writer begins a new
/// file, so a reader never makes more silence than that of damage.
pub const GAP_SAMPLES_MAX: u64 = 60 * RATE_HZ as u64;

const _: () = assert!(PACKET_BYTES_MAX <= u8::MAX as usize);

/// Why a file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// Reading or writing failed.
    #[error("reading or writing failed")]
    Io(#[from] io::Error),
    /// Not an `.aic` file, or a version that this program does not know.
    #[error("this is no .aic file of version {FORMAT_VERSION}")]
    Foreign,
}

/// The header of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// First four bytes of the SHA-256 of the weights.
    pub model: [u8; 4],
    /// Wall-clock time of the first sample, in ms since 1970; zero: unknown.
    pub start_ms: u64,
}

impl Header {
    /// The header as it is written.
    pub fn bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4] = FORMAT_VERSION;
        bytes[8..12].copy_from_slice(&self.model);
        bytes[12..20].copy_from_slice(&self.start_ms.to_be_bytes());
        let crc = crc32(&bytes[..20]);
        bytes[20..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`ContainerError::Foreign`]: only what this version writes is accepted, so that reserved bytes
    /// can get a meaning later.
    pub fn read(bytes: &[u8; HEADER_BYTES]) -> Result<Self, ContainerError> {
        let mut header = Self { model: [0; 4], start_ms: number(&bytes[12..20]) };
        header.model.copy_from_slice(&bytes[8..12]);
        if header.bytes() == *bytes { Ok(header) } else { Err(ContainerError::Foreign) }
    }
}

/// One block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Time of its first sample, in samples since the start of the file.
    pub first: u64,
    /// Its packets, without gaps between them; none: the file ends here.
    pub packets: Vec<Coded>,
}

impl Block {
    /// Reads a block. `None` if it is not exactly what a writer writes.
    pub fn read(bytes: &[u8; BLOCK_BYTES]) -> Option<Self> {
        let (crc, rest) = bytes.split_at(4);
        if number(crc) != u64::from(crc32(rest)) {
            return None;
        }
        let (first, mut rest) = rest.split_at(BLOCK_HEADER_BYTES - 4);
        let mut packets = Vec::new();
        while let Some((length, more)) = rest.split_first().filter(|(length, _)| **length > 0) {
            let (packet, more) = more.split_at_checked(usize::from(*length))?;
            packets.push(Coded::read(packet).ok()?);
            rest = more;
        }
        rest.iter().all(|b| *b == 0).then(|| Self { first: number(first), packets })
    }

    /// Samples of its packets.
    pub fn samples(&self) -> u64 {
        self.packets.iter().map(|p| (p.header().frames * FRAME_SAMPLES) as u64).sum()
    }

    /// Time at which its last packet ends, in samples since the start of the file.
    pub fn end(&self) -> u64 {
        self.first.saturating_add(self.samples())
    }
}

impl Model {
    /// The samples of a block, as many as [`Block::samples`]; a packet whose codes are damaged is
    /// silent.
    pub fn decode(&self, block: &Block, state: &mut DecoderState) -> Vec<f32> {
        let mut sound = Vec::new();
        for coded in &block.packets {
            match coded.open(self) {
                Ok(packet) => {
                    let latents: Vec<_> = packet.frames.iter().map(|c| self.latent(c)).collect();
                    sound.extend(self.synthesise(&latents, &mut [state]));
                }
                Err(_) => sound.resize(sound.len() + coded.header().frames * FRAME_SAMPLES, 0.0),
            }
        }
        sound
    }
}

/// A block that is being filled.
struct Open {
    bytes: [u8; BLOCK_BYTES],
    used: usize,
    first: u64,
    /// Time at which its last packet ends.
    end: u64,
}

impl Open {
    fn new(first: u64) -> Self {
        let mut bytes = [0; BLOCK_BYTES];
        bytes[4..BLOCK_HEADER_BYTES].copy_from_slice(&first.to_be_bytes());
        Self { bytes, used: BLOCK_HEADER_BYTES, first, end: first }
    }

    /// Whether a packet can be the next one of this block.
    fn takes(&self, first: u64, packet: &Coded) -> bool {
        first == self.end
            && self.end - self.first < BLOCK_SAMPLES_MAX
            && self.used + 1 + packet.bytes().len() <= BLOCK_BYTES
    }

    fn put(&mut self, packet: &Coded) {
        let bytes = packet.bytes();
        self.bytes[self.used] = bytes.len() as u8;
        self.bytes[self.used + 1..][..bytes.len()].copy_from_slice(bytes);
        self.used += 1 + bytes.len();
        self.end += (packet.header().frames * FRAME_SAMPLES) as u64;
    }

    fn finish(mut self) -> [u8; BLOCK_BYTES] {
        seal(&mut self.bytes);
        self.bytes
    }
}

/// Writes the checksum of a block into it.
pub fn seal(block: &mut [u8; BLOCK_BYTES]) {
    let crc = crc32(&block[4..]);
    block[..4].copy_from_slice(&crc.to_be_bytes());
}

/// Writes a file packet by packet, block by block.
pub struct Writer<W> {
    into: W,
    open: Option<Open>,
    blocks: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// Writing fails.
    pub fn new(mut into: W, header: Header) -> io::Result<Self> {
        into.write_all(&header.bytes())?;
        Ok(Self { into, open: None, blocks: 0 })
    }

    /// Appends a packet whose first sample is at `first`; returns whether a block was written. Where
    /// it does not continue the last packet, a new block begins.
    ///
    /// # Errors
    /// Writing fails; the file then ends with the blocks before.
    pub fn put(&mut self, first: u64, packet: &Coded) -> io::Result<bool> {
        let full = self.open.as_ref().is_some_and(|o| !o.takes(first, packet));
        if full {
            self.flush()?;
        }
        self.open.get_or_insert_with(|| Open::new(first)).put(packet);
        Ok(full)
    }

    /// Writes what is of the current block.
    ///
    /// # Errors
    /// Writing fails.
    pub fn flush(&mut self) -> io::Result<()> {
        if let Some(open) = self.open.take() {
            self.into.write_all(&open.finish())?;
            self.blocks += 1;
        }
        Ok(())
    }

    /// Bytes of the file as it is now.
    pub fn bytes(&self) -> u64 {
        HEADER_BYTES as u64 + self.blocks * BLOCK_BYTES as u64
    }

    /// What is written to.
    pub fn get_ref(&self) -> &W {
        &self.into
    }

    /// Ends the file at this sample.
    ///
    /// # Errors
    /// Writing fails.
    pub fn finish(mut self, end: u64) -> io::Result<W> {
        self.flush()?;
        self.into.write_all(&Open::new(end).finish())?;
        self.into.flush()?;
        Ok(self.into)
    }
}

/// A part of a file, as [`Reader`] finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A block with packets, whose time is behind all before it.
    Block(Block),
    /// A block that is damaged, or at a time that it cannot have.
    Damaged,
    /// The end, at this sample.
    End(u64),
}

/// Reads a file block by block. Ends with the last whole block, or at the end mark.
pub struct Reader<R> {
    from: R,
    header: Header,
    /// Time at which the last block ends.
    end: u64,
    /// Damaged blocks since then.
    damaged: u64,
    over: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// Reading fails, or this is no such file.
    pub fn new(mut from: R) -> Result<Self, ContainerError> {
        let mut bytes = [0; HEADER_BYTES];
        from.read_exact(&mut bytes).map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => ContainerError::Foreign,
            _ => ContainerError::Io(e),
        })?;
        Ok(Self { from, header: Header::read(&bytes)?, end: 0, damaged: 0, over: false })
    }

    /// The header of the file.
    pub fn header(&self) -> Header {
        self.header
    }

    fn part(&mut self) -> io::Result<Option<Part>> {
        let mut bytes = [0; BLOCK_BYTES];
        if !read_whole(&mut self.from, &mut bytes)? {
            return Ok(None);
        }
        Ok(Some(match Block::read(&bytes) {
            Some(block) if self.fits(&block) => {
                (self.end, self.damaged) = (block.end(), 0);
                if block.packets.is_empty() { Part::End(block.first) } else { Part::Block(block) }
            }
            _ => {
                self.damaged += 1;
                Part::Damaged
            }
        }))
    }

    /// Whether a block may be at its time: not before the last one ends, nor much later than it. The
    /// file may end within the last packet.
    fn fits(&self, block: &Block) -> bool {
        let packet = (FRAMES_MAX * FRAME_SAMPLES) as u64;
        let early = if block.packets.is_empty() { packet } else { 0 };
        let gap = GAP_SAMPLES_MAX.saturating_mul(self.damaged + 1);
        (self.end.saturating_sub(early)..=self.end.saturating_add(gap)).contains(&block.first)
    }
}

impl<R: Read + Seek> Reader<R> {
    /// The last time that the file has, in samples, and whether it was ended properly.
    ///
    /// # Errors
    /// Reading fails.
    pub fn end(&mut self) -> io::Result<(u64, bool)> {
        let mut at = self.blocks()?;
        while let Some(before) = at.checked_sub(1) {
            if let Some(block) = self.block(before)? {
                return Ok((block.end(), block.packets.is_empty()));
            }
            at = before;
        }
        Ok((0, false))
    }

    /// Goes to the block that has this sample, or to the first one behind it.
    ///
    /// # Errors
    /// Reading fails.
    pub fn seek(&mut self, sample: u64) -> io::Result<()> {
        // Blocks before `low` end at the sample or before it.
        let (mut low, mut high) = (0, self.blocks()?);
        while low < high {
            let middle = low + (high - low) / 2;
            // A damaged block is as late as the next one that is whole.
            let mut whole = middle;
            let end = loop {
                match self.block(whole)? {
                    Some(block) => break block.end(),
                    None if whole + 1 < high => whole += 1,
                    None => break u64::MAX,
                }
            };
            if end <= sample { low = whole + 1 } else { high = middle }
        }
        (self.end, self.damaged, self.over) = (0, 0, false);
        for at in (0..low).rev() {
            if let Some(block) = self.block(at)? {
                self.end = block.end();
                break;
            }
            self.damaged += 1;
        }
        self.go_to(low)
    }

    /// Whole blocks in the file.
    fn blocks(&mut self) -> io::Result<u64> {
        let length = self.from.seek(SeekFrom::End(0))?;
        Ok(length.saturating_sub(HEADER_BYTES as u64) / BLOCK_BYTES as u64)
    }

    fn go_to(&mut self, block: u64) -> io::Result<()> {
        let at = HEADER_BYTES as u64 + block * BLOCK_BYTES as u64;
        self.from.seek(SeekFrom::Start(at)).map(drop)
    }

    fn block(&mut self, at: u64) -> io::Result<Option<Block>> {
        self.go_to(at)?;
        let mut bytes = [0; BLOCK_BYTES];
        Ok(if read_whole(&mut self.from, &mut bytes)? { Block::read(&bytes) } else { None })
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = io::Result<Part>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.part().transpose();
        self.over = !matches!(next, Some(Ok(Part::Block(_) | Part::Damaged)));
        next
    }
}

/// Fills the buffer, unless the file ends before.
fn read_whole(from: &mut impl Read, into: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(into) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |all, b| all << 8 | u64::from(*b))
}

/// CRC-32 of zlib and PNG (reflected polynomial 0xedb88320), bit by bit: a block is 2.5 s of sound.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 }
        })
    };
    !bytes.iter().fold(u32::MAX, step)
}

#[cfg(test)]
mod tests;
