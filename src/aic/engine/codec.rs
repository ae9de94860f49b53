//! The weights of this process: loaded once, in the background, and shared.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use auralink_codec::Model;

use super::{CodecError, load};
use crate::aic::weights::{self, ModelId, Weights};
use crate::media::IgnorePoison;

const NO_WEIGHTS: &str = "AURALINK_AIC_WEIGHTS names no file";

/// The engine of this process. Clones share it.
#[derive(Clone)]
pub struct Codec(Arc<Shared>);

struct Shared {
    /// Id of the weights according to their card.
    id: Option<ModelId>,
    phase: Mutex<Phase>,
    changed: Condvar,
}

enum Phase {
    Starting,
    Ready(Arc<Model>, ModelId),
    Off(CodecError),
}

impl Codec {
    /// The engine that all streams of this process share; loads the weights if they are not. Never
    /// waits and never fails: errors are reported by the first frame and by [`Codec::status`].
    pub fn shared() -> Self {
        static SHARED: Mutex<Option<Codec>> = Mutex::new(None);
        let mut shared = SHARED.lock().ignore_poison();
        match &*shared {
            // Weights may have arrived since then.
            Some(codec) if !codec.is_off() => codec.clone(),
            _ => shared.insert(Self::start()).clone(),
        }
    }

    fn start() -> Self {
        let found = weights::find();
        let shared = Arc::new(Shared {
            id: found.as_ref().and_then(Weights::id),
            phase: Mutex::new(Phase::Starting),
            changed: Condvar::new(),
        });
        let Some(found) = found else {
            shared.settle(Err(NO_WEIGHTS.into()));
            return Self(shared);
        };
        let loaded = Arc::clone(&shared);
        let load = move || loaded.settle(load(&found).map_err(|e| e.to_string()));
        if let Err(error) = thread::Builder::new().name("aic-weights".into()).spawn(load) {
            shared.settle(Err(format!("no thread: {error}")));
        }
        Self(shared)
    }

    fn is_off(&self) -> bool {
        matches!(*self.0.lock(), Phase::Off(_))
    }

    /// Id of the weights, known before they are loaded; `None` if there are none.
    pub fn model(&self) -> Option<ModelId> {
        self.0.id
    }

    /// The weights.
    ///
    /// # Errors
    /// They are not there, cannot be used, or are being loaded.
    pub fn loaded(&self) -> Result<Arc<Model>, CodecError> {
        self.loaded_with_id().map(|(model, _)| model)
    }

    /// The weights and their id.
    ///
    /// # Errors
    /// As for [`Codec::loaded`].
    pub fn loaded_with_id(&self) -> Result<(Arc<Model>, ModelId), CodecError> {
        self.0.lock().model()
    }

    /// Whether the engine is ready, and if not, why.
    ///
    /// # Errors
    /// As for [`Codec::loaded`].
    pub fn status(&self) -> Result<(), CodecError> {
        self.loaded().map(drop)
    }

    /// Waits up to `limit` for the engine to start.
    ///
    /// # Errors
    /// As for [`Codec::loaded`].
    pub fn wait(&self, limit: Duration) -> Result<(), CodecError> {
        let starting = |phase: &mut Phase| matches!(phase, Phase::Starting);
        let waited = self.0.changed.wait_timeout_while(self.0.lock(), limit, starting);
        let (phase, _) = waited.ignore_poison();
        phase.model().map(drop)
    }
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Codec").field(&self.0.id).finish()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Phase> {
        // One plain value, which a panic cannot leave inconsistent.
        self.phase.lock().ignore_poison()
    }

    fn settle(&self, loaded: Result<(Model, ModelId), String>) {
        let phase = match loaded {
            Ok((model, id)) => Phase::Ready(Arc::new(model), id),
            Err(why) => {
                let error = CodecError::NotThere(why);
                tracing::warn!(engine = "aic", "{error}");
                Phase::Off(error)
            }
        };
        *self.lock() = phase;
        self.changed.notify_all();
    }
}

impl Phase {
    fn model(&self) -> Result<(Arc<Model>, ModelId), CodecError> {
        match self {
            Self::Ready(model, id) => Ok((Arc::clone(model), *id)),
            Self::Starting => Err(CodecError::Starting),
            Self::Off(error) => Err(error.clone()),
        }
    }
}
