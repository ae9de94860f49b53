//! ONNX Runtime: opens its shared library and loads models.
//!
//! The library is a file like the models: `auralink models pull onnxruntime` brings it, and without
//! it everything else works. A process opens one library, once.
//!
//! Invariant: models run on the thread that calls them; ONNX Runtime adds no threads of its own
//! beyond those that the caller asks for.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;

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
pub struct Runtime(Environment);

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
        Ok(opened.insert(Self(environment)).clone())
    }

    /// Loads a model, `*.onnx` or `*.ort`, that runs on the processor with this many threads.
    ///
    /// # Errors
    /// [`Error::Model`].
    pub fn load(&self, model: &Path, threads: usize) -> Result<Session, Error> {
        let built = Session::builder(&self.0).and_then(|builder| {
            let builder = builder
                .with_optimization_level(GraphOptimizationLevel::Level3)?
                .with_intra_threads(threads)?
                // Idle threads would spin, which takes a core from the media.
                .with_intra_op_spinning(false)?;
            let mut builder = builder;
            builder.commit_from_file(model)
        });
        let failed =
            |error: ort::Error| Error::Model { model: model.to_owned(), reason: error.to_string() };
        built.map_err(failed)
    }
}
