//! Engines that process speech: plain Rust.
//!
//! Invariant: no GStreamer in here. An engine that may abort (a C++ library, a GPU runtime) runs in
//! a process of its own, so that its crash is an error and does not end the appliance.

mod breaker;
pub mod chain;
pub mod denoise;
pub mod engine;
mod error;
pub mod glossary;
pub mod http;
pub mod language;
pub mod recovery;
pub mod speakers;
pub mod stt;
pub mod translate;
pub mod tts;
pub mod vad;

pub use error::EngineError;
