//! Publishers and players that another appliance of the cluster should serve are sent there, by 307 (RFC
//! 9725, section 4.5).
//!
//! Invariant: who was sent on is not sent on again. The address has `redirect=no`, which clients may also
//! write themselves.

use std::ops::ControlFlow;

use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use url::form_urlencoded;

use super::caller::Caller;
use crate::flow::{AccessRequest, Action};
use crate::media::{Protocol, StreamName};
use crate::runtime::{Supervisor, wish};

/// Query parameter that keeps a client here.
const REDIRECT: &str = "redirect";

/// Query parameter with the client's token, encrypted for the appliance that it is sent to.
const PASS: &str = "pass";

/// Query parameter with a token, which goes into the pass.
const TOKEN: &str = "token";

/// Knows which appliance should serve a client.
#[derive(Clone)]
pub(super) struct Redirects(Supervisor);

impl Redirects {
    /// `None` if the configuration does not want any.
    pub(super) fn new(supervisor: &Supervisor) -> Option<Self> {
        let is_wanted = supervisor.origins().config().redirect;
        is_wanted.then(|| Self(supervisor.clone()))
    }

    /// The caller with the token of its pass, or the answer that sends it on.
    pub(super) async fn receive(
        &self,
        caller: Caller,
        (action, protocol): (Action, Protocol),
        stream: &StreamName,
        uri: &Uri,
    ) -> ControlFlow<Response, Caller> {
        let (origins, wish) = (self.0.origins(), wish(action));
        if let Some(pass) = parameter(uri, PASS) {
            let token = origins.token_of_pass(wish, stream, &pass);
            return ControlFlow::Continue(match token {
                Some(token) => caller.with_credential(token),
                None => caller,
            });
        }
        if parameter(uri, REDIRECT).is_some_and(|value| value == "no") {
            return ControlFlow::Continue(caller);
        }
        let access_request = AccessRequest {
            action,
            protocol,
            stream: stream.clone(),
            credential: caller.credential().cloned(),
            peer: caller.peer().to_owned(),
        };
        let Some(base) = self.0.elsewhere(&access_request).await else {
            return ControlFlow::Continue(caller);
        };
        let pass = caller.credential().map(|token| origins.pass(wish, stream, token));
        // It could not show its token there.
        if pass == Some(None) {
            return ControlFlow::Continue(caller);
        }
        let location = location(&base, uri, pass.flatten().as_deref());
        match HeaderValue::from_str(&location) {
            Ok(location) => {
                tracing::debug!(%stream, to = base, ?action, "sent to a better appliance");
                ControlFlow::Break(sent_to(location))
            }
            Err(_) => ControlFlow::Continue(caller),
        }
    }
}

fn sent_to(location: HeaderValue) -> Response {
    // The next client may have to be sent elsewhere.
    let kept = HeaderValue::from_static("no-store");
    let headers = [(header::LOCATION, location), (header::CACHE_CONTROL, kept)];
    (StatusCode::TEMPORARY_REDIRECT, headers).into_response()
}

fn parameters(uri: &Uri) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
}

fn parameter(uri: &Uri, name: &str) -> Option<String> {
    parameters(uri).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// The same address at another appliance, for a client that is sent there.
fn location(base: &str, uri: &Uri, pass: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let own = [REDIRECT, PASS, TOKEN];
    query.extend_pairs(parameters(uri).filter(|(key, _)| !own.contains(&key.as_ref())));
    query.append_pair(REDIRECT, "no");
    if let Some(pass) = pass {
        query.append_pair(PASS, pass);
    }
    format!("{}{}?{}", base.trim_end_matches('/'), uri.path(), query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_address_elsewhere_without_a_token_and_only_once() {
        let check = |uri: &str, pass, expect: &str| {
            let uri: Uri = uri.parse().expect("an address");
            let found = location("https://b:8443/", &uri, pass);
            assert_eq!(found, format!("https://b:8443{expect}"));
            let found: Uri = found.parse().expect("an address");
            assert_eq!(parameter(&found, REDIRECT).as_deref(), Some("no"));
        };
        check("/whip/studio", None, "/whip/studio?redirect=no");
        check("/whep/a?token=hunter2", Some("p"), "/whep/a?redirect=no&pass=p");
        check(
            "/whep/a?audio=es&quality=480p&redirect=yes&pass=x",
            None,
            "/whep/a?audio=es&quality=480p&redirect=no",
        );
    }
}
