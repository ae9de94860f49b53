//! How media comes in: one file or folder per protocol.
//!
//! Every source ends in an [`crate::flow::Intake`]. A protocol that is published to (SRT, RTMP,
//! WHIP) asks the [`crate::flow::Gate`]; one that pulls is run by the stream that wants it.
//!
//! Invariant: nothing of a publisher reaches a feed before the gate has let it in, and what it may
//! make the appliance hold is bounded.

mod contents;
pub mod demo;
pub mod file;
mod pads;
pub mod relay;
pub mod rtmp;
pub mod rtsp;
pub mod srt;
pub mod test;
mod trunk;
mod unusable;
mod vp9;
pub mod whip;

#[cfg(test)]
mod tests;
