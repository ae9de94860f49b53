//! Sets up the speech engines and their models on disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::control::archive::Archive;
use crate::egress::archive::CueSink;
use crate::models::{Engine, Installed, Languages, Registry, Task};
use crate::onnx::Device;
use crate::runtime::Speech;
use crate::speech::chain::Switch;
use crate::speech::denoise::{self, Found};
use crate::speech::stt;
use crate::speech::translate::Translators;
use crate::speech::tts::{self, Voices};

/// How often the models folder is checked.
const MODELS_CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// Creates the speech engines.
pub(super) fn engines(
    config: &Config,
    archive: &Archive,
    models: &Registry,
) -> anyhow::Result<Speech> {
    let stt = stt::Engines::new(&config.stt, stt::Models::default());
    let told = |switch: &Switch| {
        let Switch { job, route, from, to, reason } = switch;
        tracing::warn!(job, route, from, to, reason, "another engine takes over");
    };
    let translators = Translators::new(&config.translate, Some(models), Arc::new(told))?;
    let voices = Voices::new(&config.tts, Arc::new(told))?;
    let (stt, translators, voices) = (Arc::new(stt), Arc::new(translators), Arc::new(voices));
    let cue_sink = Some(Arc::new(archive.clone()) as Arc<dyn CueSink>);
    let deepfilternet = watch::Sender::new(denoise::missing());
    Ok(Speech { stt, translators, voices, deepfilternet, cue_sink })
}

/// Checks for models now, every half minute and on request, so that newly pulled or imported ones
/// are used without a restart. A new model is read completely, on a thread that may block for
/// gigabytes.
pub(super) async fn follow_models(
    models: Registry,
    ears: Arc<stt::Engines>,
    voices: Arc<Voices>,
    deepfilternet: watch::Sender<Found>,
    device: Device,
    look: Arc<Notify>,
    until: CancellationToken,
) {
    let mut tick = tokio::time::interval(MODELS_CHECK_INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = until.cancelled() => return,
            _ = tick.tick() => {}
            () = look.notified() => {}
        }
        let (models, voices) = (models.clone(), Arc::clone(&voices));
        let search = move || {
            voices.set_models(&voice_models(&models, device));
            (denoise::locate(&models), speech_models(&models))
        };
        let Ok((denoiser, found)) = tokio::task::spawn_blocking(search).await else {
            continue;
        };
        follow_denoiser(&deepfilternet, denoiser);
        let mut labels: Vec<String> = found
            .whisper
            .iter()
            .map(|path| format!("whisper {}", stt::whisper::label(path)))
            .collect();
        labels.extend(found.moonshine.iter().map(|_| "moonshine".to_owned()));
        if ears.set_models(found) {
            tracing::info!(models = labels.join(", "), "speech-to-text models");
        }
    }
}

/// Installed models that match their manifest, the preferred first.
fn ready(models: &Registry, task: Task, engine: Engine) -> impl Iterator<Item = Installed> {
    let installed = models.installed(task, Some(engine), None).into_iter();
    installed.filter(|model| match model.ready() {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(model = model.label(), %error, "a model is not used");
            false
        }
    })
}

/// The weights of such models.
fn weights(models: &Registry, task: Task, engine: Engine) -> impl Iterator<Item = PathBuf> {
    ready(models, task, engine).filter_map(|model| model.paths.into_iter().next())
}

/// Tells the streams of DeepFilterNet as it comes and goes.
fn follow_denoiser(streams: &watch::Sender<Found>, found: Found) {
    let told = found.clone();
    let changed = streams.send_if_modified(|now| {
        let changed = *now != found;
        *now = found;
        changed
    });
    match told {
        _ if !changed => {}
        Ok(folder) => tracing::info!(folder = %folder.display(), "DeepFilterNet is there"),
        Err(reason) => tracing::warn!(reason, "DeepFilterNet is not used"),
    }
}

/// The model files for speech-to-text.
fn speech_models(models: &Registry) -> stt::Models {
    let folder = |weights: PathBuf| weights.parent().map(Path::to_owned);
    stt::Models {
        whisper: weights(models, Task::Stt, Engine::Whisper).collect(),
        moonshine: weights(models, Task::Stt, Engine::Moonshine).find_map(folder),
        onnxruntime: onnxruntime(models),
    }
}

/// The preferred library of ONNX Runtime, not verified.
pub(super) fn library(models: &Registry) -> Option<PathBuf> {
    let installed = models.installed(Task::Runtime, Some(Engine::Onnxruntime), None);
    installed.into_iter().find_map(|model| model.paths.into_iter().next())
}

/// The same, if its files are right.
fn onnxruntime(models: &Registry) -> Option<PathBuf> {
    weights(models, Task::Runtime, Engine::Onnxruntime).next()
}

/// The model files for text-to-speech, whose voices may run on `device`.
pub(super) fn voice_models(models: &Registry, device: Device) -> tts::Models {
    let voice = |model: Installed| match &model.manifest.languages {
        Languages::Only(languages) => {
            Some((languages.first()?.clone(), model.paths.first()?.clone()))
        }
        Languages::Any => None,
    };
    tts::Models {
        piper: ready(models, Task::Tts, Engine::Piper).filter_map(voice).collect(),
        onnxruntime: onnxruntime(models),
        device,
    }
}
