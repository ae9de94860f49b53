//! The engines that all streams share.

use std::sync::Arc;

use crate::egress::archive::Keeper;
use crate::speech::stt;
use crate::speech::translate::{self, Translators};
use crate::speech::tts::{self, Voices};

/// Engines and stores of words, shared by all streams. Cheap to clone.
#[derive(Clone)]
pub struct Speech {
    /// Speech-to-text.
    pub stt: Arc<stt::Engines>,
    /// Translation.
    pub translators: Arc<Translators>,
    /// Text-to-speech.
    pub voices: Arc<Voices>,
    /// Where committed cues are kept, when they are.
    pub keeper: Option<Arc<dyn Keeper>>,
}

impl Default for Speech {
    /// What every machine has without configuration and models.
    fn default() -> Self {
        let stt = stt::Engines::new(&stt::Config::default(), stt::Models::default());
        let translators = Translators::new(&translate::Config::default(), None, Arc::new(|_| {}));
        // The default configuration has neither addresses nor keys that could be wrong.
        let translators = Arc::new(translators.expect("the default configuration is valid"));
        let voices = Voices::new(&tts::Config::default(), Arc::new(|_| {}));
        let voices = Arc::new(voices.expect("the default configuration is valid"));
        Self { stt: Arc::new(stt), translators, voices, keeper: None }
    }
}
