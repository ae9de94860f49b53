//! Engines that work on speech: plain Rust.
//!
//! Invariant: no GStreamer in here.

pub mod denoise;
