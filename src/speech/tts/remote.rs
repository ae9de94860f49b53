//! Engines behind HTTP: `openai`, `elevenlabs`, and Piper's own server.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::json;

use super::engine::{OUTPUT_MAX_S, Pcm, Synthesiser, Utterance, Voice};
use super::{Error, wav};
use crate::media::{Language, Secret};
use crate::speech::EngineError;
use crate::speech::http::{self, Auth, Client};

/// Largest answer, in bytes: 16 bits at 48 kHz.
const ANSWER_BYTES_MAX: usize = OUTPUT_MAX_S * 48_000 * 2 + 1024;

/// Sample rate requested from ElevenLabs; higher ones cost more there.
const ELEVENLABS_HZ: u32 = 22_050;

/// `[tts.openai]`: any server with OpenAI's `/audio/speech`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenAiConfig {
    /// Address including the version: `https://api.openai.com/v1`.
    pub url: String,
    /// The server's key, if it needs one.
    #[serde(default)]
    pub key: Secret,
    /// The model: `gpt-4o-mini-tts`, or one that the server has loaded.
    pub model: String,
    /// The voice for languages that are not in `voices`.
    pub voice: String,
    /// Voices by language.
    #[serde(default)]
    pub voices: BTreeMap<Language, String>,
    /// Languages that the model speaks well.
    #[serde(default = "languages")]
    pub languages: Vec<Language>,
}

/// `[tts.elevenlabs]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElevenLabsConfig {
    /// Address of the service.
    #[serde(default = "elevenlabs_url")]
    pub url: String,
    /// The key of the account.
    pub key: Secret,
    /// The model's id.
    #[serde(default = "elevenlabs_model")]
    pub model: String,
    /// Id of the voice for languages that are not in `voices`.
    pub voice: String,
    /// Ids of voices by language.
    #[serde(default)]
    pub voices: BTreeMap<Language, String>,
    /// Languages that the model speaks.
    #[serde(default = "languages")]
    pub languages: Vec<Language>,
}

fn elevenlabs_url() -> String {
    "https://api.elevenlabs.io".into()
}

fn elevenlabs_model() -> String {
    "eleven_flash_v2_5".into()
}

/// Languages of current multilingual voices.
fn languages() -> Vec<Language> {
    let tags =
        "ar bg cs da de el en es fi fr hi hr hu id it ja ko nb nl pl pt ro ru sk sv tr uk vi zh";
    tags.split_whitespace().filter_map(|tag| tag.parse().ok()).collect()
}

/// The server's protocol, with its settings.
enum Protocol {
    OpenAi { model: String },
    ElevenLabs { model: String },
    Piper,
}

/// A client of one server.
pub(super) struct Remote {
    client: Client,
    protocol: Protocol,
    voice: Option<String>,
    voices: BTreeMap<Language, String>,
    languages: Vec<Language>,
}

impl Remote {
    pub(super) fn openai(config: &OpenAiConfig, timeout: Duration) -> Result<Self, Error> {
        Ok(Self {
            client: Client::new(&config.url, &config.key, Auth::Bearer, timeout)?,
            protocol: Protocol::OpenAi { model: config.model.clone() },
            voice: Some(config.voice.clone()),
            voices: config.voices.clone(),
            languages: config.languages.clone(),
        })
    }

    pub(super) fn elevenlabs(config: &ElevenLabsConfig, timeout: Duration) -> Result<Self, Error> {
        let key = Auth::Header("xi-api-key");
        let remote = Self {
            client: Client::new(&config.url, &config.key, key, timeout)?,
            protocol: Protocol::ElevenLabs { model: config.model.clone() },
            voice: Some(config.voice.clone()),
            voices: config.voices.clone(),
            languages: config.languages.clone(),
        };
        let ids = remote.voices.values().chain(&remote.voice);
        match ids.into_iter().find(|id| !is_id(id)) {
            None => Ok(remote),
            Some(id) => {
                let message = format!("`{}` is no id of a voice", id.escape_debug());
                Err(EngineError::Config { field: "elevenlabs.voice", message }.into())
            }
        }
    }

    /// Piper's server speaks the languages of `voices`, with one or several loaded models.
    pub(super) fn piper(
        url: &str,
        voices: &BTreeMap<Language, String>,
        timeout: Duration,
    ) -> Result<Self, Error> {
        Ok(Self {
            client: Client::new(url, &Secret::default(), Auth::Body, timeout)?,
            protocol: Protocol::Piper,
            voice: None,
            voices: voices.clone(),
            languages: voices.keys().cloned().collect(),
        })
    }

    fn name(&self) -> &'static str {
        match self.protocol {
            Protocol::OpenAi { .. } => "openai",
            Protocol::ElevenLabs { .. } => "elevenlabs",
            Protocol::Piper => "piper",
        }
    }

    fn language(&self, wanted: &Language) -> Option<&Language> {
        let exact = self.languages.iter().find(|l| *l == wanted);
        exact.or_else(|| self.languages.iter().find(|l| l.same_language(wanted)))
    }

    fn voice(&self, utterance: &Utterance) -> Result<String, Error> {
        let by_language = || {
            let exact = self.voices.get(&utterance.language);
            let same = |(l, v): (_, _)| utterance.language.same_language(l).then_some(v);
            exact.or_else(|| self.voices.iter().find_map(same)).or(self.voice.as_ref())
        };
        let voice = utterance.voice.as_ref().or_else(by_language);
        voice.cloned().ok_or_else(|| Error::NoVoice(utterance.language.clone()))
    }

    async fn ask(&self, utterance: &Utterance) -> Result<Pcm, Error> {
        let voice = self.voice(utterance)?;
        let rate = f64::from(utterance.rate);
        let text = &utterance.text;
        match &self.protocol {
            Protocol::OpenAi { model } => {
                let body = json!({
                    "model": model, "voice": voice, "input": text, "speed": rate,
                    "response_format": "wav",
                });
                self.wav("/audio/speech", &body).await
            }
            Protocol::ElevenLabs { model } => {
                if !is_id(&voice) {
                    let voice = voice.chars().take(80).collect();
                    return Err(Error::UnknownVoice { engine: "elevenlabs", voice });
                }
                let path = format!("/v1/text-to-speech/{voice}?output_format=pcm_{ELEVENLABS_HZ}");
                let body = json!({
                    "text": text, "model_id": model,
                    "language_code": utterance.language.primary(),
                    // The service accepts no other speeds.
                    "voice_settings": {"speed": rate.clamp(0.7, 1.2)},
                });
                let request = self.client.post(&path).json(&body);
                let bytes = self.client.bytes(request, ANSWER_BYTES_MAX).await?;
                Ok(wav::raw(&bytes, ELEVENLABS_HZ))
            }
            Protocol::Piper => {
                let body = json!({"text": text, "voice": voice, "length_scale": 1.0 / rate});
                match self.wav("/synthesize", &body).await {
                    // Before 1.3 the path was the root.
                    Err(Error::Engine(EngineError::Remote(http::Error::Refused {
                        status: 404 | 405,
                        ..
                    }))) => self.wav("/", &body).await,
                    other => other,
                }
            }
        }
    }

    async fn wav(&self, path: &str, body: &serde_json::Value) -> Result<Pcm, Error> {
        let bytes = self.client.bytes(self.client.post(path).json(body), ANSWER_BYTES_MAX).await?;
        wav::read(&bytes).map_err(|reason| Error::Unsuitable { engine: self.name(), reason })
    }
}

/// Whether a voice's id is safe in a path.
fn is_id(voice: &str) -> bool {
    !voice.is_empty() && voice.len() <= 64 && voice.bytes().all(|b| b.is_ascii_alphanumeric())
}

impl Synthesiser for Remote {
    fn can(&self, language: &Language) -> bool {
        self.language(language).is_some()
    }

    fn voices(&self) -> Vec<Voice> {
        let voice = |language: &Language| Voice {
            language: language.clone(),
            engine: self.name().into(),
            voice: self.voices.get(language).or(self.voice.as_ref()).cloned(),
        };
        self.languages.iter().map(voice).collect()
    }

    fn speak<'a>(&'a self, utterance: &'a Utterance) -> BoxFuture<'a, Result<Pcm, Error>> {
        Box::pin(self.ask(utterance))
    }
}
