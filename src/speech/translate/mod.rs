//! Translation of committed cues.
//!
//! Engines in order of preference; the first that has the pair and works is used. `basic` works on
//! every machine with Apertium's Debian packages; the others need a server or a model.

mod apertium;
pub mod ct2;
mod engine;
mod error;
mod libretranslate;
mod openai;
mod protect;
mod routes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;

pub use apertium::{Apertium, Config as BasicConfig};
pub use ct2::{Config as Ct2Config, Ct2};
pub use engine::{Job, Output, Pair, Translator};
pub use error::Error;
pub use libretranslate::{Config as LibreTranslateConfig, LibreTranslate};
pub use openai::{Config as OpenAiConfig, OpenAi};

use super::EngineError;
use super::chain::{Chain, EngineState, OnSwitch};
use super::glossary::Glossary;
use crate::media::Language;
use crate::models::Registry;

/// Longest text that is translated, in characters: some minutes of speech.
pub const TEXT_CHARS_MAX: usize = 2000;

/// `[translate]`: how text becomes text in other languages.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Engines in order of preference; those that are not set up or lack the pair are skipped.
    pub engines: Vec<String>,
    /// Time limit of one engine for one sentence before the next is asked, in milliseconds,
    /// 100-60000.
    pub timeout_ms: u32,
    /// `[translate.basic]`.
    pub basic: BasicConfig,
    /// `[translate.ct2]`.
    pub ct2: Ct2Config,
    /// `[translate.libretranslate]`.
    pub libretranslate: Option<LibreTranslateConfig>,
    /// `[translate.openai]`.
    pub openai: Option<OpenAiConfig>,
}

/// Every engine, in the default order.
pub const ENGINES: [&str; 4] = ["openai", "libretranslate", "ct2", "basic"];

impl Default for Config {
    fn default() -> Self {
        Self {
            engines: ENGINES.map(str::to_owned).to_vec(),
            timeout_ms: 4000,
            basic: BasicConfig::default(),
            ct2: Ct2Config::default(),
            libretranslate: None,
            openai: None,
        }
    }
}

impl Config {
    /// Settings that parse but cannot work: the path below `translate`, and what is wrong.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if let Some(other) = self.engines.iter().find(|e| !ENGINES.contains(&e.as_str())) {
            problems.push(("engines", format!("`{other}` is not one of {}", ENGINES.join(", "))));
        }
        if !(100..=60_000).contains(&self.timeout_ms) {
            problems.push(("timeout_ms", "100-60000".to_owned()));
        }
        if !(1..=86_400).contains(&self.basic.idle_s) {
            problems.push(("basic.idle_s", "1-86400".to_owned()));
        }
        if !(1..=86_400).contains(&self.ct2.idle_s) {
            problems.push(("ct2.idle_s", "1-86400".to_owned()));
        }
        if self.ct2.threads > 256 {
            problems.push(("ct2.threads", "0-256".to_owned()));
        }
        let libre = self.libretranslate.as_ref().map(|c| LibreTranslate::new(c, self.timeout()));
        if let Some(Err(error)) = libre {
            problems.push(("libretranslate.url", error.to_string()));
        }
        match self.openai.as_ref().map(|c| OpenAi::new(c, self.timeout())) {
            Some(Err(Error::Engine(EngineError::Config { field, message }))) => {
                problems.push((field, message))
            }
            Some(Err(error)) => problems.push(("openai.url", error.to_string())),
            _ => {}
        }
        problems
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.into())
    }
}

/// A text to translate.
#[derive(Clone, Debug)]
pub struct Request {
    /// One phrase or sentence, at most [`TEXT_CHARS_MAX`] characters.
    pub text: String,
    /// Language of the text.
    pub from: Language,
    /// Language of the translation.
    pub to: Language,
    /// Overrides the engines of the configuration and their order, unless empty.
    pub engines: Vec<String>,
    /// The preceding sentence, for engines that use it.
    pub context: Option<String>,
    /// Names and terms of the stream.
    pub glossary: Arc<Glossary>,
}

/// A translated text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    /// One line.
    pub text: String,
    /// The engine that translated; `none` if both languages are the same.
    pub engine: &'static str,
    /// The model, if the engine names one.
    pub model: Option<String>,
    /// Time it took, failed engines included.
    pub took: Duration,
}

/// All engines that are set up.
pub struct Translators {
    chain: Chain<dyn Translator>,
    basic: Option<Arc<Apertium>>,
    ct2: Option<Arc<Ct2>>,
}

impl Translators {
    /// Sets up the engines of a configuration; asks no server and starts no process. Without
    /// `models` there is no `ct2`. `on_switch` is called when another engine takes over.
    ///
    /// # Errors
    /// Settings that cannot work; [`Config::problems`] lists them all.
    pub fn new(
        config: &Config,
        models: Option<&Registry>,
        on_switch: OnSwitch,
    ) -> Result<Self, Error> {
        let mut chain: Chain<dyn Translator> = Chain::new("translate", on_switch);
        let (mut basic, mut ct2) = (None, None);
        let limit = config.timeout();
        for name in &config.engines {
            match name.as_str() {
                "openai" => {
                    if let Some(openai) = &config.openai {
                        chain.push("openai", Arc::new(OpenAi::new(openai, limit)?), limit);
                    }
                }
                "libretranslate" => {
                    if let Some(libre) = &config.libretranslate {
                        let engine = Arc::new(LibreTranslate::new(libre, limit)?);
                        chain.push("libretranslate", engine, limit);
                    }
                }
                "ct2" => {
                    if let Some(models) = models.filter(|_| Ct2::BUILT) {
                        let engine = Arc::new(Ct2::new(&config.ct2, models.clone()));
                        ct2 = Some(engine.clone());
                        chain.push("ct2", engine, limit);
                    }
                }
                "basic" => {
                    let engine = Arc::new(Apertium::new(&config.basic));
                    if !engine.is_empty() {
                        basic = Some(engine.clone());
                        chain.push("basic", engine, limit);
                    }
                }
                other => {
                    let message = format!("`{other}` is not one of {}", ENGINES.join(", "));
                    return Err(EngineError::Config { field: "engines", message }.into());
                }
            }
        }
        Ok(Self { chain, basic, ct2 })
    }

    /// The pairs known so far, those of the preferred engine first; see [`Self::refresh`].
    pub fn pairs(&self) -> Vec<Pair> {
        self.chain.engines().flat_map(|(_, engine)| engine.pairs()).collect()
    }

    /// Whether any engine has a pair.
    pub fn can(&self, from: &Language, to: &Language) -> bool {
        from == to || self.chain.engines().any(|(_, engine)| engine.can(from, to))
    }

    /// Asks servers for their languages. After a failure the known pairs of that server stay.
    pub async fn refresh(&self) {
        for (name, engine) in self.chain.engines() {
            if let Err(error) = engine.refresh().await {
                tracing::debug!(engine = name, %error, "its languages are not known");
            }
        }
    }

    /// The state of each engine.
    pub fn states(&self) -> Vec<EngineState> {
        self.chain.states()
    }

    /// Apertium, if its packages are installed.
    pub fn basic(&self) -> Option<&Arc<Apertium>> {
        self.basic.as_ref()
    }

    /// CTranslate2, if the build includes it.
    pub fn ct2(&self) -> Option<&Arc<Ct2>> {
        self.ct2.as_ref()
    }

    /// Translates one text with the first engine that can and works. Keeps the glossary's terms and
    /// applies its replacements and masks for the target.
    ///
    /// # Errors
    /// [`Error::NoRoute`], [`Error::TooLong`], [`Error::Resting`], or the last engine's error.
    pub async fn translate(&self, request: &Request) -> Result<Translation, Error> {
        let started = Instant::now();
        let length = request.text.chars().count();
        if length > TEXT_CHARS_MAX {
            return Err(Error::TooLong { length, max: TEXT_CHARS_MAX });
        }
        let text = request.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (from, to) = (request.from.clone(), request.to.clone());
        if text.is_empty() || from == to {
            let text = request.glossary.apply(&text, &to);
            return Ok(Translation { text, engine: "none", model: None, took: started.elapsed() });
        }
        if !self.can(&from, &to) {
            return Err(Error::NoRoute { from, to });
        }
        let fixed = request.glossary.fixed(&text, &to);
        let context = request.context.clone();
        let job = Arc::new(Job { text, from: from.clone(), to: to.clone(), context, fixed });
        let ask = |engine: Arc<dyn Translator>| -> futures::future::BoxFuture<'static, _> {
            let job = job.clone();
            Box::pin(async move { engine.translate(&job).await })
        };
        let can = |engine: &Arc<dyn Translator>| engine.can(&from, &to);
        let asked = self.chain.run(&format!("{from}→{to}"), &request.engines, can, ask).await;
        match asked {
            Ok((output, engine)) => {
                let text = request.glossary.apply(&output.text, &to);
                Ok(Translation { text, engine, model: output.model, took: started.elapsed() })
            }
            Err(Some(error)) => Err(error),
            Err(None) => Err(Error::Resting { from, to }),
        }
    }
}

#[cfg(test)]
mod tests;
