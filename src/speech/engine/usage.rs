//! What the engines' processes use, for each model. Each starts and ends here, so that no list has to be kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use crate::media::IgnorePoison;
use crate::telemetry::process_usage;

/// What the processes of one model use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineUsage {
    /// Name of the engine: `moonshine`.
    pub engine: String,
    /// The model that they have loaded: `tiny-en`.
    pub model: String,
    /// Processes that were started so far.
    pub starts: u64,
    /// Processes that run.
    pub processes: usize,
    /// Their resident memory, in bytes. Shared libraries count for each.
    pub memory_bytes: u64,
    /// Processor time of all that ever ran.
    pub cpu: Duration,
}

#[derive(Default)]
struct Processes {
    starts: u64,
    running: BTreeSet<u32>,
    ended_cpu: Duration,
}

/// By engine and model.
type Key = (String, String);

static ENGINES: Mutex<BTreeMap<Key, Processes>> = Mutex::new(BTreeMap::new());

/// A process has started.
pub(super) fn started(engine: &str, model: &str, process: u32) {
    let mut engines = ENGINES.lock().ignore_poison();
    let engine = engines.entry((engine.to_owned(), model.to_owned())).or_default();
    engine.starts += 1;
    engine.running.insert(process);
}

/// A process ends; it has not been waited for, so that its figures can be read.
pub(super) fn ending(engine: &str, model: &str, process: u32) {
    let mut engines = ENGINES.lock().ignore_poison();
    if let Some(engine) = engines.get_mut(&(engine.to_owned(), model.to_owned()))
        && engine.running.remove(&process)
    {
        engine.ended_cpu += process_usage(process).1;
    }
}

/// Every model that this process has started an engine for, by engine and model. Reads a few small files of `/proc`.
pub fn usage() -> Vec<EngineUsage> {
    let engines = ENGINES.lock().ignore_poison();
    let sum = |((name, model), engine): (&Key, &Processes)| {
        let used = engine.running.iter().map(|process| process_usage(*process));
        let none = (0, engine.ended_cpu);
        let (memory_bytes, cpu) = used.fold(none, |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let (starts, processes) = (engine.starts, engine.running.len());
        let (engine, model) = (name.clone(), model.clone());
        EngineUsage { engine, model, starts, processes, memory_bytes, cpu }
    };
    engines.iter().map(sum).collect()
}
