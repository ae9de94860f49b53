//! How media goes out: one file or folder per protocol, under the same names as in `ingress`.
//!
//! Invariant: takes from feeds only and never holds them back: what a slow end does not take is
//! dropped here and counted.

pub mod archive;
pub mod fmp4;
pub mod hls;
pub mod record;
pub mod rtmp;
pub mod srt;
pub mod thumbnail;
pub mod trunk;
pub mod whep;
pub mod words;
