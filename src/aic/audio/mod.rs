//! The engine of AIC-A on libtorch: the network that `models/aic-audio/model.py` describes.
//!
//! - [`Model`]: weights, shared by all streams, and one step of the network for N streams at once;
//! - [`Encoder`]: samples of one stream in pieces of any size -> codes of 20 ms;
//! - [`Decoder`]: codes, or the news that they are lost -> samples;
//! - [`Model::encode_many`], [`Model::decode_many`]: one frame of each of several streams.
//!
//! Invariant: a stream goes through the network frame by frame, whatever the pieces it comes in, so
//! the same sound makes the same packets, bit for bit (on one build and device).

mod batch;
mod decoder;
pub mod device;
mod encoder;
mod network;
mod weights;

use std::path::PathBuf;

pub use batch::Voice;
pub use decoder::Decoder;
pub use encoder::Encoder;
pub use network::{Model, State};

/// Why the engine cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    /// A file of the model cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The model card is no card of AIC-A.
    #[error("{path} is no model card of AIC-A")]
    Card {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The weights are not those of the card.
    #[error("{path} has SHA-256 {is}, its model card says {expected}")]
    Hash {
        /// The file.
        path: PathBuf,
        /// What it is.
        is: String,
        /// What it should be.
        expected: String,
    },
    /// The weights do not have the tensors that the card's shape asks for.
    #[error("tensor `{name}` of {path} {problem}")]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// Something was given to the network that does not fit it.
    #[error("{0}")]
    Misfit(&'static str),
    /// libtorch failed.
    #[error("libtorch failed")]
    Torch(#[from] tch::TchError),
}

#[cfg(test)]
mod tests;
