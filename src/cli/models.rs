//! `auralink models`: lists models and installs them on this machine.

mod own;
mod progress;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};

use self::own::OwnArguments;
use self::progress::Meter;
use super::arguments::RunArguments;
use crate::models::{self, Installed, Manifest, Progress, PullOptions, Registry, State, Task};

/// Arguments of `models`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Configuration file.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Answer as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show every model: purpose, size, licence, and whether it is installed.
    List {
        /// Only models that are installed completely or in part.
        #[arg(long)]
        installed: bool,
        /// Only models of one task: stt, vad, translate, tts or denoise.
        #[arg(long)]
        task: Option<Task>,
    },
    /// Fetch models from where they are published.
    Pull(PullArguments),
    /// Import models from a folder or a USB stick: known ones are recognised by their hash.
    Import {
        /// Files or folders.
        #[arg(required = true)]
        places: Vec<PathBuf>,
        /// The models folder. Default: the first writable one.
        #[arg(long, value_name = "FOLDER")]
        to: Option<PathBuf>,
        /// Accept files without a published hash as they are, and require the same content from
        /// then on.
        #[arg(long)]
        trust_first_download: bool,
        #[command(flatten)]
        own: OwnArguments,
    },
    /// Read every file completely and compare it with its hash.
    Verify {
        /// Models. Default: all installed ones.
        ids: Vec<String>,
    },
    /// Delete models.
    Remove {
        /// Models.
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

#[derive(Debug, Args)]
struct PullArguments {
    /// Models. What they need is fetched with them.
    #[arg(required_unless_present = "default")]
    ids: Vec<String>,
    /// Fetch the small models that improve every machine, unless they are there.
    #[arg(long)]
    default: bool,
    /// The models folder. Default: the first writable one.
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
    /// Accept files without a published hash as they arrive, and require the same content from then
    /// on.
    #[arg(long)]
    trust_first_download: bool,
    /// Maximum number of consecutive failed attempts.
    #[arg(long, default_value_t = 5)]
    attempts: u32,
    /// Seconds without data from a server after which an attempt has failed.
    #[arg(long, default_value_t = 30)]
    stall_s: u64,
}

/// Runs one of the subcommands.
pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let run = RunArguments { config: arguments.config, ..RunArguments::default() };
    let registry = Registry::open(&run.load()?.models)?;
    for problem in registry.problems() {
        eprintln!("auralink: {problem}");
    }
    let json = arguments.json;
    match arguments.command {
        Command::List { installed, task } => show::list(&registry, installed, task, json),
        Command::Pull(pull) => pull_all(&registry, &pull, json),
        Command::Import { places, to, trust_first_download, own } => match own.own()? {
            None => import(&registry, &places, to.as_deref(), trust_first_download, json),
            Some(own) => {
                let [place] = places.as_slice() else {
                    anyhow::bail!("--as names one model: give one file or one folder");
                };
                let mut meter = Meter::start("import", None);
                let told = |bytes| meter.add(bytes);
                let done = models::import_own(&registry, place, own, to.as_deref(), told);
                meter.end();
                show::arrived(&[done?], json)
            }
        },
        Command::Verify { ids } => verify(&registry, &ids, json),
        Command::Remove { ids } => remove(&registry, &ids, json),
    }
}

fn find(registry: &Registry, id: &str) -> anyhow::Result<Arc<Manifest>> {
    Ok(registry.find(id).ok_or_else(|| models::Error::Unknown(id.to_owned()))?)
}

/// Warns about a licence before the model is used.
fn warn_of_licence(manifest: &Manifest) {
    let (id, licence) = (&manifest.id, &manifest.licence);
    if !licence.commercial {
        eprintln!("note: `{id}` ({}) is not for commercial use", licence.spdx);
    }
    if let Some(note) = &licence.note {
        eprintln!("note: `{id}`: {note}");
    }
}

fn pull_all(registry: &Registry, pull: &PullArguments, json: bool) -> anyhow::Result<ExitCode> {
    let manifests = wanted(registry, pull)?;
    let options = PullOptions {
        to: pull.to.clone(),
        trust_first_download: pull.trust_first_download,
        attempts: pull.attempts.max(1),
        stall: Duration::from_secs(pull.stall_s.max(1)),
        ..PullOptions::default()
    };
    if let Some(to) = pull.to.as_ref().filter(|to| !registry.folders().contains(to)) {
        eprintln!("note: {} is not searched; add it to [models] folders", to.display());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut arrived = Vec::new();
    for manifest in &manifests {
        if let State::Included = registry.state(manifest) {
            eprintln!("{} is in the program: there is nothing to fetch", manifest.id);
            continue;
        }
        warn_of_licence(manifest);
        let mut meter: Option<Meter> = None;
        let mut told = |progress: Progress<'_>| tell(&manifest.id, &mut meter, &progress);
        let outcome = runtime.block_on(models::pull(registry, manifest, &options, &mut told));
        if let Some(meter) = &mut meter {
            meter.end();
        }
        arrived.push(outcome.with_context(|| format!("`{}` is not fetched", manifest.id))?);
    }
    show::arrived(&arrived, json)
}

/// The models to fetch: those that are named, and what they need that is not there.
fn wanted(registry: &Registry, pull: &PullArguments) -> anyhow::Result<Vec<Arc<Manifest>>> {
    let is_here =
        |m: &Arc<Manifest>| matches!(registry.state(m), State::Installed(_) | State::Included);
    let named: Vec<_> =
        pull.ids.iter().map(|id| find(registry, id)).collect::<anyhow::Result<_>>()?;
    let by_default = registry.manifests().into_iter().filter(|m| pull.default && m.default);
    let mut found: Vec<Arc<Manifest>> = Vec::new();
    let all = named.into_iter().map(|m| (m, true)).chain(by_default.map(|m| (m, false)));
    for (manifest, is_named) in all {
        let needs: Vec<_> =
            manifest.needs.iter().map(|id| find(registry, id)).collect::<anyhow::Result<_>>()?;
        let needs = needs.into_iter().filter(|m| !is_here(m));
        let itself = (is_named || !is_here(&manifest)).then_some(manifest);
        for each in needs.chain(itself) {
            if !found.iter().any(|known| known.id == each.id) {
                found.push(each);
            }
        }
    }
    Ok(found)
}

/// Shows progress on standard error, because standard output is for results.
fn tell(id: &str, meter: &mut Option<Meter>, progress: &Progress<'_>) {
    match progress {
        Progress::Package { name, size } => {
            eprintln!("{id}: {name} by pip, {} MB", size / 1_000_000);
        }
        Progress::File { name, size, kept } => {
            if let Some(before) = meter {
                before.end();
            }
            let mut begun = Meter::start(&format!("{id}/{name}"), *size);
            begun.already(*kept);
            *meter = Some(begun);
        }
        Progress::Bytes(done) => {
            if let Some(meter) = meter {
                meter.at(*done);
            }
        }
        Progress::Again { reason, pause } => {
            if let Some(meter) = meter {
                meter.end();
            }
            eprintln!("{id}: {reason}; again in {:.0} s", pause.as_secs_f64().ceil());
        }
        Progress::Done { name, sha256 } => {
            if let Some(mut meter) = meter.take() {
                meter.end();
            }
            eprintln!("{id}/{name}: sha256 {sha256}");
        }
    }
}

fn import(
    registry: &Registry,
    places: &[PathBuf],
    to: Option<&std::path::Path>,
    trust: bool,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let mut arrived = Vec::new();
    for place in places {
        let mut meter = Meter::start(&format!("reading {}", place.display()), None);
        let found = models::recognise(registry, place, |bytes| meter.add(bytes));
        meter.end();
        for recognised in found? {
            let id = &recognised.manifest.id;
            warn_of_licence(&recognised.manifest);
            let mut meter = Meter::start(&format!("copying {id}"), recognised.manifest.size());
            let told = |bytes| meter.add(bytes);
            let copied = models::import(registry, &recognised, to, trust, told);
            meter.end();
            arrived.push(copied.with_context(|| format!("`{id}` is not imported"))?);
        }
    }
    show::arrived(&arrived, json)
}

fn verify(registry: &Registry, ids: &[String], json: bool) -> anyhow::Result<ExitCode> {
    let manifests = match ids {
        [] => registry.manifests(),
        ids => ids.iter().map(|id| find(registry, id)).collect::<anyhow::Result<_>>()?,
    };
    let mut verdicts = Vec::new();
    for manifest in manifests {
        let verdict = match registry.state(&manifest) {
            State::Missing | State::Included if ids.is_empty() => continue,
            State::Included => Ok(()),
            State::Missing => Err("it is not installed".to_owned()),
            State::Partial { .. } if ids.is_empty() => continue,
            State::Partial { .. } => Err("it is not complete".to_owned()),
            State::Damaged { folder, why } => Err(format!("{}: {why}", folder.display())),
            State::Installed(installed) => read(&installed).map_err(|e| e.to_string()),
        };
        verdicts.push((manifest, verdict));
    }
    show::verdicts(&verdicts, json)
}

fn read(installed: &Installed) -> Result<(), models::Error> {
    let manifest = &installed.manifest;
    let mut meter = Meter::start(&format!("reading {}", manifest.id), manifest.size());
    let outcome = installed.verify(|bytes| meter.add(bytes));
    meter.end();
    outcome
}

fn remove(registry: &Registry, ids: &[String], json: bool) -> anyhow::Result<ExitCode> {
    let mut removed = Vec::new();
    for id in ids {
        let (folders, bytes) = registry.remove(id)?;
        removed.push((id.clone(), folders, bytes));
    }
    show::removed(&removed, json)
}
