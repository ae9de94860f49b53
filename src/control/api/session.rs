//! `/api/v1/session`: the page signs in with a token and receives a cookie.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::Extension;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};

use super::extract::Json;
use super::{ApiState, Error, Failures};
use crate::control::auth::{Auth, COOKIE, Principal, Role, session_cookie};

/// Body of a sign-in.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn {
    /// The admin token, or one of the API.
    token: String,
}

/// Sign-in state of the caller.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct SessionView {
    /// The cookie belongs to an open session, or no session is needed.
    signed_in: bool,
    /// The configuration opens the API to all clients.
    open: bool,
    /// What the caller may do; `null` if it is not signed in.
    role: Option<Role>,
}

/// Whether the cookie of this request belongs to an open session.
#[utoipa::path(get, path = "/api/v1/session", tag = "system", security(()),
    responses((status = 200, body = SessionView), Failures))]
pub(super) async fn get_session(
    State(state): State<ApiState>,
    headers: HeaderMap,
) -> axum::Json<SessionView> {
    let open = state.auth.is_open();
    let known = session_cookie(&headers).and_then(|cookie| state.auth.session(cookie));
    let role = known.or(open.then_some(Principal::Anybody)).and_then(|known| known.role());
    axum::Json(SessionView { signed_in: role.is_some(), open, role })
}

/// Signs the page in. The answer sets a cookie that scripts cannot read and other sites cannot use.
#[utoipa::path(post, path = "/api/v1/session", tag = "system", security(()), request_body = SignIn,
    responses((status = 204, headers(("Set-Cookie" = String))), Failures))]
pub(super) async fn sign_in(
    State(state): State<ApiState>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    Json(body): Json<SignIn>,
) -> Result<(StatusCode, [(HeaderName, String); 1]), Error> {
    let from = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Extension(info)| info.0.ip());
    // A session under this host name would not work; this error comes earlier than that of the next
    // request.
    state.auth.check_host(&headers)?;
    let cookie = state.auth.sign_in(body.token.trim(), from)?;
    tracing::info!(%from, "the page signed in");
    let life = Auth::session_life().as_secs();
    Ok((StatusCode::NO_CONTENT, set_cookie(&state, &cookie, life)))
}

/// Ends the session of the request's cookie.
#[utoipa::path(delete, path = "/api/v1/session", tag = "system", security(()),
    responses((status = 204), Failures))]
pub(super) async fn sign_out(
    State(state): State<ApiState>,
    headers: HeaderMap,
) -> (StatusCode, [(HeaderName, String); 1]) {
    if let Some(cookie) = session_cookie(&headers) {
        state.auth.sign_out(cookie);
    }
    (StatusCode::NO_CONTENT, set_cookie(&state, "", 0))
}

fn set_cookie(state: &ApiState, value: &str, life_s: u64) -> [(HeaderName, String); 1] {
    let secure = if state.endpoints.https { "; Secure" } else { "" };
    let cookie =
        format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={life_s}{secure}");
    [(header::SET_COOKIE, cookie)]
}
