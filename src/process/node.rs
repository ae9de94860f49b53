//! What a kind of process node has to say of itself, and what it gets.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;

use super::settings::{DenoiseSettings, EncodeSettings};
use crate::flow::{CueFeed, Error, Feed, Task, Writer};
use crate::speech::denoise::Found;
use crate::speech::stt::Engines;
use crate::speech::translate::Translators;
use crate::speech::tts::Voices;

/// What all process nodes of a stream may use. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// Speech-to-text.
    pub stt: Arc<Engines>,
    /// Translation.
    pub translators: Arc<Translators>,
    /// Text-to-speech.
    pub voices: Arc<Voices>,
    /// How transcodes are encoded.
    pub encode: EncodeSettings,
    /// Settings of noise suppression, as they change.
    pub denoise: watch::Receiver<DenoiseSettings>,
    /// DeepFilterNet on this machine, as it comes and goes.
    pub deepfilternet: watch::Receiver<Found>,
}

/// A run of a node that fills a feed of video or audio.
pub struct MediaContext {
    /// Its task.
    pub task: Task,
    /// The feed that it reads.
    pub input: Feed,
    /// The feed that it fills.
    pub output: Writer,
    /// Caption feeds that it reads too.
    pub captions: Vec<CueFeed>,
    /// Engines and settings.
    pub services: Services,
}

/// A run of a node that fills a feed of captions.
pub struct CaptionsContext {
    /// Its task.
    pub task: Task,
    /// The audio that it reads. `None` if the stream has none.
    pub audio: Option<Feed>,
    /// The caption feeds that it reads.
    pub captions: Vec<CueFeed>,
    /// The feed that it fills.
    pub output: CueFeed,
    /// Engines and settings.
    pub services: Services,
}

/// A node that fills a feed of video or audio. Its fields are its settings: other ones restart it.
pub trait MediaNode: Clone + Debug + PartialEq + Send + 'static {
    /// What it does, for the admin.
    fn describe(&self) -> String;

    /// Runs until the task is cancelled.
    ///
    /// # Errors
    /// Why it cannot go on; it is then started again.
    fn run(self, context: MediaContext) -> impl Future<Output = Result<(), Error>> + Send;
}

/// A node that fills a feed of captions.
pub trait CaptionsNode: Clone + Debug + PartialEq + Send + 'static {
    /// What it does, for the admin.
    fn describe(&self) -> String;

    /// Runs until the task is cancelled.
    ///
    /// # Errors
    /// Why it cannot go on; it is then started again.
    fn run(self, context: CaptionsContext) -> impl Future<Output = Result<(), Error>> + Send;
}
