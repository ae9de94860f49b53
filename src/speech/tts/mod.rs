//! Text-to-speech, for dubbing.
//!
//! Engines in order of preference; the first that speaks the language and works is used. `espeak`
//! and `flite` are programs that most machines have; the others need a voice model, a server or an
//! account.
//!
//! Invariant: text reaches an engine by a pipe or in JSON, never by a shell, as an option or as
//! markup.

mod engine;
mod error;
mod espeak;
pub mod fit;
mod flite;
pub mod piper;
mod process;
mod remote;
mod sentences;
mod stretch;
mod wav;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;

use engine::OUTPUT_MAX_S;
pub use engine::{Models, Pcm, Synthesiser, Utterance, Voice};
pub use error::Error;
pub use espeak::{Config as EspeakConfig, Espeak};
pub use flite::Config as FliteConfig;
pub use piper::Config as PiperConfig;
pub use remote::{ElevenLabsConfig, OpenAiConfig};
pub use sentences::sentences;
pub use stretch::stretch;

use super::EngineError;
use super::chain::{Chain, EngineState, OnSwitch};
use crate::media::Language;

/// Longest text that is spoken at once, in characters: about a minute of speech.
pub const TEXT_CHARS_MAX: usize = 1000;

/// Every engine, in the default order.
pub const ENGINES: [&str; 5] = ["elevenlabs", "openai", "piper", "flite", "espeak"];

/// `[tts]`: how text becomes speech.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Engines in order of preference; those that are not set up or do not speak the language are
    /// skipped.
    pub engines: Vec<String>,
    /// Time limit of one engine for one phrase before the next is asked, in milliseconds,
    /// 100-60000.
    pub timeout_ms: u32,
    /// `[tts.espeak]`.
    pub espeak: EspeakConfig,
    /// `[tts.flite]`.
    pub flite: FliteConfig,
    /// `[tts.piper]`.
    pub piper: Option<PiperConfig>,
    /// `[tts.openai]`.
    pub openai: Option<OpenAiConfig>,
    /// `[tts.elevenlabs]`.
    pub elevenlabs: Option<ElevenLabsConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            engines: ENGINES.map(str::to_owned).to_vec(),
            timeout_ms: 8000,
            espeak: EspeakConfig::default(),
            flite: FliteConfig::default(),
            piper: None,
            openai: None,
            elevenlabs: None,
        }
    }
}

impl Config {
    /// Settings that parse but cannot work: the path below `tts`, and what is wrong.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if let Some(other) = self.engines.iter().find(|e| !ENGINES.contains(&e.as_str())) {
            problems.push(("engines", unknown(other)));
        }
        if !(100..=60_000).contains(&self.timeout_ms) {
            problems.push(("timeout_ms", "100-60000".to_owned()));
        }
        for (name, field) in
            [("piper", "piper.url"), ("openai", "openai.url"), ("elevenlabs", "elevenlabs.url")]
        {
            match self.engine(name) {
                Err(Error::Engine(EngineError::Config { field, message })) => {
                    problems.push((field, message))
                }
                Err(error) => problems.push((field, error.to_string())),
                Ok(_) => {}
            }
        }
        problems
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.into())
    }

    /// An engine by name; `None` if it is not set up.
    fn engine(&self, name: &str) -> Result<Option<Named>, Error> {
        let limit = self.timeout();
        Ok(match name {
            "espeak" => Some(("espeak", Arc::new(Espeak::new(&self.espeak)))),
            "flite" => Some(("flite", Arc::new(flite::Flite::new(&self.flite)))),
            "piper" => {
                let espeak = &self.espeak.program;
                Some(("piper", piper::new(self.piper.as_ref(), espeak, limit)?))
            }
            "openai" => match &self.openai {
                Some(config) => Some(("openai", Arc::new(remote::Remote::openai(config, limit)?))),
                None => None,
            },
            "elevenlabs" => match &self.elevenlabs {
                Some(config) => {
                    Some(("elevenlabs", Arc::new(remote::Remote::elevenlabs(config, limit)?)))
                }
                None => None,
            },
            other => {
                return Err(
                    EngineError::Config { field: "engines", message: unknown(other) }.into()
                );
            }
        })
    }
}

/// An engine with its name.
type Named = (&'static str, Arc<dyn Synthesiser>);

fn unknown(engine: &str) -> String {
    format!("`{engine}` is not one of {}", ENGINES.join(", "))
}

/// A spoken phrase.
#[derive(Clone, Debug, PartialEq)]
pub struct Speech {
    /// The audio.
    pub pcm: Pcm,
    /// The engine that spoke.
    pub engine: &'static str,
    /// Time it took, failed engines included.
    pub took: Duration,
}

/// All engines that are set up.
pub struct Voices {
    chain: Chain<dyn Synthesiser>,
}

impl Voices {
    /// Sets up the engines of a configuration; asks `espeak-ng` and `flite` for their voices, but no
    /// server. Installed voices are used after [`Self::set_models`]. `on_switch` is called when
    /// another engine takes over.
    ///
    /// # Errors
    /// Settings that cannot work; [`Config::problems`] lists them all.
    pub fn new(config: &Config, on_switch: OnSwitch) -> Result<Self, Error> {
        let mut chain: Chain<dyn Synthesiser> = Chain::new("tts", on_switch);
        for name in &config.engines {
            if let Some((name, engine)) = config.engine(name)? {
                chain.push(name, engine, config.timeout());
            }
        }
        Ok(Self { chain })
    }

    /// The voices of this machine, the preferred engine first.
    pub fn list(&self) -> Vec<Voice> {
        self.chain.engines().flat_map(|(_, engine)| engine.voices()).collect()
    }

    /// Replaces the model files. Reads their descriptions from the disk.
    pub fn set_models(&self, models: &Models) {
        self.chain.engines().for_each(|(_, engine)| engine.set_models(models));
    }

    /// Engines that speak nothing on this machine, with the remedy.
    pub fn missing(&self) -> Vec<(&'static str, String)> {
        let missing = |(name, engine): (_, &Arc<dyn Synthesiser>)| Some((name, engine.missing()?));
        self.chain.engines().filter_map(missing).collect()
    }

    /// Whether any engine speaks a language.
    pub fn can(&self, language: &Language) -> bool {
        self.chain.engines().any(|(_, engine)| engine.can(language))
    }

    /// The state of each engine that is not missing.
    pub fn states(&self) -> Vec<EngineState> {
        let missing = self.missing();
        let mut states = self.chain.states();
        states.retain(|state| !missing.iter().any(|(name, _)| *name == state.engine));
        states
    }

    /// Loads the voice of the first engine that can speak this, so that its first phrase is not late.
    pub async fn warm_up(&self, utterance: &Utterance, engines: &[String]) {
        let asked = |name: &str| engines.is_empty() || engines.iter().any(|engine| engine == name);
        let mut able = self.chain.engines().filter(|(name, _)| asked(name));
        if let Some((_, engine)) = able.find(|(_, engine)| engine.can(&utterance.language)) {
            engine.warm_up(utterance).await;
        }
    }

    /// Speaks a phrase with the first engine that can and works. `engines` overrides the order of
    /// the configuration unless empty. If an engine lacks the requested voice, the next one is
    /// asked.
    ///
    /// # Errors
    /// [`Error::NoVoice`], [`Error::TooLong`], [`Error::Resting`], or the last engine's error.
    pub async fn speak(&self, utterance: &Utterance, engines: &[String]) -> Result<Speech, Error> {
        let started = Instant::now();
        let length = utterance.text.chars().count();
        if length > TEXT_CHARS_MAX {
            return Err(Error::TooLong { length, max: TEXT_CHARS_MAX });
        }
        let language = utterance.language.clone();
        let asked = |name: &str| engines.is_empty() || engines.iter().any(|engine| engine == name);
        if !self.chain.engines().any(|(name, engine)| asked(name) && engine.can(&language)) {
            return Err(Error::NoVoice(language));
        }
        let text = plain(&utterance.text);
        let (rate, pitch) = (bounded(utterance.rate, 0.5), bounded(utterance.pitch, 0.0));
        let utterance = Arc::new(Utterance { text, rate, pitch, ..utterance.clone() });
        let ask = |engine: Arc<dyn Synthesiser>| -> futures::future::BoxFuture<'static, _> {
            let utterance = utterance.clone();
            Box::pin(async move {
                let pcm = engine.speak(&utterance).await?;
                checked(&utterance, pcm)
            })
        };
        let can = |engine: &Arc<dyn Synthesiser>| engine.can(&language);
        match self.chain.run(language.as_str(), engines, can, ask).await {
            Ok((pcm, engine)) => Ok(Speech { pcm, engine, took: started.elapsed() }),
            Err(Some(error)) => Err(error),
            Err(None) => Err(Error::Resting(language.clone())),
        }
    }
}

fn bounded(value: f32, least: f32) -> f32 {
    if value.is_finite() { value.clamp(least, 2.0) } else { 1.0 }
}

/// Refuses silence for a text with words in it.
fn checked(utterance: &Utterance, pcm: Pcm) -> Result<Pcm, Error> {
    let silent = pcm.samples.iter().all(|s| s.abs() < 1e-4);
    let engine = "the engine";
    if silent && utterance.text.chars().any(char::is_alphanumeric) {
        return Err(Error::Unsuitable { engine, reason: "it is silent".into() });
    }
    if pcm.duration() > Duration::from_secs(OUTPUT_MAX_S as u64) {
        return Err(Error::Unsuitable { engine, reason: "it does not end".into() });
    }
    Ok(pcm)
}

/// One line without what an engine would interpret: `<break>` (ElevenLabs), `[[phonemes]]`
/// (espeak-ng), control characters (both).
fn plain(text: &str) -> String {
    let harmless = |c: char| if c.is_control() || matches!(c, '<' | '>') { ' ' } else { c };
    let text: String = text.chars().map(harmless).collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    // Twice, because three brackets contain two overlapping pairs.
    text.replace("[[", "[ [").replace("[[", "[ [")
}

#[cfg(test)]
mod tests;
