//! Hashes of files.

use std::fmt::{self, Write};
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::Error;

/// Bytes that are read at once.
pub(super) const READ_BYTES: usize = 1 << 20;

/// A SHA-256 as text: 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256Hex(String);

impl Sha256Hex {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight digits, as in the model names of cues.
    pub fn prefix(&self) -> &str {
        &self.0[..8]
    }

    /// Finishes a running hash.
    pub(super) fn of(hash: Sha256) -> Self {
        let mut text = String::with_capacity(64);
        for byte in hash.finalize() {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }
}

impl FromStr for Sha256Hex {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err("a sha256 has 64 hexadecimal digits".into())
        }
    }
}

impl fmt::Display for Sha256Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for Sha256Hex {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Sha256Hex {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Reads a file to its end into a running hash; `told` is called with the bytes of each step.
pub(super) fn feed(hash: &mut Sha256, path: &Path, told: impl FnMut(u64)) -> Result<u64, Error> {
    let mut file = std::fs::File::open(path).map_err(Error::io("read", path))?;
    feed_from(hash, &mut file, path, told)
}

fn feed_from(
    hash: &mut Sha256,
    from: &mut dyn Read,
    path: &Path,
    mut told: impl FnMut(u64),
) -> Result<u64, Error> {
    let mut buffer = vec![0; READ_BYTES];
    let mut total = 0;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(count) => count,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Error::io("read", path)(e)),
        };
        hash.update(&buffer[..count]);
        total += count as u64;
        told(count as u64);
    }
}

/// The hash of what is read to its end; `path` names it in errors.
pub(super) fn of_reader(
    from: &mut dyn Read,
    path: &Path,
    told: impl FnMut(u64),
) -> Result<Sha256Hex, Error> {
    let mut hash = Sha256::new();
    feed_from(&mut hash, from, path, told)?;
    Ok(Sha256Hex::of(hash))
}

/// The hash of a file.
pub(super) fn of_file(path: &Path, told: impl FnMut(u64)) -> Result<Sha256Hex, Error> {
    let mut hash = Sha256::new();
    feed(&mut hash, path, told)?;
    Ok(Sha256Hex::of(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_hash_that_sha256sum_prints() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").expect("writes");
        let mut bytes = 0;
        let hash = of_file(&path, |count| bytes += count).expect("reads");
        // FIPS 180-2, appendix B.1.
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((hash.as_str(), hash.prefix(), bytes), (known, "ba7816bf", 3));
        assert_eq!(known.to_uppercase().parse(), Ok(hash));
        assert!("abc".parse::<Sha256Hex>().is_err());
        assert!(of_file(&folder.path().join("none"), |_| ()).is_err());
    }
}
