//! Reads weights: safetensors, beside a model card with their hash and the network's shape.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use super::AudioError;
use crate::aic::packet::STAGES_MAX;

/// Widths and depths of the network according to the card.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Shape {
    /// Channels, blocks.
    pub(super) encoder: (u16, u16),
    /// Channels, blocks.
    pub(super) decoder: (u16, u16),
    pub(super) latent: u16,
    pub(super) stages: usize,
    pub(super) entries: u16,
}

#[derive(Deserialize)]
struct Card {
    sha256: String,
    shape: Shape,
}

/// The tensors of a file whose hash is verified.
pub(super) struct Weights {
    path: PathBuf,
    bytes: Vec<u8>,
    device: Device,
    pub(super) shape: Shape,
    /// First four bytes of the hash.
    pub(super) id: [u8; 4],
}

impl Weights {
    /// Reads `path` and the card beside it (same name, `.json`).
    pub(super) fn read(path: &Path, device: Device) -> Result<Self, AudioError> {
        let read = |path: &Path| {
            fs::read(path).map_err(|source| AudioError::Read { path: path.into(), source })
        };
        let card_path = path.with_extension("json");
        let card: Card = serde_json::from_slice(&read(&card_path)?)
            .map_err(|source| AudioError::Card { path: card_path, source })?;
        let bytes = read(path)?;
        let hash = Sha256::digest(&bytes);
        let is: String = hash.iter().map(|b| format!("{b:02x}")).collect();
        if is != card.sha256 {
            return Err(AudioError::Hash { path: path.into(), is, expected: card.sha256 });
        }
        let mut id = [0; 4];
        id.copy_from_slice(&hash[..4]);
        let weights = Self { path: path.into(), bytes, device, shape: card.shape, id };
        if weights.shape.stages != STAGES_MAX || weights.shape.entries != 1024 {
            return Err(weights.refuse("quantiser", "has stages that the packet has no room for"));
        }
        Ok(weights)
    }

    /// A tensor with exactly this shape, on the device, as float32; float16 halves the file.
    pub(super) fn take(&self, name: &str, shape: &[i64]) -> Result<Tensor, AudioError> {
        let all = SafeTensors::deserialize(&self.bytes)
            .map_err(|e| self.refuse(name, &format!("cannot be found: {e}")))?;
        let view = all.tensor(name).map_err(|_| self.refuse(name, "is missing"))?;
        let tensor = Tensor::try_from(view)?;
        if tensor.size() != shape || !matches!(tensor.kind(), Kind::Float | Kind::Half) {
            let is = format!("is {:?} {:?}, not {shape:?}", tensor.kind(), tensor.size());
            return Err(self.refuse(name, &is));
        }
        Ok(tensor.f_to_device(self.device)?.f_to_kind(Kind::Float)?)
    }

    fn refuse(&self, name: &str, problem: &str) -> AudioError {
        let (path, name, problem) = (self.path.clone(), name.into(), problem.into());
        AudioError::Tensor { path, name, problem }
    }
}
