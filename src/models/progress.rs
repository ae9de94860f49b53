//! What is told of a download.

use std::time::Duration;

use super::digest::Sha256Hex;

/// An event during a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A package begins, which contains several files.
    Package {
        /// Its name and version.
        name: &'a str,
        /// Its size in bytes.
        size: u64,
    },
    /// A file begins.
    File {
        /// Its name.
        name: &'a str,
        /// Its size in bytes, if known.
        size: Option<u64>,
        /// Bytes left by an earlier attempt.
        kept: u64,
    },
    /// Number of bytes of the file so far.
    Bytes(u64),
    /// An attempt failed; another one follows after a pause.
    Again {
        /// The reason.
        reason: &'a str,
        /// Length of the pause.
        pause: Duration,
    },
    /// The file is complete and verified.
    Done {
        /// Its name.
        name: &'a str,
        /// Its hash.
        sha256: &'a Sha256Hex,
    },
}
