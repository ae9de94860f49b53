//! The network: raw audio in, tokens out.
//!
//! Moonshine (Jeffries et al. 2024, arXiv:2410.15608) hears audio of any length: a convolution strides
//! by 384 samples, an encoder gives one state for each, a decoder writes tokens with caches of its keys
//! and values.
//!
//! A window that has grown is heard again, and most of its text stays. So the last text is a *draft*:
//! one run of the decoder says what follows each of its tokens, and up to the first that is not the
//! most probable one it is the text that token by token would give, at the cost of one.

use std::path::Path;

use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Tensor};

use super::tokenizer::Heard;
use crate::onnx::{Device, Error, Runtime};
use crate::speech::vad::SPEECH_RATE_HZ;

/// Layers of the decoder, attention heads, and values of each head, of the model `tiny`.
const DECODER_LAYERS_COUNT: usize = 6;
const HEADS_COUNT: i64 = 8;
const HEAD_VALUES_COUNT: i64 = 36;

/// Tokens that begin and end a text.
const BEGIN_TOKEN_ID: i64 = 1;
const END_TOKEN_ID: u16 = 2;

/// Most tokens for a second of speech (the authors' figure); more are a loop.
const TOKENS_PER_S_MAX: f32 = 6.5;

/// Encoder and decoder, loaded.
pub(super) struct Network {
    encoder: Session,
    decoder: Session,
}

/// What the decoder listens to: one window.
struct Listened {
    states: DynValue,
    /// One per sample.
    mask: Tensor<i64>,
}

impl Network {
    /// Loads `encoder_model.ort` and `decoder_model_merged.ort` of a folder, for the processor: their
    /// format has no copies to a GPU, and the CUDA execution provider lacks their products of 8-bit
    /// numbers (`DynamicQuantizeMatMul`, `MatMulIntegerToFloat`).
    pub(super) fn load(runtime: &Runtime, folder: &Path, threads: usize) -> Result<Self, Error> {
        let load = |name: &str| runtime.load(&folder.join(name), threads, Device::Cpu);
        let (encoder, _) = load("encoder_model.ort")?;
        let (decoder, _) = load("decoder_model_merged.ort")?;
        Ok(Self { encoder, decoder })
    }

    /// The most probable text of audio at 16 kHz, which `draft` may anticipate.
    pub(super) fn tokens(&mut self, samples: Vec<f32>, draft: &[u16]) -> Result<Vec<Heard>, Error> {
        let length = samples.len();
        let most = (length as f32 / SPEECH_RATE_HZ as f32 * TOKENS_PER_S_MAX) as usize + 1;
        let states = self.encode(samples)?;
        let mut caches = Caches::new(states_count(&states)?)?;
        let mask = Tensor::from_array(([1, length], vec![1_i64; length]))?;
        let listened = Listened { states, mask };
        let draft = &draft[..draft.len().min(most - 1)];
        let mut heard = self.follow(draft, &listened, &mut caches)?;
        while let Some(last) = heard.last().filter(|last| last.token != END_TOKEN_ID) {
            if heard.len() >= most {
                return Ok(heard);
            }
            let token = i64::from(last.token);
            heard.extend(self.step(&[token], &listened, &mut caches)?.pop());
        }
        heard.pop();
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

    /// The tokens of the draft that are right, and the one after them.
    fn follow(
        &mut self,
        draft: &[u16],
        listened: &Listened,
        caches: &mut Caches,
    ) -> Result<Vec<Heard>, Error> {
        let begun = [BEGIN_TOKEN_ID].into_iter().chain(draft.iter().map(|t| i64::from(*t)));
        let mut heard = self.step(&begun.collect::<Vec<_>>(), listened, caches)?;
        let right = heard.iter().zip(draft).take_while(|(heard, draft)| heard.token == **draft);
        let right = right.count();
        heard.truncate(right + 1);
        caches.keep(right + 1)?;
        Ok(heard)
    }

    /// The most probable token after each of these. The caches grow by them.
    fn step(
        &mut self,
        tokens: &[i64],
        listened: &Listened,
        caches: &mut Caches,
    ) -> Result<Vec<Heard>, Error> {
        let ids = Tensor::from_array(([1, tokens.len()], tokens.to_vec()))?;
        let mut inputs: Vec<(String, SessionInputValue<'_>)> = vec![
            ("input_ids".into(), ids.into()),
            ("encoder_hidden_states".into(), (&listened.states).into()),
            ("encoder_attention_mask".into(), (&listened.mask).into()),
            ("use_cache_branch".into(), Tensor::from_array(([1_i64], vec![caches.filled]))?.into()),
        ];
        inputs.extend(caches.values.iter().map(|(name, value)| {
            (format!("past_key_values.{name}"), SessionInputValue::from(value))
        }));
        let mut outputs = self.decoder.run(inputs)?;
        let (_, logits) = outputs["logits"].try_extract_tensor::<f32>()?;
        let each = logits.chunks_exact((logits.len() / tokens.len()).max(1));
        let best: Option<Vec<Heard>> = each.map(most_probable).collect();
        let best = best.filter(|b| b.len() == tokens.len()).ok_or_else(|| missing("logits"))?;
        let mut present = Vec::with_capacity(caches.values.len());
        for (name, _) in &caches.values {
            // The encoder's part is computed by the first step and stays; later steps return it empty.
            if !caches.filled || name.contains(DECODER_PART) {
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

/// In the names of keys and values of tokens; others are those of the audio.
const DECODER_PART: &str = ".decoder.";

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

    /// Forgets all tokens but the first ones.
    fn keep(&mut self, tokens: usize) -> Result<(), Error> {
        for (name, value) in &mut self.values {
            if !name.contains(DECODER_PART) {
                continue;
            }
            let (shape, numbers) = value.try_extract_tensor::<f32>()?;
            let (known, wanted) = (shape.get(2).map_or(0, |n| *n as usize), tokens);
            if known <= wanted {
                return Ok(());
            }
            let head = HEAD_VALUES_COUNT as usize;
            let heads = numbers.chunks_exact(known * head);
            let kept: Vec<f32> = heads.flat_map(|h| &h[..wanted * head]).copied().collect();
            let shape = [1, HEADS_COUNT, wanted as i64, HEAD_VALUES_COUNT];
            *value = Tensor::from_array((shape, kept))?.into_dyn();
        }
        Ok(())
    }
}

/// The largest logit, with its probability.
fn most_probable(logits: &[f32]) -> Option<Heard> {
    let (token, &largest) = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
    let sum: f32 = logits.iter().map(|l| (l - largest).exp()).sum();
    Some(Heard { token: u16::try_from(token).ok()?, probability: 1.0 / sum })
}
