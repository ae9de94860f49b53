//! Records streams whose start is under way in a file of the state folder. Streams left there by a
//! process that hung or crashed do not start automatically.
//!
//! The file contains only streams that open files named by the admin, and only until these files
//! are open or refused. After a reboot of the machine no stream is held, because the cause may be a
//! power failure.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::flow::files;
use crate::media::StreamName;
use crate::runtime::{NodeState, StreamSnapshot, StreamSpec, Supervisor};

/// How often starts are checked while some are under way or held.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// A process that still answers this long after a start has not hung in it.
const START_MAX: Duration = Duration::from_secs(15);

/// Maximum size of the file, in bytes: names of 10,000 streams.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Content of the file.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Marks {
    /// Boot id of the machine when the file was written.
    boot: String,
    /// Streams whose start is not complete.
    starting: BTreeSet<StreamName>,
}

/// The file and its intended content.
pub(super) struct Starts {
    path: PathBuf,
    marks: Marks,
}

impl Starts {
    /// Reads what the last process left and marks the streams that open files as starting. Those
    /// left over are held. A file that cannot be read or written holds nothing; a failed write is
    /// logged.
    pub(super) async fn begin(
        state: &Path,
        streams: impl Iterator<Item = &StreamSpec>,
        supervisor: &Supervisor,
    ) -> Self {
        let path = state.join("starting.json");
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let text = files::read(&path, FILE_BYTES_MAX).await.unwrap_or_default();
        let left = serde_json::from_slice::<Marks>(&text).unwrap_or_default();
        let reads = streams.filter(|spec| spec.reads_files()).map(|spec| spec.name.clone());
        let (starting, held) = judge(reads.collect(), left, &boot);
        for name in &held {
            tracing::error!(stream = %name, "not started: the last start hung or died at its files");
        }
        supervisor.hold(held);
        let mut starts = Self { path, marks: Marks { boot, starting } };
        starts.write().await;
        starts
    }

    /// Follows the streams until all starts are complete, including held ones.
    pub(super) async fn follow(mut self, supervisor: Supervisor, until: CancellationToken) {
        let mut tick = tokio::time::interval(CHECK_INTERVAL);
        let began = tokio::time::Instant::now();
        while !self.marks.starting.is_empty() {
            tokio::select! {
                () = until.cancelled() => return,
                _ = tick.tick() => {}
            }
            let held = supervisor.held();
            let snapshots = supervisor.snapshots().await;
            let young = began.elapsed() < START_MAX;
            let starts = |name: &StreamName| {
                let snapshot = snapshots.iter().find(|s| s.name == name.as_str());
                held.contains(name) || (young && snapshot.is_some_and(is_starting))
            };
            let before = self.marks.starting.len();
            self.marks.starting.retain(starts);
            if self.marks.starting.len() != before {
                self.write().await;
            }
        }
    }

    async fn write(&mut self) {
        let text = serde_json::to_vec(&self.marks).unwrap_or_default();
        let none = self.marks.starting.is_empty();
        let write = move |path: &Path| match none {
            true => match std::fs::remove_file(path) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
                done => done,
            },
            false => std::fs::write(path, text),
        };
        let written = files::within(&self.path, files::OPEN_MAX, write).await;
        let failed = match written {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        let path = self.path.display();
        tracing::warn!(%path, error = failed, "a stream that hangs would not be known after a restart");
    }
}

/// The streams that are starting, and the held ones among them: those left by a process of the same
/// boot.
fn judge(
    reads: BTreeSet<StreamName>,
    left: Marks,
    boot: &str,
) -> (BTreeSet<StreamName>, BTreeSet<StreamName>) {
    let held = match left.boot == boot {
        true => left.starting.intersection(&reads).cloned().collect(),
        false => BTreeSet::new(),
    };
    (reads, held)
}

/// Whether a node that may read files is still being opened for the first time.
fn is_starting(stream: &StreamSnapshot) -> bool {
    let opens = |name: &str| ["source", "backup"].contains(&name) || name.starts_with("output.");
    let starts = |n: &crate::runtime::NodeSnapshot| {
        opens(&n.name) && n.state == NodeState::Starting && n.last_error.last_error.is_none()
    };
    stream.nodes.iter().any(starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_last_process_of_this_boot_left_is_held() {
        let names = |text: &str| -> BTreeSet<StreamName> {
            text.split_whitespace().map(|n| n.parse().expect("a name")).collect()
        };
        let check = |left: &str, boot: &str, expect: &str| {
            let left = Marks { boot: "one".into(), starting: names(left) };
            let (starting, held) = judge(names("a b"), left, boot);
            assert_eq!((starting, held), (names("a b"), names(expect)));
        };
        check("", "one", "");
        check("a", "one", "a");
        check("a gone", "one", "a");
        check("a b", "two", "");
    }
}
