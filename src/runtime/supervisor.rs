//! Handle to all streams of the appliance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{broadcast, oneshot};

use super::command::Command;
use super::held::Held;
use super::shared::{Shared, StreamEntry};
use super::{
    Error, Event, Options, Presets, Speech, StreamSnapshot, StreamSpec, StreamState, Wanted, stream,
};
use crate::cluster::Origins;
use crate::flow::{CaptionFeeds, CueFeed};
use crate::media::{Codec, IgnorePoison, StreamName};
use crate::process::encoders::Encoders;
use crate::telemetry::LogLimiter;

/// Events queued for a slow listener before it misses some.
const EVENTS_MAX: usize = 512;

/// Time that streams have to finish at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(4500);

/// A handle to all streams. Cheap to clone.
#[derive(Clone)]
pub struct Supervisor(Arc<Shared>);

impl Supervisor {
    /// An appliance without streams. `encoders` are those found to work at start.
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
            failed: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            held: Held::default(),
            streams: RwLock::default(),
        }))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    /// The speech engines that all streams share.
    pub fn speech(&self) -> &Speech {
        &self.0.speech
    }

    /// The presets that streams can name.
    pub fn presets(&self) -> &Presets {
        &self.0.options.presets
    }

    /// The encoders found at start.
    pub fn encoders(&self) -> &Encoders {
        &self.0.encoders
    }

    /// The best encoder per codec, for plans.
    pub fn best_encoders(&self) -> &BTreeMap<Codec, String> {
        &self.0.best_encoders
    }

    /// Checks a spec against this appliance.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the path of the field, [`Error::Limit`].
    pub fn check(&self, spec: StreamSpec) -> Result<Wanted, Error> {
        let Some(preset) = self.presets().get(&spec.preset).cloned() else {
            spec.validate()?;
            let known = self.presets().names().collect::<Vec<_>>().join(", ");
            return Err(Error::Invalid {
                field: "preset".into(),
                message: format!("there is no preset `{}`; known: {known}", spec.preset),
            });
        };
        Wanted::new(spec, preset)
    }

    /// Checks whether a stream of this name could be added now.
    ///
    /// # Errors
    /// [`Error::StreamExists`], [`Error::Limit`], [`Error::ShuttingDown`].
    pub fn check_room(&self, name: &StreamName) -> Result<(), Error> {
        if self.0.is_stopping() {
            return Err(Error::ShuttingDown);
        }
        let streams = self.0.streams.read().ignore_poison();
        if streams.contains_key(name) {
            return Err(Error::StreamExists(name.to_string()));
        }
        if streams.len() >= self.0.options.streams_max {
            return Err(Error::Limit("streams"));
        }
        Ok(())
    }

    /// Starts the stream, or passes the change to the running one; unchanged parts continue. New
    /// tokens are valid from here on, and later requests see the change. During shutdown this does
    /// nothing.
    pub fn apply(&self, wanted: Wanted) {
        let name = wanted.spec.name.clone();
        let mut streams = self.0.streams.write().ignore_poison();
        if self.0.is_stopping() {
            return;
        }
        if let Some(entry) = streams.get(&name) {
            self.0.held.release(&name);
            entry.wanted.send_replace(wanted);
            return;
        }
        let entry = stream::spawn(self.0.clone(), wanted);
        streams.insert(name.clone(), entry);
        drop(streams);
        let _ = self.0.events.send(Event::StreamCreated { stream: name.to_string() });
    }

    /// Starts a stream that comes from an origin, unless a stream of that name runs already; returns
    /// whether it is new.
    ///
    /// # Errors
    /// [`Error::Limit`], of all streams or of those from origins; [`Error::ShuttingDown`].
    pub(super) fn add_from_origin(
        &self,
        wanted: Wanted,
        from_origins_max: usize,
    ) -> Result<(StreamEntry, bool), Error> {
        let name = wanted.spec.name.clone();
        let mut streams = self.0.streams.write().ignore_poison();
        if self.0.is_stopping() {
            return Err(Error::ShuttingDown);
        }
        if let Some(entry) = streams.get(&name) {
            return Ok((entry.clone(), false));
        }
        let from_origins = streams.values().filter(|entry| entry.spec().is_from_origin()).count();
        if from_origins >= from_origins_max {
            return Err(Error::Limit("streams from origins"));
        }
        if streams.len() >= self.0.options.streams_max {
            return Err(Error::Limit("streams"));
        }
        let entry = stream::spawn(self.0.clone(), wanted);
        streams.insert(name.clone(), entry.clone());
        drop(streams);
        let _ = self.0.events.send(Event::StreamCreated { stream: name.to_string() });
        Ok((entry, true))
    }

    /// Removes a stream that comes from an origin. False if there is none of this name.
    pub async fn remove_from_origin(&self, name: &StreamName) -> bool {
        let taken = {
            let mut streams = self.0.streams.write().ignore_poison();
            let is_one = streams.get(name).is_some_and(|entry| entry.spec().is_from_origin());
            if is_one { streams.remove(name) } else { None }
        };
        let Some(entry) = taken else { return false };
        self.end(name, &entry).await;
        true
    }

    /// Adds a stream without storing it.
    ///
    /// # Errors
    /// As for [`Self::check`] and [`Self::check_room`].
    pub fn create(&self, spec: StreamSpec) -> Result<(), Error> {
        let wanted = self.check(spec)?;
        self.check_room(&wanted.spec.name)?;
        self.apply(wanted);
        Ok(())
    }

    /// Removes a stream: disconnects its publisher and viewers and finishes its files.
    ///
    /// # Errors
    /// [`Error::UnknownStream`].
    pub async fn remove(&self, name: &StreamName) -> Result<(), Error> {
        let taken = {
            let mut streams = self.0.streams.write().ignore_poison();
            streams.remove(name)
        };
        let entry = taken.ok_or_else(|| Error::UnknownStream(name.to_string()))?;
        self.end(name, &entry).await;
        Ok(())
    }

    /// Ends a stream that was taken from the register.
    async fn end(&self, name: &StreamName, entry: &StreamEntry) {
        self.0.held.release(name);
        let _ = self.ask(entry, Command::Stop).await;
        let _ = self.0.events.send(Event::StreamRemoved { stream: name.to_string() });
    }

    /// Holds streams: they do not open their files until they are changed or
    /// [started](Self::start_held).
    pub fn hold(&self, names: impl IntoIterator<Item = StreamName>) {
        self.0.held.hold(names);
    }

    /// Streams that wait to be started by the admin.
    pub fn held(&self) -> BTreeSet<StreamName> {
        self.0.held.names()
    }

    /// Starts a held stream unchanged.
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

    /// The wanted state of a stream, including tokens.
    ///
    /// # Errors
    /// [`Error::UnknownStream`].
    pub fn wanted(&self, name: &StreamName) -> Result<Wanted, Error> {
        Ok(self.entry(name)?.wanted.borrow().clone())
    }

    /// The spec of a stream, including tokens.
    ///
    /// # Errors
    /// [`Error::UnknownStream`].
    pub fn spec(&self, name: &StreamName) -> Result<StreamSpec, Error> {
        Ok((*self.entry(name)?.spec()).clone())
    }

    /// What viewers of a stream see now.
    ///
    /// # Errors
    /// [`Error::UnknownStream`].
    pub fn state(&self, name: &StreamName) -> Result<StreamState, Error> {
        Ok(*self.entry(name)?.state.borrow())
    }

    /// The appliances that have the streams which this one lacks.
    pub fn origins(&self) -> &Origins {
        &self.0.options.origins
    }

    /// Limits of all streams and of their viewers.
    pub fn limits(&self) -> (usize, usize) {
        (self.0.options.streams_max, self.0.options.viewers_max)
    }

    /// The state of one stream.
    ///
    /// # Errors
    /// [`Error::UnknownStream`].
    pub async fn snapshot(&self, name: &StreamName) -> Result<StreamSnapshot, Error> {
        self.snapshot_of(&self.entry(name)?).await
    }

    /// The states of all streams, ordered by name.
    pub async fn snapshots(&self) -> Vec<StreamSnapshot> {
        let entries: Vec<StreamEntry> = {
            let streams = self.0.streams.read().ignore_poison();
            streams.values().cloned().collect()
        };
        let asked = entries.iter().map(|entry| self.snapshot_of(entry));
        futures::future::join_all(asked).await.into_iter().flatten().collect()
    }

    /// Takes a snapshot. If the stream panics meanwhile, a second try returns its failed state.
    async fn snapshot_of(&self, entry: &StreamEntry) -> Result<StreamSnapshot, Error> {
        match self.ask(entry, Command::Snapshot).await {
            Err(Error::Restarting(_)) => self.ask(entry, Command::Snapshot).await,
            answer => answer,
        }
    }

    /// The caption feeds that a stream has now, ordered by name.
    ///
    /// # Errors
    /// [`Error::UnknownStream`].
    pub async fn cues(&self, name: &StreamName) -> Result<Vec<CueFeed>, Error> {
        self.ask(&self.entry(name)?, Command::Cues).await
    }

    /// The caption feeds that lists the caption feeds of a stream as they are added and removed.
    ///
    /// # Errors
    /// [`Error::UnknownStream`].
    pub async fn caption_feeds(&self, name: &StreamName) -> Result<CaptionFeeds, Error> {
        self.ask(&self.entry(name)?, Command::CaptionFeeds).await
    }

    /// Number of streams that have failed and wait for their restart.
    pub fn failed(&self) -> usize {
        self.0.failed.load(Ordering::Relaxed)
    }

    /// Disconnects the publisher that is on air.
    ///
    /// # Errors
    /// [`Error::UnknownStream`].
    pub async fn kick(&self, name: &StreamName) -> Result<(), Error> {
        self.ask(&self.entry(name)?, Command::Kick).await
    }

    /// The graph of a stream in Graphviz format.
    ///
    /// # Errors
    /// [`Error::UnknownStream`].
    pub async fn graph_dot(&self, name: &StreamName) -> Result<String, Error> {
        self.ask(&self.entry(name)?, Command::Dot).await
    }

    /// The newest thumbnail of a stream, JPEG.
    pub fn thumbnail(&self, name: &StreamName) -> Option<Bytes> {
        self.0.entry(name)?.thumbnail.borrow().clone()
    }

    /// All events from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.0.events.subscribe()
    }

    /// Finishes recordings, disconnects viewers and stops all streams, within five seconds.
    pub async fn shutdown(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
        let entries: Vec<StreamEntry> = {
            let mut streams = self.0.streams.write().ignore_poison();
            std::mem::take(&mut *streams).into_values().collect()
        };
        let stop = entries.iter().map(|entry| self.ask(entry, Command::Stop));
        let stopped = futures::future::join_all(stop);
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, stopped).await.is_err() {
            tracing::warn!("some streams did not finish in time");
        }
    }

    fn entry(&self, name: &StreamName) -> Result<StreamEntry, Error> {
        self.0.entry(name).ok_or_else(|| match self.0.is_stopping() {
            true => Error::ShuttingDown,
            false => Error::UnknownStream(name.to_string()),
        })
    }

    /// Sends a command to a stream and waits for the reply.
    async fn ask<T>(
        &self,
        entry: &StreamEntry,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let gone = || {
            let name = entry.spec().name.clone();
            match self.0.entry(&name) {
                _ if self.0.is_stopping() => Error::ShuttingDown,
                Some(_) => Error::Restarting(name.to_string()),
                None => Error::UnknownStream(name.to_string()),
            }
        };
        entry.commands.send(command(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }
}
