//! Silero's network in whisper.cpp.

use std::collections::VecDeque;
use std::path::Path;

use whisper_rs::{WhisperVadContext, WhisperVadContextParams};

use super::{Detector, Error, GateConfig};

/// What the network takes at a time: 32 ms.
const FRAME: usize = 512;

/// Frames before the judged one that the network hears again each time, because whisper.cpp clears
/// its memory with each call: half a second.
const CONTEXT: usize = 15;

/// How a ggml file begins: `ggml`, little-endian.
const MAGIC: [u8; 4] = [0x6c, 0x6d, 0x67, 0x67];

/// Largest file that can be a Silero model; the real ones have less than 3 MB.
const LARGEST: u64 = 64 << 20;

/// Silero VAD: frames of 32 ms.
pub struct Silero {
    network: WhisperVadContext,
    heard: VecDeque<f32>,
    scratch: Vec<f32>,
}

impl Silero {
    /// Loads a model. In this process: hand it only a file whose hash is right.
    ///
    /// # Errors
    /// When there is no model in it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Model { path: path.display().to_string(), reason };
        let size = std::fs::metadata(path).map_err(|e| wrong(e.to_string()))?.len();
        let mut start = [0; 4];
        std::fs::File::open(path)
            .and_then(|mut f| std::io::Read::read_exact(&mut f, &mut start))
            .map_err(|e| wrong(e.to_string()))?;
        if start != MAGIC || size > LARGEST {
            return Err(wrong("it is no ggml file".into()));
        }
        whisper_rs::install_logging_hooks();
        let name = path.to_str().ok_or_else(|| wrong("its name is not UTF-8".into()))?;
        let mut parameters = WhisperVadContextParams::new();
        parameters.set_n_threads(1);
        let network = WhisperVadContext::new(name, parameters).map_err(|e| wrong(e.to_string()))?;
        Ok(Self { network, heard: VecDeque::new(), scratch: Vec::new() })
    }
}

impl Detector for Silero {
    fn frame(&self) -> usize {
        FRAME
    }

    fn probability(&mut self, frame: &[f32]) -> f32 {
        if frame.len() != FRAME {
            return 0.0;
        }
        let keep = self.heard.len().min(CONTEXT * FRAME);
        self.heard.drain(..self.heard.len() - keep);
        self.heard.extend(frame);
        self.scratch.clear();
        self.scratch.extend(&self.heard);
        match self.network.detect_speech(&self.scratch) {
            Ok(()) => self.network.probabilities().last().copied().unwrap_or_default(),
            Err(_) => 0.0,
        }
    }

    fn reset(&mut self) {
        self.heard.clear();
    }

    fn thresholds(&self) -> GateConfig {
        GateConfig::default()
    }
}
