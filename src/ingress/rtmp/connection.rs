//! One client connection, from first to last byte.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::chunk::{self, Decoder, Limits};
use super::feeder::Feeder;
use super::session::{self, Denial, Event, Session};
use super::takeover::{Publishers, Standing};
use super::{handshake, key, tag};
use crate::flow::{
    self, AccessRequest, Action, Gate, Intake, Refusal, RefusalKind, SourceReport, Tracks,
};
use crate::ingress::unusable::unusable;
use crate::media::{Protocol, Secret, StreamName};

/// Time limit for the gate's answer.
const GATE_TIMEOUT: Duration = Duration::from_secs(15);

/// Our messages are small: a client that does not read them within this time is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client may take to close after our last message.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// Bytes per read.
const READ_BYTES: usize = 32 << 10;

/// Advice for publishers.
const PLEASE_SEND: &str = "send FLV (`-f flv` of ffmpeg), and a file at its own pace (`-re`)";

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The client disconnected, or uses another protocol.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The bytes are not a chunk stream.
    #[error(transparent)]
    Chunk(#[from] chunk::Error),
    /// The messages are not a valid RTMP session.
    #[error(transparent)]
    Session(#[from] session::Error),
    /// The setup took too long.
    #[error("no request to publish within {0:?}")]
    TooSlow(Duration),
    /// The gate refused it and has logged the refusal.
    #[error("turned away: {0}")]
    TurnedAway(String),
    /// It was refused with a message.
    #[error("refused: {0}")]
    Refused(String),
    /// It stopped sending media.
    #[error("no media for {0:?}")]
    Silent(Duration),
    /// The same publisher returned on another connection.
    #[error("the publisher came back by another connection")]
    Displaced,
    /// The stream dismissed it.
    #[error("disconnected by the stream: replaced, removed or stopped")]
    Dismissed,
    /// The appliance is shutting down.
    #[error("the appliance is shutting down")]
    ShuttingDown,
    /// Its media cannot be used.
    #[error(transparent)]
    Media(#[from] flow::Error),
}

/// State shared by all connections.
pub(super) struct Shared {
    /// Decides on admission.
    pub(super) gate: Arc<dyn Gate>,
    /// Admitted publishers.
    pub(super) publishers: Publishers,
    /// Time limit for a client to ask to publish.
    pub(super) setup_max: Duration,
    /// A publisher without media for this long is disconnected.
    pub(super) idle: Duration,
    /// Cancelled when the server stops.
    pub(super) cancel: CancellationToken,
}

struct Connection<S> {
    stream: S,
    peer: SocketAddr,
    input: BytesMut,
    decoder: Decoder,
    session: Session,
    events: VecDeque<Event>,
}

/// A request to publish that the gate has granted.
struct Granted {
    intake: Intake,
    standing: Standing,
    report: Arc<SourceReport>,
}

/// Serves one client until either side ends. `Ok` if it published and then stopped.
///
/// # Errors
/// [`Error`]: the reason of the end.
pub(super) async fn serve<S>(stream: S, peer: SocketAddr, shared: &Shared) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = Connection {
        stream,
        peer,
        input: BytesMut::new(),
        decoder: Decoder::new(Limits::STRANGER),
        session: Session::default(),
        events: VecDeque::new(),
    };
    let setup = timeout(shared.setup_max, connection.await_publish());
    let result = tokio::select! {
        () = shared.cancel.cancelled() => Err(Error::ShuttingDown),
        key = setup => match key {
            Ok(Ok(key)) => connection.publish(&key, shared).await,
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::TooSlow(shared.setup_max)),
        },
    };
    // Closing with unread bytes makes TCP send a reset, which can discard our last message.
    let _ = timeout(LINGER_MAX, connection.hang_up()).await;
    result
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Performs the handshake and waits for the stream key.
    async fn await_publish(&mut self) -> Result<String, Error> {
        handshake::accept(&mut self.stream).await?;
        loop {
            while let Some(event) = self.next_event()? {
                match event {
                    Event::Publish { key } => return Ok(key),
                    Event::Refused(message) => {
                        self.flush().await?;
                        return Err(Error::Refused(message));
                    }
                    Event::Media { .. } | Event::Unknown { .. } | Event::Unpublish => {}
                }
            }
            self.flush().await?;
            self.read().await?;
        }
    }

    /// Asks the gate and publishes if admitted.
    async fn publish(&mut self, key: &str, shared: &Shared) -> Result<(), Error> {
        let access_request = match key::parse(key) {
            Ok((stream, credential)) => self.access_request(stream, credential),
            Err(message) => {
                // Reports it to the stream that was probably meant.
                if let Some(access_request) =
                    key::stream_of(key).map(|stream| self.access_request(stream, None))
                {
                    let refusal = Refusal::new(RefusalKind::Unsupported, &message, key::USAGE);
                    shared.gate.report_refusal(&access_request, &refusal);
                }
                return Err(self.refuse(Denial::BadName, message).await);
            }
        };
        let since = Instant::now();
        let granted = match self.ask(&access_request, shared).await {
            Ok(granted) => granted,
            Err((why, message)) => {
                let _ = self.refuse(why, message.clone()).await;
                return Err(Error::TurnedAway(message));
            }
        };
        self.decoder.set_limits(Limits::PUBLISHER);
        self.session.accept();
        let stream = granted.intake.stream.clone();
        tracing::info!(%stream, peer = %self.peer, "RTMP publisher connected");
        let mut feeder = Feeder::new(granted.intake.tracks.clone());
        let result = self.feed(&mut feeder, &granted, shared).await;
        if let Some(refusal) = fault(&result, &granted.intake.tracks, since.elapsed()) {
            shared.gate.report_refusal(&access_request, &refusal);
        }
        if matches!(result, Ok(()) | Err(Error::Io(_))) {
            feeder.drain().await;
        }
        // The stream learns first that its publisher is gone; then the pipelines stop.
        drop(granted);
        if let Err(error) = feeder.stop().await {
            tracing::error!(%stream, %error, "a track of an RTMP publisher did not stop");
        }
        match result {
            // Clients that are still connected get the reason.
            Err(error @ (Error::Dismissed | Error::ShuttingDown | Error::Media(_))) => {
                let _ = self.refuse(Denial::Rejected, error.to_string()).await;
                Err(error)
            }
            other => other,
        }
    }

    fn access_request(&self, stream: StreamName, credential: Option<Secret>) -> AccessRequest {
        let (action, peer) = (Action::Publish, self.peer.to_string());
        AccessRequest { action, protocol: Protocol::Rtmp, stream, credential, peer }
    }

    async fn ask(
        &mut self,
        access_request: &AccessRequest,
        shared: &Shared,
    ) -> Result<Granted, (Denial, String)> {
        let AccessRequest { stream, credential, .. } = access_request.clone();
        let ip = self.peer.ip();
        shared.publishers.displace(&stream, credential.as_ref(), ip).await;
        let report = Arc::new(SourceReport::new(Protocol::Rtmp, self.peer.to_string()));
        let busy = |_| (Denial::Rejected, "the appliance is busy; try again".to_owned());
        let answer =
            timeout(GATE_TIMEOUT, shared.gate.publish(access_request.clone(), report.clone()))
                .await;
        match answer.map_err(busy)? {
            Ok(intake) => {
                let standing = shared.publishers.enter(stream, credential, ip);
                Ok(Granted { intake, standing, report })
            }
            Err(refusal) => Err(denial(&refusal)),
        }
    }

    /// Forwards media from the client to the feeds until the publication ends.
    async fn feed(
        &mut self,
        feeder: &mut Feeder,
        granted: &Granted,
        shared: &Shared,
    ) -> Result<(), Error> {
        let since = Instant::now();
        let mut deadline = since + shared.idle;
        loop {
            while let Some(event) = self.next_event()? {
                match event {
                    Event::Media { kind, timestamp, payload } => {
                        deadline = Instant::now() + shared.idle;
                        granted.report.follow_pace(timestamp.into(), since.elapsed());
                        match tag::parse(kind, payload) {
                            Ok(packet) => feeder.take(timestamp, packet).await?,
                            Err(error) => granted.report.note(error.to_string()),
                        }
                    }
                    Event::Unknown { kind } => {
                        let text =
                            format!("messages of type {kind}, which RTMP has not, are dropped");
                        granted.report.note(text);
                    }
                    Event::Unpublish => {
                        self.session.farewell();
                        self.flush().await?;
                        return Ok(());
                    }
                    Event::Refused(message) => {
                        self.flush().await?;
                        return Err(Error::Refused(message));
                    }
                    Event::Publish { .. } => {}
                }
            }
            self.flush().await?;
            let count = tokio::select! {
                () = shared.cancel.cancelled() => return Err(Error::ShuttingDown),
                () = granted.intake.cancel.cancelled() => return Err(Error::Dismissed),
                () = granted.standing.displaced().cancelled() => return Err(Error::Displaced),
                (kind, error) = feeder.failed() => {
                    feeder.recover(kind, error).await?;
                    continue;
                }
                read = timeout_at(deadline, self.read()) => match read {
                    Ok(count) => count?,
                    Err(_) => return Err(Error::Silent(shared.idle)),
                },
            };
            granted.report.add_bytes(count);
            granted.standing.heard(count);
        }
    }

    /// The next event in the received data. `None` if there is no more.
    fn next_event(&mut self) -> Result<Option<Event>, Error> {
        while self.events.is_empty() {
            let Some(message) = self.decoder.decode(&mut self.input)? else { return Ok(None) };
            let mut events = Vec::new();
            self.session.handle(message, &mut events)?;
            self.events.extend(events);
        }
        Ok(self.events.pop_front())
    }

    /// Reads more data. Cancel safe: nothing is lost.
    async fn read(&mut self) -> Result<usize, Error> {
        self.input.reserve(READ_BYTES);
        let count = self.stream.read_buf(&mut self.input).await?;
        if count == 0 {
            let message = "the connection was closed without a goodbye";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message).into());
        }
        self.session.received(count);
        Ok(count)
    }

    /// Sends the pending output of the session.
    async fn flush(&mut self) -> Result<(), Error> {
        let output = self.session.take_output();
        if output.is_empty() {
            return Ok(());
        }
        let send = async {
            self.stream.write_all(&output).await?;
            self.stream.flush().await
        };
        match timeout(WRITE_TIMEOUT, send).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        }
    }

    async fn refuse(&mut self, why: Denial, message: String) -> Error {
        self.session.refuse(why, &message, &mut Vec::new());
        match self.flush().await {
            Ok(()) => Error::Refused(message),
            Err(error) => error,
        }
    }

    /// Shuts down our side and discards further input, so that the client can read our last
    /// message.
    async fn hang_up(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        loop {
            self.input.clear();
            self.input.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Ok(());
            }
        }
    }
}

/// The report to the owner of the stream for a publisher that was admitted and ended like this.
fn fault(result: &Result<(), Error>, tracks: &Tracks, stayed: Duration) -> Option<Refusal> {
    let usual = |error: &flow::Error| unusable(error, tracks, stayed, PLEASE_SEND);
    match result {
        Err(Error::Media(error)) => usual(error),
        Err(Error::Silent(idle)) => usual(&flow::Error::Stalled(*idle)),
        Ok(()) | Err(Error::Io(_)) => usual(&flow::Error::Ended),
        Err(error @ (Error::Chunk(_) | Error::Session(_) | Error::Refused(_))) => {
            Some(Refusal::new(RefusalKind::Unsupported, error.to_string(), PLEASE_SEND))
        }
        Err(_) => None,
    }
}

/// A refusal in RTMP terms.
fn denial(refusal: &Refusal) -> (Denial, String) {
    let why = match refusal.kind {
        RefusalKind::Unauthorized => Denial::Denied,
        RefusalKind::UnknownStream | RefusalKind::Taken => Denial::BadName,
        RefusalKind::NotLive | RefusalKind::Unsupported | RefusalKind::Busy => Denial::Rejected,
    };
    let message = match &refusal.hint[..] {
        "" => refusal.message.clone(),
        hint => format!("{}: {hint}", refusal.message),
    };
    (why, message)
}
