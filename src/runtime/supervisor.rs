//! All streams of the appliance.

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::broadcast;

use super::{Event, OutputSpec, StreamSnapshot, StreamSpec};
use crate::flow::{Admission, Gate, Hello, Intake, Refusal, Seat, SourceReport};
use crate::media::{Accepts, StreamName};
use crate::process::denoise;

/// Limits and folders of the runtime.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where recordings go: one folder per stream.
    pub recordings: PathBuf,
    /// Most streams at once.
    pub streams_max: usize,
    /// Most viewers of all streams at once.
    pub viewers_max: usize,
}

/// What the admin asked for and cannot have.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No stream of this name.
    #[error("there is no stream `{0}`")]
    UnknownStream(String),
    /// No output of this id.
    #[error("stream `{0}` has no output `{1}`")]
    UnknownOutput(String, String),
    /// The name is taken.
    #[error("there is already a stream `{0}`")]
    StreamExists(String),
    /// The output id is taken.
    #[error("stream `{0}` already has an output `{1}`")]
    OutputExists(String, String),
    /// The spec says something impossible.
    #[error("`{field}`: {message}")]
    Invalid {
        /// Path of the field: `outputs[1].url`.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// A limit of the appliance.
    #[error("the limit of {0} is reached")]
    Limit(&'static str),
    /// The appliance is shutting down.
    #[error("the appliance is shutting down")]
    ShuttingDown,
}

/// A handle on all streams. Cheap to clone.
#[derive(Clone)]
pub struct Supervisor(Arc<()>);

#[allow(unused_variables)]
impl Supervisor {
    /// An appliance without streams.
    pub fn new(options: Options) -> Self {
        todo!()
    }

    /// Adds a stream and starts what it wants started.
    ///
    /// # Errors
    /// [`Error::StreamExists`], [`Error::Invalid`], [`Error::Limit`].
    pub async fn create(&self, spec: StreamSpec) -> Result<(), Error> {
        todo!()
    }

    /// Changes a stream to another spec of the same name; what is equal in both is left alone.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], [`Error::Invalid`].
    pub async fn update(&self, spec: StreamSpec) -> Result<(), Error> {
        todo!()
    }

    /// Removes a stream: its publisher and viewers are disconnected, its files finished.
    ///
    /// # Errors
    /// [`Error::UnknownStream`].
    pub async fn remove(&self, name: &StreamName) -> Result<(), Error> {
        todo!()
    }

    /// The spec of a stream, tokens included.
    ///
    /// # Errors
    /// [`Error::UnknownStream`].
    pub fn spec(&self, name: &StreamName) -> Result<StreamSpec, Error> {
        todo!()
    }

    /// How one stream is doing.
    ///
    /// # Errors
    /// [`Error::UnknownStream`].
    pub async fn snapshot(&self, name: &StreamName) -> Result<StreamSnapshot, Error> {
        todo!()
    }

    /// How all streams are doing, by name.
    pub async fn snapshots(&self) -> Vec<StreamSnapshot> {
        todo!()
    }

    /// Adds an output to a running stream.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], [`Error::OutputExists`], [`Error::Invalid`].
    pub async fn add_output(&self, name: &StreamName, output: OutputSpec) -> Result<(), Error> {
        todo!()
    }

    /// Takes an output away.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], [`Error::UnknownOutput`].
    pub async fn remove_output(&self, name: &StreamName, id: &StreamName) -> Result<(), Error> {
        todo!()
    }

    /// Starts or stops an output, also one of the preset.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], [`Error::UnknownOutput`].
    pub async fn enable_output(
        &self,
        name: &StreamName,
        id: &StreamName,
        enabled: bool,
    ) -> Result<(), Error> {
        todo!()
    }

    /// Changes noise suppression while the stream runs.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], [`Error::Invalid`].
    pub async fn set_denoise(
        &self,
        name: &StreamName,
        settings: denoise::Settings,
    ) -> Result<(), Error> {
        todo!()
    }

    /// Disconnects the publisher that is on air.
    ///
    /// # Errors
    /// [`Error::UnknownStream`].
    pub async fn kick(&self, name: &StreamName) -> Result<(), Error> {
        todo!()
    }

    /// The graph of a stream as Graphviz text.
    ///
    /// # Errors
    /// [`Error::UnknownStream`].
    pub async fn graph_dot(&self, name: &StreamName) -> Result<String, Error> {
        todo!()
    }

    /// Everything that changes, from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        todo!()
    }

    /// Finishes recordings, tells viewers and stops everything, within five seconds.
    pub async fn shutdown(&self) {
        todo!()
    }
}

#[allow(unused_variables)]
impl Gate for Supervisor {
    fn admit(&self, hello: &Hello) -> Result<Admission, Refusal> {
        todo!()
    }

    fn publish(
        &self,
        hello: Hello,
        report: Arc<SourceReport>,
    ) -> BoxFuture<'static, Result<Intake, Refusal>> {
        todo!()
    }

    fn play(&self, hello: Hello, accepts: Accepts) -> BoxFuture<'static, Result<Seat, Refusal>> {
        todo!()
    }
}
