//! `auralink engine …`: an engine in a separate process, started by the appliance.

use std::path::PathBuf;

use clap::Subcommand;

use crate::onnx::Device;
use crate::speech::stt::{moonshine, sphinx, whisper};
#[cfg(feature = "ct2")]
use crate::speech::translate::ct2;
use crate::speech::tts::piper;

/// The engines that run in separate processes.
#[derive(Debug, Subcommand)]
pub(super) enum Engine {
    /// Speech-to-text by whisper.cpp.
    Whisper {
        /// A ggml model.
        #[arg(long, value_name = "FILE")]
        model: PathBuf,
        /// Threads on the processor.
        #[arg(long, default_value_t = 2)]
        threads: usize,
        /// Use a GPU, if this build can.
        #[arg(long)]
        gpu: bool,
    },
    /// Speech-to-text by Moonshine.
    Moonshine {
        /// Folder of the model.
        #[arg(long, value_name = "FOLDER")]
        model: PathBuf,
        /// ONNX Runtime's shared library.
        #[arg(long, value_name = "FILE")]
        runtime: PathBuf,
        /// Threads on the processor.
        #[arg(long, default_value_t = 1)]
        threads: usize,
    },
    /// A Piper voice.
    Piper {
        /// Model of the voice.
        #[arg(long, value_name = "FILE")]
        model: PathBuf,
        /// ONNX Runtime's shared library.
        #[arg(long, value_name = "FILE")]
        runtime: PathBuf,
        /// Where it may run: auto, cpu or cuda.
        #[arg(long, default_value_t = Device::Auto)]
        device: Device,
        /// Threads on the processor.
        #[arg(long, default_value_t = 1)]
        threads: usize,
    },
    /// Speech-to-text by PocketSphinx.
    Sphinx {
        /// Folder of the model.
        #[arg(long, value_name = "FOLDER")]
        model: PathBuf,
    },
    /// Translation by CTranslate2.
    #[cfg(feature = "ct2")]
    Ct2 {
        /// Folder of the model.
        #[arg(long, value_name = "FOLDER")]
        model: PathBuf,
        /// Threads on the processor.
        #[arg(long, default_value_t = 2)]
        threads: usize,
    },
}

/// Serves until the parent process ends.
pub(super) fn engine(engine: &Engine) -> std::io::Result<()> {
    match engine {
        Engine::Whisper { model, threads, gpu } => {
            whisper::serve(model, whisper::Run { threads: (*threads).max(1), gpu: *gpu })
        }
        Engine::Moonshine { model, runtime, threads } => moonshine::serve(&moonshine::Run {
            model: model.clone(),
            runtime: runtime.clone(),
            threads: (*threads).max(1),
        }),
        Engine::Piper { model, runtime, device, threads } => piper::serve(&piper::Run {
            model: model.clone(),
            runtime: runtime.clone(),
            device: *device,
            threads: (*threads).max(1),
        }),
        Engine::Sphinx { model } => sphinx::serve(model),
        #[cfg(feature = "ct2")]
        Engine::Ct2 { model, threads } => ct2::serve(model, (*threads).max(1)),
    }
}
