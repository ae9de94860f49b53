//! `piper`: neural voices on this machine.
//!
//! ```text
//!   text ─▶ sentences ─▶ espeak-ng ─▶ phonemes ─▶ numbers ─▶ queue ─▶ child with ONNX Runtime ─▶ audio
//!                        a process    with marks             bounded  `auralink engine piper`
//! ```
//!
//! A voice has one child for all streams, because ONNX Runtime is a C++ library that may abort. With
//! a `url` a Piper server speaks instead, with a `program` Piper's own program.
//!
//! Invariant: nothing here blocks the caller; a faulty voice is down, not the engine.

mod model;
mod phonemes;
mod program;
mod voice;
mod wire;
mod worker;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Deserialize;

pub use model::{Run, serve};

use super::engine::{Models, Pcm, Synthesiser, Utterance, Voice};
use super::remote::Remote;
use super::sentences::sentences;
use super::{Error, process, wav};
use crate::media::{IgnorePoison, Language};
use crate::onnx::Device;
use crate::speech::EngineError;
use voice::{Inference, VoiceConfig, voice_name};
use wire::Sentence;
use worker::Worker;

/// Silence between two sentences of one text, as Piper's own programs make it.
const SENTENCE_PAUSE: Duration = Duration::from_millis(200);

/// `[tts.piper]`. Without it, the installed voices are used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address of a Piper HTTP server (piper1-gpl).
    pub url: Option<String>,
    /// Piper's own program, which starts for each phrase and loads the voice each time.
    pub program: Option<String>,
    /// Voices by language: for a server the names of its voices, else paths of `.onnx` files (with
    /// their `.onnx.json` beside them).
    pub voices: BTreeMap<Language, String>,
}

/// Piper as configured. `espeak` is the program that writes the phonemes.
pub(super) fn new(
    config: Option<&Config>,
    espeak: &str,
    timeout: Duration,
) -> Result<Arc<dyn Synthesiser>, Error> {
    let Some(config) = config else {
        return Ok(Arc::new(Piper::new(BTreeMap::new(), espeak, timeout)?));
    };
    if config.voices.is_empty() {
        let message = "name a voice for each language; without [tts.piper] the installed voices \
                       are used";
        let field = "piper.voices";
        return Err(EngineError::Config { field, message: message.into() }.into());
    }
    if let Some(url) = &config.url {
        return Ok(Arc::new(Remote::piper(url, &config.voices, timeout)?));
    }
    if let Some(program) = &config.program {
        return Ok(Arc::new(program::Program::new(program, &config.voices)?));
    }
    let paths = config.voices.iter().map(|(l, path)| (l.clone(), PathBuf::from(path)));
    Ok(Arc::new(Piper::new(paths.collect(), espeak, timeout)?))
}

/// Voices in child processes.
struct Piper {
    espeak: String,
    has_espeak: bool,
    timeout: Duration,
    /// Voices of the configuration; they come before those that are installed.
    configured: BTreeMap<Language, PathBuf>,
    here: Mutex<Here>,
}

/// What this machine has.
#[derive(Default)]
struct Here {
    models: Models,
    /// Usable voices, the preferred first.
    voices: Vec<Arc<PiperVoice>>,
    /// Why a voice cannot be used.
    broken: Option<String>,
}

struct PiperVoice {
    name: String,
    language: Language,
    config: VoiceConfig,
    worker: Worker,
    /// Whether a phoneme that it does not know was reported.
    warned: AtomicBool,
}

impl Piper {
    /// Looks whether espeak-ng is there; loads no voice.
    fn new(
        configured: BTreeMap<Language, PathBuf>,
        espeak: &str,
        timeout: Duration,
    ) -> Result<Self, Error> {
        for path in configured.values() {
            if let Err(reason) = VoiceConfig::beside(path) {
                let message = format!("{}: {reason}", path.display());
                return Err(EngineError::Config { field: "piper.voices", message }.into());
            }
        }
        Ok(Self {
            espeak: espeak.to_owned(),
            has_espeak: process::exists(espeak),
            timeout,
            configured,
            here: Mutex::default(),
        })
    }

    /// The requested voice, else the best for the language: that of its region, else the first.
    fn voice(&self, utterance: &Utterance) -> Result<Arc<PiperVoice>, Error> {
        let here = self.here.lock().ignore_poison();
        let language = &utterance.language;
        if let Some(wanted) = &utterance.voice {
            let found = here.voices.iter().find(|v| v.name == *wanted);
            let voice = wanted.chars().take(80).collect();
            return found.cloned().ok_or(Error::UnknownVoice { engine: "piper", voice });
        }
        let exact = here.voices.iter().find(|v| v.language == *language);
        let same = || here.voices.iter().find(|v| v.language.same_language(language));
        exact.or_else(same).cloned().ok_or_else(|| Error::NoVoice(language.clone()))
    }

    async fn ask(&self, utterance: &Utterance) -> Result<Pcm, Error> {
        let voice = self.voice(utterance)?;
        let rate_hz = voice.config.rate_hz();
        let pause = (SENTENCE_PAUSE.as_secs_f64() * f64::from(rate_hz)) as usize;
        let mut samples = Vec::new();
        for sentence in sentences(&utterance.text) {
            let espeak_voice = voice.config.espeak_voice();
            let phonemes = phonemes::phonemes(&self.espeak, espeak_voice, sentence).await?;
            if phonemes.is_empty() {
                continue;
            }
            if !samples.is_empty() {
                samples.resize(samples.len() + pause, 0.0);
            }
            let audio = voice.say(&phonemes, utterance.rate, self.timeout).await?;
            samples.extend(wav::raw(&audio, rate_hz).samples);
        }
        Ok(Pcm { rate_hz, samples })
    }
}

impl PiperVoice {
    fn new(
        language: Language,
        model: &Path,
        runtime: &Path,
        device: Device,
    ) -> Result<Self, String> {
        let config = VoiceConfig::beside(model)?;
        let name = voice_name(model);
        let (model, runtime) = (model.to_owned(), runtime.to_owned());
        let run = Run { model, runtime, device, threads: 1 };
        let worker = Worker::new(name.clone(), run);
        Ok(Self { name, language, config, worker, warned: AtomicBool::new(false) })
    }

    async fn say(&self, phonemes: &str, rate: f32, limit: Duration) -> Result<Vec<u8>, Error> {
        let voice::PhonemeIds { ids, unknown } = self.config.ids(phonemes);
        if !unknown.is_empty() && !self.warned.swap(true, Ordering::Relaxed) {
            let phonemes: String = unknown.into_iter().collect();
            tracing::warn!(voice = self.name, phonemes, "the voice does not know these phonemes");
        }
        let Inference { noise_scale, length_scale, noise_w } = self.config.inference;
        let scales = [noise_scale, length_scale / rate, noise_w];
        let speaker = (self.config.num_speakers > 1).then_some(0);
        self.worker.say(Sentence { ids, scales, speaker }, limit).await
    }
}

/// The usable voices of these files, and why another is not; those that stay keep their process.
fn usable<'a>(
    files: impl Iterator<Item = (&'a Language, &'a PathBuf)>,
    runtime: &Path,
    device: Device,
    before: &[Arc<PiperVoice>],
) -> (Vec<Arc<PiperVoice>>, Option<String>) {
    let (mut voices, mut broken) = (Vec::new(), None);
    for (language, model) in files {
        let kept = before.iter().find(|v| {
            let run = v.worker.run();
            let same = run.model == *model && run.runtime == *runtime && run.device == device;
            v.language == *language && same
        });
        let voice = match kept {
            Some(voice) => Ok(Arc::clone(voice)),
            None => PiperVoice::new(language.clone(), model, runtime, device).map(Arc::new),
        };
        match voice {
            Ok(voice) => voices.push(voice),
            Err(reason) => {
                let why = format!("{}: {reason}", model.display());
                tracing::error!(why, "a voice is not used");
                broken = Some(why);
            }
        }
    }
    (voices, broken)
}

impl Synthesiser for Piper {
    fn can(&self, language: &Language) -> bool {
        let here = self.here.lock().ignore_poison();
        self.has_espeak && here.voices.iter().any(|v| v.language.same_language(language))
    }

    fn voices(&self) -> Vec<Voice> {
        let voice = |voice: &Arc<PiperVoice>| Voice {
            language: voice.language.clone(),
            engine: "piper".into(),
            voice: Some(voice.name.clone()),
        };
        let here = self.here.lock().ignore_poison();
        here.voices.iter().filter(|_| self.has_espeak).map(voice).collect()
    }

    fn set_models(&self, models: &Models) {
        let before = {
            let here = self.here.lock().ignore_poison();
            if here.models == *models {
                return;
            }
            here.voices.clone()
        };
        // No stream waits for the lock while descriptions are read.
        let installed = models.piper.iter().map(|(language, path)| (language, path));
        let files = self.configured.iter().chain(installed);
        let runtime = models.onnxruntime.as_ref();
        let found = runtime.map(|runtime| usable(files, runtime, models.device, &before));
        let (voices, broken) = found.unwrap_or_default();
        let names: Vec<&str> = voices.iter().map(|voice| voice.name.as_str()).collect();
        tracing::info!(voices = names.join(", "), "piper voices");
        *self.here.lock().ignore_poison() = Here { models: models.clone(), voices, broken };
    }

    fn missing(&self) -> Option<String> {
        let here = self.here.lock().ignore_poison();
        if self.configured.is_empty() && here.models.piper.is_empty() {
            return Some(
                "no voice is installed: `auralink models list --task tts` shows them, \
                 `auralink models pull NAME` installs one"
                    .into(),
            );
        }
        if here.models.onnxruntime.is_none() {
            let model = "onnxruntime-1.32.0";
            return Some(format!("{model} is not installed: `auralink models pull {model}`"));
        }
        if !self.has_espeak {
            let espeak = &self.espeak;
            return Some(format!("`{espeak}` is not installed: sudo apt-get install espeak-ng"));
        }
        here.voices.is_empty().then(|| here.broken.clone()).flatten()
    }

    fn warm_up<'a>(&'a self, utterance: &'a Utterance) -> BoxFuture<'a, ()> {
        Box::pin(async {
            if let Ok(voice) = self.voice(utterance) {
                let _ = voice.worker.load().await;
            }
        })
    }

    fn speak<'a>(&'a self, utterance: &'a Utterance) -> BoxFuture<'a, Result<Pcm, Error>> {
        Box::pin(self.ask(utterance))
    }
}

#[cfg(test)]
mod tests;
