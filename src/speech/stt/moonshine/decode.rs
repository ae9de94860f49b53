//! The child: one model, one window at a time.

use std::path::PathBuf;

use super::network::Network;
use super::timing::{self, SettledWord};
use super::tokenizer::{Heard, Tokenizer};
use crate::onnx::{Error, Runtime};
use crate::speech::engine;
use crate::speech::stt::sphinx::Aligner;
use crate::speech::stt::wire::{Answer, Question, unpack};
use crate::speech::vad::SPEECH_RATE_HZ;

/// Least mean log-probability of the tokens of speech. Of 50 difficult utterances it loses one; of 30
/// noises that passed as speech it lets 9 through (measured), so the gate for voice stands before it.
const LOG_PROBABILITY_MIN: f32 = -0.6;

/// The same for a text of fewer tokens than [`SHORT_TOKENS`]: a sneeze is heard as `Right`.
const SHORT_LOG_PROBABILITY_MIN: f32 = -0.35;
const SHORT_TOKENS: usize = 4;

/// Shortest window, in samples: the convolution needs 895.
const WINDOW_SAMPLES_MIN: usize = SPEECH_RATE_HZ / 10;

/// Where a model lies, and how it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Folder with `encoder_model.ort`, `decoder_model_merged.ort` and `tokenizer.bin`.
    pub model: PathBuf,
    /// ONNX Runtime's shared library.
    pub runtime: PathBuf,
    /// Processor threads.
    pub threads: usize,
}

struct Moonshine {
    network: Network,
    tokenizer: Tokenizer,
    aligner: Option<Aligner>,
}

/// Serves requests until the parent is gone.
///
/// # Errors
/// If the pipes break.
pub fn serve(run: &Run) -> std::io::Result<()> {
    let mut loaded = None;
    engine::serve(|question, body| {
        let model = match &mut loaded {
            Some(model) => model,
            None => loaded.insert(Moonshine::load(run)?),
        };
        match question {
            Question::Load => Ok(Answer::default()),
            Question::Hear { settled, draft, .. } => {
                model.hear(&unpack(body), &settled, &draft).map_err(|e| e.to_string())
            }
        }
    })
}

impl Moonshine {
    fn load(run: &Run) -> Result<Self, String> {
        let runtime = Runtime::open(&run.runtime).map_err(|e| e.to_string())?;
        let network = Network::load(&runtime, &run.model, run.threads);
        Ok(Self {
            network: network.map_err(|e| e.to_string())?,
            tokenizer: Tokenizer::read(&run.model.join("tokenizer.bin"))?,
            aligner: Aligner::find(),
        })
    }

    fn hear(
        &mut self,
        samples: &[i16],
        settled: &[SettledWord],
        draft: &[u16],
    ) -> Result<Answer, Error> {
        let mut audio: Vec<f32> = samples.iter().map(|s| f32::from(*s) / 32_768.0).collect();
        audio.resize(samples.len().max(WINDOW_SAMPLES_MIN), 0.0);
        let heard = self.network.tokens(audio, draft)?;
        if !is_likely(&heard) {
            return Ok(Answer::default());
        }
        let mut words = self.tokenizer.words(&heard);
        timing::place(&mut words, samples, settled, self.aligner.as_mut());
        let tokens = heard.iter().map(|h| h.token).collect();
        Ok(Answer { words, tokens, language: None })
    }
}

/// Whether a text was probably spoken: what is invented for a noise is seldom certain.
fn is_likely(heard: &[Heard]) -> bool {
    let sum: f32 = heard.iter().map(|h| h.probability.ln()).sum();
    let short = heard.len() < SHORT_TOKENS;
    let least = if short { SHORT_LOG_PROBABILITY_MIN } else { LOG_PROBABILITY_MIN };
    sum / heard.len().max(1) as f32 >= least
}
