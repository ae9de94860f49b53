//! What a supervisor gives to a running node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;

use super::{CaptionFeeds, Feed};
use crate::media::{IgnorePoison, Language};

/// The feeds that a node consumes.
#[derive(Clone, Default)]
pub struct Inputs {
    /// Video, if the stream has any.
    pub video: Option<Feed>,
    /// Audio, if the stream has any.
    pub audio: Option<Feed>,
    /// Captions; their feeds may come and go.
    pub captions: CaptionFeeds,
    /// Audio in other languages.
    pub dubs: Vec<(Language, Feed)>,
}

/// One run of a node: its name, its cancellation and its status report.
///
/// Every node is an `async fn run(task: Task, …) -> Result<(), flow::Error>`. It returns `Ok` after
/// `cancel`, and an error in any other case; the supervisor then restarts it with back-off.
#[derive(Clone)]
pub struct Task {
    /// Name of the node within its stream: `record`, `push.youtube`, `encode.audio.opus` …
    pub name: String,
    /// Cancelled to stop the node: it finishes its output and returns.
    pub cancel: CancellationToken,
    /// Where the node reports its status.
    pub status: Status,
}

impl Task {
    /// A task for a node that no stream supervises.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), cancel: CancellationToken::new(), status: Status::default() }
    }
}

/// Status of a node in figures that the API shows. Cheap to clone; all clones share.
#[derive(Clone, Default)]
pub struct Status(Arc<Mutex<StatusInner>>);

#[derive(Default)]
struct StatusInner {
    running: bool,
    facts: BTreeMap<&'static str, serde_json::Value>,
}

impl std::fmt::Debug for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.facts()).finish()
    }
}

impl Status {
    /// Marks the node as up, with media flowing.
    pub fn set_running(&self) {
        self.lock().running = true;
    }

    /// Whether [`Self::set_running`] was called.
    pub fn is_running(&self) -> bool {
        self.lock().running
    }

    /// Sets one figure, such as `("target", url_without_key)` or `("rtt_ms", 12)`. Never a secret.
    pub fn set(&self, name: &'static str, value: impl Into<serde_json::Value>) {
        self.lock().facts.insert(name, value.into());
    }

    /// All figures.
    pub fn facts(&self) -> BTreeMap<&'static str, serde_json::Value> {
        self.lock().facts.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, StatusInner> {
        self.0.lock().ignore_poison()
    }
}
