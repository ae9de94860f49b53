//! `basic`: rule-based translation by Apertium, from Debian packages: no model, no network,
//! milliseconds per sentence, modest quality.

mod mode;
mod pipeline;
mod worker;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Deserialize;

use super::engine::{Job, Output, Pair, Translator};
use super::protect::Protected;
use super::{Error, routes};
use crate::media::{IgnorePoison, Language};
use mode::Mode;
use worker::Worker;

/// `[translate.basic]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of Apertium's mode files.
    pub modes: PathBuf,
    /// How long a pair's idle processes (80-260 MB) are kept, in seconds, 1-86400.
    pub idle_s: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { modes: "/usr/share/apertium/modes".into(), idle_s: 300 }
    }
}

/// The installed pairs, and the processes of those in use.
pub struct Apertium {
    config: Config,
    modes: Vec<Mode>,
    edges: Vec<(Language, Language)>,
    workers: Mutex<HashMap<String, Worker>>,
}

impl Apertium {
    /// Finds the installed pairs; starts nothing.
    pub fn new(config: &Config) -> Self {
        let modes = mode::discover(&config.modes);
        let edges = modes.iter().map(|m| (m.from.clone(), m.to.clone())).collect();
        Self { config: config.clone(), modes, edges, workers: Mutex::default() }
    }

    /// Whether no pair is installed.
    pub fn is_empty(&self) -> bool {
        self.modes.is_empty()
    }

    /// Running process groups, by mode; they can be killed without harm.
    pub fn processes(&self) -> Vec<(String, i32)> {
        let workers = self.workers.lock().ignore_poison();
        let mut running: Vec<_> = workers.iter().map(|(m, w)| (m.clone(), w.group())).collect();
        running.retain(|(_, group)| *group > 0);
        running.sort();
        running
    }

    fn way(&self, from: &Language, to: &Language) -> Option<Vec<usize>> {
        let mut ways = routes::ways(&self.edges, from);
        let target = routes::nearest(ways.keys(), to)?.clone();
        ways.remove(&target)
    }

    fn worker(&self, mode: &str) -> Worker {
        let mut workers = self.workers.lock().ignore_poison();
        let idle = Duration::from_secs(self.config.idle_s.into());
        let spawn = || Worker::spawn(self.config.modes.clone(), mode.to_owned(), idle);
        workers.entry(mode.to_owned()).or_insert_with(spawn).clone()
    }

    async fn along(&self, way: &[usize], text: &str) -> Result<String, Error> {
        let mut text = text.to_owned();
        for step in way {
            text = self.worker(&self.modes[*step].name).translate(text).await?;
        }
        Ok(text)
    }
}

impl Translator for Apertium {
    fn can(&self, from: &Language, to: &Language) -> bool {
        self.way(from, to).is_some()
    }

    fn pairs(&self) -> Vec<Pair> {
        let mut sources: Vec<&Language> = self.edges.iter().map(|(from, _)| from).collect();
        sources.sort();
        sources.dedup();
        let mut pairs = Vec::new();
        for from in sources {
            for (to, way) in routes::ways(&self.edges, from) {
                let between = &way[..way.len() - 1];
                let via = between.iter().map(|n| self.edges[*n].1.clone()).collect();
                pairs.push(Pair { from: from.clone(), to, engine: "basic".into(), via });
            }
        }
        pairs
    }

    fn translate<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Output, Error>> {
        Box::pin(async move {
            let no_route = || Error::NoRoute { from: job.from.clone(), to: job.to.clone() };
            let way = self.way(&job.from, &job.to).ok_or_else(no_route)?;
            let protected = Protected::new(&job.text, &job.fixed);
            let translated = self.along(&way, &protected.text).await?;
            let text = match protected.restore(&translated) {
                Some(text) => text,
                None => self.along(&way, &job.text).await?,
            };
            let modes: Vec<&str> = way.iter().map(|n| self.modes[*n].name.as_str()).collect();
            Ok(Output { text, model: Some(modes.join("+")) })
        })
    }
}

#[cfg(test)]
mod tests;
