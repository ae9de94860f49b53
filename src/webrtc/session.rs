//! Open sessions: their ids, how requests find them, and how they all end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::places::{Direction, Full, Places, SessionPermit};
use super::sdp::Candidate;
use super::{Config, Peer};
use crate::flow::Error;
use crate::media::{Codec, IgnorePoison, Protocol, Quality, Secret, StreamName};
use crate::telemetry::descriptors;
use auralink_sfu::Delivery;

/// All WHIP and WHEP sessions. Cheap to clone.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    sessions: Mutex<HashMap<String, Arc<Session>>>,
    places: Places,
    cancel: CancellationToken,
    tasks: TaskTracker,
    /// Bytes sent to viewers that have left.
    sent_bytes: AtomicU64,
}

/// Who opens a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// Address of its request, with port.
    pub address: String,
    /// What it says it is (`User-Agent`).
    pub agent: Option<String>,
}

/// One open session.
pub struct Session {
    /// 128 random bits in hex: a client that knows it may end the session.
    pub id: String,
    /// `whip` or `whep`.
    pub protocol: Protocol,
    /// The stream that is published or played.
    pub stream: StreamName,
    /// Who opened it.
    pub client: Client,
    /// When.
    pub since: DateTime<Utc>,
    /// Cancelled to end the session.
    pub cancel: CancellationToken,
    /// Our end of the connection, once established.
    connection: OnceLock<Arc<dyn IceEnd>>,
    /// Codecs of its tracks, known with the connection.
    codecs: OnceLock<Vec<Codec>>,
    /// The qualities that a viewer chooses from; unset where there is one only.
    layers: OnceLock<Arc<dyn Layers>>,
    /// The ICE credentials in use. Locked while a restart changes them.
    generation: Mutex<Generation>,
}

/// The qualities of a viewer's video, by requests (`urn:ietf:params:whep:ext:core:layer`).
pub(crate) trait Layers: Send + Sync {
    /// What is offered, chosen and playing, in the form of the data channel `quality`.
    fn told(&self) -> String;

    /// Chooses a quality.
    ///
    /// # Errors
    /// Why that cannot be.
    fn choose(&self, quality: Quality) -> Result<(), LayerError>;
}

/// Why a viewer does not get the quality that it asks for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LayerError {
    /// The stream has no such rung.
    #[error("`{0}` is not offered")]
    NotOffered(Quality),
    /// Each change may start an encoder.
    #[error("the quality was changed a moment ago")]
    TooSoon,
}

/// Our end of an ICE connection, for changes after the answer and for figures.
pub(crate) trait IceEnd: Send + Sync {
    /// Adds a candidate from the peer.
    fn add_candidate(&self, candidate: &Candidate);

    /// Begins a new ICE generation with the peer's new credentials and first candidates. Returns
    /// our answer for the peer.
    ///
    /// # Errors
    /// When the connection cannot restart.
    fn restart_ice(
        &self,
        credentials: (&str, &str),
        candidates: &[Candidate],
    ) -> Result<String, Error>;

    /// What reaches the peer; `None` where it is not measured.
    fn delivery(&self) -> Option<Delivery> {
        None
    }
}

impl IceEnd for Peer {
    fn add_candidate(&self, candidate: &Candidate) {
        self.add_candidate(candidate);
    }

    fn restart_ice(
        &self,
        credentials: (&str, &str),
        candidates: &[Candidate],
    ) -> Result<String, Error> {
        self.restart_ice(credentials, candidates)
    }
}

/// The period from one ICE restart to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    /// Identifies it (RFC 9725 section 4.3.1), with quotes.
    pub(crate) etag: String,
    /// ICE user name fragment of the peer.
    pub(crate) ufrag: String,
}

impl Generation {
    /// The generation that begins with this user name fragment of the peer.
    pub(crate) fn new(ufrag: impl Into<String>) -> Self {
        Self { etag: format!("\"{:016x}\"", rand::random::<u64>()), ufrag: ufrag.into() }
    }
}

impl Session {
    /// Sets the connection when it begins.
    pub(crate) fn set_connection(
        &self,
        connection: Arc<dyn IceEnd>,
        codecs: Vec<Codec>,
        ufrag: &str,
    ) {
        // A session has only one connection.
        let _ = self.connection.set(connection);
        let _ = self.codecs.set(codecs);
        ufrag.clone_into(&mut self.generation().ufrag);
    }

    /// Sets the qualities that its viewer chooses from.
    pub(crate) fn set_layers(&self, layers: Arc<dyn Layers>) {
        let _ = self.layers.set(layers);
    }

    /// The qualities that its viewer chooses from, if there are several.
    pub(crate) fn layers(&self) -> Option<&Arc<dyn Layers>> {
        self.layers.get()
    }

    /// The connection, if it has begun.
    pub(crate) fn connection(&self) -> Option<&Arc<dyn IceEnd>> {
        self.connection.get()
    }

    /// Codecs of its tracks; empty before its connection begins.
    pub fn codecs(&self) -> &[Codec] {
        self.codecs.get().map_or(&[], Vec::as_slice)
    }

    /// What reaches the peer; `None` where it is not measured.
    pub fn delivery(&self) -> Option<Delivery> {
        self.connection.get()?.delivery()
    }

    /// The first characters of its id, which may be shown: the whole id is secret.
    pub fn short_id(&self) -> &str {
        self.id.get(..8).unwrap_or(&self.id)
    }

    /// The ICE generation, locked.
    pub(crate) fn generation(&self) -> MutexGuard<'_, Generation> {
        self.generation.lock().ignore_poison()
    }
}

/// A session's place in the registry; dropping it frees the place.
pub struct SessionEntry {
    registry: Registry,
    session: Arc<Session>,
    _place: SessionPermit,
}

impl SessionEntry {
    /// The session of this entry.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }
}

impl Drop for SessionEntry {
    fn drop(&mut self) {
        let sent = self.session.delivery().map_or(0, |d| d.sent_bytes);
        let mut sessions = self.registry.lock();
        sessions.remove(&self.session.id);
        self.registry.0.sent_bytes.fetch_add(sent, Ordering::Relaxed);
    }
}

impl Registry {
    /// A registry with the limits of the configuration.
    pub fn new(config: &Config) -> Self {
        Self(Arc::new(Inner {
            sessions: Mutex::default(),
            places: Places::new(config.limits()),
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
            sent_bytes: AtomicU64::new(0),
        }))
    }

    /// Takes a place for a new session of a peer that presented this token.
    ///
    /// # Errors
    /// [`Full`], if there is no place.
    pub fn enter(
        &self,
        direction: Direction,
        stream: &StreamName,
        token: Option<&Secret>,
        client: Client,
    ) -> Result<SessionEntry, Full> {
        if self.0.cancel.is_cancelled() {
            return Err(Full::Stopping);
        }
        // A session needs a dozen of them.
        if descriptors::are_scarce() {
            return Err(Full::Descriptors);
        }
        let place = self.0.places.take(direction, stream, token)?;
        let protocol = match direction {
            Direction::Publish => Protocol::Whip,
            Direction::Play => Protocol::Whep,
        };
        let session = Arc::new(Session {
            id: format!("{:032x}", rand::random::<u128>()),
            protocol,
            stream: stream.clone(),
            client,
            since: Utc::now(),
            cancel: self.0.cancel.child_token(),
            connection: OnceLock::new(),
            codecs: OnceLock::new(),
            layers: OnceLock::new(),
            generation: Mutex::new(Generation::new("")),
        });
        self.lock().insert(session.id.clone(), Arc::clone(&session));
        Ok(SessionEntry { registry: self.clone(), session, _place: place })
    }

    /// Finds an open session by its id.
    pub fn find(&self, protocol: Protocol, stream: &str, id: &str) -> Option<Arc<Session>> {
        let session = self.lock().get(id).cloned()?;
        (session.protocol == protocol && session.stream.as_str() == stream).then_some(session)
    }

    /// The sessions of viewers, the longest first.
    pub fn viewers(&self) -> Vec<Arc<Session>> {
        let play = |s: &&Arc<Session>| s.protocol == Protocol::Whep;
        let mut viewers: Vec<_> = self.lock().values().filter(play).cloned().collect();
        viewers.sort_by(|a, b| (a.since, &a.id).cmp(&(b.since, &b.id)));
        viewers
    }

    /// Bytes sent to all viewers since the start.
    pub fn sent_bytes(&self) -> u64 {
        // Locked, so that no session ends and counts twice.
        let sessions = self.lock();
        let now = sessions.values().filter_map(|s| s.delivery()).map(|d| d.sent_bytes);
        now.sum::<u64>() + self.0.sent_bytes.load(Ordering::Relaxed)
    }

    /// Number of open sessions.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Runs the task of a session until it ends.
    pub(crate) fn spawn(&self, life: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.spawn(life);
    }

    /// A token that [`Self::shut_down`] cancels.
    pub fn stopping(&self) -> CancellationToken {
        self.0.cancel.child_token()
    }

    /// Ends all sessions and waits until they have ended, at most `max`. True on success.
    pub async fn shut_down(&self, max: Duration) -> bool {
        self.0.cancel.cancel();
        self.0.tasks.close();
        tokio::time::timeout(max, self.0.tasks.wait()).await.is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.0.sessions.lock().ignore_poison()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_given_back() {
        let registry = Registry::new(&Config { sessions_max: 1, ..Config::default() });
        let stream: StreamName = "a".parse().expect("valid");
        let enter = || registry.enter(Direction::Play, &stream, None, Client::default());
        let entry = enter().expect("there is room");
        assert_eq!(enter().err(), Some(Full::ViewersOfStream(1)), "only one place");
        let id = entry.session().id.clone();
        assert!(registry.find(Protocol::Whep, "a", &id).is_some());
        assert!(registry.find(Protocol::Whip, "a", &id).is_none(), "another protocol");
        assert!(registry.find(Protocol::Whep, "b", &id).is_none(), "another stream");
        drop(entry);
        assert_eq!(registry.count(), 0);
        assert!(enter().is_ok());
    }
}
