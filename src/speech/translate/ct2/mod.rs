//! `ct2`: neural translation on this machine by CTranslate2, with the installed models of OPUS-MT,
//! M2M-100 and MADLAD-400. Each model runs in its own process, shared by all streams.
//!
//! A build without the cargo feature `ct2` has no such engine.

#[cfg(feature = "ct2")]
mod decode;
// The child's side is unused in builds without the feature.
#[cfg_attr(not(feature = "ct2"), allow(dead_code))]
mod tokens;
mod wire;
mod worker;

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Deserialize;

use super::engine::{Job, Output, Pair, Translator, suspicious};
use super::protect::Protected;
use super::{Error, routes};
use crate::media::{IgnorePoison, Language};
use crate::models::{Engine, Installed, Languages, Registry, Task};
#[cfg(feature = "ct2")]
pub use decode::serve;
use wire::Question;
use worker::Worker;

/// Models with more languages are not used for indirect routes, and only their pairs with English
/// are listed: M2M-100 alone has 9900.
const LISTED_LANGUAGES_MAX: usize = 8;

/// Languages that are listed for a model that knows all.
const COMMON: &[&str] = &[
    "ar", "ca", "cs", "da", "de", "el", "es", "et", "fi", "fr", "hi", "hu", "id", "it", "ja", "ko",
    "nl", "no", "pl", "pt", "ro", "ru", "sv", "th", "tr", "uk", "vi", "zh",
];

/// `[translate.ct2]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Threads per model; 0: half of the processor's, at most 4.
    pub threads: usize,
    /// How long an idle model stays in memory, in seconds, 1-86400.
    pub idle_s: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { threads: 0, idle_s: 300 }
    }
}

impl Config {
    fn threads(&self) -> usize {
        let there = std::thread::available_parallelism().map_or(2, usize::from);
        if self.threads > 0 { self.threads } else { (there / 2).clamp(1, 4) }
    }
}

/// The installed models, and the processes of those in use.
pub struct Ct2 {
    config: Config,
    models: Registry,
    workers: Mutex<HashMap<String, Worker>>,
}

impl Ct2 {
    /// Whether this build includes it.
    pub const BUILT: bool = cfg!(feature = "ct2");

    /// Models of these folders, searched again for every text; starts nothing.
    pub fn new(config: &Config, models: Registry) -> Self {
        Self { config: config.clone(), models, workers: Mutex::default() }
    }

    /// Processes of the loaded models, by model; they can be killed without harm.
    pub fn processes(&self) -> Vec<(String, u32)> {
        let workers = self.workers.lock().ignore_poison();
        let mut running: Vec<_> = workers.iter().map(|(m, w)| (m.clone(), w.process())).collect();
        running.retain(|(_, process)| *process > 0);
        running.sort();
        running
    }

    /// The models to ask one after the other, each with its source and target: a single model if
    /// one has the pair, else several by way of other languages.
    fn way(&self, from: &Language, to: &Language) -> Vec<(Installed, Language, Language)> {
        if let Some(model) = self.models.translators(from, to).into_iter().next() {
            return vec![(model, from.clone(), to.clone())];
        }
        let (edges, models) = self.edges();
        let mut ways = routes::ways(&edges, from);
        let target = routes::nearest(ways.keys(), to).cloned();
        let way = target.and_then(|target| ways.remove(&target)).unwrap_or_default();
        let step = |n: usize| (models[n].clone(), edges[n].0.clone(), edges[n].1.clone());
        way.into_iter().map(step).collect()
    }

    /// Every pair of the models with few languages, each with its model.
    fn edges(&self) -> (Vec<(Language, Language)>, Vec<Installed>) {
        let (mut edges, mut models) = (Vec::new(), Vec::new());
        for model in self.models.installed(Task::Translate, Some(Engine::Ct2), None) {
            let (Languages::Only(from), Some(Languages::Only(into))) =
                (&model.manifest.languages, &model.manifest.into)
            else {
                continue;
            };
            if from.len() > LISTED_LANGUAGES_MAX || into.len() > LISTED_LANGUAGES_MAX {
                continue;
            }
            for (from, to) in from.iter().flat_map(|f| into.iter().map(move |t| (f, t))) {
                if from != to {
                    edges.push((from.clone(), to.clone()));
                    models.push(model.clone());
                }
            }
        }
        (edges, models)
    }

    fn worker(&self, model: &Installed) -> Result<Worker, Error> {
        let mut workers = self.workers.lock().ignore_poison();
        let label = model.label();
        if let Some(worker) = workers.get(&label) {
            return Ok(worker.clone());
        }
        let idle = Duration::from_secs(self.config.idle_s.into());
        let worker = Worker::spawn(model.clone(), self.config.threads(), idle)?;
        workers.insert(label, worker.clone());
        Ok(worker)
    }

    async fn along(
        &self,
        way: &[(Installed, Language, Language)],
        text: &str,
    ) -> Result<String, Error> {
        let mut text = text.to_owned();
        for (model, from, to) in way {
            let (from, to) = (from.to_string(), to.to_string());
            let question = Question::Translate { text: text.clone(), from, to };
            let translated = self.worker(model)?.translate(question).await?;
            if let Some(reason) = suspicious(&text, &translated) {
                return Err(Error::Unsuitable { engine: "ct2", reason });
            }
            text = translated;
        }
        Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

impl Translator for Ct2 {
    fn can(&self, from: &Language, to: &Language) -> bool {
        !self.way(from, to).is_empty()
    }

    /// For models with many languages only the pairs with English.
    fn pairs(&self) -> Vec<Pair> {
        let mut pairs: Vec<Pair> = Vec::new();
        let mut add = |from: &Language, to: &Language, via: Vec<Language>| {
            if from != to && !pairs.iter().any(|p| p.from == *from && p.to == *to) {
                let (from, to) = (from.clone(), to.clone());
                pairs.push(Pair { from, to, engine: "ct2".into(), via });
            }
        };
        let english = Language::english();
        for model in self.models.installed(Task::Translate, Some(Engine::Ct2), None) {
            let manifest = &model.manifest;
            let many = |l: &Languages| match l {
                Languages::Any => Some(COMMON.iter().filter_map(|tag| tag.parse().ok()).collect()),
                Languages::Only(list) if list.len() > LISTED_LANGUAGES_MAX => Some(list.clone()),
                Languages::Only(_) => None,
            };
            let into = manifest.into.as_ref();
            for language in many(&manifest.languages).into_iter().flatten() {
                if into.is_some_and(|i| i.has(&english)) {
                    add(&language, &english, Vec::new());
                }
            }
            for language in into.and_then(many).into_iter().flatten() {
                if manifest.languages.has(&english) {
                    add(&english, &language, Vec::new());
                }
            }
        }
        let (edges, _) = self.edges();
        for (from, _) in &edges {
            for (to, way) in routes::ways(&edges, from) {
                let via = way[..way.len() - 1].iter().map(|n| edges[*n].1.clone()).collect();
                add(from, &to, via);
            }
        }
        pairs
    }

    fn translate<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Output, Error>> {
        Box::pin(async move {
            let way = self.way(&job.from, &job.to);
            if way.is_empty() {
                return Err(Error::NoRoute { from: job.from.clone(), to: job.to.clone() });
            }
            let protected = Protected::new(&job.text, &job.fixed);
            let translated = self.along(&way, &protected.text).await?;
            let text = match protected.restore(&translated) {
                Some(text) => text,
                None => self.along(&way, &job.text).await?,
            };
            let models: Vec<String> = way.iter().map(|(model, ..)| model.label()).collect();
            Ok(Output { text, model: Some(models.join("+")) })
        })
    }
}
