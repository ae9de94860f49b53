//! `[stt]`.

use std::time::Duration;

use serde::Deserialize;

use crate::media::Secret;
use crate::speech::http;

/// All engines, in order of preference.
pub const ENGINES: &[&str] = &["moonshine", "whisper", "openai", "basic"];

/// The voice activity detector in front of the engines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vad {
    /// Silero, whose weights are in the program.
    #[default]
    Silero,
    /// Earshot: cheaper, but takes some noises for speech.
    Earshot,
}

/// `[stt]`: how speech becomes text.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Engines in order of preference; empty: the best of this machine.
    pub engines: Vec<String>,
    /// Whisper model by its label (`base.en`); `None`: the best that is installed.
    pub model: Option<String>,
    /// Threads of a Whisper model; 0: half of the processor's, at most 4.
    pub threads: usize,
    /// Whether Whisper may use a GPU, if the build supports one.
    pub gpu: bool,
    /// Most streams that share a Whisper model.
    pub streams_max: usize,
    /// Most streams that use the basic engine.
    pub basic_streams_max: usize,
    /// Seconds after which an unused Whisper model leaves memory.
    pub idle_unload_s: u64,
    /// Audio that waits longer than this for an engine is skipped, in seconds.
    pub lag_max_s: u64,
    /// The voice activity detector.
    pub vad: Vad,
    /// Base address of an OpenAI-compatible server; `None`: no such engine.
    pub openai_url: Option<String>,
    /// The server's key.
    pub openai_key: Secret,
    /// The server's model.
    pub openai_model: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            engines: Vec::new(),
            model: None,
            threads: 0,
            gpu: true,
            streams_max: 8,
            basic_streams_max: 4,
            idle_unload_s: 300,
            lag_max_s: 6,
            vad: Vad::Silero,
            openai_url: None,
            openai_key: Secret::default(),
            openai_model: "whisper-1".into(),
        }
    }
}

impl Config {
    /// Settings that cannot work: field and reason.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        for name in self.engines.iter().filter(|n| !ENGINES.contains(&n.as_str())) {
            let message = format!("there is no engine `{name}`: use {}", ENGINES.join(", "));
            found.push(("engines", message));
        }
        let ranges = [
            ("streams_max", self.streams_max as u64, 1..=64),
            ("basic_streams_max", self.basic_streams_max as u64, 1..=32),
            ("idle_unload_s", self.idle_unload_s, 1..=86_400),
            ("lag_max_s", self.lag_max_s, 3..=60),
            ("threads", self.threads as u64, 0..=64),
        ];
        for (field, value, range) in ranges {
            if !range.contains(&value) {
                found.push((field, format!("{}-{}", range.start(), range.end())));
            }
        }
        if let Some(Err(e)) = self.openai_url.as_deref().map(http::address) {
            found.push(("openai_url", e.to_string()));
        }
        found
    }

    /// Threads per Whisper model.
    pub fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(2, usize::from);
        if self.threads == 0 { cores().div_ceil(2).clamp(1, 4) } else { self.threads }
    }

    /// See [`Config::idle_unload_s`].
    pub fn idle_unload(&self) -> Duration {
        Duration::from_secs(self.idle_unload_s)
    }

    /// See [`Config::lag_max_s`].
    pub fn lag_max(&self) -> Duration {
        Duration::from_secs(self.lag_max_s)
    }

    /// Whether Whisper runs on a GPU: the build supports it and the configuration allows it.
    pub fn on_gpu(&self) -> bool {
        cfg!(feature = "cuda") && self.gpu
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_works_and_mistakes_are_named() {
        assert_eq!(Config::default().problems(), []);
        let wrong = Config {
            engines: vec!["wisper".into()],
            streams_max: 0,
            openai_url: Some("ftp://x".into()),
            ..Config::default()
        };
        let fields: Vec<_> = wrong.problems().into_iter().map(|(f, _)| f).collect();
        assert_eq!(fields, ["engines", "streams_max", "openai_url"]);
    }
}
