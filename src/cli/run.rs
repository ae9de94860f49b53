//! `auralink run`: starts the appliance, handles signals, and stops within five seconds.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::arguments::RunArguments;
use super::reload::reload;
use super::start::{Appliance, start};
use crate::config::Config;
use crate::telemetry;

/// Time limit for an orderly shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(4800);

/// A process that still runs this long after a stop signal is killed.
const KILL_AFTER: Duration = Duration::from_secs(8);

/// With a lower limit of open files the configured limits cannot be reached.
const OPEN_FILES_MIN: u64 = 8192;

/// Time limit for closing WebRTC sessions at shutdown.
const SESSIONS_END_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs until SIGTERM or SIGINT.
pub(super) fn run(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    // Before any thread starts: existing heaps stay, and children inherit the limit.
    telemetry::malloc::bound_arenas();
    let files = telemetry::descriptors::raise_limit();
    let config = arguments.load()?;
    telemetry::init(&config.log);
    if files < OPEN_FILES_MIN {
        tracing::warn!(files, "few files may be open: raise the hard limit (`ulimit -Hn`)");
    }
    crate::init().context("GStreamer does not start")?;
    end_by_force()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(serve(arguments, config));
    // A thread that hangs in a driver must not keep the process alive.
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended?;
    telemetry::exit::at_once()
}

/// A separate thread that kills the process if a shutdown hangs, be it in a worker, in reading the
/// configuration, or in a library's exit handler.
fn end_by_force() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // From here on the default action of the signals is off, before anything can hang.
    let mut quit = runtime.block_on(async { Quit::new() })?;
    let wait = move || {
        runtime.block_on(async {
            quit.wait().await;
            tokio::time::sleep(KILL_AFTER).await;
        });
        eprintln!("auralink hangs and is ended by force");
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    };
    std::thread::Builder::new().name("end".into()).spawn(wait)?;
    Ok(())
}

async fn serve(arguments: &RunArguments, mut config: Config) -> anyhow::Result<()> {
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut quit = Quit::new()?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "starting");
    let mut appliance = tokio::select! {
        appliance = start(&config) => appliance?,
        () = quit.wait() => return Ok(()),
    };
    tracing::info!(page = %appliance.page, "ready");
    notify(&[NotifyState::Ready]);
    let mut watchdog = watchdog();
    let outcome = loop {
        tokio::select! {
            () = quit.wait() => break Ok(()),
            _ = hang_up.recv() => tokio::select! {
                () = quit.wait() => break Ok(()),
                () = reload(arguments, &mut config, &appliance) => {}
            },
            _ = watchdog.tick() => beat(&appliance).await,
            Some(ended) = appliance.servers.join_next() => break server_ended(ended),
        }
    };
    notify(&[NotifyState::Stopping]);
    let stopped = tokio::time::timeout(SHUTDOWN_TIMEOUT, stop(appliance)).await;
    if stopped.is_err() {
        tracing::error!("not everything stopped within {SHUTDOWN_TIMEOUT:?}");
    }
    outcome
}

struct Quit {
    terminate: Signal,
    interrupt: Signal,
}

impl Quit {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn server_ended(ended: Result<anyhow::Result<()>, tokio::task::JoinError>) -> anyhow::Result<()> {
    match ended {
        Ok(Ok(())) => anyhow::bail!("a server ended although nobody stopped it"),
        Ok(Err(error)) => Err(error),
        Err(panic) => Err(panic).context("a server failed"),
    }
}

async fn stop(mut appliance: Appliance) {
    tracing::info!("stopping");
    // Recordings are finished and viewers notified while the servers still answer; then the servers
    // stop.
    let sessions = appliance.web_rtc.registry().shut_down(SESSIONS_END_TIMEOUT);
    tokio::join!(appliance.supervisor.shutdown(), sessions);
    appliance.stop.cancel();
    while appliance.servers.join_next().await.is_some() {}
    appliance.store.close().await;
    tracing::info!("stopped");
}

/// Notifies systemd. Does nothing without systemd.
fn notify(state: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd was not told");
    }
}

/// Ticks at half the interval that systemd asks for, or once a day without systemd.
fn watchdog() -> tokio::time::Interval {
    let asked = sd_notify::watchdog_enabled();
    let period = asked.map_or(Duration::from_secs(86_400), |max| max / 2);
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval
}

/// Notifies systemd's watchdog if the streams answer. Without the notice systemd restarts the
/// process, the right remedy for hanging streams.
async fn beat(appliance: &Appliance) {
    let answer = tokio::time::timeout(Duration::from_secs(5), appliance.supervisor.snapshots());
    match answer.await {
        Ok(_) => notify(&[NotifyState::Watchdog]),
        Err(_) => tracing::error!("streams do not answer; the watchdog is not told"),
    }
}
