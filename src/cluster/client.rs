//! Other appliances, called over HTTP.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use reqwest::{Certificate, StatusCode};
use serde::de::DeserializeOwned;
use url::Url;

use super::{ApplianceLoad, Config, Events, StreamAccess};
use crate::flow::files;
use crate::media::{Secret, StreamName, url_without_secrets};

/// Longest time to connect; an origin is near, or it is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest time for a complete answer: a viewer waits for it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Captions are asked for again after a day, even if they flow.
const CAPTIONS_TIMEOUT: Duration = Duration::from_secs(86_400);

/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// Maximum size of a certificate file, in bytes; a system's own has a quarter of it.
const CA_BYTES_MAX: u64 = 1 << 20;

/// Calls other appliances, with the token of the cluster.
#[derive(Clone)]
pub(super) struct Caller {
    http: reqwest::Client,
    /// For addresses of this machine.
    http_here: reqwest::Client,
    token: Secret,
}

impl Caller {
    /// What calls appliances by this configuration.
    ///
    /// # Errors
    /// A certificate file that cannot be used.
    pub(super) async fn new(config: &Config) -> Result<Self, String> {
        let mut certificates = None;
        if let Some(path) = config.ca.as_deref() {
            certificates = Some(read(path).await?);
        }
        let client = || {
            let client = reqwest::Client::builder()
                .user_agent(concat!("auralink/", env!("CARGO_PKG_VERSION")))
                // The token reaches no other server.
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT_TIMEOUT)
                .timeout(ANSWER_TIMEOUT);
            match &certificates {
                Some(certificates) => client.tls_certs_only(certificates.clone()),
                None => client,
            }
        };
        let built = |client: reqwest::ClientBuilder| client.build().map_err(|e| innermost(&e));
        // A proxy could not reach this machine's own loopback address.
        let (http, http_here) = (built(client())?, built(client().no_proxy())?);
        Ok(Self { http, http_here, token: config.token.clone() })
    }

    /// The appliance at a base URL.
    ///
    /// # Errors
    /// An address that cannot be used.
    pub(super) fn origin(&self, base: &str) -> Result<Origin, String> {
        let base = Url::parse(base).map_err(|e| format!("not a URL: {e}"))?;
        let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let is_here =
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let http = if is_here { &self.http_here } else { &self.http };
        Ok(Origin { http: http.clone(), base, token: self.token.clone() })
    }
}

/// An appliance that has streams for this one.
pub(super) struct Origin {
    http: reqwest::Client,
    base: Url,
    token: Secret,
}

impl Origin {
    /// Its address, for display.
    pub(super) fn shown(&self) -> String {
        url_without_secrets(self.base.as_str())
    }

    /// Its host, in brackets if it is an IPv6 address.
    pub(super) fn host(&self) -> String {
        self.base.host_str().unwrap_or_default().to_owned()
    }

    /// How a stream of this name is played there. `None` if it has none of its own.
    ///
    /// # Errors
    /// Why there is no answer, as text without secrets.
    pub(super) async fn stream(&self, name: &StreamName) -> Result<Option<StreamAccess>, String> {
        self.get(&format!("api/v1/cluster/streams/{name}")).await
    }

    /// The captions of a stream, in the messages of a trunk.
    ///
    /// # Errors
    /// Why there is no answer, as text without secrets.
    pub(super) async fn captions(&self, name: &StreamName) -> Result<Events, String> {
        let url = self.url(&format!("api/v1/cluster/streams/{name}/captions"))?;
        // The answer has no end; silence is measured instead.
        let request = self.http.get(url).timeout(CAPTIONS_TIMEOUT);
        let sent =
            tokio::time::timeout(ANSWER_TIMEOUT, request.bearer_auth(self.token.expose()).send());
        let response = sent.await.map_err(|_| "no answer in time")?.map_err(|e| innermost(&e))?;
        match response.status() {
            StatusCode::OK => Ok(Events::new(response)),
            status => Err(format!("it answers {}", status.as_u16())),
        }
    }

    /// Its load.
    ///
    /// # Errors
    /// Why there is no answer, as text without secrets.
    pub(super) async fn load(&self) -> Result<ApplianceLoad, String> {
        let load = self.get("api/v1/cluster/load").await?;
        load.ok_or_else(|| "it is no appliance that can be an origin (404)".into())
    }

    fn url(&self, path: &str) -> Result<Url, String> {
        self.base.join(path).map_err(|e| e.to_string())
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, String> {
        let url = self.url(path)?;
        let sent = self.http.get(url).bearer_auth(self.token.expose()).send().await;
        let mut response = sent.map_err(|e| innermost(&e))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err("it refuses the token: set the same `cluster.token` at both".into());
            }
            status => return Err(format!("it answers {}", status.as_u16())),
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| innermost(&e))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ANSWER_BYTES_MAX {
                return Err(format!("it answers more than {ANSWER_BYTES_MAX} bytes"));
            }
        }
        let read = serde_json::from_slice(&bytes);
        // The error of a parser repeats what it read, which may be a token.
        read.map(Some).map_err(|_| "its answer is of another version".into())
    }
}

async fn read(path: &Path) -> Result<Vec<Certificate>, String> {
    let unusable = |why: String| format!("`cluster.ca`: {}: {why}", path.display());
    let pem = files::read(path, CA_BYTES_MAX).await.map_err(|e| unusable(e.to_string()))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|e| unusable(innermost(&e)))?;
    match found.is_empty() {
        true => Err(unusable("there is no certificate in it".into())),
        false => Ok(found),
    }
}

/// The innermost cause, without the URL.
fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let mut inner: Option<&dyn std::error::Error> = std::error::Error::source(error);
    let mut text = "the request failed".to_owned();
    while let Some(cause) = inner {
        text = cause.to_string();
        inner = cause.source();
    }
    text
}
