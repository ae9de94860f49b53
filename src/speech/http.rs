//! The small HTTP client of all remote engines: one server, one key, limits on everything.
//!
//! Invariant: no error contains the key, and none quotes more of a server's text than
//! [`EXPLANATION_CHARS_MAX`].

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;

use crate::media::Secret;

/// Longest time to connect; a working server answers sooner.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest part of a server's own explanation that is kept, in characters.
pub const EXPLANATION_CHARS_MAX: usize = 200;

/// Longest pause that a server may ask for; longer ones are taken for a mistake.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

/// Largest error body that is read, in bytes.
const ERROR_BODY_BYTES_MAX: usize = 16 * 1024;

/// Why a server gave no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The address cannot be used.
    #[error("`{url}` is no address of a server: {reason}")]
    Address {
        /// The address without user, password and query.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The key has characters that no header may have.
    #[error("the key cannot be sent: it has line breaks or other control characters")]
    Key,
    /// No connection to the server.
    #[error("cannot reach {server}: {reason}")]
    Unreachable {
        /// Host and port.
        server: String,
        /// Why it failed.
        reason: String,
    },
    /// The answer did not arrive completely within the time allowed.
    #[error("{server} did not answer within {after:?}")]
    TimedOut {
        /// Host and port.
        server: String,
        /// The time allowed.
        after: Duration,
    },
    /// The server answered with an error status.
    #[error("{server} answered {status}{}{words}", if words.is_empty() { "" } else { ": " })]
    Refused {
        /// Host and port.
        server: String,
        /// HTTP status.
        status: u16,
        /// The server's own explanation, shortened; may be empty.
        words: String,
        /// How long the server asks not to be called.
        retry_after: Option<Duration>,
    },
    /// The answer is longer than it may be.
    #[error("{server} answered more than {limit} bytes")]
    TooLong {
        /// Host and port.
        server: String,
        /// The limit.
        limit: usize,
    },
    /// The answer broke off or violates the protocol.
    #[error("{server} gave no valid answer: {reason}")]
    Invalid {
        /// Host and port.
        server: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// How long the server asks not to be called, if it does.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// How a key is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer KEY`, as OpenAI's API has it.
    Bearer,
    /// In a header of its own, such as `xi-api-key`.
    Header(&'static str),
    /// In the body of each request, by the caller.
    Body,
}

/// A client of one server. Cheap to clone; keeps connections open.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    server: String,
    timeout: Duration,
}

impl Client {
    /// A client for the server below `base` (`https://api.openai.com/v1`, with or without a final
    /// slash). Each answer must arrive completely within `timeout`. An empty key is not sent.
    ///
    /// Redirects are refused, so that the key reaches no other server. Proxies of the environment
    /// (`HTTPS_PROXY`) are used except for addresses of this machine.
    ///
    /// # Errors
    /// [`Error::Address`] and [`Error::Key`].
    pub fn new(base: &str, key: &Secret, auth: Auth, timeout: Duration) -> Result<Self, Error> {
        let url = address(base)?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let mut headers = HeaderMap::new();
        if !key.is_empty() {
            let (name, value) = match auth {
                Auth::Bearer => ("authorization", format!("Bearer {}", key.expose())),
                Auth::Header(name) => (name, key.expose().to_owned()),
                Auth::Body => ("", String::new()),
            };
            if !name.is_empty() {
                let mut value = HeaderValue::from_str(&value).map_err(|_| Error::Key)?;
                value.set_sensitive(true);
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("auralink/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(timeout.min(CONNECT_TIMEOUT))
            .timeout(timeout);
        if host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) {
            http = http.no_proxy();
        }
        let server = match url.port_or_known_default() {
            Some(port) => format!("{host}:{port}"),
            None => host,
        };
        let unusable = |e: reqwest::Error| Error::Address {
            url: shown(&url),
            reason: innermost(&e.without_url()),
        };
        let http = http.build().map_err(unusable)?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), server, timeout })
    }

    /// Host and port, for messages.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// A POST to `path` (with its leading slash) below the base address, key included.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base))
    }

    /// A GET of `path` (with its leading slash) below the base address, key included.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.base))
    }

    /// Sends a request and reads the whole body of a successful answer, at most `limit` bytes.
    ///
    /// # Errors
    /// Every way in which a server can fail: see [`Error`].
    pub async fn bytes(&self, request: RequestBuilder, limit: usize) -> Result<Vec<u8>, Error> {
        let answer = request.send().await.map_err(|e| self.failed(e))?;
        let status = answer.status();
        if !status.is_success() {
            return Err(self.refused(status, answer).await);
        }
        self.body(answer, limit).await
    }

    /// As [`Self::bytes`], for an answer in JSON.
    ///
    /// # Errors
    /// Also [`Error::Invalid`] for JSON of another form.
    pub async fn json<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        limit: usize,
    ) -> Result<T, Error> {
        let body = self.bytes(request, limit).await?;
        serde_json::from_slice(&body).map_err(|e| self.invalid(format!("{e}")))
    }

    /// An error for an answer that violates the protocol.
    pub fn invalid(&self, reason: impl Into<String>) -> Error {
        Error::Invalid { server: self.server.clone(), reason: shortened(&reason.into()) }
    }

    async fn body(&self, mut answer: Response, limit: usize) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|e| self.failed(e))? {
            if body.len() + piece.len() > limit {
                return Err(Error::TooLong { server: self.server.clone(), limit });
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    async fn refused(&self, status: StatusCode, answer: Response) -> Error {
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(retry_after);
        // The body's explanation is optional; the status is enough.
        let body = self.body(answer, ERROR_BODY_BYTES_MAX).await.unwrap_or_default();
        let server = self.server.clone();
        Error::Refused { server, status: status.as_u16(), words: explanation(&body), retry_after }
    }

    fn failed(&self, error: reqwest::Error) -> Error {
        let server = self.server.clone();
        let error = error.without_url();
        if error.is_timeout() && !error.is_connect() {
            return Error::TimedOut { server, after: self.timeout };
        }
        let reason = shortened(&innermost(&error));
        if error.is_connect() || error.is_request() {
            Error::Unreachable { server, reason }
        } else {
            Error::Invalid { server, reason }
        }
    }
}

/// Checks the address of a server as written in a configuration.
///
/// # Errors
/// [`Error::Address`].
pub fn address(text: &str) -> Result<url::Url, Error> {
    let wrong = |url: String, reason: &str| Error::Address { url, reason: reason.to_owned() };
    // An address that does not parse may still contain a password: it is not shown.
    let url = url::Url::parse(text).map_err(|e| wrong("…".into(), &e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(shown(&url), "it must begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(shown(&url), "user and password do not belong into it: use `key`"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong(shown(&url), "it must end with its path"));
    }
    Ok(url)
}

fn shown(url: &url::Url) -> String {
    let host = url.host_str().unwrap_or("…");
    let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
    shortened(&format!("{}://{host}{port}{}", url.scheme(), url.path()))
}

/// `Retry-After` in seconds or as a date (RFC 9110 section 10.2.3), at most [`RETRY_AFTER_MAX`].
fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let pause = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = chrono::DateTime::parse_from_rfc2822(text).ok()?;
            SystemTime::from(date).duration_since(SystemTime::now()).ok()?
        }
    };
    Some(pause.min(RETRY_AFTER_MAX))
}

/// The explanation in an error body: OpenAI's `error.message`, LibreTranslate's `error`,
/// ElevenLabs's `detail.message`, FastAPI's `detail`, else the beginning of the text.
fn explanation(body: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let places = ["/error/message", "/error", "/detail/message", "/detail", "/message"];
    let said = places.iter().find_map(|at| json.pointer(at)?.as_str());
    let text = String::from_utf8_lossy(body);
    // A proxy's error page is markup, no explanation.
    let plain = if text.trim_start().starts_with(['<', '{', '[']) { "" } else { text.as_ref() };
    shortened(said.unwrap_or(plain))
}

/// One line of at most [`EXPLANATION_CHARS_MAX`] characters, without control characters.
fn shortened(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().filter(|c| !c.is_control()).take(EXPLANATION_CHARS_MAX).collect()
}

/// The innermost cause, which is more specific than "error sending request".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

#[cfg(test)]
pub(crate) mod tests;
