//! Messages in the pipes: two lengths, a JSON header, a body of audio.
//!
//! ```text
//! u32 LE header length | u32 LE body length | header (JSON) | body (16-bit LE samples, or nothing)
//! ```

use std::io::{self, Read, Write};

/// Longest header in bytes; a long hypothesis has about 10 KB.
pub const HEADER_BYTES_MAX: usize = 1 << 20;

/// Longest body in bytes: two minutes of 16 kHz mono.
pub const BODY_BYTES_MAX: usize = 4 << 20;

/// One message in either direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// JSON.
    pub header: Vec<u8>,
    /// Audio samples, or empty.
    pub body: Vec<u8>,
}

impl Frame {
    /// Writes the complete message.
    ///
    /// # Errors
    /// If it is longer than allowed, or the pipe is broken.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        if self.header.len() > HEADER_BYTES_MAX || self.body.len() > BODY_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a message is too long"));
        }
        to.write_all(&(self.header.len() as u32).to_le_bytes())?;
        to.write_all(&(self.body.len() as u32).to_le_bytes())?;
        to.write_all(&self.header)?;
        to.write_all(&self.body)?;
        to.flush()
    }

    /// Reads the next message; `None` if the pipe ends between two messages.
    ///
    /// # Errors
    /// If the pipe ends within a message, or the lengths exceed their limits.
    pub fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut lengths = [0; 8];
        let mut have = 0;
        while have < lengths.len() {
            match from.read(&mut lengths[have..]) {
                Ok(0) if have == 0 => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => have += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        let length = |at: usize| {
            let bytes = [lengths[at], lengths[at + 1], lengths[at + 2], lengths[at + 3]];
            u32::from_le_bytes(bytes) as usize
        };
        let (header, body) = (length(0), length(4));
        if header > HEADER_BYTES_MAX || body > BODY_BYTES_MAX {
            let reason = format!("a message of {header} + {body} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        let mut frame = Self { header: vec![0; header], body: vec![0; body] };
        from.read_exact(&mut frame.header)?;
        from.read_exact(&mut frame.body)?;
        Ok(Some(frame))
    }
}
