//! The child: one model, one window at a time.
//!
//! Moonshine (Jeffries et al. 2024, arXiv:2410.15608) hears raw audio of any length: a convolution
//! strides by 384 samples, an encoder gives one state for each, a decoder writes tokens with caches of
//! its keys and values.

use std::path::{Path, PathBuf};

use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Tensor};

use super::timing::{self, SettledWord};
use super::tokenizer::{Heard, Tokenizer};
use crate::onnx::{Error, Runtime};
use crate::speech::engine;
use crate::speech::stt::sphinx::Aligner;
use crate::speech::stt::wire::{Answer, Question, unpack};
use crate::speech::vad::SPEECH_RATE_HZ;

/// Layers of the decoder, attention heads, and values of each head, of the model `tiny`.
const DECODER_LAYERS_COUNT: usize = 6;
const HEADS_COUNT: i64 = 8;
const HEAD_VALUES_COUNT: i64 = 36;

/// Tokens that begin and end a text.
const BEGIN_TOKEN_ID: i64 = 1;
const END_TOKEN_ID: usize = 2;

/// Most tokens for a second of speech (the authors' figure); more are a loop.
const TOKENS_PER_S_MAX: f32 = 6.5;

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
    encoder: Session,
    decoder: Session,
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
            Question::Hear { settled, .. } => {
                model.hear(&unpack(body), &settled).map_err(|e| e.to_string())
            }
        }
    })
}

impl Moonshine {
    fn load(run: &Run) -> Result<Self, String> {
        let runtime = Runtime::open(&run.runtime).map_err(|e| e.to_string())?;
        let session = |name: &str| -> Result<Session, String> {
            let path: &Path = &run.model.join(name);
            runtime.load(path, run.threads).map_err(|e| e.to_string())
        };
        Ok(Self {
            encoder: session("encoder_model.ort")?,
            decoder: session("decoder_model_merged.ort")?,
            tokenizer: Tokenizer::read(&run.model.join("tokenizer.bin"))?,
            aligner: Aligner::find(),
        })
    }

    fn hear(&mut self, samples: &[i16], settled: &[SettledWord]) -> Result<Answer, Error> {
        let mut audio: Vec<f32> = samples.iter().map(|s| f32::from(*s) / 32_768.0).collect();
        audio.resize(samples.len().max(WINDOW_SAMPLES_MIN), 0.0);
        let heard = self.tokens(audio)?;
        if !is_likely(&heard) {
            return Ok(Answer::default());
        }
        let mut words = self.tokenizer.words(&heard);
        timing::place(&mut words, samples, settled, self.aligner.as_mut());
        Ok(Answer { words, language: None })
    }

    /// Writes the most probable text, token by token.
    fn tokens(&mut self, samples: Vec<f32>) -> Result<Vec<Heard>, Error> {
        let length = samples.len();
        let most = (length as f32 / SPEECH_RATE_HZ as f32 * TOKENS_PER_S_MAX) as usize + 1;
        let states = self.encode(samples)?;
        let mask = Tensor::from_array(([1, length], vec![1_i64; length]))?;
        let mut caches = Caches::new(states_count(&states)?)?;
        let (mut heard, mut token) = (Vec::new(), BEGIN_TOKEN_ID);
        while heard.len() < most {
            let next = self.step(token, &states, &mask, &mut caches)?;
            if next.token == END_TOKEN_ID {
                break;
            }
            token = next.token as i64;
            heard.push(next);
        }
        Ok(heard)
    }

    fn encode(&mut self, samples: Vec<f32>) -> Result<DynValue, Error> {
        let length = samples.len();
        let inputs: Vec<(&str, SessionInputValue<'_>)> = vec![
            ("input_values", Tensor::from_array(([1, length], samples))?.into()),
            ("attention_mask", Tensor::from_array(([1, length], vec![1_i64; length]))?.into()),
        ];
        let mut outputs = self.encoder.run(inputs)?;
        outputs.remove("last_hidden_state").ok_or_else(|| missing("last_hidden_state"))
    }

    /// The token that follows `token`. The caches grow by it.
    fn step(
        &mut self,
        token: i64,
        states: &DynValue,
        mask: &Tensor<i64>,
        caches: &mut Caches,
    ) -> Result<Heard, Error> {
        let mut inputs: Vec<(String, SessionInputValue<'_>)> = vec![
            ("input_ids".into(), Tensor::from_array(([1_i64, 1], vec![token]))?.into()),
            ("encoder_hidden_states".into(), states.into()),
            ("encoder_attention_mask".into(), mask.into()),
            ("use_cache_branch".into(), Tensor::from_array(([1_i64], vec![caches.filled]))?.into()),
        ];
        inputs.extend(caches.values.iter().map(|(name, value)| {
            (format!("past_key_values.{name}"), SessionInputValue::from(value))
        }));
        let mut outputs = self.decoder.run(inputs)?;
        let (_, logits) = outputs["logits"].try_extract_tensor::<f32>()?;
        let best = most_probable(logits).ok_or_else(|| missing("logits"))?;
        let mut present = Vec::with_capacity(caches.values.len());
        for (name, _) in &caches.values {
            // The encoder's part is computed by the first step and stays; later steps return it empty.
            if !caches.filled || name.contains(".decoder.") {
                let output = format!("present.{name}");
                let value = outputs.remove(&output).ok_or_else(|| missing(&output))?;
                present.push((name.clone(), value));
            }
        }
        drop(outputs);
        caches.update(present);
        Ok(best)
    }
}

fn missing(output: &str) -> Error {
    Error::Run(ort::Error::new(format!("it has no output `{output}`")))
}

/// Number of states: the second dimension.
fn states_count(states: &DynValue) -> Result<i64, Error> {
    let (shape, _) = states.try_extract_tensor::<f32>()?;
    shape.get(1).copied().ok_or_else(|| missing("last_hidden_state of three dimensions"))
}

/// Keys and values of the decoder's attention, by name: `0.decoder.key` …
struct Caches {
    values: Vec<(String, DynValue)>,
    /// Whether a step has filled them.
    filled: bool,
}

impl Caches {
    /// What the first step wants: no earlier tokens, and zeros for each state of the encoder.
    fn new(states: i64) -> Result<Self, Error> {
        let mut values = Vec::new();
        for layer in 0..DECODER_LAYERS_COUNT {
            for (part, length) in [("decoder", 0), ("encoder", states)] {
                for kind in ["key", "value"] {
                    let zeros = vec![0.0_f32; (HEADS_COUNT * length * HEAD_VALUES_COUNT) as usize];
                    let shape = [1, HEADS_COUNT, length, HEAD_VALUES_COUNT];
                    let value = Tensor::from_array((shape, zeros))?.into_dyn();
                    values.push((format!("{layer}.{part}.{kind}"), value));
                }
            }
        }
        Ok(Self { values, filled: false })
    }

    fn update(&mut self, present: Vec<(String, DynValue)>) {
        for (name, value) in present {
            if let Some(old) = self.values.iter_mut().find(|(known, _)| *known == name) {
                old.1 = value;
            }
        }
        self.filled = true;
    }
}

/// Whether a text was probably spoken: what is invented for a noise is seldom certain.
fn is_likely(heard: &[Heard]) -> bool {
    let sum: f32 = heard.iter().map(|h| h.probability.ln()).sum();
    let short = heard.len() < SHORT_TOKENS;
    let least = if short { SHORT_LOG_PROBABILITY_MIN } else { LOG_PROBABILITY_MIN };
    sum / heard.len().max(1) as f32 >= least
}

/// The largest logit, with its probability.
fn most_probable(logits: &[f32]) -> Option<Heard> {
    let (token, &largest) = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
    let sum: f32 = logits.iter().map(|l| (l - largest).exp()).sum();
    Some(Heard { token, probability: 1.0 / sum })
}
