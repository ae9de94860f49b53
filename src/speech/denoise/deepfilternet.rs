//! DeepFilterNet 3 (Schröter et al. 2023): finds it on this machine and loads it.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use super::enhancer::Enhancer;
use super::libdf::Network;
use crate::media::IgnorePoison;
use crate::models::{Config, Error, Installed, Registry, Task};

/// Id of its manifest.
pub const DEEPFILTERNET: &str = "deepfilternet3";

/// The folder of DeepFilterNet on this machine, with verified files, or why there is none, with the
/// command that installs it.
pub type Found = Result<PathBuf, String>;

/// What a machine without it has.
pub fn missing() -> Found {
    Err(Error::Missing(DEEPFILTERNET.to_owned()).to_string())
}

/// Finds and verifies it among the models of this machine. Reads new files completely.
pub fn locate(models: &Registry) -> Found {
    let model = models.get(DEEPFILTERNET, Task::Denoise);
    let verified = model.and_then(|model| model.ready().map(|()| model.folder));
    verified.map_err(|e| e.to_string())
}

/// Finds the model in these folders, or in those of the environment. Reads no weights.
///
/// # Errors
/// In words, with the command that installs it.
pub(super) fn find(folders: Option<&[PathBuf]>) -> Result<Installed, String> {
    let folders = folders.map_or_else(|| Config::default().search_order(), <[_]>::to_vec);
    let registry = Registry::over(folders, None).map_err(|e| e.to_string())?;
    registry.get(DEEPFILTERNET, Task::Denoise).map_err(|e| e.to_string())
}

/// Held while a stream loads its networks, so that many streams that start together do not take all
/// cores.
static LOADING: Mutex<()> = Mutex::new(());

/// Loads one network per channel. Verifies the files first, because the library ends the process
/// over weights that it cannot read.
fn load(model: &Installed, channels: usize) -> Result<Vec<Box<dyn Enhancer>>, String> {
    let _turn = LOADING.lock().ignore_poison();
    model.ready().map_err(|e| e.to_string())?;
    let [weights, library] = &*model.paths else {
        return Err(format!("`{DEEPFILTERNET}` has {} files instead of two", model.paths.len()));
    };
    let network = |_| Ok(Box::new(Network::new(library, weights)?) as Box<dyn Enhancer>);
    (0..channels).map(network).collect()
}

/// Networks that load on a thread of their own.
pub(super) struct Loading(Receiver<Result<Vec<Box<dyn Enhancer>>, String>>);

impl Loading {
    /// Begins to load one network per channel.
    pub(super) fn start(model: Installed, channels: usize) -> Self {
        let (done, loading) = channel();
        let thread = std::thread::Builder::new().name("deepfilternet".into());
        // Without a thread the sender is dropped, which `poll` reports.
        let _ = thread.spawn(move || {
            // The receiver is gone if the stream has ended meanwhile.
            let _ = done.send(load(&model, channels));
        });
        Self(loading)
    }

    /// The networks, once they have loaded or failed to. `wait`: not before.
    pub(super) fn poll(&self, wait: bool) -> Option<Result<Vec<Box<dyn Enhancer>>, String>> {
        let lost = || Some(Err("DeepFilterNet could not be loaded".to_owned()));
        if wait {
            return self.0.recv().map_or_else(|_| lost(), Some);
        }
        match self.0.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => lost(),
        }
    }
}
