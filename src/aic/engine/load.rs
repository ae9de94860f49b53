//! Reads weights: safetensors, beside a model card with their hash.

use std::fs;
use std::path::{Path, PathBuf};

use auralink_codec::{Model, ModelError};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::aic::weights::ModelId;

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
    /// The weights are not those of this network.
    #[error("{path}: {source}")]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ModelError,
    },
}

#[derive(Deserialize)]
struct Card {
    sha256: String,
}

/// Reads `path` and the card beside it (same name, `.json`); returns the model and its id.
///
/// # Errors
/// A file is missing or damaged, or the weights are those of another network.
pub fn load(path: &Path) -> Result<(Model, ModelId), LoadError> {
    let read = |path: &Path| {
        fs::read(path).map_err(|source| LoadError::Read { path: path.into(), source })
    };
    let card_path = path.with_extension("json");
    let card: Card = serde_json::from_slice(&read(&card_path)?)
        .map_err(|source| LoadError::Card { path: card_path, source })?;
    let bytes = read(path)?;
    let hash = Sha256::digest(&bytes);
    let is: String = hash.iter().map(|b| format!("{b:02x}")).collect();
    if is != card.sha256 {
        return Err(LoadError::Hash { path: path.into(), is, expected: card.sha256 });
    }
    let mut id = [0; 4];
    id.copy_from_slice(&hash[..4]);
    let model =
        Model::read(&bytes).map_err(|source| LoadError::Model { path: path.into(), source })?;
    Ok((model, id))
}
