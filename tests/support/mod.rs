//! Shared by the end-to-end tests and the benches: a real appliance on free ports, its API, test
//! media, publishers, viewers and figures of processes.

pub(crate) mod api;
pub(crate) mod appliance;
pub(crate) mod client;
pub(crate) mod expect;
pub(crate) mod fault;
pub(crate) mod line;
pub(crate) mod media;
pub(crate) mod needs;
pub(crate) mod postgres;
pub(crate) mod publish;
pub(crate) mod pulled;
pub(crate) mod redis;
pub(crate) mod rough;
pub(crate) mod speech;
pub(crate) mod spelling;
pub(crate) mod usage;

use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Calls `probe` until it returns `Ok`; panics with the last `Err` after `max`.
///
/// Every wait of a test uses this: it takes no longer than needed and always ends.
pub(crate) async fn eventually<T, F>(what: &str, max: Duration, mut probe: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let start = Instant::now();
    loop {
        let last = match probe().await {
            Ok(found) => return found,
            Err(last) => last,
        };
        assert!(start.elapsed() < max, "{what}: not within {max:?}; the last answer: {last}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Stops a process, so that its connections stay open but no data follows.
pub(crate) fn stop(pid: u32) {
    signal(pid, "-STOP");
}

/// Lets a process stand still for a time, as on a machine that is busy with something else.
pub(crate) async fn stand_still(pid: u32, time: Duration) {
    stop(pid);
    tokio::time::sleep(time).await;
    signal(pid, "-CONT");
}

fn signal(pid: u32, name: &str) {
    let status = std::process::Command::new("kill").args([name, &pid.to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()), "process {pid} is not there");
}

/// The crate's root, for clients and presets, wherever the test is started.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Seconds, for readable bounds.
pub(crate) const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
