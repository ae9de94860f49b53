//! Engines that work on speech: plain Rust.
//!
//! Invariant: no GStreamer in here. An engine that may abort (a C++ library, a GPU runtime) runs in
//! a process of its own, so that its death is an error and not the end of the appliance.

mod breaker;
pub mod chain;
pub mod denoise;
pub mod engine;
pub mod glossary;
pub mod http;
pub mod stt;
pub mod translate;
pub mod tts;
pub mod vad;
