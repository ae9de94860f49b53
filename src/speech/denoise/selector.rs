//! Gives a denoiser the engine that its settings name.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::deepfilternet::{DEEPFILTERNET, Loading, find};
use super::denoiser::Denoiser;
use crate::media::Backoff;
use crate::speech::recovery::Recovery;

/// Pauses before a network that broke is loaded again: 10 s to 5 min, as after a late one.
const RELOAD_PAUSES: Backoff =
    Backoff::new(Duration::from_secs(10), Duration::from_secs(300), Duration::MAX);

/// The engine of noise suppression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = DenoiseEngine)]
pub enum Engine {
    /// DeepFilterNet 3 where it is installed, else RNNoise.
    #[default]
    Auto,
    /// DeepFilterNet 3. RNNoise takes its place while it is missing or late, and the status says why.
    Dfn3,
    /// RNNoise.
    Rnnoise,
}

/// Which engine is used, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The engine.
    pub engine: Engine,
    /// DeepFilterNet's post-filter, which lowers more noise at some cost in the voice.
    pub post_filter: bool,
    /// Folders with models; `None`: `$AURALINK_MODELS` and the default ones.
    pub folders: Option<Vec<PathBuf>>,
    /// For files: the first audio waits for DeepFilterNet, which then may take its time.
    pub wait: bool,
}

/// Finds, loads and attaches DeepFilterNet for one denoiser.
pub struct Selector {
    /// The folders that were searched last.
    searched: Option<Option<Vec<PathBuf>>>,
    loading: Option<Loading>,
    attached: bool,
    off: Option<String>,
    pub(super) recovery: Recovery,
}

impl Default for Selector {
    fn default() -> Self {
        let recovery = Recovery::new("dfn3", DEEPFILTERNET, RELOAD_PAUSES);
        Self { searched: None, loading: None, attached: false, off: None, recovery }
    }
}

impl Selector {
    /// Makes a denoiser follow its settings. Cheap if nothing has changed; waits only for
    /// [`Selection::wait`].
    pub fn follow(&mut self, wanted: &Selection, denoiser: &mut Denoiser) {
        denoiser.set_post_filter(wanted.post_filter);
        if wanted.engine == Engine::Rnnoise {
            *self = Self::default();
            denoiser.release_enhancers();
            return;
        }
        if denoiser.has_enhancers() {
            denoiser.expect_enhancers();
            self.attached = true;
            return;
        }
        if std::mem::take(&mut self.attached) {
            denoiser.release_enhancers();
            let why = "DeepFilterNet failed: its output was not finite".to_owned();
            self.recovery.failed(Instant::now(), why.clone());
            self.off = Some(why);
        }
        let again = self.loading.is_none() && self.recovery.is_due(Instant::now());
        if again || self.searched.as_ref() != Some(&wanted.folders) {
            self.search(wanted, denoiser);
        }
        match self.loading.as_ref().and_then(|loading| loading.poll(wanted.wait)) {
            None => return,
            Some(Ok(networks)) => {
                denoiser.attach_enhancers(networks, !wanted.wait);
                self.attached = true;
                self.recovery.started();
            }
            Some(Err(why)) => {
                denoiser.release_enhancers();
                if self.recovery.due().is_some() {
                    self.recovery.failed(Instant::now(), why.clone());
                }
                self.off = Some(why);
            }
        }
        self.loading = None;
    }

    fn search(&mut self, wanted: &Selection, denoiser: &mut Denoiser) {
        self.searched = Some(wanted.folders.clone());
        (self.loading, self.off) = match find(wanted.folders.as_deref()) {
            Ok(model) => {
                denoiser.expect_enhancers();
                (Some(Loading::start(model, denoiser.channels())), None)
            }
            Err(why) => {
                denoiser.release_enhancers();
                // What is not installed is not in trouble.
                self.recovery.started();
                (None, Some(why))
            }
        };
    }

    /// Why DeepFilterNet is not there although it is wanted, with a remedy.
    pub fn off(&self) -> Option<&str> {
        self.off.as_deref()
    }
}
