//! The SRT listener: admission and sessions of callers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::streamid::{self, StreamId, StreamIdError};
use super::{Config, Error, play, publish};
use crate::flow::{AccessRequest, Action, Gate, Refusal, RefusalKind};
use crate::media::{IgnorePoison, Protocol};
use crate::mpegts::Limits;
use crate::srt::{ConnectRequest, Listener, ListenerOptions, Reject, Socket};
use crate::telemetry::LogLimiter;

/// The correct streamid format, for error messages.
const USAGE: &str = "set the streamid to publish:NAME:TOKEN or #!::r=NAME,m=publish,s=TOKEN";

/// Polling interval of the accepting thread.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// An admitted caller that is not connected after this time has failed.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How long an established connection may wait to be accepted.
const ACCEPT_GRACE: Duration = Duration::from_millis(500);

/// How long sessions may take to end.
const DRAIN_MAX: Duration = Duration::from_secs(3);

/// A bound SRT port.
pub struct Server {
    listener: Listener,
    config: Config,
}

impl Server {
    /// Binds the port.
    ///
    /// # Errors
    /// A wrong configuration or a taken port.
    pub fn bind(config: Config) -> Result<Self, Error> {
        config.check()?;
        let options = ListenerOptions {
            latency: Duration::from_millis(config.latency_ms.into()),
            peer_timeout: Duration::from_millis(config.peer_timeout_ms.into()),
            peer_version_min: config.version_min()?,
        };
        let listener = Listener::bind(config.listen, options)
            .map_err(|source| Error::Bind { address: config.listen, source })?;
        Ok(Self { listener, config })
    }

    /// The bound address.
    ///
    /// # Errors
    /// If the socket is closed.
    pub fn local_address(&self) -> Result<SocketAddr, Error> {
        Ok(self.listener.local_address()?)
    }

    /// Serves until `cancel`, then ends all sessions.
    ///
    /// # Errors
    /// If the listener fails.
    pub async fn run(
        mut self,
        gate: Arc<dyn Gate>,
        cancel: CancellationToken,
    ) -> Result<(), Error> {
        let stop = cancel.child_token();
        let _stop_on_drop = stop.clone().drop_guard();
        let state = Arc::new(ListenerState {
            gate,
            waiting: Mutex::default(),
            slots: Arc::new(Semaphore::new(self.config.connections_max)),
            config: self.config.clone(),
            strangers: LogLimiter::default(),
            sessions: TaskTracker::new(),
            stop,
        });
        let judge = state.clone();
        self.listener.listen(move |connect_request| judge.judge(connect_request))?;
        tracing::info!(address = %self.local_address()?, "SRT listening");

        let (done, finished) = tokio::sync::oneshot::channel();
        let (accepting, runtime) = (state.clone(), tokio::runtime::Handle::current());
        // A dedicated thread, because waiting for libsrt blocks.
        std::thread::Builder::new().name("srt-accept".into()).spawn(move || {
            let result = accepting.accept_until_stopped(&self.listener, &runtime);
            drop(self.listener);
            let _ = done.send(result);
        })?;
        let result = finished.await.unwrap_or(Ok(()));
        state.stop.cancel();
        state.sessions.close();
        if tokio::time::timeout(DRAIN_MAX, state.sessions.wait()).await.is_err() {
            tracing::warn!(left = state.sessions.len(), "SRT sessions did not end in time");
        }
        Ok(result?)
    }
}

/// A caller between its handshake and its connection.
struct Waiting {
    access_request: AccessRequest,
    since: Instant,
    encrypted: bool,
    slot: OwnedSemaphorePermit,
}

struct ListenerState {
    gate: Arc<dyn Gate>,
    /// By socket number of libsrt; bounded by `slots`.
    waiting: Mutex<HashMap<i32, Waiting>>,
    slots: Arc<Semaphore>,
    config: Config,
    /// Limits the log entries about callers that name no stream.
    strangers: LogLimiter,
    sessions: TaskTracker,
    stop: CancellationToken,
}

impl ListenerState {
    fn waiting(&self) -> MutexGuard<'_, HashMap<i32, Waiting>> {
        self.waiting.lock().ignore_poison()
    }

    /// Decides on admission, on libsrt's receiving thread.
    fn judge(&self, connect_request: &ConnectRequest) -> Result<(), Reject> {
        let access_request = self
            .access_request(connect_request)
            .map_err(|error| self.refuse_unread(connect_request, &error))?;
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            let limit = self.config.connections_max;
            let message = format!("all {limit} SRT connections are in use");
            let refusal = Refusal::new(RefusalKind::Busy, message, "raise srt.connections_max");
            self.gate.report_refusal(&access_request, &refusal);
            return Err(Reject::OVERLOAD);
        };
        let admission =
            self.gate.admit(&access_request).map_err(|refusal| reject_of(refusal.kind))?;
        if let Some(passphrase) = &admission.passphrase {
            connect_request.require(passphrase).map_err(|error| {
                tracing::error!(stream = %access_request.stream, %error, "unusable SRT passphrase");
                Reject::INTERNAL
            })?;
        }
        let encrypted = admission.passphrase.is_some();
        let waiting = Waiting { access_request, since: Instant::now(), encrypted, slot };
        self.waiting().insert(connect_request.number(), waiting);
        Ok(())
    }

    /// Refuses a caller with an invalid streamid. The refusal is reported to the stream that was
    /// probably meant. A caller that names none is a stranger, logged at a limited rate.
    fn refuse_unread(&self, connect_request: &ConnectRequest, error: &StreamIdError) -> Reject {
        let peer = connect_request.peer;
        match streamid::stream_of(&connect_request.stream_id) {
            Some(stream) => {
                let (action, protocol) = (Action::Publish, Protocol::Srt);
                let access_request = AccessRequest {
                    action,
                    protocol,
                    stream,
                    credential: None,
                    peer: peer.to_string(),
                };
                let refusal = Refusal::new(RefusalKind::Unsupported, error.to_string(), USAGE);
                self.gate.report_refusal(&access_request, &refusal);
            }
            None => {
                if let Some(kept_back) = self.strangers.pass(peer.ip(), Instant::now()) {
                    tracing::info!(%peer, %error, kept_back, "SRT caller refused");
                }
            }
        }
        match error {
            StreamIdError::Mode => Reject::BAD_MODE,
            _ => Reject::BAD_REQUEST,
        }
    }

    fn access_request(
        &self,
        connect_request: &ConnectRequest,
    ) -> Result<AccessRequest, StreamIdError> {
        let id = match (streamid::parse(&connect_request.stream_id), &self.config.default_stream) {
            (Err(StreamIdError::Missing), Some(stream)) => {
                StreamId { action: Action::Publish, stream: stream.clone(), credential: None }
            }
            (id, _) => id?,
        };
        Ok(AccessRequest {
            action: id.action,
            protocol: Protocol::Srt,
            stream: id.stream,
            credential: id.credential,
            peer: connect_request.peer.to_string(),
        })
    }

    fn accept_until_stopped(
        self: &Arc<Self>,
        listener: &Listener,
        runtime: &tokio::runtime::Handle,
    ) -> Result<(), crate::srt::Error> {
        while !self.stop.is_cancelled() {
            if let Some((number, socket)) = listener.accept(POLL_INTERVAL)? {
                let waiting = self.waiting().remove(&number);
                // Without an entry it was given up already; dropping the socket closes it.
                if let Some(waiting) = waiting {
                    self.sessions.spawn_on(self.clone().session(socket, waiting), runtime);
                }
            }
            self.give_up_failed();
        }
        Ok(())
    }

    /// Reports failed callers. libsrt drops callers with a wrong passphrase without notice: they
    /// vanish between handshake and connection.
    fn give_up_failed(&self) {
        let failed = |number: &i32, waiting: &mut Waiting| {
            let age = waiting.since.elapsed();
            age > HANDSHAKE_MAX || (age > ACCEPT_GRACE && Listener::has_failed(*number))
        };
        let failed: Vec<Waiting> =
            self.waiting().extract_if(failed).map(|(_, waiting)| waiting).collect();
        for waiting in failed {
            let (message, hint) = if waiting.encrypted {
                ("wrong SRT passphrase, or none", "set the stream's passphrase in the encoder")
            } else {
                ("it encrypts, but the stream has no passphrase", "remove it, or set one here")
            };
            let refusal = Refusal::new(RefusalKind::Unauthorized, message, hint);
            self.gate.report_refusal(&waiting.access_request, &refusal);
        }
    }

    async fn session(self: Arc<Self>, socket: Socket, waiting: Waiting) {
        let Waiting { access_request, slot, .. } = waiting;
        let (action, socket) = (access_request.action, Arc::new(socket));
        let limits = Limits {
            silence: Duration::from_secs(self.config.idle_timeout_s.into()),
            ..Limits::default()
        };
        match action {
            Action::Publish => {
                publish::run(&*self.gate, socket, access_request, limits, &self.stop).await;
            }
            Action::Play => play::run(&*self.gate, socket, access_request, &self.stop).await,
        }
        drop(slot);
    }
}

/// The libsrt reject code for a refusal.
fn reject_of(kind: RefusalKind) -> Reject {
    match kind {
        RefusalKind::Unauthorized => Reject::UNAUTHORIZED,
        RefusalKind::UnknownStream | RefusalKind::NotLive => Reject::NOT_FOUND,
        RefusalKind::Taken => Reject::CONFLICT,
        RefusalKind::Unsupported => Reject::UNACCEPTABLE,
        RefusalKind::Busy => Reject::OVERLOAD,
    }
}
