//! What a kind of output has to say of itself.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use super::trunk::EncoderFactory;
use crate::flow::{Error, Inputs, Task};
use crate::media::{Accepts, InvalidSetting, StreamName};
use crate::webrtc;

/// A destination of a stream that runs without viewers. Its fields are its settings in the API.
pub trait StreamOutput: Clone + Send + 'static {
    /// Where it goes, for display: without secrets.
    fn shown(&self) -> String;

    /// The media that it accepts.
    fn accepts(&self) -> Accepts;

    /// Checks the settings without any effect.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    fn check(&self) -> Result<(), InvalidSetting> {
        Ok(())
    }

    /// Whether opening it reads files that the admin names; such a read may hang.
    fn reads_files(&self) -> bool {
        false
    }

    /// Delivers the inputs until the task is cancelled.
    ///
    /// # Errors
    /// Why it cannot go on; it is then started again.
    fn run(self, context: OutputContext) -> impl Future<Output = Result<(), Error>> + Send;
}

/// What an output may use.
pub struct OutputContext {
    /// Its task.
    pub task: Task,
    /// The stream.
    pub stream: StreamName,
    /// The feeds of its route.
    pub inputs: Inputs,
    /// Folder of all recordings.
    pub recordings: PathBuf,
    /// WebRTC configuration of the appliance.
    pub webrtc: webrtc::Config,
    /// Video encoders of this machine.
    pub encoders: Arc<dyn EncoderFactory>,
}
