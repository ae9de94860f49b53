//! Media outputs: one file or folder per protocol, with the same names as in `ingress`. `segments`
//! holds what protocols over HTTP have in common.
//!
//! Invariant: outputs only read feeds and never block them: data that a slow receiver does not take
//! is dropped here and counted.

pub mod archive;
pub mod dash;
mod heard;
pub mod hls;
mod manifest;
pub mod output;
mod outputs;
pub mod push;
pub mod record;
pub mod rtmp;
pub mod segments;
pub mod srt;
pub mod thumbnail;
pub mod trunk;
pub mod voice;
pub mod whep;
pub mod words;

pub use manifest::Manifest;
pub use outputs::OutputKind;

use crate::media::Protocol;

/// Protocols whose players fetch the segments of the segment store.
pub const SEGMENT_PROTOCOLS: &[Protocol] = &[Protocol::Hls, Protocol::Dash];
