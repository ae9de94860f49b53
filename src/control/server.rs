//! The HTTP server: one port for the API, the page, WHIP, WHEP, HLS and DASH.
//!
//! Invariant: no client holds a connection without making progress. Time-outs bound the handshake,
//! the header, the body, the time between requests, and answers that are not read.

mod connection;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::auth::signed::{self, Verifier};
use super::origin::PublicAddress;
use super::pace;
use crate::flow::Connections;
use crate::telemetry::{LogLimiter, descriptors};
use connection::Admission;

/// `[api]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port for all HTTP traffic.
    pub listen: SocketAddr,
    /// Certificate chain (PEM); with `tls_key` it makes the port HTTPS.
    pub tls_cert: Option<PathBuf>,
    /// Private key (PEM).
    pub tls_key: Option<PathBuf>,
    /// `https://host[:port]` by which clients reach the appliance, for the URLs that it returns.
    pub public_url: Option<String>,
    /// Proxies whose `X-Forwarded-Proto` and `X-Forwarded-Host` are trusted: addresses or networks.
    pub trusted_proxies: Vec<String>,
    /// The API needs no token: every client may change everything. Must be set explicitly.
    pub open: bool,
    /// Names besides addresses and `localhost` by which browsers may reach the appliance.
    pub allowed_hosts: Vec<String>,
    /// Maximum number of connections.
    pub connections_max: usize,
    /// Maximum number of connections from one IPv4 address or one IPv6 network of 64 bits.
    pub connections_per_ip_max: usize,
    /// A connection without progress is closed after this many seconds, 1-3600.
    pub idle_timeout_s: u32,
    /// `/metrics` needs no token.
    pub open_metrics: bool,
    /// Public key (PEM, RSA) of Jigasi, whose signed tokens then open the meeting WebSocket.
    pub jitsi_key: Option<PathBuf>,
    /// Required `aud` of these tokens; empty accepts any.
    pub jitsi_audience: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            tls_cert: None,
            tls_key: None,
            public_url: None,
            trusted_proxies: Vec::new(),
            open: false,
            allowed_hosts: Vec::new(),
            connections_max: 4096,
            connections_per_ip_max: 1024,
            idle_timeout_s: 60,
            open_metrics: false,
            jitsi_key: None,
            jitsi_audience: "jitsi".into(),
        }
    }
}

impl Config {
    /// The address by which clients reach the appliance.
    ///
    /// # Errors
    /// The field and the reason.
    pub fn public(&self) -> Result<PublicAddress, (&'static str, String)> {
        PublicAddress::new(self.public_url.as_deref(), &self.trusted_proxies)
    }

    /// The verifier of Jigasi's tokens. `None` if no key is configured.
    ///
    /// # Errors
    /// If the key cannot be used.
    pub fn jitsi(&self) -> Result<Option<Verifier>, signed::Error> {
        let read = |path: &PathBuf| Verifier::read(path, &self.jitsi_audience);
        self.jitsi_key.as_ref().map(read).transpose()
    }

    /// Settings that cannot work, as `(field, reason)`.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let full = "0 lets nobody in: use at least 1";
        if self.connections_max == 0 {
            problems.push(("connections_max", full.to_owned()));
        }
        if self.connections_per_ip_max == 0 {
            problems.push(("connections_per_ip_max", full.to_owned()));
        }
        if !(1..=3600).contains(&self.idle_timeout_s) {
            problems.push(("idle_timeout_s", "must be 1-3600".to_owned()));
        }
        let bad = |host: &&String| host.is_empty() || host.contains(['/', ':', ' ', '*']);
        if let Some(host) = self.allowed_hosts.iter().find(bad) {
            let message = format!("`{host}` is no host name: no scheme, port or wildcard");
            problems.push(("allowed_hosts", message));
        }
        problems
    }
}

/// Time limit for the first request of a connection, and for a pause in a body, regardless of
/// `idle_timeout_s`.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Maximum size of a request header, in bytes.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// Maximum number of concurrent requests of one HTTP/2 connection.
const STREAMS_MAX: u32 = 64;

/// Time that pending answers have at shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The port is taken or needs privileges that the process lacks.
    #[error("cannot listen on {address}: another program has the port, or it needs more rights")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// The I/O error.
        #[source]
        source: std::io::Error,
    },
    /// The certificate or the key cannot be used.
    #[error("cannot use the certificate {cert} with the key {key}")]
    Tls {
        /// Path of the certificate.
        cert: PathBuf,
        /// Path of the key.
        key: PathBuf,
        /// The I/O error.
        #[source]
        source: std::io::Error,
    },
}

/// A listening port and its certificate.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
    connections: Connections,
    idle_max: Duration,
}

/// The certificate in use. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    config: RustlsConfig,
    cert: PathBuf,
    key: PathBuf,
}

impl Tls {
    /// Reads certificate and key again; new connections use them.
    ///
    /// # Errors
    /// [`Error::Tls`]; the old certificate stays in use.
    pub async fn reload(&self) -> Result<(), Error> {
        let read = self.config.reload_from_pem_file(&self.cert, &self.key).await;
        read.map_err(|source| Error::Tls { cert: self.cert.clone(), key: self.key.clone(), source })
    }
}

impl Server {
    /// Binds the port and reads the certificate.
    ///
    /// # Errors
    /// [`Error::Listen`], [`Error::Tls`].
    pub async fn bind(config: &Config) -> Result<Self, Error> {
        let failed = |source| Error::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let tls = match (&config.tls_cert, &config.tls_key) {
            (Some(cert), Some(key)) => {
                let (cert, key) = (cert.clone(), key.clone());
                let read = RustlsConfig::from_pem_file(&cert, &key).await;
                let config = read.map_err(|source| Error::Tls {
                    cert: cert.clone(),
                    key: key.clone(),
                    source,
                })?;
                Some(Tls { config, cert, key })
            }
            _ => None,
        };
        // Even with few file descriptors, one address must not be able to take them all.
        let per_ip = config.connections_per_ip_max.min(descriptors::for_strangers() / 2);
        let connections = Connections::new(config.connections_max, per_ip);
        let idle_max = Duration::from_secs(config.idle_timeout_s.into());
        Ok(Self { listener, address, tls, connections, idle_max })
    }

    /// The listening address, with the actual port if 0 was configured.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate. `None` without HTTPS.
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Serves until `stop`, then gives pending answers two seconds to finish.
    ///
    /// # Errors
    /// If the port fails.
    pub async fn run(self, router: Router, stop: CancellationToken) -> std::io::Result<()> {
        let handle = Handle::new();
        let drain = handle.clone();
        tokio::spawn(async move {
            stop.cancelled().await;
            drain.graceful_shutdown(Some(DRAIN_TIMEOUT));
        });
        let service = router
            .layer(middleware::from_fn_with_state(REQUEST_TIMEOUT.min(self.idle_max), pace::bound))
            .layer(middleware::from_fn(secure_headers))
            .layer(middleware::from_fn(name_host))
            .into_make_service_with_connect_info::<SocketAddr>();
        let server = axum_server::from_tcp(self.listener)?;
        let admission = Admission { connections: self.connections, stalled_max: self.idle_max };
        match self.tls {
            Some(tls) => {
                let acceptor = RustlsAcceptor::new(tls.config)
                    .handshake_timeout(REQUEST_TIMEOUT.min(self.idle_max))
                    .acceptor(admission);
                let server = bounded(server.acceptor(acceptor), self.idle_max);
                server.handle(handle).serve(service).await
            }
            None => {
                let server = bounded(server.acceptor(admission), self.idle_max);
                server.handle(handle).serve(service).await
            }
        }
    }
}

/// Sets the time and size limits of every connection.
fn bounded<A>(
    mut server: axum_server::Server<SocketAddr, A>,
    idle_max: Duration,
) -> axum_server::Server<SocketAddr, A> {
    let builder = server.http_builder();
    // Measured from the end of one request to the end of the next one's header.
    builder.http1().header_read_timeout(idle_max).max_buf_size(HEADER_BYTES_MAX);
    builder
        .http2()
        .keep_alive_interval(idle_max)
        .keep_alive_timeout(idle_max)
        .max_concurrent_streams(STREAMS_MAX);
    let strangers = LogLimiter::default();
    server.first_request_timeout(REQUEST_TIMEOUT.min(idle_max)).accept_error_handler(
        move |peer, error| {
            if let Some(kept_back) = strangers.pass(peer.map(|peer| peer.ip()), Instant::now()) {
                tracing::warn!(?peer, %error, kept_back, "an HTTP connection is not accepted");
            }
        },
    )
}

/// Middleware: HTTP/2 names the host in `:authority`; the guard reads it from `Host`.
async fn name_host(mut request: Request, next: Next) -> Response {
    if !request.headers().contains_key(header::HOST)
        && let Some(authority) = request.uri().authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(header::HOST, host);
    }
    next.run(request).await
}

/// Our pages may load only their own files, WebAssembly included, and may not be framed by other
/// sites.
const CONTENT_SECURITY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
     img-src 'self' blob:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

/// Middleware: headers that keep browsers from being used against the appliance.
async fn secure_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
