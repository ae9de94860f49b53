//! Piper's own program, started for each phrase. It loads the voice each time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use futures::future::BoxFuture;

use super::voice::{VoiceConfig, voice_name};
use crate::media::Language;
use crate::speech::EngineError;
use crate::speech::tts::engine::{OUTPUT_MAX_S, Pcm, Synthesiser, Utterance, Voice};
use crate::speech::tts::{Error, process, wav};

/// The program with its voices: model and sample rate.
pub(super) struct Program {
    program: String,
    voices: BTreeMap<Language, (PathBuf, u32)>,
}

impl Program {
    pub(super) fn new(program: &str, paths: &BTreeMap<Language, String>) -> Result<Self, Error> {
        let mut voices = BTreeMap::new();
        for (language, model) in paths {
            let model = PathBuf::from(model);
            match VoiceConfig::sample_rate_beside(&model) {
                Ok(rate) => voices.insert(language.clone(), (model, rate)),
                Err(reason) => {
                    let message = format!("{}: {reason}", model.display());
                    return Err(EngineError::Config { field: "piper.voices", message }.into());
                }
            };
        }
        Ok(Self { program: program.to_owned(), voices })
    }

    fn model(&self, language: &Language) -> Option<&(PathBuf, u32)> {
        let same = |(l, m): (&Language, _)| l.same_language(language).then_some(m);
        self.voices.get(language).or_else(|| self.voices.iter().find_map(same))
    }
}

impl Synthesiser for Program {
    fn can(&self, language: &Language) -> bool {
        self.model(language).is_some()
    }

    fn voices(&self) -> Vec<Voice> {
        let name = |model: &Path| Some(voice_name(model));
        let voice = |(language, (model, _)): (&Language, &(PathBuf, u32))| Voice {
            language: language.clone(),
            engine: "piper".into(),
            voice: name(model),
        };
        self.voices.iter().map(voice).collect()
    }

    fn speak<'a>(&'a self, utterance: &'a Utterance) -> BoxFuture<'a, Result<Pcm, Error>> {
        Box::pin(async move {
            let no_voice = || Error::NoVoice(utterance.language.clone());
            let (model, rate_hz) = self.model(&utterance.language).ok_or_else(no_voice)?;
            let scale = 1.0 / utterance.rate;
            let arguments = [
                "--model".to_owned(),
                model.display().to_string(),
                "--length_scale".to_owned(),
                format!("{scale:.3}"),
                "--output-raw".to_owned(),
            ];
            // The program speaks line by line.
            let line = format!("{}\n", utterance.text);
            let limit = OUTPUT_MAX_S * *rate_hz as usize * 2;
            let run = || process::run("piper", &self.program, &arguments, &line, limit);
            let audio = match run().await {
                Err(Error::Died { .. }) => run().await?,
                other => other?,
            };
            Ok(wav::raw(&audio, *rate_hz))
        })
    }
}
