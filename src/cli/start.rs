//! Starts the appliance from a configuration, step by step, each with its own error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::admin::authenticate;
use super::clock::Clock;
use super::encoders::probe_encoders;
use super::ports::{self, Ports};
use super::speech;
use super::starts::Starts;
use crate::aic;
use crate::cluster::Origins;
use crate::config::Config;
use crate::control::Metrics;
use crate::control::api::webrtc::WebRtc;
use crate::control::api::{self, ApiState, Parts};
use crate::control::archive::Archive;
use crate::control::cluster;
use crate::control::machine::Machine;
use crate::control::store::Store;
use crate::control::stream_service::{Owner, StreamService};
use crate::control::token_service::TokenService;
use crate::egress::segments;
use crate::flow::Gate;
use crate::gpu::Gpus;
use crate::models;
use crate::onnx::{self, Device, NoCuda};
use crate::runtime::{Options, Presets, SourceSpec, StreamSpec, Supervisor};
use crate::telemetry::Host;

/// The running appliance.
pub(super) struct Appliance {
    pub(super) supervisor: Supervisor,
    pub(super) web_rtc: WebRtc,
    pub(super) stream_service: StreamService,
    pub(super) store: Store,
    pub(super) tls: Option<crate::control::server::Tls>,
    /// Ends servers and long-running answers.
    pub(super) stop: CancellationToken,
    /// The server tasks. A task that ends before `stop` is an error of the appliance.
    pub(super) servers: JoinSet<anyhow::Result<()>>,
    /// Triggers a check for models.
    pub(super) look: Arc<Notify>,
    /// Address of the page, to be printed.
    pub(super) page: String,
}

/// Starts the appliance. Returns when all ports are open and all streams exist. The API answers
/// before the first stream starts, so that it is usable whatever a stream does.
pub(super) async fn start(config: &Config) -> anyhow::Result<Appliance> {
    let machine = tokio::task::spawn_blocking(|| Machine::probe(probe_encoders())).await?;
    tell_machine(&machine);
    // Load is measured since the previous reading, so a first reading is needed.
    Host::read(&config.recordings());
    let state = config.state_dir();
    let store = Store::open(&config.database, &state).await?;
    let dvr = config.dvr();
    tokio::task::spawn_blocking(move || segments::sweep(&dvr)).await?;
    let auth = authenticate(config, &*store.settings).await?;
    let token_service = TokenService::load(store.api_tokens.clone(), auth.clone()).await?;
    let options = options(config).await?;
    let stop = CancellationToken::new();
    let mut servers = JoinSet::new();
    let (clock, until) = (Clock::restore(&state).await, stop.clone());
    servers.spawn(never_fails(async move { clock.follow(until).await }));
    let (archive, writer) = Archive::new(store.cues.clone());
    let models = models::Registry::open(&config.models)?;
    let speech = speech::engines(config, &archive, &models)?;
    let (ears, voices) = (speech.stt.clone(), speech.voices.clone());
    let deepfilternet = speech.deepfilternet.clone();
    let supervisor = Supervisor::new(options, machine.encoders.clone(), speech);
    let gate: Arc<dyn Gate> = Arc::new(supervisor.clone());
    let until = stop.clone();
    servers.spawn(never_fails(async move { writer.run(until).await }));
    let (look, until) = (Arc::new(Notify::new()), stop.clone());
    let device = device(config.onnx.device, &machine.gpus, &models).await?;
    let found =
        speech::follow_models(models, ears, voices, deepfilternet, device, look.clone(), until);
    servers.spawn(never_fails(found));
    let ports = Ports::open(config).await?;
    let endpoints = ports.endpoints();
    let metrics = Metrics::new(matches!(machine.gpus, Gpus::Ready { .. }))?;
    let counting = metrics.clone();
    let (counted, until) = (supervisor.clone(), stop.clone());
    servers.spawn(never_fails(async move { counting.follow(&counted, until).await }));
    let stream_service = StreamService::new(supervisor.clone(), store.clone());
    let started = Arc::<AtomicBool>::default();
    let web_rtc = WebRtc::new(gate.clone(), config.webrtc.clone())?.with_redirects(&supervisor);
    let tls = ports.api.tls().cloned();
    let page = ports::page(config, &endpoints);
    let state = ApiState::new(Parts {
        stream_service: stream_service.clone(),
        auth,
        token_service,
        jitsi: config.api.jitsi()?,
        archive,
        metrics,
        sessions: web_rtc.registry().clone(),
        machine,
        endpoints,
        public: config
            .api
            .public()
            .map_err(|(field, why)| anyhow::anyhow!("api.{field}: {why}"))?,
        recordings: config.recordings(),
        open_metrics: config.api.open_metrics,
        started: started.clone(),
        shutdown: stop.clone(),
    });
    let router = api::router(state, api::media_router(&supervisor, web_rtc.clone()));
    let (Ports { api, publishers }, until) = (ports, stop.clone());
    servers.spawn(async move { api.run(router, until).await.context("the HTTP server ended") });
    open_streams(config, &stream_service, &store, &stop).await?;
    started.store(true, Ordering::Release);
    publishers.serve(&gate, &stop, &mut servers);
    let (told, recordings, until) = (supervisor.clone(), config.recordings(), stop.clone());
    servers.spawn(never_fails(async move { cluster::register(&told, &recordings, &until).await }));
    Ok(Appliance { supervisor, web_rtc, stream_service, store, tls, stop, servers, look, page })
}

/// Wraps work that ends only when it is cancelled.
async fn never_fails(work: impl Future<Output = ()>) -> anyhow::Result<()> {
    work.await;
    Ok(())
}

/// The options of the supervisor.
async fn options(config: &Config) -> anyhow::Result<Options> {
    let origins =
        Origins::new(&config.cluster).await.map_err(|why| anyhow::anyhow!("[cluster] {why}"))?;
    Ok(Options {
        recordings: config.recordings(),
        dvr: config.dvr(),
        streams_max: config.limits.streams,
        viewers_max: config.limits.viewers,
        presets: Presets::load(config.presets.as_deref())?,
        segments: config.hls,
        encode: Default::default(),
        webrtc: config.webrtc.clone(),
        sources: config.sources.clone(),
        origins: Arc::new(origins),
    })
}

/// Logs where models of ONNX Runtime run; returns where they may. A library for GPUs that is pulled
/// later is used then, without a restart.
async fn device(wanted: Device, gpus: &Gpus, models: &models::Registry) -> anyhow::Result<Device> {
    let models = models.clone();
    let library = tokio::task::spawn_blocking(move || speech::library(&models)).await?;
    let choice = onnx::choose(wanted, || onnx::cuda(gpus, library.as_deref()));
    let fix = choice.why.as_ref().and_then(NoCuda::fix);
    match choice.warn {
        true => tracing::warn!(fix, "{choice}"),
        false => tracing::info!("{choice}"),
    }
    match choice.why {
        Some(NoCuda::Gpu | NoCuda::Driver(_)) => Ok(Device::Cpu),
        _ => Ok(wanted),
    }
}

fn tell_machine(machine: &Machine) {
    let gpu = machine.gpus.summary();
    match &machine.gpus {
        Gpus::Broken { .. } => tracing::warn!("{gpu}"),
        Gpus::Ready { .. } | Gpus::None => tracing::info!("{gpu}"),
    }
    match aic::available() {
        Ok((weights, id)) => {
            let model = aic::weights::text(id);
            tracing::info!(model, %weights, "voice on trunks goes by AIC-A");
        }
        Err(missing) => {
            tracing::info!(
                fix = missing.fix(),
                "voice on trunks goes by Opus, not AIC-A: {missing}"
            );
        }
    }
    for missing in &machine.missing {
        tracing::warn!(element = missing.element, fix = %missing.fix, "no {}", missing.feature);
    }
}

async fn open_streams(
    config: &Config,
    stream_service: &StreamService,
    store: &Store,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let stored = store.streams.list().await?;
    let stored = stored.iter().filter_map(|stream| stream.spec.as_ref().ok());
    let streams = config.streams.iter().chain(stored);
    let starts = Starts::begin(&config.state_dir(), streams, stream_service.supervisor()).await;
    for spec in &config.streams {
        let name = &spec.name;
        let declared = stream_service.declare(spec.clone(), Owner::Config).await;
        declared.with_context(|| format!("stream `{name}` of the configuration cannot start"))?;
    }
    stream_service.restore().await?;
    if config.demo {
        let declared = stream_service.declare(demo()?, Owner::Demo).await;
        if let Err(error) = declared {
            // A stream of that name may already exist. A missing demo must not prevent the start.
            tracing::warn!(%error, "no demo stream");
        }
    }
    tokio::spawn(starts.follow(stream_service.supervisor().clone(), stop.clone()));
    Ok(())
}

/// The demo stream for new users: a test pattern, and a voice in noise with noise suppression and
/// captions in English, Spanish and French.
fn demo() -> anyhow::Result<StreamSpec> {
    let mut spec = StreamSpec::new("demo".parse()?);
    spec.preset = "captions-translated".into();
    spec.source = SourceSpec::Demo(Default::default());
    Ok(spec)
}
