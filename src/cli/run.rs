//! `auralink run`: starts the appliance, follows signals, stops it within five seconds.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::RunArguments;
use super::reload::reload;
use super::start::{Appliance, start};
use crate::config::Config;
use crate::telemetry;

/// Everything is given up after this long at shutdown.
const SHUTDOWN_MAX: Duration = Duration::from_millis(4800);

/// A process that is still there so long after it was told to end is ended by force.
const END_MAX: Duration = Duration::from_secs(8);

/// With fewer open files than this the limits of the configuration cannot be reached.
const FILES_MIN: u64 = 8192;

/// WebRTC peers are told within this.
const SESSIONS_MAX: Duration = Duration::from_secs(2);

/// Runs until SIGTERM or SIGINT.
pub(super) fn run(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    // Before any thread: heaps that exist stay, and children inherit the limit.
    telemetry::malloc::bound_arenas();
    let files = telemetry::descriptors::raise_limit();
    let config = arguments.load()?;
    telemetry::init(&config.log);
    if files < FILES_MIN {
        tracing::warn!(files, "few files may be open: raise the hard limit (`ulimit -Hn`)");
    }
    crate::init().context("GStreamer does not start")?;
    end_by_force()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(serve(arguments, config));
    // A thread that hangs in a driver must not keep the process from ending.
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended?;
    telemetry::exit::at_once()
}

/// A thread of its own that ends the process when nothing else does, whatever hangs: a worker, the
/// reading of the configuration, or a library at its exit.
fn end_by_force() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // The default action is gone from here on, before anything can hang.
    let mut quit = runtime.block_on(async { Quit::new() })?;
    let wait = move || {
        runtime.block_on(async {
            quit.wait().await;
            tokio::time::sleep(END_MAX).await;
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
    let stopped = tokio::time::timeout(SHUTDOWN_MAX, stop(appliance)).await;
    if stopped.is_err() {
        tracing::error!("not everything stopped within {SHUTDOWN_MAX:?}");
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
    // Recordings are finished and viewers told while the servers still answer; then these end.
    let sessions = appliance.web_rtc.registry().shut_down(SESSIONS_MAX);
    tokio::join!(appliance.supervisor.shutdown(), sessions);
    appliance.stop.cancel();
    while appliance.servers.join_next().await.is_some() {}
    appliance.store.close().await;
    tracing::info!("stopped");
}

/// Tells systemd; without systemd it does nothing.
fn notify(state: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd was not told");
    }
}

/// Beats at half the interval that systemd asks for; practically never without systemd.
fn watchdog() -> tokio::time::Interval {
    let asked = sd_notify::watchdog_enabled();
    let period = asked.map_or(Duration::from_secs(86_400), |max| max / 2);
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval
}

/// Tells systemd's watchdog that all is well, if the streams answer: a process whose streams hang
/// is better restarted.
async fn beat(appliance: &Appliance) {
    let answer = tokio::time::timeout(Duration::from_secs(5), appliance.supervisor.snapshots());
    match answer.await {
        Ok(_) => notify(&[NotifyState::Watchdog]),
        Err(_) => tracing::error!("streams do not answer; the watchdog is not told"),
    }
}
