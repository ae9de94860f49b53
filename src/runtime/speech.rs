//! Speech engines shared by all streams.

use std::sync::Arc;

use tokio::sync::watch;

use crate::egress::archive::CueSink;
use crate::speech::denoise::{self, Found};
use crate::speech::stt;
use crate::speech::translate::{self, Translators};
use crate::speech::tts::{self, Voices};

/// Speech engines and the store of cues, shared by all streams. Cheap to clone.
#[derive(Clone)]
pub struct Speech {
    /// Speech-to-text.
    pub stt: Arc<stt::Engines>,
    /// Translation.
    pub translators: Arc<Translators>,
    /// Text-to-speech.
    pub voices: Arc<Voices>,
    /// The second engine of noise suppression.
    pub deepfilternet: watch::Sender<Found>,
    /// Store of committed cues. `None` if they are not kept.
    pub cue_sink: Option<Arc<dyn CueSink>>,
}

impl Default for Speech {
    /// Defaults that work without configuration and models.
    fn default() -> Self {
        let stt = stt::Engines::new(&stt::Config::default(), stt::Models::default());
        let translators = Translators::new(&translate::Config::default(), None, Arc::new(|_| {}));
        // The default configuration has no addresses or keys that could be invalid.
        let translators = Arc::new(translators.expect("the default configuration is valid"));
        let voices = Voices::new(&tts::Config::default(), Arc::new(|_| {}));
        let voices = Arc::new(voices.expect("the default configuration is valid"));
        let deepfilternet = watch::Sender::new(denoise::missing());
        Self { stt: Arc::new(stt), translators, voices, deepfilternet, cue_sink: None }
    }
}
