//! The HTTP server: one port for the API, the page, WHIP, WHEP and HLS.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::auth::signed::{self, Verifier};
use super::origin::PublicAddress;

/// `[api]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port of everything that speaks HTTP.
    pub listen: SocketAddr,
    /// Certificate chain (PEM); with `tls_key` it makes the port HTTPS.
    pub tls_cert: Option<PathBuf>,
    /// Private key (PEM).
    pub tls_key: Option<PathBuf>,
    /// `https://host[:port]` by which clients reach the appliance, for the addresses that it hands out.
    pub public_url: Option<String>,
    /// Proxies whose `X-Forwarded-Proto` and `X-Forwarded-Host` are believed: addresses or networks.
    pub trusted_proxies: Vec<String>,
    /// Anybody who reaches the port may change everything. Say so in so many words or not at all.
    pub open: bool,
    /// `/metrics` needs no token.
    pub open_metrics: bool,
    /// Public key (PEM, RSA) of Jigasi, whose signed tokens then open the meetings' WebSocket.
    pub jitsi_key: Option<PathBuf>,
    /// What the `aud` of these tokens must have; empty: anything.
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
            open_metrics: false,
            jitsi_key: None,
            jitsi_audience: "jitsi".into(),
        }
    }
}

impl Config {
    /// By which address clients reach the appliance.
    ///
    /// # Errors
    /// The field that is wrong, and why.
    pub fn public(&self) -> Result<PublicAddress, (&'static str, String)> {
        PublicAddress::new(self.public_url.as_deref(), &self.trusted_proxies)
    }

    /// Who checks Jigasi's tokens, where a key is configured.
    ///
    /// # Errors
    /// When the key cannot be used.
    pub fn jitsi(&self) -> Result<Option<Verifier>, signed::Error> {
        let read = |path: &PathBuf| Verifier::read(path, &self.jitsi_audience);
        self.jitsi_key.as_ref().map(read).transpose()
    }
}

/// A client that connects and says nothing for so long is disconnected.
const FIRST_REQUEST_MAX: Duration = Duration::from_secs(20);

/// Answers that are under way have this long at shutdown.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// The server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The port is taken, or needs rights that the process has not.
    #[error("cannot listen on {address}: another program has the port, or it needs more rights")]
    Listen {
        /// The address of the configuration.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Certificate or key cannot be used.
    #[error("cannot use the certificate {cert} with the key {key}")]
    Tls {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A port that is listened on, and its certificate.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
}

/// A certificate in use. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    config: RustlsConfig,
    cert: PathBuf,
    key: PathBuf,
}

impl Tls {
    /// Reads certificate and key again; connections from now on use them.
    ///
    /// # Errors
    /// [`Error::Tls`]; the old certificate stays in use.
    pub async fn reload(&self) -> Result<(), Error> {
        let read = self.config.reload_from_pem_file(&self.cert, &self.key).await;
        read.map_err(|source| Error::Tls { cert: self.cert.clone(), key: self.key.clone(), source })
    }
}

impl Server {
    /// Takes the port and reads the certificate.
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
        Ok(Self { listener, address, tls })
    }

    /// The address that it listens on; the port is the true one when 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate, when it serves HTTPS.
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Serves until `stop`, then lets answers that are under way finish for two seconds.
    ///
    /// # Errors
    /// When the port itself fails.
    pub async fn run(self, router: Router, stop: CancellationToken) -> std::io::Result<()> {
        let handle = Handle::new();
        let drain = handle.clone();
        tokio::spawn(async move {
            stop.cancelled().await;
            drain.graceful_shutdown(Some(DRAIN_MAX));
        });
        let service = router
            .layer(middleware::from_fn(secure_headers))
            .into_make_service_with_connect_info::<SocketAddr>();
        match self.tls {
            Some(tls) => {
                axum_server::from_tcp_rustls(self.listener, tls.config)?
                    .first_request_timeout(FIRST_REQUEST_MAX)
                    .handle(handle)
                    .serve(service)
                    .await
            }
            None => {
                axum_server::from_tcp(self.listener)?
                    .first_request_timeout(FIRST_REQUEST_MAX)
                    .handle(handle)
                    .serve(service)
                    .await
            }
        }
    }
}

/// What a page of ours may do: load its own files and nothing else, and sit in no foreign frame.
const CONTENT_SECURITY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' blob:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

/// Middleware: headers that keep a browser from being used against the appliance.
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
