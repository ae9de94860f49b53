//! Settings of what is made of a stream's speech: captions, translations, voices. Presets, the API
//! and the configuration use this form.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use super::speak::Voice;
pub use super::transcribe::{Speakers, SpokenLanguage};
use super::{speak, transcribe, translate};
use crate::captions::{Moves, Service};
use crate::graph::Words;
use crate::media::Language;
use crate::speech::glossary::Glossary;

/// Most languages of one stream.
pub const LANGUAGES_MAX: usize = 16;

/// What is made of the words of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = CaptionSettings)]
pub struct Settings {
    /// Off stops everything below while the rest of the stream goes on.
    pub enabled: bool,
    /// The language that is spoken, or `auto`.
    #[schema(value_type = String, example = "en")]
    pub language: SpokenLanguage,
    /// With `auto`: the languages that may be spoken. The fewer they are, the better they are told
    /// apart. Empty: any that the engine knows.
    #[schema(value_type = Vec<String>)]
    pub spoken: Vec<Language>,
    /// Whether cues say who speaks.
    pub speakers: Speakers,
    /// Speech-to-text engines in the order of preference; the next takes over when one fails or
    /// lags. Empty: the best that this machine has. `["none"]`: no engine listens, captions are only
    /// pushed, for streams without sound too.
    pub engines: Vec<String>,
    /// Model of the first engine that has models; left out: the best one installed.
    pub model: Option<String>,
    /// Captions in these languages too.
    #[schema(value_type = Vec<String>)]
    pub translate: Vec<Language>,
    /// Translation engines in the order of preference; empty: the best for each pair.
    pub translators: Vec<String>,
    /// Sound in these languages too, for viewers that want it. Each must be translated.
    #[schema(value_type = Vec<String>)]
    pub dub: Vec<Language>,
    /// The voice of each language; left out: the best that this machine has.
    #[schema(value_type = BTreeMap<String, Voice>)]
    pub voices: BTreeMap<Language, Voice>,
    /// By how much the original is lowered under a voice in another language, in dB, 0-100; 100
    /// takes it away.
    pub duck_db: f32,
    /// Names, words that are written otherwise, words that are masked: in every language.
    pub glossary: Glossary,
    /// Captions inside the pictures of outputs and of HLS.
    pub embed: Embed,
    /// How long cues are kept for search, in days; 0: without limit.
    pub keep_days: u32,
    /// Whether they are kept that long when the stream is deleted; otherwise they go with it.
    pub keep_deleted: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            language: SpokenLanguage::default(),
            spoken: Vec::new(),
            speakers: Speakers::default(),
            engines: Vec::new(),
            model: None,
            translate: Vec::new(),
            translators: Vec::new(),
            dub: Vec::new(),
            voices: BTreeMap::new(),
            duck_db: 15.0,
            glossary: Glossary::default(),
            embed: Embed::default(),
            keep_days: 30,
            keep_deleted: true,
        }
    }
}

/// Captions inside the pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Embed {
    /// Which language goes where: CEA-608 channels `cc1`-`cc4` and CEA-708 services `s1`-`s6` to a
    /// language or to `original`. Empty: nothing is put into pictures.
    #[schema(value_type = BTreeMap<String, String>)]
    pub services: BTreeMap<String, String>,
    /// How captions are shown on CEA-608 channels and CEA-708 services.
    pub style: Style,
    /// What happens to captions that the source has already.
    pub existing: Existing,
    /// With `existing = "move"`: where captions of the source move, as `cc1 = "cc3"`. Channels
    /// move to channels and services to services.
    pub moves: BTreeMap<String, String>,
}

/// How captions move on the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    /// Two rows, the newer below.
    #[default]
    #[serde(rename = "roll-up-2")]
    RollUp2,
    /// Three rows.
    #[serde(rename = "roll-up-3")]
    RollUp3,
    /// Four rows.
    #[serde(rename = "roll-up-4")]
    RollUp4,
    /// Whole captions at once.
    PopOn,
}

/// What happens to captions that the source has already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Existing {
    /// They stay, and ours take only the services that they leave free.
    #[default]
    Keep,
    /// Ours take their place.
    Replace,
    /// They move as `moves` says.
    Move,
}

impl Style {
    /// The name used in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RollUp2 => "roll-up-2",
            Self::RollUp3 => "roll-up-3",
            Self::RollUp4 => "roll-up-4",
            Self::PopOn => "pop-on",
        }
    }
}

impl Existing {
    /// The name used in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Replace => "replace",
            Self::Move => "move",
        }
    }
}

impl Embed {
    /// `cc1=und,cc3=es`: each service with its language.
    pub(super) fn named(&self) -> String {
        let tag = |language: Option<Language>| language.unwrap_or_else(Language::undetermined);
        let pairs =
            self.by_service().map(|(service, language)| format!("{service}={}", tag(language)));
        pairs.collect::<Vec<_>>().join(",")
    }

    /// `cc1=cc3`: the moves of the source's captions.
    pub(super) fn moved(&self) -> String {
        let pairs = self.moves.iter().map(|(from, to)| format!("{from}={to}"));
        pairs.collect::<Vec<_>>().join(",")
    }

    /// Services with their languages (`None` for the original), in the order of services.
    pub fn by_service(&self) -> impl Iterator<Item = (&str, Option<Language>)> {
        self.services.iter().map(|(service, text)| (service.as_str(), text.parse().ok()))
    }

    /// The requested languages, `None` for the original.
    fn languages(&self) -> Vec<Option<Language>> {
        let mut all: Vec<_> = self.services.values().map(|text| text.parse().ok()).collect();
        all.sort();
        all.dedup();
        all
    }
}

impl Settings {
    /// Whether captions only come from outside.
    fn is_pushed(&self) -> bool {
        self.engines.iter().any(|engine| engine == transcribe::NONE)
    }

    /// Input of the stream's plan; `None` if captions are off.
    pub fn words(&self) -> Option<Words> {
        self.enabled.then(|| Words {
            language: self.language.language().cloned(),
            pushed: self.is_pushed(),
            translate: self.translate.clone(),
            dub: self.dub.clone(),
            embed: self.embed.languages(),
        })
    }

    /// Settings of the transcription.
    pub fn hearing(&self) -> transcribe::Settings {
        transcribe::Settings {
            language: self.language.clone(),
            spoken: self.spoken.clone(),
            speakers: self.speakers,
            engines: self.engines.clone(),
            model: self.model.clone(),
            glossary: Arc::new(self.glossary.clone()),
        }
    }

    /// Settings of the translation into a language.
    pub fn translation(&self, to: &Language) -> translate::Settings {
        let glossary = Arc::new(self.glossary.clone());
        translate::Settings { to: to.clone(), engines: self.translators.clone(), glossary }
    }

    /// Settings of the voice in a language.
    pub fn speech(&self, language: &Language) -> speak::Settings {
        let voice = self.voices.get(language).cloned().unwrap_or_default();
        speak::Settings { language: language.clone(), voice, duck_db: self.duck_db }
    }

    /// Checks all fields. `prefix` is prepended to the path of a wrong field.
    ///
    /// # Errors
    /// The path of the first wrong field and what is wrong with it.
    pub fn validate(&self, prefix: &str) -> Result<(), (String, String)> {
        let wrong = |field: &str, message: String| Err((format!("{prefix}{field}"), message));
        if self.translate.len() > LANGUAGES_MAX {
            return wrong("translate", format!("at most {LANGUAGES_MAX} languages"));
        }
        if self.spoken.len() > LANGUAGES_MAX {
            return wrong("spoken", format!("at most {LANGUAGES_MAX} languages"));
        }
        if self.is_pushed() && self.engines.len() > 1 {
            return wrong("engines", "`none` stands alone".into());
        }
        let has = |language: &Language| {
            self.translate.contains(language) || self.language.language() == Some(language)
        };
        for (index, language) in self.dub.iter().enumerate() {
            if !has(language) {
                let message = format!("`{language}` is not translated: add it to `translate`");
                return wrong(&format!("dub[{index}]"), message);
            }
        }
        for (language, voice) in &self.voices {
            for (name, value) in [("rate", voice.rate), ("pitch", voice.pitch)] {
                if !(0.5..=2.0).contains(&value) {
                    return wrong(&format!("voices.{language}.{name}"), "0.5-2.0".into());
                }
            }
        }
        if !(0.0..=100.0).contains(&self.duck_db) {
            return wrong("duck_db", "0-100 dB".into());
        }
        if let Err(error) = self.glossary.validate() {
            return wrong(&format!("glossary.{}", error.field), error.message);
        }
        if let Err(error) = self.embed.moved().parse::<Moves>() {
            return wrong("embed.moves", error.to_string());
        }
        for (service, text) in &self.embed.services {
            let field = format!("embed.services.{service}");
            if let Err(error) = service.parse::<Service>() {
                return wrong(&field, error.to_string());
            }
            match text.parse::<Language>() {
                Ok(language) if has(&language) => {}
                _ if text == "original" => {}
                Ok(language) => {
                    let message = format!("`{language}` is not translated: add it to `translate`");
                    return wrong(&field, message);
                }
                Err(error) => return wrong(&field, format!("{error}, or `original`")),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let settings: Settings = toml::from_str(text).expect("reads");
        let outcome = settings.validate("captions.").map_or_else(
            |(f, m)| f + ": " + &m,
            |()| {
                let words = settings.words();
                words.map_or("off".into(), |w| format!("{} {}", w.original(), w.translate.len()))
            },
        );
        assert_eq!(outcome, expect);
    }

    #[test]
    fn settings_are_read_and_the_first_wrong_field_is_named() {
        check("", "captions.auto 0");
        check("enabled = false", "off");
        check("engines = [\"none\"]", "captions.auto 0");
        check("engines = [\"none\", \"basic\"]", "captions.engines: `none` stands alone");
        check("language = \"en\"\ntranslate = [\"es\", \"fr\"]\ndub = [\"es\"]", "captions.en 2");
        check("dub = [\"es\"]", "captions.dub[0]: `es` is not translated: add it to `translate`");
        check(
            "[embed.services]\ncc5 = \"original\"",
            "captions.embed.services.cc5: `cc5` is no caption service: use cc1 to cc4 or s1 to s6",
        );
        check(
            "language = \"en\"\n[embed.services]\ncc1 = \"en\"\ncc3 = \"es\"",
            "captions.embed.services.cc3: `es` is not translated: add it to `translate`",
        );
        let many = format!("spoken = [{}]", "\"en\",".repeat(LANGUAGES_MAX + 1));
        check(&many, "captions.spoken: at most 16 languages");
        check("[voices.es]\nrate = 3.0", "captions.voices.es.rate: 0.5-2.0");
    }
}
