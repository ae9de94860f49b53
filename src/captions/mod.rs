//! How cues are written: WebVTT, SubRip, JSON, and CEA-608/708 caption data for video.
//!
//! There are two outputs. For files and HLS a [`Shaper`] divides cues into texts that fit on
//! screen; [`vtt`], [`srt`] and [`json`] write them, appended piece by piece, the file valid after
//! each. For broadcast [`line21`] and [`dtvcc`] encode words as they are committed, [`schedule`]
//! assigns them to frames in presentation order although frames come in decoding order, and [`sei`]
//! puts them into H.264 and H.265. [`Captioner`] combines these for one video stream.
//!
//! Invariant: pure. Times in, bytes out; no clock, no GStreamer, no files.

mod captioner;
mod cc_data;
pub mod dtvcc;
mod existing;
#[cfg(test)]
mod fuzz;
pub mod json;
pub mod line21;
mod mapping;
mod nal;
mod pages;
pub mod schedule;
pub mod sei;
mod shape;
mod spelling;
pub mod srt;
#[cfg(test)]
mod testing;
mod tokens;
pub mod vtt;
mod words;

pub use captioner::{Captioner, Settings, Stats};
pub use cc_data::{Field, Triplet};
pub use existing::{Existing, Moves};
pub use mapping::{MappingError, Mode, Service, Services};
pub use nal::VideoCodec;
pub use shape::{FileClock, Shaper, Shown};
