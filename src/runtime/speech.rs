//! The engines that all streams share.

use std::sync::Arc;

use crate::egress::archive::Keeper;
use crate::speech::stt;

/// Engines and stores of words, shared by all streams. Cheap to clone.
#[derive(Clone)]
pub struct Speech {
    /// Speech-to-text.
    pub stt: Arc<stt::Engines>,
    /// Where committed cues are kept, when they are.
    pub keeper: Option<Arc<dyn Keeper>>,
}

impl Default for Speech {
    /// What every machine has without configuration and models.
    fn default() -> Self {
        let stt = stt::Engines::new(&stt::Config::default(), stt::Models::default());
        Self { stt: Arc::new(stt), keeper: None }
    }
}
