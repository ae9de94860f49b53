//! Silero's network in whisper.cpp.

use std::collections::VecDeque;
use std::path::Path;

use sha2::{Digest, Sha256};
use whisper_rs::{WhisperVadContext, WhisperVadContextParams};

use super::{Detector, Earshot, Error, GateConfig};

/// What the network takes at a time: 32 ms.
const FRAME: usize = 512;

/// Frames that are judged at a time, and frames before them that the network hears again each time,
/// because whisper.cpp clears its memory with each call.
const TOGETHER: usize = 3;
const CONTEXT: usize = 8;

/// Where Earshot, which costs next to nothing, has been below this for [`CONTEXT`] frames, the
/// network is not asked.
const UNLIKELY: f32 = 0.15;

/// The files that are loaded, by their SHA-256: whisper.cpp ends the process on a damaged one, and
/// this process is the appliance. This one is `ggml-silero-v6.2.0.bin`.
const KNOWN: &[&str] = &["2aa269b785eeb53a82983a20501ddf7c1d9c48e33ab63a41391ac6c9f7fb6987"];

/// Largest file that can be a Silero model; the real ones have less than 3 MB.
const LARGEST: u64 = 16 << 20;

/// Silero VAD: frames of 32 ms, judged three at a time.
pub struct Silero {
    network: WhisperVadContext,
    heard: VecDeque<f32>,
    scratch: Vec<f32>,
    first: Earshot,
    /// Frames since Earshot thought of speech.
    quiet: usize,
    /// Frames that are not judged yet.
    waiting: usize,
    /// What the frames before them were judged.
    judged: f32,
}

impl Silero {
    /// Loads a model whose hash is known.
    ///
    /// # Errors
    /// When the file is missing or another one.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Model { path: path.display().to_string(), reason };
        let size = std::fs::metadata(path).map_err(|e| wrong(e.to_string()))?.len();
        if size > LARGEST {
            return Err(wrong(format!("{size} bytes are too many")));
        }
        let bytes = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
        let hash: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        if !KNOWN.contains(&hash.as_str()) {
            return Err(wrong("its SHA-256 is not that of a model that we know".into()));
        }
        whisper_rs::install_logging_hooks();
        let name = path.to_str().ok_or_else(|| wrong("its name is not UTF-8".into()))?;
        let mut parameters = WhisperVadContextParams::new();
        parameters.set_n_threads(1);
        let network = WhisperVadContext::new(name, parameters).map_err(|e| wrong(e.to_string()))?;
        Ok(Self {
            network,
            heard: VecDeque::new(),
            scratch: Vec::new(),
            first: Earshot::default(),
            quiet: CONTEXT,
            waiting: 0,
            judged: 0.0,
        })
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
        let keep = self.heard.len().min((CONTEXT + TOGETHER - 1) * FRAME);
        self.heard.drain(..self.heard.len() - keep);
        self.heard.extend(frame);
        let half = self.first.frame();
        let likely = frame.chunks_exact(half).any(|h| self.first.probability(h) >= UNLIKELY);
        self.quiet = if likely { 0 } else { self.quiet.saturating_add(1) };
        if self.quiet > CONTEXT {
            (self.waiting, self.judged) = (0, 0.0);
            return 0.0;
        }
        self.waiting += 1;
        if self.waiting < TOGETHER {
            return self.judged;
        }
        self.waiting = 0;
        self.scratch.clear();
        self.scratch.extend(&self.heard);
        self.judged = match self.network.detect_speech(&self.scratch) {
            Ok(()) => {
                let newest = self.network.probabilities().iter().rev().take(TOGETHER);
                newest.sum::<f32>() / TOGETHER as f32
            }
            Err(_) => 0.0,
        };
        self.judged
    }

    fn reset(&mut self) {
        self.heard.clear();
        self.first.reset();
        (self.quiet, self.waiting, self.judged) = (CONTEXT, 0, 0.0);
    }

    fn thresholds(&self) -> GateConfig {
        GateConfig::default()
    }
}
