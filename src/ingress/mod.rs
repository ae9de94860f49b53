//! Media sources: one file or folder per protocol.
//!
//! Every source ends in an [`crate::flow::Intake`]. Protocols with publishers (SRT, RTMP, WHIP) ask
//! the [`crate::flow::Gate`]; pulled sources are run by their stream.
//!
//! Invariant: no data of a publisher reaches a feed before the gate has admitted it, and the memory
//! that a publisher can make the appliance hold is bounded.

mod contents;
pub mod demo;
pub mod file;
mod file_folders;
mod h264_units;
pub mod origin;
mod pads;
mod received_captions;
pub mod relay;
pub mod rist;
pub mod rtmp;
pub mod rtsp;
pub mod source;
mod sources;
pub mod srt;
pub mod test;
mod trunk;
mod unusable;
pub mod whip;

pub use sources::SourceSpec;

#[cfg(test)]
mod tests;
