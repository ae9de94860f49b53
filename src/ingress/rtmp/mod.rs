//! RTMP and RTMPS: the server for publishers such as OBS and ffmpeg.
//!
//! OBS: server `rtmp://HOST/live`, stream key `NAME?token=TOKEN`. ffmpeg: `-f flv
//! 'rtmp://HOST/live/NAME?token=TOKEN'`. H.264 with AAC or MP3, and by Enhanced RTMP also HEVC,
//! AV1, VP8, VP9 and Opus.
//!
//! From the wire inwards: `handshake`, `chunk`, `amf`, `session` and `tag` implement the protocol
//! without IO and media. Their result is a `tag::Packet`; only `feeder` writes packets to feeds.
//! The protocol is implemented here because an open port needs what no available library offers:
//! bounded memory for unauthenticated clients, refusals in the client's protocol, and any
//! underlying transport.
//!
//! Invariant: this port serves no players, and every publisher has passed the `Gate`.
//!
//! A publisher that lost its connection and returns from the same address with the same key is
//! admitted within about a second, whatever the conflict setting of the stream: see `takeover`.

mod amf;
mod chunk;
mod config;
mod connection;
mod error;
mod feeder;
#[cfg(test)]
mod fuzz;
mod handshake;
mod key;
mod record;
mod session;
mod tag;
mod takeover;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use config::Config;
use connection::Shared;
pub use error::Error;
use takeover::Publishers;

use crate::flow::{ConnectionPermit, Connections, Gate};
use crate::telemetry::LogLimiter;

/// Time limit for a TLS handshake.
const TLS_TIMEOUT: Duration = Duration::from_secs(5);

/// Time limit for a client from its first byte to its request to publish.
const SETUP_TIMEOUT: Duration = Duration::from_secs(10);

/// Time limit for notifying and closing all connections when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(4);

/// Listens as configured and serves until `cancel`. Returns `Ok` at once if RTMP is disabled.
///
/// # Errors
/// [`Error`], before any client is served.
pub async fn serve(
    config: Config,
    gate: Arc<dyn Gate>,
    cancel: CancellationToken,
) -> Result<(), Error> {
    if config.enabled {
        Server::bind(config).await?.run(gate, cancel).await;
    }
    Ok(())
}

/// A listening server; [`Self::run`] serves it.
pub struct Server {
    config: Config,
    plain: TcpListener,
    tls: Option<(TcpListener, TlsAcceptor)>,
}

impl Server {
    /// Binds the ports. Port 0 binds a free one, which [`Self::address`] returns.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn bind(config: Config) -> Result<Self, Error> {
        let tls = match (config.tls_listen, config.tls_files()?) {
            (Some(address), Some((cert, key))) => {
                let acceptor = tls::acceptor(cert, key)?;
                Some((listen(address).await?, acceptor))
            }
            _ => None,
        };
        let plain = listen(config.listen).await?;
        Ok(Self { config, plain, tls })
    }

    /// The address of RTMP.
    pub fn address(&self) -> Option<SocketAddr> {
        self.plain.local_addr().ok()
    }

    /// The address of RTMPS. `None` if it is off.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.tls.as_ref().and_then(|(listener, _)| listener.local_addr().ok())
    }

    /// Serves until `cancel`, then notifies and closes every connection within some seconds.
    pub async fn run(self, gate: Arc<dyn Gate>, cancel: CancellationToken) {
        let state = ListenerState {
            connections: Connections::new(
                self.config.connections_max,
                self.config.connections_per_ip_max,
            ),
            strangers: Arc::default(),
            tasks: TaskTracker::new(),
            shared: Arc::new(Shared {
                gate,
                publishers: Publishers::default(),
                setup_max: SETUP_TIMEOUT,
                idle: Duration::from_secs(self.config.idle_timeout_s.into()),
                cancel: cancel.clone(),
            }),
        };
        tracing::info!(rtmp = ?self.address(), rtmps = ?self.tls_address(), "RTMP is listening");
        let tls = async {
            match &self.tls {
                Some((listener, acceptor)) => state.accept_from(listener, Some(acceptor)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = cancel.cancelled() => {}
            () = state.accept_from(&self.plain, None) => {}
            () = tls => {}
        }
        state.tasks.close();
        if tokio::time::timeout(STOP_TIMEOUT, state.tasks.wait()).await.is_err() {
            tracing::warn!(left = state.tasks.len(), "RTMP connections are left behind");
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Bind { address, source })
}

/// Accepts connections for the listeners.
struct ListenerState {
    connections: Connections,
    strangers: Arc<LogLimiter>,
    tasks: TaskTracker,
    shared: Arc<Shared>,
}

impl ListenerState {
    async fn accept_from(&self, listener: &TcpListener, tls: Option<&TlsAcceptor>) {
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Most likely no file descriptors are left; retrying at once would not help.
                    self.complain(None, &error);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            match self.connections.enter(peer.ip()) {
                Ok(place) => self.spawn(stream, peer, tls.cloned(), place),
                Err(message) => self.complain(Some(peer), &message),
            }
        }
    }

    fn spawn(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<TlsAcceptor>,
        place: ConnectionPermit,
    ) {
        let (shared, strangers) = (self.shared.clone(), self.strangers.clone());
        self.tasks.spawn(async move {
            let _place = place;
            // Answers are small, and the client waits for them.
            let _ = stream.set_nodelay(true);
            let result = match tls {
                None => connection::serve(stream, peer, &shared).await,
                Some(acceptor) => {
                    match tokio::time::timeout(TLS_TIMEOUT, acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => connection::serve(stream, peer, &shared).await,
                        Ok(Err(error)) => Err(error.into()),
                        Err(_) => Err(connection::Error::TooSlow(TLS_TIMEOUT)),
                    }
                }
            };
            report(peer, result, &strangers);
        });
    }

    fn complain(&self, peer: Option<SocketAddr>, error: &dyn std::fmt::Display) {
        if let Some(kept_back) = self.strangers.pass(peer.map(|peer| peer.ip()), Instant::now()) {
            tracing::warn!(?peer, %error, kept_back, "an RTMP connection is not accepted");
        }
    }
}

/// Logs once how a connection ended.
fn report(peer: SocketAddr, result: Result<(), connection::Error>, strangers: &LogLimiter) {
    use connection::Error as E;
    match result {
        Ok(()) => tracing::info!(%peer, "RTMP publisher stopped"),
        Err(E::Displaced | E::Dismissed | E::ShuttingDown) => {
            tracing::info!(%peer, reason = %result_text(&result), "RTMP publisher disconnected");
        }
        // The gate has logged its refusals. The other clients are strangers, of which there may be
        // thousands.
        Err(E::TurnedAway(_)) => {
            tracing::debug!(%peer, reason = %result_text(&result), "RTMP publisher turned away");
        }
        Err(_) => {
            if let Some(kept_back) = strangers.pass(peer.ip(), Instant::now()) {
                let error = result_text(&result);
                tracing::warn!(%peer, %error, kept_back, "an RTMP connection failed");
            }
        }
    }
}

fn result_text(result: &Result<(), connection::Error>) -> String {
    result.as_ref().err().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
