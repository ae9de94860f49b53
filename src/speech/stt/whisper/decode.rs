//! The child: one model, one state, one window at a time.

use std::path::Path;

use whisper_rs::{
    DtwMode, DtwModelPreset, DtwParameters, FullParams, SamplingStrategy, WhisperContext,
    WhisperContextParameters, WhisperError, WhisperState, convert_integer_to_float_audio,
};

use super::header;
use crate::media::Language;
use crate::speech::engine;
use crate::speech::stt::phrases::spaced;
use crate::speech::stt::tokens::{Token, assemble};
use crate::speech::stt::wire::{Answer, Question, unpack};
use crate::speech::vad::SPEECH_RATE_HZ;

/// Shortest window, in samples. Whisper recognises nothing in under a second, so shorter windows
/// are padded with silence.
const WINDOW_SAMPLES_MIN: usize = SPEECH_RATE_HZ * 11 / 10;

/// Encoder positions per second of audio.
const POSITIONS_PER_S: usize = 50;

/// Positions beyond the window: with fewer the models ramble.
const SPARE_POSITIONS: usize = 128;
/// Fewest positions in all, for the same reason.
const POSITIONS_MIN: usize = 512;

/// Above this probability of silence and below the log probability [`LOG_PROBABILITY_MIN`] there is
/// no speech. Both values are from the Whisper paper (Radford et al. 2022).
const NO_SPEECH_PROBABILITY: f32 = 0.6;
/// Mean log probability of the words; see [`NO_SPEECH_PROBABILITY`].
const LOG_PROBABILITY_MIN: f32 = -1.0;

/// How the model is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Processor threads.
    pub threads: usize,
    /// Whether a GPU may be used.
    pub gpu: bool,
}

struct Loaded {
    context: WhisperContext,
    state: WhisperState,
    aligned: bool,
}

/// Serves requests until the parent is gone.
///
/// # Errors
/// If the pipes break.
pub fn serve(model: &Path, run: Run) -> std::io::Result<()> {
    whisper_rs::install_logging_hooks();
    let mut loaded = None;
    engine::serve(|question, body| {
        if loaded.is_none() {
            loaded = Some(load(model, run)?);
        }
        let Some(whisper) = &mut loaded else { return Err("no model".to_owned()) };
        match question {
            Question::Load => Ok(Answer::default()),
            Question::Hear { language, prompt, .. } => {
                let mut samples = vec![0.0; body.len() / 2];
                convert_integer_to_float_audio(&unpack(body), &mut samples)
                    .map_err(|e| e.to_string())?;
                whisper.hear(samples, language, &prompt, run).map_err(|e| e.to_string())
            }
        }
    })
}

fn load(path: &Path, run: Run) -> Result<Loaded, String> {
    let at = |reason: String| -> String {
        format!("cannot load the model {}: {reason}", path.display())
    };
    header::check(path).map_err(at)?;
    let open = |preset: Option<DtwModelPreset>| {
        let mut parameters = WhisperContextParameters::default();
        parameters.use_gpu(run.gpu).flash_attn(false);
        if let Some(model_preset) = preset {
            let mode = DtwMode::ModelPreset { model_preset };
            parameters.dtw_parameters(DtwParameters { mode, ..DtwParameters::default() });
        }
        WhisperContext::new_with_params(path, parameters)
            .map_err(|_| at("it is damaged or of an unknown kind; `auralink models verify`".into()))
    };
    let mut context = open(None)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let preset = preset(&name, context.model_n_text_layer());
    let aligned = preset.is_some();
    if aligned {
        drop(context);
        context = open(preset)?;
    }
    let state = context.create_state().map_err(|e| at(e.to_string()))?;
    Ok(Loaded { context, state, aligned })
}

/// The layers of a model that align words to audio, by file name; only if the model really has
/// these layers, because whisper.cpp aborts otherwise.
fn preset(name: &str, layers: i32) -> Option<DtwModelPreset> {
    use DtwModelPreset as P;
    let has = |part: &str| name.contains(part);
    let (expected, preset) = match name {
        _ if has("large-v3-turbo") => (4, P::LargeV3Turbo),
        _ if has("large-v3") => (32, P::LargeV3),
        _ if has("large-v2") => (32, P::LargeV2),
        _ if has("large-v1") => (32, P::LargeV1),
        _ if has("medium.en") => (24, P::MediumEn),
        _ if has("medium") => (24, P::Medium),
        _ if has("small.en") => (12, P::SmallEn),
        _ if has("small") => (12, P::Small),
        _ if has("base.en") => (6, P::BaseEn),
        _ if has("base") => (6, P::Base),
        _ if has("tiny.en") => (4, P::TinyEn),
        _ if has("tiny") => (4, P::Tiny),
        _ => return None,
    };
    (layers == expected && !has("for-tests")).then_some(preset)
}

impl Loaded {
    fn hear(
        &mut self,
        mut samples: Vec<f32>,
        language: Option<String>,
        prompt: &str,
        run: Run,
    ) -> Result<Answer, WhisperError> {
        let length_ms = (samples.len() * 1000 / SPEECH_RATE_HZ) as i64;
        let seconds = samples.len() as f32 / SPEECH_RATE_HZ as f32;
        samples.resize(samples.len().max(WINDOW_SAMPLES_MIN), 0.0);
        let mut answer = Answer::default();
        let positions =
            (samples.len() * POSITIONS_PER_S).div_ceil(SPEECH_RATE_HZ) + SPARE_POSITIONS;
        let most = self.context.n_audio_ctx();
        let positions = i32::try_from(positions.max(POSITIONS_MIN)).unwrap_or(most).min(most);
        let known = language.filter(|l| whisper_rs::get_lang_id(l).is_some());
        let language = match known {
            _ if !self.context.is_multilingual() => "en".to_owned(),
            Some(language) => language,
            None => {
                let (tag, sure) = self.detect(&samples, positions, run)?;
                answer.language = Some((tag.clone(), sure));
                tag
            }
        };
        let mut full = FullParams::new(SamplingStrategy::Greedy { best_of: 1 });
        full.set_n_threads(i32::try_from(run.threads).unwrap_or(1));
        full.set_language(Some(&language));
        full.set_audio_ctx(positions);
        full.set_single_segment(true);
        full.set_no_context(true);
        full.set_token_timestamps(true);
        full.set_suppress_blank(true);
        full.set_suppress_nst(true);
        full.set_temperature(0.0);
        full.set_temperature_inc(0.0);
        full.set_no_speech_thold(NO_SPEECH_PROBABILITY);
        full.set_logprob_thold(LOG_PROBABILITY_MIN);
        // Speech has at most about 12 tokens a second: this ends a loop.
        full.set_max_tokens(16 + (12.0 * seconds) as i32);
        full.set_print_special(false);
        full.set_print_progress(false);
        full.set_print_realtime(false);
        full.set_print_timestamps(false);
        let prompt: String = prompt.chars().filter(|c| *c != '\0').collect();
        if !prompt.is_empty() {
            full.set_initial_prompt(&prompt);
        }
        self.state.full(full, &samples)?;
        let tag: Result<Language, _> = language.parse();
        let tokens = self.tokens(length_ms)?;
        answer.words = assemble(&tokens, tag.is_ok_and(|l| spaced(&l)));
        Ok(answer)
    }

    /// The language and its probability.
    fn detect(
        &mut self,
        samples: &[f32],
        positions: i32,
        run: Run,
    ) -> Result<(String, f32), WhisperError> {
        // whisper.cpp detects with as many positions as the last window had, at first all 1500,
        // which takes three times as long. A window of one token sets them.
        let mut full = FullParams::new(SamplingStrategy::Greedy { best_of: 1 });
        full.set_n_threads(i32::try_from(run.threads).unwrap_or(1));
        full.set_language(Some("en"));
        full.set_audio_ctx(positions);
        full.set_single_segment(true);
        full.set_no_context(true);
        full.set_temperature_inc(0.0);
        full.set_max_tokens(1);
        full.set_print_progress(false);
        self.state.full(full, samples)?;
        let (id, probabilities) = self.state.lang_detect(0, run.threads)?;
        let tag = whisper_rs::get_lang_str(id).unwrap_or("en").to_owned();
        Ok((tag, probabilities.get(id.max(0) as usize).copied().unwrap_or_default()))
    }

    /// The text tokens, without timestamps and silence.
    fn tokens(&self, length_ms: i64) -> Result<Vec<Token>, WhisperError> {
        let end = self.context.token_eot();
        let mut all = Vec::new();
        for segment in self.state.as_iter() {
            let mut tokens = Vec::new();
            for token in (0..segment.n_tokens()).filter_map(|n| segment.get_token(n)) {
                let data = token.token_data();
                if data.id >= end {
                    continue;
                }
                // In hundredths of a second; -1 if not aligned.
                let (start, stop) = match data.t_dtw {
                    at if self.aligned && at >= 0 => (at - 10, at + 10),
                    _ => (data.t0, data.t1),
                };
                let clamp = |t: i64| (t * 10).clamp(0, length_ms);
                let bytes = token.to_bytes()?.to_vec();
                tokens.push(Token { bytes, start: clamp(start), end: clamp(stop), p: data.p });
            }
            let logs: f32 = tokens.iter().map(|t| t.p.max(1e-6).ln()).sum();
            let mean = logs / tokens.len().max(1) as f32;
            if segment.no_speech_probability() > NO_SPEECH_PROBABILITY && mean < LOG_PROBABILITY_MIN
            {
                continue;
            }
            all.extend(tokens);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_does_not_make_alignment() {
        assert!(preset("ggml-base.en-q5_1.bin", 6).is_some());
        assert!(preset("ggml-base.en.bin", 4).is_none());
        assert!(preset("for-tests-ggml-base.bin", 6).is_none());
        assert!(preset("mine.bin", 6).is_none());
    }
}
