//! Writing and walking boxes (ISO/IEC 14496-12, 4.2).

/// Appends boxes to a byte vector; sizes are filled in when a box ends.
pub(super) trait BoxWriter {
    /// Writes a box whose content `body` writes.
    fn boxed(&mut self, kind: &[u8; 4], body: impl FnOnce(&mut Vec<u8>));

    /// Writes a box that begins with a version and 24 bits of flags.
    fn full_box(
        &mut self,
        kind: &[u8; 4],
        version: u8,
        flags: u32,
        body: impl FnOnce(&mut Vec<u8>),
    );

    /// A big-endian 16-bit number.
    fn u16(&mut self, value: u16);

    /// A big-endian 32-bit number.
    fn u32(&mut self, value: u32);

    /// A big-endian 64-bit number.
    fn u64(&mut self, value: u64);

    /// This many zero bytes.
    fn zeros(&mut self, count: usize);
}

impl BoxWriter for Vec<u8> {
    fn boxed(&mut self, kind: &[u8; 4], body: impl FnOnce(&mut Vec<u8>)) {
        let at = self.len();
        self.u32(0);
        self.extend_from_slice(kind);
        body(self);
        let size = u32::try_from(self.len() - at).unwrap_or(u32::MAX);
        self[at..at + 4].copy_from_slice(&size.to_be_bytes());
    }

    fn full_box(
        &mut self,
        kind: &[u8; 4],
        version: u8,
        flags: u32,
        body: impl FnOnce(&mut Vec<u8>),
    ) {
        self.boxed(kind, |v| {
            v.u32(u32::from(version) << 24 | flags & 0x00ff_ffff);
            body(v);
        });
    }

    fn u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn zeros(&mut self, count: usize) {
        self.resize(self.len() + count, 0);
    }
}

/// The header of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoxHeader {
    /// Its four-character code.
    pub kind: [u8; 4],
    /// Size of the header: 8 bytes, or 16 with a 64-bit size.
    pub header: u64,
    /// Size of the whole box in bytes, including the header. `None` if it extends to the end of the
    /// file.
    pub size: Option<u64>,
}

impl BoxHeader {
    /// Reads a header from the first 16 bytes (8 suffice for a small box). `None` if there are too
    /// few or they are invalid.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let small = u64::from(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?));
        let kind: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
        let (header, size) = match small {
            0 => (8, None),
            1 => (16, Some(u64::from_be_bytes(bytes.get(8..16)?.try_into().ok()?))),
            n => (8, Some(n)),
        };
        size.is_none_or(|s| s >= header).then_some(Self { kind, header, size })
    }
}

/// Iterates over the boxes in a slice: code and body of each. Stops at the first invalid one.
pub struct Boxes<'a>(pub &'a [u8]);

impl<'a> Iterator for Boxes<'a> {
    type Item = ([u8; 4], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let header = BoxHeader::read(self.0)?;
        let size = header.size.unwrap_or(self.0.len() as u64);
        let size = usize::try_from(size).ok().filter(|s| *s <= self.0.len())?;
        let (this, rest) = self.0.split_at(size);
        self.0 = rest;
        Some((header.kind, this.get(usize::try_from(header.header).ok()?..)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_walked() {
        let mut v = Vec::new();
        v.boxed(b"moov", |v| {
            v.full_box(b"mvhd", 1, 7, |v| v.u64(5));
            v.boxed(b"free", |_| {});
        });
        let (kind, body) = Boxes(&v).next().expect("one box");
        assert_eq!(&kind, b"moov");
        let inner: Vec<_> = Boxes(body).map(|(k, b)| (k, b.len())).collect();
        assert_eq!(inner, [(*b"mvhd", 12), (*b"free", 0)]);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_end(bytes: Vec<u8>) {
            let boxes = Boxes(&bytes).count();
            assert!(boxes <= bytes.len() / 8);
        }
    }
}
