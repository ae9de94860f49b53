//! `auralink doctor`: what this machine has and lacks, and the commands that fix it.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use crate::aic;
use crate::config;
use crate::control::elements;
use crate::control::machine::Machine;
use crate::gpu::Gpus;
use crate::models::{Engine, Registry, State, Task};
use crate::onnx::{self, Device, NoCuda, Runtime};
use crate::runtime::Presets;
use crate::speech::denoise::DEEPFILTERNET;
use crate::speech::translate::Ct2;
use crate::speech::tts::Voices;
use crate::telemetry;

use super::arguments::environment;
use super::encoders::probe_encoders;
use super::speech;

/// Free space below which recordings would soon fail, in bytes.
const DISK_FREE_BYTES_MIN: u64 = 5 << 30;

/// Severity of a finding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Mark {
    Good,
    /// A feature is off; the appliance works.
    Warn,
    /// The appliance does not work.
    Bad,
}

struct Report {
    worst: Mark,
}

impl Report {
    fn line(&mut self, mark: Mark, what: &str, text: &str, fix: Option<&str>) {
        if mark > self.worst {
            self.worst = mark;
        }
        let sign = match mark {
            Mark::Good => "ok  ",
            Mark::Warn => "warn",
            Mark::Bad => "BAD ",
        };
        println!("{sign}  {what:<12} {text}");
        if let Some(fix) = fix {
            println!("      {:<12} → {fix}", "");
        }
    }
}

/// Checks everything. Fails if the appliance would not work.
pub(super) fn doctor(file: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let mut report = Report { worst: Mark::Good };
    println!("auralink {}\n", env!("CARGO_PKG_VERSION"));
    let path = config::find(file.as_deref());
    let loaded = config::load(path.as_deref(), environment(), &[]);
    let config = match loaded.and_then(|c| c.check().map(|()| c)) {
        Ok(config) => {
            let name = path.map_or_else(|| "defaults".to_owned(), |p| p.display().to_string());
            report.line(Mark::Good, "config", &name, None);
            config
        }
        Err(problems) => {
            for problem in &problems.0 {
                let text = format!("{}: {}", problem.at, problem.message);
                report.line(Mark::Bad, "config", &text, Some(&problem.hint));
            }
            config::Config::default()
        }
    };
    match crate::init() {
        Ok(()) => media(&mut report, &Machine::probe(probe_encoders())),
        Err(e) => {
            let fix = "sudo apt-get install libgstreamer1.0-0 gstreamer1.0-plugins-base";
            report.line(Mark::Bad, "gstreamer", &e.to_string(), Some(fix));
        }
    }
    ports(&mut report, &config);
    folders(&mut report, &config);
    models(&mut report, &config);
    voice_codec(&mut report);
    match Presets::load(config.presets.as_deref()) {
        Ok(presets) => {
            let names = presets.names().collect::<Vec<_>>().join(", ");
            report.line(Mark::Good, "presets", &names, None);
        }
        Err(e) => report.line(Mark::Bad, "presets", &e.to_string(), Some("auralink check <file>")),
    }
    println!();
    Ok(match report.worst {
        Mark::Good => {
            println!("Everything is there.");
            ExitCode::SUCCESS
        }
        Mark::Warn => {
            println!("It works; what is marked `warn` is off.");
            ExitCode::SUCCESS
        }
        Mark::Bad => {
            println!("It does not work before what is marked `BAD` is fixed.");
            ExitCode::FAILURE
        }
    })
}

fn media(report: &mut Report, machine: &Machine) {
    let there = elements::count() - machine.missing.len();
    let text = format!("{}, {there} of {} elements", machine.gstreamer, elements::count());
    report.line(Mark::Good, "gstreamer", &text, None);
    for missing in &machine.missing {
        let mark = if missing.required { Mark::Bad } else { Mark::Warn };
        let text = format!("{} is missing: no {}", missing.element, missing.feature);
        report.line(mark, "element", &text, Some(&missing.fix));
    }
    for probed in machine.probed() {
        let text = match (probed.works, probed.chosen) {
            (true, true) => {
                format!("{:<5} {} ({:.0} ms), used", probed.codec, probed.factory, probed.millis)
            }
            _ => format!("{:<5} {}: {}", probed.codec, probed.factory, probed.reason),
        };
        report.line(Mark::Good, "encoder", &text, None);
    }
    for codec in ["h264", "opus", "aac"] {
        let works = machine.probed().iter().any(|p| p.codec.as_str() == codec && p.works);
        if !works {
            let fix =
                "sudo apt-get install gstreamer1.0-plugins-{base,good,bad,ugly} gstreamer1.0-libav";
            report.line(Mark::Bad, "encoder", &format!("no {codec} encoder works"), Some(fix));
        }
    }
    let (mark, fix) = match &machine.gpus {
        Gpus::Ready { .. } | Gpus::None => (Mark::Good, None),
        Gpus::Broken { .. } => {
            (Mark::Warn, Some("sudo apt-get install nvidia-driver libcuda1, then restart"))
        }
    };
    report.line(mark, "gpu", &machine.gpus.summary(), fix);
}

fn ports(report: &mut Report, config: &config::Config) {
    for (name, address, udp) in config.listeners() {
        let free = if udp { UdpSocket::bind(address).map(drop) } else { bind_tcp(address) };
        match free {
            Ok(()) => report.line(Mark::Good, "port", &format!("{name} {address} is free"), None),
            Err(e) => {
                let text = format!("{name} {address}: {e} (is auralink running already?)");
                let fix = format!("sudo ss -lpn 'sport = :{}' shows who has it", address.port());
                report.line(Mark::Warn, "port", &text, Some(&fix));
            }
        }
    }
}

fn bind_tcp(address: SocketAddr) -> std::io::Result<()> {
    TcpListener::bind(address).map(drop)
}

fn folders(report: &mut Report, config: &config::Config) {
    for (name, folder) in [("state", config.state_dir()), ("recordings", config.recordings())] {
        let shown = folder.display().to_string();
        if let Err(e) = config::writable(&folder) {
            let fix = format!("sudo install -d -o \"$USER\" -m 750 {shown}");
            report.line(Mark::Bad, name, &format!("{shown}: {e}"), Some(&fix));
            continue;
        }
        match telemetry::disk(&folder) {
            Some(disk) if disk.free < DISK_FREE_BYTES_MIN => {
                let text = format!("{shown}: only {} MiB free", disk.free >> 20);
                let fix = "set [recordings] folder to a larger disk, or keep_hours of the outputs";
                report.line(Mark::Warn, name, &text, Some(fix));
            }
            Some(disk) => {
                let text = format!("{shown} is writable, {} GiB free", disk.free >> 30);
                report.line(Mark::Good, name, &text, None);
            }
            None => report.line(Mark::Warn, name, &format!("{shown}: size unknown"), None),
        }
    }
}

/// Reports the models of this machine, and the command that installs what speech-to-text lacks.
fn models(report: &mut Report, config: &config::Config) {
    let registry = match Registry::open(&config.models) {
        Ok(registry) => registry,
        Err(e) => {
            report.line(Mark::Bad, "models", &e.to_string(), Some("correct or delete the file"));
            return;
        }
    };
    for problem in registry.problems() {
        report.line(Mark::Warn, "models", &problem.to_string(), Some("import the model again"));
    }
    for manifest in registry.manifests() {
        let id = &manifest.id;
        match registry.state(&manifest) {
            State::Missing => {}
            State::Included => {
                let (task, licence) = (manifest.task, &manifest.licence.spdx);
                let text = format!("{task:<9} {id}, in the program ({licence})");
                report.line(Mark::Good, "model", &text, None);
            }
            State::Partial { folder, .. } => {
                let text = format!("{id} in {} is not complete", folder.display());
                let fix = format!("auralink models pull {id}");
                report.line(Mark::Warn, "model", &text, Some(&fix));
            }
            State::Damaged { folder, why } => {
                let text = format!("{id} in {} is damaged: {why}", folder.display());
                let fix = format!("auralink models remove {id} && auralink models pull {id}");
                report.line(Mark::Warn, "model", &text, Some(&fix));
            }
            State::Installed(installed) => {
                let (task, licence) = (manifest.task, &manifest.licence);
                let terms = if licence.commercial { "" } else { ", not for commercial use" };
                let memory = manifest.memory.as_ref().map(|m| format!(", {} MiB", m.cpu_mib));
                let memory = memory.unwrap_or_default();
                let label = installed.label();
                let text = format!("{task:<9} {label} ({}{terms}{memory})", licence.spdx);
                if manifest.engine == Engine::Ct2 && !Ct2::BUILT {
                    let text = format!("{text}: this build cannot run it");
                    let fix = "cargo build --release --features ct2";
                    report.line(Mark::Warn, "model", &text, Some(fix));
                } else {
                    report.line(Mark::Good, "model", &text, None);
                }
            }
        }
    }
    if registry.installed(Task::Denoise, None, None).is_empty() {
        let fix = format!("auralink models pull {DEEPFILTERNET}");
        report.line(Mark::Warn, "model", "no DeepFilterNet: RNNoise removes the noise", Some(&fix));
    }
    if registry.installed(Task::Stt, None, None).is_empty() {
        let text = "no speech-to-text model: captions have the quality of the basic engine";
        let fix =
            "auralink models pull --default, or whisper-base for other languages than English";
        report.line(Mark::Warn, "model", text, Some(fix));
    }
    onnxruntime(report, config.onnx.device, &registry);
    voices(report, config, &registry);
}

/// Reports where models of ONNX Runtime run. On a machine with a GPU a small one runs there now.
fn onnxruntime(report: &mut Report, device: Device, registry: &Registry) {
    let library = speech::library(registry);
    let works = |library: &Path| match Runtime::open(library) {
        Ok(runtime) => runtime.check_cuda(),
        Err(error) => Err(NoCuda::Provider(error.to_string())),
    };
    let choice = onnx::choose(device, || {
        onnx::cuda(&Gpus::probe(), library.as_deref())?;
        library.as_deref().map_or(Err(NoCuda::Library), works)
    });
    let mark = if choice.warn { Mark::Warn } else { Mark::Good };
    let fix = choice.why.as_ref().and_then(NoCuda::fix);
    report.line(mark, "onnx", &choice.to_string(), fix.as_deref());
}

/// Reports the engines that speak, and those that are off.
fn voices(report: &mut Report, config: &config::Config, registry: &Registry) {
    // Settings that cannot work are reported with the configuration.
    let Ok(voices) = Voices::new(&config.tts, Arc::new(|_| {})) else { return };
    voices.set_models(&speech::voice_models(registry, config.onnx.device));
    let engines: Vec<String> = voices.states().into_iter().map(|state| state.engine).collect();
    if !engines.is_empty() {
        report.line(Mark::Good, "voices", &engines.join(", "), None);
    }
    for (engine, why) in voices.missing() {
        report.line(Mark::Warn, "voices", &format!("no {engine}: {why}"), None);
    }
}

/// Reports whether trunks use the neural voice codec or Opus.
fn voice_codec(report: &mut Report) {
    match aic::available() {
        Ok((weights, id)) => {
            let text = format!("AIC-A, model {} ({weights})", aic::weights::text(id));
            report.line(Mark::Good, "voice codec", &text, None);
        }
        Err(missing) => {
            let text = format!("no AIC-A, trunks use Opus: {missing}");
            report.line(Mark::Warn, "voice codec", &text, Some(missing.fix()));
        }
    }
}
