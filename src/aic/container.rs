//! The `.aic` file: a header of 24 bytes, then packets, each preceded by its length.
//!
//! ```text
//! "AICA"  version 2  3 zero bytes  model id (4)  reserved (4, zero)  samples of the original (8)
//! then    length (2), packet (length) …
//! ```
//!
//! Numbers are big-endian. The model id is the first four bytes of the SHA-256 of the weights.
//! Codes are meaningless to other weights, so a reader refuses a file of another model.

use std::io::{self, ErrorKind, Read, Write};

use super::packet::{Coded, PACKET_BYTES_MAX, PacketError};

/// First bytes of a file.
const MAGIC: &[u8; 4] = b"AICA";
/// The only version that is read and written.
const FORMAT_VERSION: u8 = 2;
/// Bytes before the first record.
const HEADER_BYTES: usize = 24;

/// Why a file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// Reading or writing failed.
    #[error("reading or writing failed")]
    Io(#[from] io::Error),
    /// Not an `.aic` file, or a version that this program does not know.
    #[error("this is no .aic file of version {FORMAT_VERSION}")]
    Foreign,
    /// A record is longer than any packet, or the file ends inside it; with the record's index.
    #[error("packet {0} of the file is cut off or longer than a packet can be")]
    Record(u64),
    /// A record is not a valid packet.
    #[error("packet {at} of the file is damaged")]
    Packet {
        /// Index of the packet, from 0.
        at: u64,
        /// What is wrong with it.
        source: PacketError,
    },
}

/// The header of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// First four bytes of the SHA-256 of the weights.
    pub model: [u8; 4],
    /// Samples of the original, at 16 kHz; the last decoded frame is cut there. Zero: unknown.
    pub samples: u64,
}

impl Header {
    fn bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4] = FORMAT_VERSION;
        bytes[8..12].copy_from_slice(&self.model);
        bytes[16..].copy_from_slice(&self.samples.to_be_bytes());
        bytes
    }
}

/// Writes a file packet by packet.
pub struct Writer<W> {
    into: W,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// Writing fails.
    pub fn new(mut into: W, header: Header) -> Result<Self, ContainerError> {
        into.write_all(&header.bytes())?;
        Ok(Self { into })
    }

    /// Appends a packet.
    ///
    /// # Errors
    /// Writing fails.
    pub fn put(&mut self, packet: &Coded) -> Result<(), ContainerError> {
        let bytes = packet.bytes();
        self.into.write_all(&(bytes.len() as u16).to_be_bytes())?;
        Ok(self.into.write_all(bytes)?)
    }

    /// Flushes buffered data.
    ///
    /// # Errors
    /// Writing fails.
    pub fn finish(mut self) -> Result<W, ContainerError> {
        self.into.flush()?;
        Ok(self.into)
    }
}

/// Reads a file packet by packet, with one packet in memory. Ends after an error.
pub struct Reader<R> {
    from: R,
    header: Header,
    at: u64,
    over: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// Reading fails, or it is not an `.aic` file of this version.
    pub fn new(mut from: R) -> Result<Self, ContainerError> {
        let mut bytes = [0; HEADER_BYTES];
        from.read_exact(&mut bytes).map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => ContainerError::Foreign,
            _ => ContainerError::Io(e),
        })?;
        let mut header = Header { model: [0; 4], samples: 0 };
        header.model.copy_from_slice(&bytes[8..12]);
        header.samples = bytes[16..].iter().fold(0, |all, b| all << 8 | u64::from(*b));
        // Accepts only what this version writes, so that reserved bytes can get a meaning later.
        if header.bytes() != bytes {
            return Err(ContainerError::Foreign);
        }
        Ok(Self { from, header, at: 0, over: false })
    }

    /// The header of the file.
    pub fn header(&self) -> Header {
        self.header
    }

    /// The next packet, or `None` at the end.
    fn packet(&mut self) -> Result<Option<Coded>, ContainerError> {
        let at = self.at;
        let mut length = [0; 2];
        if self.from.read(&mut length[..1])? == 0 {
            return Ok(None);
        }
        let cut = |e: io::Error| match e.kind() {
            ErrorKind::UnexpectedEof => ContainerError::Record(at),
            _ => ContainerError::Io(e),
        };
        self.from.read_exact(&mut length[1..]).map_err(cut)?;
        let length = usize::from(u16::from_be_bytes(length));
        let mut bytes = [0; PACKET_BYTES_MAX];
        let bytes = bytes.get_mut(..length).ok_or(ContainerError::Record(at))?;
        self.from.read_exact(bytes).map_err(cut)?;
        self.at += 1;
        Coded::read(bytes).map(Some).map_err(|source| ContainerError::Packet { at, source })
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Coded, ContainerError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.packet().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(packets: &[Coded]) -> Vec<u8> {
        let header = Header { model: [1, 2, 3, 4], samples: 700 };
        let mut writer = Writer::new(Vec::new(), header).expect("memory");
        packets.iter().for_each(|p| writer.put(p).expect("valid"));
        writer.finish().expect("memory")
    }

    fn packets() -> Vec<Coded> {
        let packet = |code| Coded::read(&[0x80, code, 7]).expect("valid");
        (0..3).map(packet).collect()
    }

    #[test]
    fn what_was_written_is_read() {
        let reader = Reader::new(&*file(&packets()).leak()).expect("a file");
        assert_eq!(reader.header(), Header { model: [1, 2, 3, 4], samples: 700 });
        assert_eq!(reader.collect::<Result<Vec<_>, _>>().expect("packets"), packets());
    }

    #[test]
    fn a_file_that_is_cut_off_says_where() {
        let bytes = file(&packets());
        let mut reader = Reader::new(&bytes[..bytes.len() - 1]).expect("a header");
        assert!(matches!(reader.nth(2), Some(Err(ContainerError::Record(2)))));
        assert!(reader.next().is_none());
        assert!(matches!(Reader::new(&bytes[..23]), Err(ContainerError::Foreign)));
    }

    proptest! {
        #[test]
        fn damaged_files_end(at in 0_usize..1000, with in any::<u8>(), tail in any::<Vec<u8>>()) {
            let mut bytes = file(&packets());
            let length = bytes.len();
            bytes[at % length] ^= with;
            bytes.extend(tail);
            if let Ok(reader) = Reader::new(&*bytes) {
                prop_assert!(reader.count() <= bytes.len());
            }
        }
    }
}
