//! The engines of this machine, shared by all streams.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::config::{Config, ENGINES, Vad};
use super::moonshine::{self, Moonshine};
use super::openai::OpenAi;
use super::pool::Limits;
use super::recognizer::Engine;
use super::sphinx::Sphinx;
use super::whisper::{self, Run, Whisper};
use crate::media::{IgnorePoison, Language};
use crate::onnx::has_provider;
use crate::speech::vad::{self, Detector};

/// The model files for engines, already verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Models {
    /// Whisper models, `ggml-<label>.bin`.
    pub whisper: Vec<PathBuf>,
    /// The folder of a Moonshine model.
    pub moonshine: Option<PathBuf>,
    /// ONNX Runtime's shared library.
    pub onnxruntime: Option<PathBuf>,
}

impl Models {
    /// The models in these folders and below, found by file name and not verified.
    pub fn scan(folders: &[PathBuf]) -> Self {
        let mut found = Self::default();
        let mut open: Vec<(PathBuf, u32)> = folders.iter().map(|f| (f.clone(), 0)).collect();
        while let Some((folder, depth)) = open.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            for path in entries.flatten().map(|e| e.path()) {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if name == "encoder_model.ort" {
                    found.moonshine = path.parent().map(Path::to_owned);
                } else if name.starts_with("libonnxruntime.so") {
                    if !found.onnxruntime.as_deref().is_some_and(has_provider) {
                        found.onnxruntime = Some(path);
                    }
                } else if path.is_dir() && depth < 3 {
                    open.push((path, depth + 1));
                } else if name.ends_with(".bin")
                    && name.contains("ggml-")
                    && !name.contains("silero")
                {
                    found.whisper.push(path);
                }
            }
        }
        found.whisper.sort();
        found
    }
}

/// The engines that a stream wants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// The spoken language; `None`: it is detected.
    pub language: Option<Language>,
    /// The languages that may be spoken, if it is detected; empty: any.
    pub spoken: Vec<Language>,
    /// Engines in order of preference; empty: as in `[stt]`.
    pub engines: Vec<String>,
    /// Whisper model by its label; `None`: as in `[stt]`, else the best.
    pub model: Option<String>,
}

impl Wanted {
    /// Whether an engine that knows English only is enough: nothing else is known to be spoken.
    fn english_only(&self) -> bool {
        let spoken = if self.language.is_some() { &[][..] } else { &self.spoken[..] };
        self.language.iter().chain(spoken).all(|l| l.primary() == "en")
    }
}

/// The engines for a stream, best first, and why others are missing.
#[derive(Default)]
pub struct Choice {
    /// The usable engines, best first.
    pub engines: Vec<Arc<dyn Engine>>,
    /// Engine and reason, with a remedy.
    pub missing: Vec<(String, String)>,
}

/// All engines. Models load when the first stream uses them and leave memory when none does.
pub struct Engines {
    config: Config,
    models: Mutex<Models>,
    /// Number of changes of `models`.
    generation: AtomicU64,
    whisper: Mutex<HashMap<PathBuf, Arc<Whisper>>>,
    moonshine: Mutex<Option<(moonshine::Run, Arc<Moonshine>)>>,
    sphinx: Option<Arc<Sphinx>>,
    openai: Option<Result<Arc<OpenAi>, String>>,
}

impl Engines {
    /// Finds the installed engines. Starts and loads nothing.
    pub fn new(config: &Config, models: Models) -> Self {
        let openai = config.openai_url.as_deref().map(|url| {
            let engine = OpenAi::new(url, &config.openai_key, &config.openai_model);
            engine.map(Arc::new).map_err(|e| e.to_string())
        });
        Self {
            sphinx: Sphinx::find(config.basic_streams_max).map(Arc::new),
            config: config.clone(),
            models: Mutex::new(models),
            generation: AtomicU64::new(0),
            whisper: Mutex::default(),
            moonshine: Mutex::default(),
            openai,
        }
    }

    /// Replaces the model files. Running streams choose again at their next pause. Returns whether
    /// anything has changed.
    pub fn set_models(&self, models: Models) -> bool {
        let mut now = self.models.lock().ignore_poison();
        let differ = *now != models;
        if differ {
            *now = models;
            self.generation.fetch_add(1, Ordering::SeqCst);
        }
        differ
    }

    /// The current model files.
    pub fn models(&self) -> Models {
        self.models.lock().ignore_poison().clone()
    }

    /// A number that changes with the model files.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A voice activity detector for one stream.
    pub fn detector(&self) -> Box<dyn Detector> {
        match self.config.vad {
            Vad::Silero => vad::detector(),
            Vad::Earshot => Box::new(vad::Earshot::default()),
        }
    }

    /// The engines for a stream.
    pub fn choose(&self, wanted: &Wanted) -> Choice {
        let mut choice = Choice::default();
        let first = |a: &[String], b: &[String]| if a.is_empty() { b.to_vec() } else { a.to_vec() };
        let mut names = first(&wanted.engines, &self.config.engines);
        if names.is_empty() {
            names = ENGINES.iter().map(|n| (*n).to_owned()).collect();
        }
        for name in names {
            let found: Result<Arc<dyn Engine>, String> = match name.as_str() {
                "moonshine" => self.moonshine(wanted).map(|e| e as Arc<dyn Engine>),
                "whisper" => self.whisper(wanted).map(|e| e as Arc<dyn Engine>),
                "basic" => self.basic(wanted).map(|e| e as Arc<dyn Engine>),
                "openai" => match &self.openai {
                    Some(Ok(engine)) => Ok(Arc::clone(engine) as Arc<dyn Engine>),
                    Some(Err(reason)) => Err(reason.clone()),
                    None => Err("no server is configured: set [stt] openai_url".into()),
                },
                _ => Err(format!("there is no such engine: use {}", ENGINES.join(", "))),
            };
            match found {
                Ok(engine) => choice.engines.push(engine),
                Err(reason) => choice.missing.push((name, reason)),
            }
        }
        choice
    }

    /// The Whisper models that streams have used, by label.
    pub fn loaded(&self) -> Vec<(String, Arc<Whisper>)> {
        let whisper = self.whisper.lock().ignore_poison();
        whisper.iter().map(|(path, engine)| (whisper::label(path), Arc::clone(engine))).collect()
    }

    fn whisper(&self, wanted: &Wanted) -> Result<Arc<Whisper>, String> {
        let language = wanted.language.as_ref();
        let models = self.models.lock().ignore_poison().whisper.clone();
        let path = match wanted.model.as_ref().or(self.config.model.as_ref()) {
            Some(label) => {
                let named = models.iter().find(|p| whisper::label(p) == *label).cloned();
                named.ok_or_else(|| {
                    format!(
                        "the model {label} is not installed: `auralink models pull whisper-{label}`"
                    )
                })?
            }
            None => whisper::best(&models, language, self.config.on_gpu()).ok_or_else(|| {
                let english = language.is_some_and(|l| l.primary() == "en");
                let name = if english { "base.en" } else { "base" };
                format!("no model is installed: `auralink models pull whisper-{name}`")
            })?,
        };
        let label = whisper::label(&path);
        if label.contains(".en") && !wanted.english_only() {
            return Err(format!("the model {label} knows English only"));
        }
        let mut loaded = self.whisper.lock().ignore_poison();
        if let Some(engine) = loaded.get(&path) {
            return Ok(Arc::clone(engine));
        }
        let run = Run { threads: self.config.threads(), gpu: self.config.on_gpu() };
        let (streams, idle) = (self.config.streams_max, self.config.idle_unload());
        let engine = Whisper::new(&path, label, run, streams, idle).map_err(|e| e.to_string())?;
        let engine = Arc::new(engine);
        loaded.insert(path, Arc::clone(&engine));
        Ok(engine)
    }

    fn moonshine(&self, wanted: &Wanted) -> Result<Arc<Moonshine>, String> {
        if !wanted.english_only() {
            return Err("it knows English only".into());
        }
        let models = self.models();
        let missing =
            |model: &str| format!("{model} is not installed: `auralink models pull {model}`");
        let model = models.moonshine.ok_or_else(|| missing("moonshine-tiny-en"))?;
        let runtime = models.onnxruntime.ok_or_else(|| missing("onnxruntime-1.32.0"))?;
        let run = moonshine::Run { model, runtime, threads: 1 };
        let mut loaded = self.moonshine.lock().ignore_poison();
        if let Some((known, engine)) = &*loaded
            && *known == run
        {
            return Ok(Arc::clone(engine));
        }
        let limits = Limits { streams: self.config.streams_max, idle: self.config.idle_unload() };
        let label = run.model.file_name().unwrap_or_default().to_string_lossy();
        let label = label.strip_prefix("moonshine-").unwrap_or(&label).to_owned();
        let engine = Arc::new(Moonshine::new(&run, label, limits).map_err(|e| e.to_string())?);
        *loaded = Some((run, Arc::clone(&engine)));
        Ok(engine)
    }

    fn basic(&self, wanted: &Wanted) -> Result<Arc<Sphinx>, String> {
        if !wanted.english_only() {
            return Err("it knows English only".into());
        }
        let missing =
            "it is not installed: sudo apt-get install libpocketsphinx3 pocketsphinx-en-us";
        self.sphinx.clone().ok_or_else(|| missing.to_owned())
    }
}
