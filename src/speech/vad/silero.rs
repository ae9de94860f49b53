//! Silero's network, run by whisper.cpp.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;

use rustix::fs::{MemfdFlags, memfd_create};
use whisper_rs::{WhisperVadContext, WhisperVadContextParams};

use super::{Detector, Earshot, GateConfig};

/// Samples per frame: 32 ms.
const FRAME_SAMPLES: usize = 512;

/// Frames that are judged at a time. More cost less and answer later.
const BATCH_FRAMES: usize = 3;
/// Earlier frames that are fed again each time, because whisper.cpp clears the network's state with
/// each call.
const CONTEXT_FRAMES: usize = 8;

/// If Earshot, which is far cheaper, has been below this for [`CONTEXT_FRAMES`] frames, the network
/// is not asked.
const EARSHOT_PROBABILITY_MIN: f32 = 0.15;

/// The network for 16 kHz; `models/silero-v6.2.0/README.md` has its origin.
static WEIGHTS: &[u8] = include_bytes!("../../../models/silero-v6.2.0/ggml-silero-v6.2.0.bin");

/// Why a detector is not available.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no memory for the network's weights.
    #[error("cannot lay out the Silero model in memory")]
    Memory(#[source] std::io::Error),
    /// whisper.cpp rejects the model.
    #[error("cannot load the Silero model: {0}")]
    Model(String),
}

/// Silero VAD: frames of 32 ms, judged three at a time.
pub struct Silero {
    network: WhisperVadContext,
    heard: VecDeque<f32>,
    scratch: Vec<f32>,
    first: Earshot,
    /// Frames since Earshot last suspected speech.
    quiet: usize,
    /// Frames that are not judged yet.
    waiting: usize,
    /// Probability of the last judged frames.
    judged: f32,
}

impl Silero {
    /// Loads the network from the program.
    ///
    /// # Errors
    /// If there is no memory for it, or whisper.cpp rejects it.
    pub fn new() -> Result<Self, Error> {
        whisper_rs::install_logging_hooks();
        // whisper.cpp reads only files and aborts on a damaged one. An anonymous file in memory
        // cannot be changed by another process.
        let file = memory_file(WEIGHTS).map_err(Error::Memory)?;
        let name = format!("/proc/self/fd/{}", file.as_raw_fd());
        let mut parameters = WhisperVadContextParams::new();
        parameters.set_n_threads(1);
        let network =
            WhisperVadContext::new(&name, parameters).map_err(|e| Error::Model(e.to_string()))?;
        Ok(Self {
            network,
            heard: VecDeque::new(),
            scratch: Vec::new(),
            first: Earshot::default(),
            quiet: CONTEXT_FRAMES,
            waiting: 0,
            judged: 0.0,
        })
    }
}

fn memory_file(bytes: &[u8]) -> std::io::Result<File> {
    let mut file = File::from(memfd_create(c"silero", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}

impl Detector for Silero {
    fn frame(&self) -> usize {
        FRAME_SAMPLES
    }

    fn probability(&mut self, frame: &[f32]) -> f32 {
        if frame.len() != FRAME_SAMPLES {
            return 0.0;
        }
        let keep = self.heard.len().min((CONTEXT_FRAMES + BATCH_FRAMES - 1) * FRAME_SAMPLES);
        self.heard.drain(..self.heard.len() - keep);
        self.heard.extend(frame);
        let half = self.first.frame();
        let likely =
            frame.chunks_exact(half).any(|h| self.first.probability(h) >= EARSHOT_PROBABILITY_MIN);
        self.quiet = if likely { 0 } else { self.quiet.saturating_add(1) };
        if self.quiet > CONTEXT_FRAMES {
            (self.waiting, self.judged) = (0, 0.0);
            return 0.0;
        }
        self.waiting += 1;
        if self.waiting < BATCH_FRAMES {
            return self.judged;
        }
        self.waiting = 0;
        self.scratch.clear();
        self.scratch.extend(&self.heard);
        self.judged = match self.network.detect_speech(&self.scratch) {
            Ok(()) => {
                let newest = self.network.probabilities().iter().rev().take(BATCH_FRAMES);
                newest.sum::<f32>() / BATCH_FRAMES as f32
            }
            Err(_) => 0.0,
        };
        self.judged
    }

    fn reset(&mut self) {
        self.heard.clear();
        self.first.reset();
        (self.quiet, self.waiting, self.judged) = (CONTEXT_FRAMES, 0, 0.0);
    }

    fn thresholds(&self) -> GateConfig {
        GateConfig::default()
    }
}
