//! Signalling with a WHIP server (RFC 9725): offer, answer and deletion of the session.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use reqwest::{Certificate, Client, Response, StatusCode};
use url::Url;

use super::Settings;
use crate::flow::{Blame, Error, files};
use crate::media::Secret;
use crate::webrtc::sdp;

/// Time limit for the server's answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Time limit for deleting the session.
const DELETE_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum number of redirects.
const REDIRECTS_MAX: usize = 3;

/// Maximum size of a certificate file, in bytes; a system's own has a quarter of it.
const CA_BYTES_MAX: u64 = 1 << 20;

/// Maximum length of a server's message in our errors, in characters.
const SHOWN_CHARS_MAX: usize = 200;

/// A WHIP endpoint.
pub(super) struct Endpoint {
    http: Client,
    url: Url,
    token: Secret,
}

/// An open session on a WHIP server.
pub(super) struct Session {
    http: Client,
    token: Secret,
    /// URL of the session, for its deletion; the path is secret.
    location: Option<Url>,
    /// The server's SDP answer.
    pub(super) answer: sdp::Description,
}

impl Endpoint {
    /// An endpoint with these settings.
    ///
    /// # Errors
    /// If its URL or the certificate file cannot be used.
    pub(super) async fn new(settings: &Settings) -> Result<Self, Error> {
        let url = Url::parse(&settings.url).map_err(|e| wrong(&format!("not a URL: {e}")))?;
        let host = url.host_str().ok_or_else(|| wrong("it names no host"))?;
        let mut http = Client::builder()
            .user_agent(concat!("auralink/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::limited(REDIRECTS_MAX))
            .connect_timeout(ANSWER_TIMEOUT / 2)
            .timeout(ANSWER_TIMEOUT);
        let here = host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| {
            // A proxy could not reach this machine's own loopback address.
            ip.is_loopback()
        });
        if here || host == "localhost" {
            http = http.no_proxy();
        }
        if let Some(path) = &settings.ca {
            http = http.tls_certs_only(certificates(path).await?);
        }
        let http = http.build().map_err(|e| wrong(&innermost(&e)))?;
        let token = Secret::new(settings.token.clone().unwrap_or_default());
        Ok(Self { http, url, token })
    }

    /// Host and port, for display.
    pub(super) fn server(&self) -> String {
        let port = self.url.port().map(|p| format!(":{p}")).unwrap_or_default();
        format!("{}{port}", self.url.host_str().unwrap_or_default())
    }

    /// Sends an offer and returns the session.
    ///
    /// # Errors
    /// If the server is unreachable, refuses, or its response is not a valid SDP answer.
    pub(super) async fn offer(&self, offer: &str) -> Result<Session, Error> {
        let request = self.http.post(self.url.clone()).header(CONTENT_TYPE, "application/sdp");
        let request = request.header(ACCEPT, "application/sdp").body(offer.to_owned());
        let sent = authorized(request, &self.token).send().await;
        let response = sent.map_err(|e| self.unreachable(&e))?;
        if response.status() != StatusCode::CREATED {
            return Err(self.refusal(response).await);
        }
        let location = response.headers().get(LOCATION).and_then(|v| v.to_str().ok());
        let location = location.and_then(|l| response.url().join(l).ok());
        // Keeps the token from other origins, and from plain HTTP after HTTPS.
        let location = location.filter(|l| l.origin() == response.url().origin());
        let session = |answer| Session {
            http: self.http.clone(),
            token: self.token.clone(),
            location,
            answer,
        };
        let text = body(response).await;
        match sdp::Description::parse(&text) {
            Ok(answer) => Ok(session(answer)),
            Err(invalid) => {
                // The server has created a session, which must be deleted.
                session(sdp::Description::default()).leave().await;
                let message =
                    format!("{} answers with what is no answer: {invalid}", self.server());
                Err(Error::refused(Blame::Destination, message, "check that it speaks WHIP"))
            }
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Error {
        let message = format!("{} cannot be reached: {}", self.server(), innermost(error));
        let hint = "check address, network and, for https, its certificate (`ca`)";
        Error::refused(Blame::Destination, message, hint)
    }

    async fn refusal(&self, response: Response) -> Error {
        let status = response.status();
        let (what, hint) = match status.as_u16() {
            401 | 403 => ("refuses the token", "give the publish token of the stream there"),
            404 | 405 => ("has no such WHIP endpoint", "check the path of the address"),
            409 => ("has another publisher there", "stop it, or let the newest one replace it"),
            406 | 415 | 422 => {
                ("takes none of what was offered", "set `video` to a codec it takes")
            }
            503 | 429 => ("is busy", "it is tried again"),
            _ => ("refuses", "see its log"),
        };
        let mut words = said(&body(response).await);
        if !self.token.is_empty() {
            words = words.replace(self.token.expose(), "***");
        }
        let words = if words.is_empty() { String::new() } else { format!(": {words}") };
        let message = format!("{} {what} ({}){words}", self.server(), status.as_u16());
        Error::refused(Blame::Destination, message, hint)
    }
}

impl Session {
    /// Deletes the session. A failure is only logged.
    pub(super) async fn leave(self) {
        let Some(location) = self.location else { return };
        let request = authorized(self.http.delete(location), &self.token).timeout(DELETE_TIMEOUT);
        if let Err(error) = request.send().await {
            let error = error.without_url();
            tracing::debug!(%error, "a WHIP server was not told that a trunk has ended");
        }
    }
}

fn authorized(request: reqwest::RequestBuilder, token: &Secret) -> reqwest::RequestBuilder {
    if token.is_empty() { request } else { request.bearer_auth(token.expose()) }
}

async fn certificates(path: &str) -> Result<Vec<Certificate>, Error> {
    let unusable = |why: String| {
        let hint = "give a PEM file that the appliance may read";
        Error::refused(Blame::Us, format!("`ca`: {path}: {why}"), hint)
    };
    let pem =
        files::read(path.as_ref(), CA_BYTES_MAX).await.map_err(|e| unusable(e.to_string()))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|e| unusable(innermost(&e)))?;
    if found.is_empty() {
        return Err(unusable("there is no certificate in it".into()));
    }
    Ok(found)
}

/// A body as text, up to the size limit.
async fn body(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > sdp::TEXT_BYTES_MAX {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The server's reason for a refusal: the message of an appliance, or the beginning of a plain
/// text.
fn said(body: &str) -> String {
    let message = serde_json::from_str::<serde_json::Value>(body)
        .ok()
        .and_then(|json| json["message"].as_str().or(json["error"].as_str()).map(str::to_owned));
    let plain = || body.lines().next().filter(|l| !l.starts_with(['<', '{'])).map(str::to_owned);
    let text = message.or_else(plain).unwrap_or_default();
    text.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect()
}

fn innermost(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    match std::ptr::eq(inner as *const _ as *const (), error as *const _ as *const ()) {
        // The text of the error itself contains the URL.
        true if error.is_timeout() => "no answer in time".into(),
        true => "the request failed".into(),
        false => inner.to_string(),
    }
}

fn wrong(what: &str) -> Error {
    let hint = "write it as https://host/whip/stream";
    Error::refused(Blame::Us, format!("the address of the trunk: {what}"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_bounded_and_plain() {
        let check = |body: &str, expect: &str| assert_eq!(said(body), expect);
        check(r#"{"code":"unauthorized","message":"wrong token"}"#, "wrong token");
        check(r#"{"error":"no such room"}"#, "no such room");
        check("Unauthorized\nsecond line", "Unauthorized");
        check("<html>", "");
        check("", "");
        assert_eq!(said(&"x".repeat(1000)).len(), SHOWN_CHARS_MAX);
    }
}
