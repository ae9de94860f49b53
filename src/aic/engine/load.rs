//! Reads weights: safetensors, beside a model card with their hash.

use std::path::PathBuf;

use auralink_codec::{Model, ModelError};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::aic::weights::{ModelId, Weights, card_path};

/// Why weights cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file of the model cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The model card does not parse.
    #[error("{path} is no model card of AIC-A: {source}")]
    Card {
        /// The file, or where else it is.
        path: String,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// The weights' hash differs from the card's.
    #[error("{weights} has SHA-256 {is}, its model card says {expected}")]
    Hash {
        /// Where they are.
        weights: Weights,
        /// Actual hash.
        is: String,
        /// Hash according to the card.
        expected: String,
    },
    /// The weights are not those of this network.
    #[error("{weights}: {source}")]
    Model {
        /// Where they are.
        weights: Weights,
        /// What is wrong.
        source: ModelError,
    },
}

#[derive(Deserialize)]
struct Card {
    sha256: String,
}

/// Reads weights and checks them against their card; returns the model and its id.
///
/// # Errors
/// A file is missing or damaged, or the weights are those of another network.
pub fn load(weights: &Weights) -> Result<(Model, ModelId), LoadError> {
    let (bytes, card) =
        weights.read().map_err(|(path, source)| LoadError::Read { path, source })?;
    let card: Card = serde_json::from_str(&card).map_err(|source| LoadError::Card {
        path: match weights {
            Weights::File(path) => card_path(path).display().to_string(),
            Weights::BuiltIn => weights.to_string(),
        },
        source,
    })?;
    let hash = Sha256::digest(&bytes);
    let is: String = hash.iter().map(|b| format!("{b:02x}")).collect();
    if is != card.sha256 {
        let weights = weights.clone();
        return Err(LoadError::Hash { weights, is, expected: card.sha256 });
    }
    let mut id = [0; 4];
    id.copy_from_slice(&hash[..4]);
    let model = Model::read(&bytes)
        .map_err(|source| LoadError::Model { weights: weights.clone(), source })?;
    Ok((model, id))
}
