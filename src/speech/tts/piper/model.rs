//! The child: one voice, one sentence at a time.
//!
//! A Piper voice is a VITS model (Kim et al. 2021, arXiv:2106.06103): phonemes go in, samples come
//! out, without a step between.

use std::path::PathBuf;

use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;

use super::wire::{Answer, Question, Sentence};
use crate::onnx::{Choice, Device, Error, Runtime};
use crate::speech::engine::{self, BODY_BYTES_MAX};

/// Level of the loudest sample. Piper itself raises each sentence to 1; the rest is for the overshoot
/// of resampling.
const PEAK_LEVEL: f32 = 0.9;

/// A sentence that is quieter than this is not raised further: it may be silence.
const QUIET_LEVEL: f32 = 0.01;

/// Where a voice lies, and how it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The model, `*.onnx`.
    pub model: PathBuf,
    /// ONNX Runtime's shared library.
    pub runtime: PathBuf,
    /// Where it may run. Its numbers are of 32 bits, which a GPU multiplies faster.
    pub device: Device,
    /// Processor threads.
    pub threads: usize,
}

/// Serves requests until the parent is gone.
///
/// # Errors
/// If the pipes break.
pub fn serve(run: &Run) -> std::io::Result<()> {
    let mut loaded = None;
    engine::serve_with_body(|question, _| {
        let (session, choice) = match &mut loaded {
            Some(loaded) => loaded,
            None => loaded.insert(load(run).map_err(|e| e.to_string())?),
        };
        match question {
            Question::Load => Ok((Answer::from(&*choice), Vec::new())),
            Question::Say(sentence) => {
                let samples = say(session, sentence).map_err(|e| e.to_string())?;
                let audio = pack(&samples);
                match audio.len() > BODY_BYTES_MAX {
                    true => Err(format!("a sentence of {} samples is too long", samples.len())),
                    false => Ok((Answer::default(), audio)),
                }
            }
        }
    })
}

fn load(run: &Run) -> Result<(Session, Choice), Error> {
    Runtime::open(&run.runtime)?.load(&run.model, run.threads, run.device)
}

fn say(session: &mut Session, sentence: Sentence) -> Result<Vec<f32>, Error> {
    let Sentence { ids, scales, speaker } = sentence;
    let length = ids.len() as i64;
    let mut inputs: Vec<(&str, SessionInputValue<'_>)> = vec![
        ("input", Tensor::from_array(([1, length], ids))?.into()),
        ("input_lengths", Tensor::from_array(([1_i64], vec![length]))?.into()),
        ("scales", Tensor::from_array(([3_i64], scales.to_vec()))?.into()),
    ];
    if let Some(speaker) = speaker {
        inputs.push(("sid", Tensor::from_array(([1_i64], vec![speaker]))?.into()));
    }
    let mut outputs = session.run(inputs)?;
    let missing = || ort::Error::new("it has no output `output`: it is no Piper voice");
    let output = outputs.remove("output").ok_or_else(missing)?;
    let (_, samples) = output.try_extract_tensor::<f32>()?;
    if samples.iter().any(|s| !s.is_finite()) {
        return Err(ort::Error::new("its samples are no numbers").into());
    }
    Ok(samples.to_vec())
}

/// Samples as the pipe carries them, 16 bits, raised to the same peak for each sentence.
fn pack(samples: &[f32]) -> Vec<u8> {
    let peak = samples.iter().fold(QUIET_LEVEL, |peak, s| peak.max(s.abs()));
    let gain = PEAK_LEVEL / peak * 32_767.0;
    samples.iter().flat_map(|s| ((s * gain) as i16).to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_have_the_same_peak_and_silence_stays_silent() {
        let loudest = |samples: &[f32]| {
            let bytes = pack(samples);
            let values = bytes.as_chunks::<2>().0.iter().map(|b| i16::from_le_bytes(*b).abs());
            f32::from(values.max().unwrap_or_default()) / 32_767.0
        };
        for samples in [[0.1, -0.05], [0.3, -2.0]] {
            assert!((loudest(&samples) - PEAK_LEVEL).abs() < 0.001);
        }
        assert!(loudest(&[0.0001, 0.0]) < 0.01);
        assert!(pack(&[]).is_empty());
    }
}
