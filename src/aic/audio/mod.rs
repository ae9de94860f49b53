//! The engine of AIC-A on libtorch: the network that `models/aic-audio/model.py` describes.
//!
//! - [`Model`]: weights, shared by all streams, and one step of the network for N streams at once;
//! - [`Encoder`]: samples of one stream in pieces of any size -> codes of 20 ms;
//! - [`Decoder`]: codes, or notices of loss -> samples;
//! - [`Model::encode_many`], [`Model::decode_many`]: one frame of each of several streams.
//!
//! Invariant: a stream goes through the network frame by frame, whatever the sizes of its pieces,
//! so the same audio makes the same packets, bit for bit (on one build and device).

mod batch;
mod decoder;
pub mod device;
mod encoder;
mod fade;
mod network;
mod weights;

use std::path::PathBuf;

pub use batch::Voice;
pub use decoder::Decoder;
pub use encoder::Encoder;
pub use network::{Model, State};

/// Why the engine cannot start or continue.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    /// A file of the model cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The model card does not parse.
    #[error("{path} is no model card of AIC-A")]
    Card {
        /// The file.
        path: PathBuf,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// The weights' hash differs from the card's.
    #[error("{path} has SHA-256 {is}, its model card says {expected}")]
    Hash {
        /// The file.
        path: PathBuf,
        /// Actual hash.
        is: String,
        /// Hash according to the card.
        expected: String,
    },
    /// A tensor that the card's shape requires is missing or different.
    #[error("tensor `{name}` of {path} {problem}")]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// An input does not fit the network; states which.
    #[error("{0}")]
    Misfit(&'static str),
    /// libtorch failed.
    #[error("libtorch failed")]
    Torch(#[from] tch::TchError),
}

#[cfg(test)]
mod tests;
