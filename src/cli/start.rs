//! From a configuration to a running appliance, step by step, each with its own error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::starts::Starts;
use crate::aic;
use crate::config::Config;
use crate::control::Metrics;
use crate::control::api::webrtc::WebRtc;
use crate::control::api::{self, ApiState, Endpoints, Parts};
use crate::control::archive::Archive;
use crate::control::auth::{Auth, Hosts};
use crate::control::desk::{Desk, Owner};
use crate::control::machine::Machine;
use crate::control::server::Server;
use crate::control::store::{ADMIN_TOKEN_SHA256, Store};
use crate::egress::archive::Keeper;
use crate::flow::Gate;
use crate::gpu::Gpus;
use crate::ingress::{rtmp, srt};
use crate::models;
use crate::runtime::{Options, Presets, SourceSpec, Speech, StreamSpec, Supervisor};
use crate::speech::chain::Switch;
use crate::speech::stt;
use crate::speech::translate::Translators;
use crate::speech::tts::Voices;
use crate::telemetry::Host;

/// Shortest admin token that `$AURALINK_ADMIN_TOKEN` may give.
const ADMIN_TOKEN_MIN: usize = 32;

/// How often models are looked for.
const MODELS_EVERY: Duration = Duration::from_secs(30);

/// Everything that runs.
pub(super) struct Appliance {
    pub(super) supervisor: Supervisor,
    pub(super) web_rtc: WebRtc,
    pub(super) desk: Desk,
    pub(super) store: Store,
    pub(super) tls: Option<crate::control::server::Tls>,
    /// Ends servers and long answers.
    pub(super) stop: CancellationToken,
    /// The servers; one that ends before `stop` is an error of the appliance.
    pub(super) servers: JoinSet<anyhow::Result<()>>,
    /// Looks for models now.
    pub(super) look: Arc<Notify>,
    /// Address of the page, for people.
    pub(super) page: String,
}

/// Starts everything; returns when all ports are open and all streams are there. The API answers
/// before the first stream starts, so that it can be asked and corrected whatever a stream does.
pub(super) async fn start(config: &Config) -> anyhow::Result<Appliance> {
    let machine = tokio::task::spawn_blocking(|| Machine::probe(super::probe_encoders())).await?;
    tell_machine(&machine);
    // Load is told since the last reading, so there has to be a first one.
    Host::read(&config.recordings());
    let state = config.state_dir();
    let store = Store::open(&state).await?;
    let auth = authenticate(config, &store).await?;
    let recordings = config.recordings();
    let options = options(config)?;
    let stop = CancellationToken::new();
    let mut servers = JoinSet::new();
    let (clock, until) = (Clock::restore(&state).await, stop.clone());
    servers.spawn(async move {
        clock.follow(until).await;
        Ok(())
    });
    let (archive, writer) = Archive::new(store.clone());
    let models = models::Registry::open(&config.models)?;
    let speech = speech(config, &archive, &models)?;
    let ears = speech.stt.clone();
    let supervisor = Supervisor::new(options, machine.encoders.clone(), speech);
    let gate: Arc<dyn Gate> = Arc::new(supervisor.clone());
    let until = stop.clone();
    servers.spawn(async move {
        writer.run(until).await;
        Ok(())
    });
    let (look, until) = (Arc::new(Notify::new()), stop.clone());
    let found = follow_models(models, ears, look.clone(), until);
    servers.spawn(async move {
        found.await;
        Ok(())
    });
    let server = Server::bind(&config.api).await?;
    let rtmp = match config.rtmp.enabled {
        true => Some(rtmp::Server::bind(config.rtmp.clone()).await?),
        false => None,
    };
    let srt = config.srt.enabled.then(|| srt::Server::bind(config.srt.clone())).transpose()?;
    let endpoints = Endpoints {
        http: server.address().port(),
        https: server.tls().is_some(),
        srt: srt.as_ref().and_then(|s| s.local_address().ok()).map(|a| a.port()),
        rtmp: rtmp.as_ref().and_then(rtmp::Server::address).map(|a| a.port()),
        rtmps: rtmp.as_ref().and_then(rtmp::Server::tls_address).map(|a| a.port()),
    };
    let metrics = Metrics::new(matches!(machine.gpus, Gpus::Ready { .. }))?;
    let counting = metrics.clone();
    let (counted, until) = (supervisor.clone(), stop.clone());
    servers.spawn(async move {
        counting.follow(&counted, until).await;
        Ok(())
    });
    let desk = Desk::new(supervisor.clone(), store.clone());
    let started = Arc::<AtomicBool>::default();
    let web_rtc = WebRtc::new(gate.clone(), config.webrtc.clone());
    let tls = server.tls().cloned();
    let page = page(config, &endpoints);
    let state = ApiState::new(Parts {
        desk: desk.clone(),
        auth,
        jitsi: config.api.jitsi()?,
        archive,
        metrics,
        machine,
        endpoints,
        public: config
            .api
            .public()
            .map_err(|(field, why)| anyhow::anyhow!("api.{field}: {why}"))?,
        recordings,
        open_metrics: config.api.open_metrics,
        started: started.clone(),
        shutdown: stop.clone(),
    });
    let router = api::router(state, api::media_router(&supervisor, web_rtc.clone()));
    let until = stop.clone();
    servers.spawn(async move { server.run(router, until).await.context("the HTTP server ended") });
    open_streams(config, &desk, &store, &stop).await?;
    started.store(true, Ordering::Release);
    if let Some(rtmp) = rtmp {
        let (gate, until) = (gate.clone(), stop.clone());
        servers.spawn(async move {
            rtmp.run(gate, until).await;
            Ok(())
        });
    }
    if let Some(srt) = srt {
        let (gate, until) = (gate.clone(), stop.clone());
        servers.spawn(async move { srt.run(gate, until).await.context("the SRT server ended") });
    }
    Ok(Appliance { supervisor, web_rtc, desk, store, tls, stop, servers, look, page })
}

/// What the configuration says to the supervisor.
fn options(config: &Config) -> anyhow::Result<Options> {
    Ok(Options {
        recordings: config.recordings(),
        streams_max: config.limits.streams,
        viewers_max: config.limits.viewers,
        presets: Presets::load(config.presets.as_deref())?,
        hls: config.hls,
        encode: Default::default(),
        webrtc: config.webrtc.clone(),
        sources: config.sources.clone(),
    })
}

/// The engines that work on words.
fn speech(config: &Config, archive: &Archive, models: &models::Registry) -> anyhow::Result<Speech> {
    let stt = stt::Engines::new(&config.stt, stt::Models::default());
    let told = |switch: &Switch| {
        let Switch { job, route, from, to, reason } = switch;
        tracing::warn!(job, route, from, to, reason, "another engine takes over");
    };
    let translators = Translators::new(&config.translate, Some(models), Arc::new(told))?;
    let voices = Voices::new(&config.tts, Arc::new(told))?;
    let (stt, translators, voices) = (Arc::new(stt), Arc::new(translators), Arc::new(voices));
    let keeper = Some(Arc::new(archive.clone()) as Arc<dyn Keeper>);
    Ok(Speech { stt, translators, voices, keeper })
}

/// Looks for models now, every half minute and when told to, so that what is pulled or imported meanwhile
/// is used without a restart. A model that is new is read as a whole: on a thread that may be busy with
/// gigabytes for a while.
async fn follow_models(
    models: models::Registry,
    ears: Arc<stt::Engines>,
    look: Arc<Notify>,
    until: CancellationToken,
) {
    let mut tick = tokio::time::interval(MODELS_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = until.cancelled() => return,
            _ = tick.tick() => {}
            () = look.notified() => {}
        }
        let models = models.clone();
        let Ok(found) = tokio::task::spawn_blocking(move || speech_models(&models)).await else {
            continue;
        };
        let labels: Vec<String> = found.whisper.iter().map(|p| stt::whisper::label(p)).collect();
        if ears.set_models(found) {
            tracing::info!(models = labels.join(", "), "speech-to-text models");
        }
    }
}

/// The model files that speech-to-text may use: those that are what their manifest says.
fn speech_models(models: &models::Registry) -> stt::Models {
    let of = |task, engine| {
        let installed = models.installed(task, Some(engine), None).into_iter();
        let ready = installed.filter(|model| match model.ready() {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(model = model.label(), %error, "a model is not used");
                false
            }
        });
        ready.filter_map(|model| model.paths.into_iter().next())
    };
    stt::Models { whisper: of(models::Task::Stt, models::Engine::Whisper).collect() }
}

fn tell_machine(machine: &Machine) {
    let gpu = machine.gpus.summary();
    match &machine.gpus {
        Gpus::Broken { .. } => tracing::warn!("{gpu}"),
        Gpus::Ready { .. } | Gpus::None => tracing::info!("{gpu}"),
    }
    match aic::available() {
        Ok(id) => tracing::info!(model = aic::weights::text(id), "voice on trunks goes by AIC-A"),
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

/// The admin token: from the environment, or the one whose hash is stored, or a new one, which is
/// printed this once.
async fn authenticate(config: &Config, store: &Store) -> anyhow::Result<Auth> {
    let open = config.api.open;
    if open {
        tracing::warn!("api.open is true: anybody who reaches the port may change everything");
    }
    // The public address is one that the admin has named: its host is the appliance's own too.
    let public = config.api.public_url.as_ref().and_then(|url| url::Url::parse(url).ok());
    let public = public.and_then(|url| url.host_str().map(str::to_owned));
    let names = config.api.allowed_hosts.iter().cloned().chain(public);
    let hosts = Hosts::new(names);
    let made = |digest: &str| {
        Auth::new(digest, open, hosts.clone()).context("the stored token hash is damaged")
    };
    if let Ok(token) = std::env::var("AURALINK_ADMIN_TOKEN") {
        anyhow::ensure!(
            token.len() >= ADMIN_TOKEN_MIN,
            "$AURALINK_ADMIN_TOKEN is too short: use at least {ADMIN_TOKEN_MIN} random characters, \
             such as those of `openssl rand -hex 32`"
        );
        return made(&Auth::digest(&token));
    }
    if let Some(digest) = store.setting(ADMIN_TOKEN_SHA256).await? {
        return made(&digest).context("`auralink token --new` makes another");
    }
    let token = crate::media::new_token();
    let digest = Auth::digest(&token);
    store.set_setting(ADMIN_TOKEN_SHA256, &digest).await?;
    // Standard output, not the log: logs are collected, kept and read by many.
    println!("\n  The admin token, shown this once:\n\n      {token}\n");
    made(&digest)
}

async fn open_streams(
    config: &Config,
    desk: &Desk,
    store: &Store,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let stored = store.streams().await?;
    let stored = stored.iter().filter_map(|(_, spec)| spec.as_ref().ok());
    let streams = config.streams.iter().chain(stored);
    let starts = Starts::begin(&config.state_dir(), streams, desk.supervisor()).await;
    for spec in &config.streams {
        let name = &spec.name;
        let declared = desk.declare(spec.clone(), Owner::Config).await;
        declared.with_context(|| format!("stream `{name}` of the configuration cannot start"))?;
    }
    desk.restore().await?;
    if config.demo {
        let declared = desk.declare(demo()?, Owner::Demo).await;
        if let Err(error) = declared {
            // Somebody may have made a stream of that name; the demo is not worth failing for.
            tracing::warn!(%error, "no demo stream");
        }
    }
    tokio::spawn(starts.follow(desk.supervisor().clone(), stop.clone()));
    Ok(())
}

/// What a newcomer sees first: a test pattern, and a voice in noise to be cleaned.
fn demo() -> anyhow::Result<StreamSpec> {
    let mut spec = StreamSpec::new("demo".parse()?);
    spec.preset = "clean-audio".into();
    spec.source = SourceSpec::Demo;
    Ok(spec)
}

/// Where a browser on this machine finds the page.
fn page(config: &Config, endpoints: &Endpoints) -> String {
    let scheme = if endpoints.https { "https" } else { "http" };
    let ip = config.api.listen.ip();
    let host = match ip {
        _ if ip.is_unspecified() => "localhost".to_owned(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        std::net::IpAddr::V4(ip) => ip.to_string(),
    };
    format!("{scheme}://{host}:{}/", endpoints.http)
}
