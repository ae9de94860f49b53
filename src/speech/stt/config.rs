//! `[stt]`.

use std::time::Duration;

use serde::Deserialize;

use crate::media::Secret;
use crate::speech::http;

/// The engines that there are, in the order in which they are preferred.
pub const ENGINES: &[&str] = &["whisper", "openai", "basic"];

/// Which voice activity detector stands in front of the engines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vad {
    /// Silero, whose weights are in the program.
    #[default]
    Silero,
    /// Earshot: cheaper, and takes some noises for speech.
    Earshot,
}

/// `[stt]`: how speech becomes text.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Engines in the order of preference; empty: the best of this machine.
    pub engines: Vec<String>,
    /// Whisper model by its label (`base.en`); `None`: the best that is installed.
    pub model: Option<String>,
    /// Threads of a Whisper model; 0: half of the processor's, at most 4.
    pub threads: usize,
    /// Whether Whisper may use a GPU, in a build that can.
    pub gpu: bool,
    /// Most streams that share a Whisper model.
    pub streams_max: usize,
    /// Most streams of the basic engine.
    pub basic_streams_max: usize,
    /// A Whisper model that nobody uses leaves memory after so many seconds.
    pub idle_unload_s: u64,
    /// Sound that waits for an engine for longer than this is skipped, in seconds.
    pub lag_max_s: u64,
    /// Which voice activity detector.
    pub vad: Vad,
    /// Base address of an OpenAI-compatible server; `None`: no such engine.
    pub openai_url: Option<String>,
    /// Its key.
    pub openai_key: Secret,
    /// Its model.
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
    /// What cannot work: field and reason.
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

    /// Threads of a Whisper model.
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

    /// Whether Whisper runs on a GPU: this build can and the configuration lets it.
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
