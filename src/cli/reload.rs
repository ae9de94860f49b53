//! SIGHUP: reads the configuration again and applies only the differences.

use sd_notify::NotifyState;

use super::arguments::RunArguments;
use super::start::Appliance;
use crate::config::{Config, diff};

/// Reads and applies the configuration. A file with mistakes changes nothing.
pub(super) async fn reload(arguments: &RunArguments, running: &mut Config, appliance: &Appliance) {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        let _ = sd_notify::notify(&[NotifyState::Reloading, now]);
    }
    // Files may be on a disk that hangs.
    let arguments = arguments.clone();
    match tokio::task::spawn_blocking(move || arguments.load()).await {
        Ok(Ok(wanted)) => apply(running, wanted, appliance).await,
        Ok(Err(problems)) => {
            tracing::error!("reload: nothing is changed, the configuration is wrong\n{problems}");
        }
        Err(panic) => tracing::error!("reload: nothing is changed: {panic}"),
    }
    appliance.look.notify_one();
    if let Some(tls) = &appliance.tls
        && let Err(error) = tls.reload().await
    {
        tracing::error!(%error, "reload: the old certificate stays in use");
    }
    let _ = sd_notify::notify(&[NotifyState::Ready]);
}

async fn apply(running: &mut Config, wanted: Config, appliance: &Appliance) {
    let found = diff(running, &wanted);
    if found.is_empty() {
        tracing::info!("reload: nothing has changed");
        return;
    }
    for setting in &found.restart {
        tracing::warn!(setting, "reload: changed, takes effect at the next start");
    }
    let streams = found.streams;
    tracing::info!(
        created = streams.create.len(),
        updated = streams.update.len(),
        removed = streams.remove.len(),
        "reload: streams"
    );
    let failed = appliance.stream_service.apply(streams).await;
    for failure in &failed {
        tracing::error!("reload: {failure}");
    }
    // Failed changes are tried again at the next reload, because they still differ.
    if failed.is_empty() {
        running.streams = wanted.streams;
    }
}
