//! Memories in which raw frames lie.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where the frames of raw video lie. Everything else is in system memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Memory {
    /// Main memory, which every element can read.
    #[default]
    System,
    /// Memory of an NVIDIA GPU: GStreamer's caps feature `memory:CUDAMemory`.
    Cuda,
}

impl Memory {
    /// `system` or `cuda`, as in plans and feeds.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Cuda => "cuda",
        }
    }

    /// Whether it is system memory, which formats do not mention.
    pub fn is_system(&self) -> bool {
        *self == Self::System
    }
}

impl fmt::Display for Memory {
    /// Display form: `system memory`, `CUDA memory`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "system memory",
            Self::Cuda => "CUDA memory",
        })
    }
}
