//! How cues are written: WebVTT, SubRip, JSON, and CEA-608/708 caption data for video.
//!
//! Two ways lead out. Files and HLS: a [`Shaper`] breaks cues into what is shown at once, [`vtt`],
//! [`srt`] and [`json`] write it, each piece appended as it comes, the file valid after each.
//! Broadcast: [`line21`] and [`dtvcc`] turn words into codes as they are committed, [`schedule`]
//! gives them to frames in presentation order although frames come in decode order, [`sei`] puts
//! them into H.264 and H.265; [`Captioner`] holds these together for one video stream.
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
