//! ONNX Runtime: opens its shared library and loads models, on the processor or a GPU.
//!
//! The library is a file like the models: `auralink models pull onnxruntime-1.32.0` brings it, and
//! without it everything else works. A process opens one library, once.
//!
//! Invariant: models run on the thread that calls them; ONNX Runtime adds no threads of its own
//! beyond those that the caller asks for. A model that cannot run on a GPU runs on the processor.

mod cuda;
mod device;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

pub use device::{Choice, Config, Device, GPU_LIBRARY, NoCuda, choose, cuda, has_provider};

use crate::media::IgnorePoison;

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The shared library does not load.
    #[error("ONNX Runtime cannot be opened from {library}: {reason}")]
    Library {
        /// Path of the library.
        library: PathBuf,
        /// The loader's message.
        reason: String,
    },
    /// The model does not load.
    #[error("the model {model} cannot be loaded: {reason}")]
    Model {
        /// Path of the model.
        model: PathBuf,
        /// The message of ONNX Runtime.
        reason: String,
    },
    /// A run failed, or its outputs are not what the model promises.
    #[error("the model does not run: {0}")]
    Run(#[from] ort::Error),
}

/// ONNX Runtime, opened. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    environment: Environment,
    library: PathBuf,
}

/// The library of this process.
static OPENED: Mutex<Option<Runtime>> = Mutex::new(None);

impl Runtime {
    /// Opens the library, or returns the one that this process has opened before.
    ///
    /// # Errors
    /// [`Error::Library`]: it is not there, or is older than 1.22.
    pub fn open(library: &Path) -> Result<Self, Error> {
        let mut opened = OPENED.lock().ignore_poison();
        if let Some(runtime) = &*opened {
            return Ok(runtime.clone());
        }
        let failed = |reason: String| Error::Library { library: library.to_owned(), reason };
        let builder = ort::init_from(library).map_err(|e| failed(e.to_string()))?;
        let environment = builder
            .with_name("auralink")
            .with_telemetry(false)
            .build()
            .map_err(|e| failed(e.to_string()))?;
        Ok(opened.insert(Self { environment, library: library.to_owned() }).clone())
    }

    /// Loads a model, `*.onnx` or `*.ort`, with this many threads of the processor.
    ///
    /// `device` says where it may run. It is [`Device::Cpu`] for a model that a GPU does not make
    /// faster, and for every `*.ort`: ONNX Runtime copies nothing between the memories of processor and
    /// GPU in a model of that format. What cannot run on the GPU runs on the processor.
    ///
    /// # Errors
    /// [`Error::Model`]: it does not load on the processor either.
    pub fn load(
        &self,
        model: &Path,
        threads: usize,
        device: Device,
    ) -> Result<(Session, Choice), Error> {
        let mut session = None;
        let on_gpu = || {
            let mut builder = cuda::prepare(&self.library, self.builder(threads))?;
            let made = builder.commit_from_file(model);
            session = Some(made.map_err(cuda::failed)?);
            Ok(())
        };
        let choice = choose(device, on_gpu);
        let session = match session {
            Some(session) => session,
            None => {
                let made = self.builder(threads).and_then(|mut b| b.commit_from_file(model));
                made.map_err(|error| Error::Model {
                    model: model.to_owned(),
                    reason: error.to_string(),
                })?
            }
        };
        Ok((session, choice))
    }

    /// Runs a convolution on the GPU: the driver, the provider and NVIDIA's libraries fit together.
    ///
    /// # Errors
    /// Which of them is to blame.
    pub fn check_cuda(&self) -> Result<(), NoCuda> {
        cuda::check(&self.library, self.builder(1))
    }

    fn builder(&self, threads: usize) -> ort::Result<SessionBuilder> {
        Ok(Session::builder(&self.environment)?
            .with_optimization_level(GraphOptimizationLevel::Level3)?
            .with_intra_threads(threads)?
            // A plan of the memory would be made and kept for each length of the input, and lengths of
            // speech hardly ever recur (docs/measurements.md).
            .with_memory_pattern(false)?
            // Idle threads would spin, which takes a core from the media.
            .with_intra_op_spinning(false)?)
    }
}

#[cfg(test)]
mod tests;
