//! All streams of the appliance.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{broadcast, oneshot, watch};

use super::held::Held;
use super::launch::{Entry, Shared};
use super::stream::{Command, Stream};
use super::{Event, OutputSpec, Preset, Presets, Speech, StreamSnapshot, StreamSpec};
use crate::egress::hls;
use crate::flow::{CueBoard, CueFeed};
use crate::ingress;
use crate::media::{Codec, StreamName};
use crate::process::encoders::Encoders;
use crate::process::{captions, denoise, encode};
use crate::telemetry::LogLimiter;
use crate::webrtc;

/// Events that a slow listener may be behind before it misses some.
const EVENTS_MAX: usize = 512;

/// Streams have this long to finish at shutdown.
const SHUTDOWN_MAX: Duration = Duration::from_millis(4500);

/// Limits, folders and settings of the runtime.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where recordings go: one folder per stream.
    pub recordings: PathBuf,
    /// Most streams at once.
    pub streams_max: usize,
    /// Most viewers of all streams at once.
    pub viewers_max: usize,
    /// The presets that streams can name.
    pub presets: Presets,
    /// How HLS is segmented.
    pub hls: hls::Settings,
    /// How transcodes are encoded.
    pub encode: encode::Settings,
    /// How trunks reach the other end.
    pub webrtc: webrtc::Config,
    /// What may be a source.
    pub sources: ingress::file::Config,
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
pub struct Supervisor(Arc<Shared>);

impl Supervisor {
    /// An appliance without streams, which encodes by what was found to work.
    pub fn new(options: Options, encoders: Encoders, speech: Speech) -> Self {
        let best = |codec| encoders.best(codec).map(|encoder| (codec, encoder.factory));
        let best_encoders: BTreeMap<Codec, String> =
            Codec::ALL.into_iter().filter_map(best).collect();
        Self(Arc::new(Shared {
            options,
            encoders,
            speech,
            best_encoders,
            events: broadcast::Sender::new(EVENTS_MAX),
            refusal_log: LogLimiter::default(),
            viewers: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            held: Held::default(),
            streams: RwLock::default(),
        }))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    /// The engines of speech that all streams share.
    pub fn speech(&self) -> &Speech {
        &self.0.speech
    }

    /// The presets that streams can name.
    pub fn presets(&self) -> &Presets {
        &self.0.options.presets
    }

    /// What was found of encoders at start.
    pub fn encoders(&self) -> &Encoders {
        &self.0.encoders
    }

    /// The best encoder per codec: what plans use.
    pub fn best_encoders(&self) -> &BTreeMap<Codec, String> {
        &self.0.best_encoders
    }

    /// Adds a stream and starts what it wants started. Tokens that the spec leaves out are made.
    ///
    /// # Errors
    /// [`Error::StreamExists`], [`Error::Invalid`], [`Error::Limit`], [`Error::ShuttingDown`].
    pub async fn create(&self, mut spec: StreamSpec) -> Result<(), Error> {
        if self.0.is_stopping() {
            return Err(Error::ShuttingDown);
        }
        let preset = self.validate(&spec)?;
        spec.access.fill_tokens(None);
        let mut streams = self.0.streams.write().unwrap_or_else(PoisonError::into_inner);
        if streams.contains_key(&spec.name) {
            return Err(Error::StreamExists(spec.name.to_string()));
        }
        if streams.len() >= self.0.options.streams_max {
            return Err(Error::Limit("streams"));
        }
        let name = spec.name.clone();
        let entry = Entry {
            spec: Arc::new(spec.clone()),
            commands: Stream::spawn(self.0.clone(), spec, preset),
            thumbnail: watch::Sender::new(None),
            refusals: Arc::default(),
        };
        streams.insert(name.clone(), entry);
        drop(streams);
        let _ = self.0.events.send(Event::StreamCreated { stream: name.to_string() });
        Ok(())
    }

    /// Changes a stream to another spec of the same name; what is equal in both is left alone.
    /// Tokens that the new spec leaves out stay as they are.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], [`Error::Invalid`].
    pub async fn update(&self, mut spec: StreamSpec) -> Result<(), Error> {
        let preset = self.validate(&spec)?;
        let entry = self.entry(&spec.name)?;
        spec.access.fill_tokens(Some(&entry.spec.access));
        self.0.held.release(&spec.name);
        let (spec, preset) = (Box::new(spec), Box::new(preset));
        ask(&entry, |done| Command::Update(spec, preset, done)).await
    }

    /// Removes a stream: its publisher and viewers are disconnected, its files finished.
    ///
    /// # Errors
    /// [`Error::UnknownStream`].
    pub async fn remove(&self, name: &StreamName) -> Result<(), Error> {
        let taken = {
            let mut streams = self.0.streams.write().unwrap_or_else(PoisonError::into_inner);
            streams.remove(name)
        };
        let entry = taken.ok_or_else(|| Error::UnknownStream(name.to_string()))?;
        self.0.held.release(name);
        let _ = ask(&entry, Command::Stop).await;
        let _ = self.0.events.send(Event::StreamRemoved { stream: name.to_string() });
        Ok(())
    }

    /// Streams of these names do not open their files until they are changed or
    /// [started](Self::start_held).
    pub fn hold(&self, names: impl IntoIterator<Item = StreamName>) {
        self.0.held.hold(names);
    }

    /// Streams whose files wait for the admin.
    pub fn held(&self) -> BTreeSet<StreamName> {
        self.0.held.names()
    }

    /// Lets a stream that waits for the admin start as it is.
    ///
    /// # Errors
    /// [`Error::UnknownStream`].
    pub fn start_held(&self, name: &StreamName) -> Result<(), Error> {
        self.entry(name)?;
        if self.0.held.release(name) {
            tracing::info!(stream = %name, "started by the admin");
        }
        Ok(())
    }

    /// The spec of a stream, tokens included.
    ///
    /// # Errors
    /// [`Error::UnknownStream`].
    pub fn spec(&self, name: &StreamName) -> Result<StreamSpec, Error> {
        Ok((*self.entry(name)?.spec).clone())
    }

    /// How one stream is doing.
    ///
    /// # Errors
    /// [`Error::UnknownStream`].
    pub async fn snapshot(&self, name: &StreamName) -> Result<StreamSnapshot, Error> {
        ask(&self.entry(name)?, Command::Snapshot).await
    }

    /// How all streams are doing, by name.
    pub async fn snapshots(&self) -> Vec<StreamSnapshot> {
        let entries: Vec<Entry> = {
            let streams = self.0.streams.read().unwrap_or_else(PoisonError::into_inner);
            streams.values().cloned().collect()
        };
        let asked = entries.iter().map(|entry| ask(entry, Command::Snapshot));
        futures::future::join_all(asked).await.into_iter().flatten().collect()
    }

    /// Adds an output to a running stream.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], [`Error::OutputExists`], [`Error::Invalid`].
    pub async fn add_output(&self, name: &StreamName, output: OutputSpec) -> Result<(), Error> {
        output.kind.validate("")?;
        ask(&self.entry(name)?, |reply| Command::AddOutput(output, reply)).await?
    }

    /// What is asked of an output, also of one of the preset; address and token included.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], [`Error::UnknownOutput`].
    pub fn output(&self, name: &StreamName, id: &StreamName) -> Result<OutputSpec, Error> {
        let spec = self.spec(name)?;
        let preset = self.presets().get(&spec.preset).map(|preset| &preset.outputs);
        let mut all = spec.outputs.iter().chain(preset.into_iter().flatten());
        let found = all.find(|output| output.id == *id).cloned();
        found.ok_or_else(|| Error::UnknownOutput(name.to_string(), id.to_string()))
    }

    /// Makes an output do something else, also one of the preset; only that one starts again.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], [`Error::UnknownOutput`], [`Error::Invalid`].
    pub async fn change_output(&self, name: &StreamName, output: OutputSpec) -> Result<(), Error> {
        output.kind.validate("")?;
        ask(&self.entry(name)?, |reply| Command::ChangeOutput(output, reply)).await?
    }

    /// Takes an output away.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], [`Error::UnknownOutput`], [`Error::Invalid`] for one of the
    /// preset.
    pub async fn remove_output(&self, name: &StreamName, id: &StreamName) -> Result<(), Error> {
        let id = id.clone();
        ask(&self.entry(name)?, |reply| Command::RemoveOutput(id, reply)).await?
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
        let id = id.clone();
        ask(&self.entry(name)?, |reply| Command::EnableOutput(id, enabled, reply)).await?
    }

    /// Changes noise suppression while the stream runs; it joins the graph if it was not there.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], [`Error::Invalid`].
    pub async fn set_denoise(
        &self,
        name: &StreamName,
        settings: denoise::Settings,
    ) -> Result<(), Error> {
        super::spec::validate_denoise("", &settings)?;
        ask(&self.entry(name)?, |done| Command::SetDenoise(settings, done)).await
    }

    /// Changes captions, translations and voices while the stream runs; only the nodes whose
    /// settings differ start again.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], [`Error::Invalid`].
    pub async fn set_captions(
        &self,
        name: &StreamName,
        settings: captions::Settings,
    ) -> Result<(), Error> {
        super::spec::validate_captions("", &settings)?;
        let settings = Box::new(settings);
        ask(&self.entry(name)?, |done| Command::SetCaptions(settings, done)).await
    }

    /// The feeds of captions that a stream has now, by name.
    ///
    /// # Errors
    /// [`Error::UnknownStream`].
    pub async fn cues(&self, name: &StreamName) -> Result<Vec<CueFeed>, Error> {
        ask(&self.entry(name)?, Command::Cues).await
    }

    /// Where the feeds of captions of a stream are put up, as they come and go.
    ///
    /// # Errors
    /// [`Error::UnknownStream`].
    pub async fn caption_board(&self, name: &StreamName) -> Result<CueBoard, Error> {
        ask(&self.entry(name)?, Command::Board).await
    }

    /// Disconnects the publisher that is on air.
    ///
    /// # Errors
    /// [`Error::UnknownStream`].
    pub async fn kick(&self, name: &StreamName) -> Result<(), Error> {
        ask(&self.entry(name)?, Command::Kick).await
    }

    /// The graph of a stream as Graphviz text.
    ///
    /// # Errors
    /// [`Error::UnknownStream`].
    pub async fn graph_dot(&self, name: &StreamName) -> Result<String, Error> {
        ask(&self.entry(name)?, Command::Dot).await
    }

    /// The newest small picture of a stream, JPEG.
    pub fn thumbnail(&self, name: &StreamName) -> Option<Bytes> {
        self.0.entry(name)?.thumbnail.borrow().clone()
    }

    /// Everything that changes, from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.0.events.subscribe()
    }

    /// Finishes recordings, tells viewers and stops everything, within five seconds.
    pub async fn shutdown(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
        let entries: Vec<Entry> = {
            let mut streams = self.0.streams.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *streams).into_values().collect()
        };
        let stopped = futures::future::join_all(entries.iter().map(|e| ask(e, Command::Stop)));
        if tokio::time::timeout(SHUTDOWN_MAX, stopped).await.is_err() {
            tracing::warn!("some streams did not finish in time");
        }
    }

    fn entry(&self, name: &StreamName) -> Result<Entry, Error> {
        self.0.entry(name).ok_or_else(|| Error::UnknownStream(name.to_string()))
    }

    /// Checks a spec against this appliance; returns its preset.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the path of the field.
    pub fn validate(&self, spec: &StreamSpec) -> Result<Preset, Error> {
        spec.validate()?;
        let preset = self.presets().get(&spec.preset).cloned();
        preset.ok_or_else(|| {
            let known = self.presets().names().collect::<Vec<_>>().join(", ");
            Error::Invalid {
                field: "preset".into(),
                message: format!("there is no preset `{}`; known: {known}", spec.preset),
            }
        })
    }
}

/// Sends a command to a stream and waits for its answer.
async fn ask<T>(
    entry: &Entry,
    command: impl FnOnce(oneshot::Sender<T>) -> Command,
) -> Result<T, Error> {
    let (reply, answer) = oneshot::channel();
    let gone = || Error::UnknownStream(entry.spec.name.to_string());
    entry.commands.send(command(reply)).await.map_err(|_| gone())?;
    answer.await.map_err(|_| gone())
}
