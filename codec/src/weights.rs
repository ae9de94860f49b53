//! Reads the tensors of a weights file.

use half::f16;
use safetensors::{Dtype, SafeTensors};

/// Why bytes are not the weights of a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Not in the format.
    #[error("this is no safetensors file")]
    Format(#[from] safetensors::SafeTensorError),
    /// A tensor is missing or different.
    #[error("tensor `{name}` {problem}")]
    Tensor {
        /// The tensor.
        name: String,
        /// What is wrong.
        problem: String,
    },
}

/// The tensors of a file.
pub(crate) struct Weights<'a>(SafeTensors<'a>);

impl<'a> Weights<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, ModelError> {
        Ok(Self(SafeTensors::deserialize(bytes)?))
    }

    /// Bytes of a tensor with exactly this shape, and its type.
    fn raw(&self, name: &str, shape: &[usize]) -> Result<(Dtype, &[u8]), ModelError> {
        let tensor = self.0.tensor(name).map_err(|_| refuse(name, "is missing".into()))?;
        if tensor.shape() != shape {
            return Err(refuse(name, format!("is {:?}, not {shape:?}", tensor.shape())));
        }
        Ok((tensor.dtype(), tensor.data()))
    }

    /// A tensor of float32, or of float16, which halves the file.
    pub(crate) fn floats(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let values: Vec<f32> = match self.raw(name, shape)? {
            (Dtype::F32, bytes) => {
                bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
            }
            (Dtype::F16, bytes) => {
                bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect()
            }
            (other, _) => return Err(refuse(name, format!("has numbers of type {other:?}"))),
        };
        if values.iter().all(|v| v.is_finite()) {
            Ok(values)
        } else {
            Err(refuse(name, "has values that are no numbers".into()))
        }
    }

    /// A tensor of integers, each from `least` to `most`.
    pub(crate) fn integers(
        &self,
        name: &str,
        shape: &[usize],
        (least, most): (i32, i32),
    ) -> Result<Vec<i32>, ModelError> {
        let values: Vec<i32> = match self.raw(name, shape)? {
            (Dtype::I8, bytes) => bytes.iter().map(|b| i32::from(*b as i8)).collect(),
            (Dtype::I16, bytes) => {
                bytes.as_chunks().0.iter().map(|b| i16::from_le_bytes(*b).into()).collect()
            }
            (Dtype::I32, bytes) => {
                bytes.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b)).collect()
            }
            (other, _) => return Err(refuse(name, format!("has numbers of type {other:?}"))),
        };
        if values.iter().all(|v| (least..=most).contains(v)) {
            Ok(values)
        } else {
            Err(refuse(name, format!("has values outside {least} to {most}")))
        }
    }
}

fn refuse(name: &str, problem: String) -> ModelError {
    ModelError::Tensor { name: name.into(), problem }
}
