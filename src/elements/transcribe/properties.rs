//! The properties.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, Weak};

use gst::glib;
use gst::prelude::*;

use crate::media::IgnorePoison;
use crate::speech::stt::{Config, Engines, Models, Options, Wanted};

/// Values of the properties.
#[derive(Clone, Debug)]
pub(super) struct Properties {
    pub(super) language_code: String,
    pub(super) latency: gst::ClockTime,
    pub(super) lateness: gst::ClockTime,
    pub(super) engines: String,
    pub(super) model: Option<String>,
    pub(super) models: Option<String>,
    pub(super) terms: String,
    pub(super) wait: bool,
}

impl Default for Properties {
    fn default() -> Self {
        Self {
            language_code: "en-US".into(),
            latency: gst::ClockTime::from_seconds(4),
            lateness: gst::ClockTime::ZERO,
            engines: String::new(),
            model: None,
            models: None,
            terms: String::new(),
            wait: false,
        }
    }
}

/// The engines of this process, by the folders of their models: elements share loaded models.
static ENGINES: LazyLock<Mutex<HashMap<Vec<PathBuf>, Weak<Engines>>>> =
    LazyLock::new(Mutex::default);

impl Properties {
    /// The transcriber's options.
    ///
    /// # Errors
    /// If the language is invalid.
    pub(super) fn options(&self) -> Result<Options, String> {
        let language = match self.language_code.as_str() {
            "" | "auto" => None,
            tag => Some(tag.parse().map_err(|e| format!("{e}"))?),
        };
        let list = |text: &str| -> Vec<String> {
            let parts = text.split(',').map(str::trim).filter(|p| !p.is_empty());
            parts.map(str::to_owned).collect()
        };
        let engines = list(&self.engines);
        let wanted = Wanted { language, engines, model: self.model.clone(), ..Wanted::default() };
        Ok(Options { wanted, terms: list(&self.terms), speakers: false, wait: self.wait })
    }

    /// The engines for the folders of models.
    pub(super) fn engines(&self) -> Arc<Engines> {
        let named = self.models.clone().or_else(|| std::env::var("AURALINK_MODELS").ok());
        let named = named.unwrap_or_else(|| "/var/lib/auralink/models:./models".into());
        let folders: Vec<PathBuf> = std::env::split_paths(&named).collect();
        let mut all = ENGINES.lock().ignore_poison();
        all.retain(|_, engines| engines.strong_count() > 0);
        if let Some(engines) = all.get(&folders).and_then(Weak::upgrade) {
            return engines;
        }
        let engines = Arc::new(Engines::new(&Config::default(), Models::scan(&folders)));
        all.insert(folders, Arc::downgrade(&engines));
        engines
    }

    pub(super) fn set(&mut self, name: &str, value: &glib::Value) {
        let text = || value.get::<Option<String>>().expect("type checked upstream");
        let time = || {
            let ms: u32 = value.get().expect("type checked upstream");
            gst::ClockTime::from_mseconds(ms.into())
        };
        match name {
            "language-code" => self.language_code = text().unwrap_or_default(),
            "latency" => self.latency = time(),
            "lateness" => self.lateness = time(),
            "engines" => self.engines = text().unwrap_or_default(),
            "model" => self.model = text(),
            "models" => self.models = text(),
            "terms" => self.terms = text().unwrap_or_default(),
            "wait" => self.wait = value.get().expect("type checked upstream"),
            name => unreachable!("no writable property `{name}`"),
        }
    }

    pub(super) fn get(&self, name: &str) -> glib::Value {
        match name {
            "language-code" => self.language_code.to_value(),
            "latency" => (self.latency.mseconds() as u32).to_value(),
            "lateness" => (self.lateness.mseconds() as u32).to_value(),
            "engines" => self.engines.to_value(),
            "model" => self.model.to_value(),
            "models" => self.models.to_value(),
            "terms" => self.terms.to_value(),
            "wait" => self.wait.to_value(),
            name => unreachable!("no property `{name}`"),
        }
    }
}

pub(super) fn specs() -> Vec<glib::ParamSpec> {
    let text = |name, nick, blurb, default| {
        glib::ParamSpecString::builder(name)
            .nick(nick)
            .blurb(blurb)
            .default_value(default)
            .mutable_ready()
            .build()
    };
    let time = |name, nick, blurb, default: u32| {
        glib::ParamSpecUInt::builder(name)
            .nick(nick)
            .blurb(blurb)
            .maximum(60_000)
            .default_value(default)
            .mutable_ready()
            .build()
    };
    vec![
        text(
            "language-code",
            "Language Code",
            "The language that is spoken, as BCP 47; auto: detect it",
            Some("en-US"),
        ),
        time("latency", "Latency", "Milliseconds to allow for transcription", 4000),
        time("lateness", "Lateness", "Milliseconds by which the text is shown later", 0),
        text(
            "engines",
            "Engines",
            "Engines in the order of preference, joined by commas; empty: the best there is",
            Some(""),
        ),
        text("model", "Model", "Whisper model by its label (base.en); none: the best", None),
        text(
            "models",
            "Models",
            "Folders with models, joined by colons; none: $AURALINK_MODELS, else \
             /var/lib/auralink/models and ./models",
            None,
        ),
        text("terms", "Terms", "Names and terms to expect, joined by commas", Some("")),
        glib::ParamSpecBoolean::builder("wait")
            .nick("Wait")
            .blurb("Hold back sound that comes faster than it is heard, as files do")
            .default_value(false)
            .mutable_ready()
            .build(),
    ]
}
