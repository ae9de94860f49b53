//! `piper`: neural voices on this machine, by Piper's program or its HTTP server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Deserialize;

use super::engine::{OUTPUT_MAX_S, Pcm, Synthesiser, Utterance, Voice};
use super::remote::Remote;
use super::{Error, process, wav};
use crate::media::Language;
use crate::speech::EngineError;

/// Largest `.onnx.json` of a voice, in bytes; typical are 10 KB.
const VOICE_CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// `[tts.piper]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address of a Piper HTTP server (piper1-gpl), which keeps its model loaded. Without it the
    /// program starts for each phrase and loads the model each time.
    pub url: Option<String>,
    /// The program, used without `url`.
    pub program: Option<String>,
    /// Voices by language: for the program, paths of `.onnx` files (with their `.onnx.json` beside
    /// them); for a server, the names of its voices.
    pub voices: BTreeMap<Language, String>,
}

/// The program with its voices.
struct Program {
    program: String,
    voices: BTreeMap<Language, (PathBuf, u32)>,
}

/// Piper as configured.
pub(super) fn new(config: &Config, timeout: Duration) -> Result<Box<dyn Synthesiser>, Error> {
    let wrong = |field, message: String| Err(EngineError::Config { field, message }.into());
    if config.voices.is_empty() {
        return wrong("piper.voices", "name a voice for each language".into());
    }
    if let Some(url) = &config.url {
        return Ok(Box::new(Remote::piper(url, &config.voices, timeout)?));
    }
    let mut voices = BTreeMap::new();
    for (language, model) in &config.voices {
        let model = PathBuf::from(model);
        match sample_rate(&model) {
            Ok(rate) => voices.insert(language.clone(), (model, rate)),
            Err(reason) => return wrong("piper.voices", format!("{}: {reason}", model.display())),
        };
    }
    let program = config.program.clone().unwrap_or_else(|| "piper".into());
    Ok(Box::new(Program { program, voices }))
}

/// The sample rate of a voice, from the file beside its model.
fn sample_rate(model: &Path) -> Result<u32, String> {
    if !model.is_file() {
        return Err("there is no such file".into());
    }
    let beside = PathBuf::from(format!("{}.json", model.display()));
    let size = std::fs::metadata(&beside).map_err(|e| format!("{}: {e}", beside.display()))?.len();
    if size > VOICE_CONFIG_BYTES_MAX {
        return Err("the .json beside it is too large".into());
    }
    let text = std::fs::read_to_string(&beside).map_err(|e| e.to_string())?;
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let rate = json.pointer("/audio/sample_rate").and_then(serde_json::Value::as_u64);
    let rate = rate.and_then(|r| u32::try_from(r).ok()).filter(|r| (8_000..=48_000).contains(r));
    rate.ok_or_else(|| "the .json beside it has no audio.sample_rate of 8000-48000".into())
}

impl Program {
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
        let name = |model: &Path| model.file_stem().map(|s| s.to_string_lossy().into_owned());
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
