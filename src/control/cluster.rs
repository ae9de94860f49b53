//! What this appliance tells the other ones of its cluster.

use std::path::Path;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::cluster::{ApplianceLoad, Told, ToldStream};
use crate::flow::files;
use crate::media::StreamName;
use crate::runtime::{Event, StreamSnapshot, StreamState, Supervisor};
use crate::telemetry::Host;

/// A disk that does not report its usage within this time hangs; its figures are then left out.
pub(super) const DISK_TIMEOUT: Duration = Duration::from_secs(2);

/// Tells the other appliances through Redis of this one, if one is configured, until cancelled: every
/// two seconds, and when a stream comes, goes, or goes on or off air.
pub async fn register(supervisor: &Supervisor, recordings: &Path, until: &CancellationToken) {
    let tell = || told(supervisor, recordings);
    let tell_soon = async {
        let mut events = supervisor.events();
        loop {
            match events.recv().await {
                Ok(
                    Event::StreamCreated { .. }
                    | Event::StreamRemoved { .. }
                    | Event::StateChanged { .. },
                )
                | Err(RecvError::Lagged(_)) => supervisor.origins().tell_soon(),
                Ok(_) => {}
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    };
    tokio::select! {
        () = supervisor.origins().register(tell, until) => {}
        () = tell_soon => {}
    }
}

async fn told(supervisor: &Supervisor, recordings: &Path) -> Told {
    let streams = streams(supervisor).await;
    let load = load(supervisor, recordings, &streams).await;
    let own = streams.iter().filter(|(_, from_origin)| !from_origin);
    let told = own.filter_map(|(stream, _)| {
        Some(ToldStream { name: stream.name.parse().ok()?, live: has_publisher(stream.state) })
    });
    let pulled = streams.iter().filter(|(_, from_origin)| *from_origin);
    let pulled = pulled.filter_map(|(stream, _)| stream.name.parse().ok()).collect();
    Told { load, streams: told.collect(), pulled }
}

/// Whether a publisher is on air.
pub(super) fn has_publisher(state: StreamState) -> bool {
    matches!(state, StreamState::Live | StreamState::Backup)
}

/// The viewers of a stream.
pub(super) fn viewers_of(stream: &StreamSnapshot) -> u64 {
    stream.viewers.values().copied().map(u64::from).sum()
}

/// The streams with their states, and whether each comes from an origin.
pub(super) async fn streams(supervisor: &Supervisor) -> Vec<(StreamSnapshot, bool)> {
    let from_origin = |stream: &StreamSnapshot| {
        let name = stream.name.parse::<StreamName>().ok();
        let spec = name.and_then(|name| supervisor.spec(&name).ok());
        spec.is_some_and(|spec| spec.is_from_origin())
    };
    let snapshots = supervisor.snapshots().await.into_iter();
    snapshots
        .map(|stream| (from_origin(&stream), stream))
        .map(|(is, stream)| (stream, is))
        .collect()
}

/// The load of this appliance with these streams.
pub(super) async fn load(
    supervisor: &Supervisor,
    recordings: &Path,
    streams: &[(StreamSnapshot, bool)],
) -> ApplianceLoad {
    let host = files::within(recordings, DISK_TIMEOUT, Host::read).await.unwrap_or_default();
    let (streams_max, viewers_max) = supervisor.limits();
    let from_origins = streams.iter().filter(|(_, from_origin)| *from_origin).count();
    ApplianceLoad {
        version: env!("CARGO_PKG_VERSION").into(),
        streams: streams.len() - from_origins,
        streams_live: streams.iter().filter(|(stream, _)| has_publisher(stream.state)).count(),
        streams_from_origins: from_origins,
        streams_max,
        viewers: streams.iter().map(|(stream, _)| viewers_of(stream)).sum(),
        viewers_max,
        cpus: host.cpus,
        cpu_percent: (host.cpu_percent * 10.0).round() / 10.0,
    }
}
