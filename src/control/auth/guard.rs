//! The guard of the API: no route behind it is reached without a principal.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::Response;

use super::{Auth, Principal, Role, Scope};
use crate::control::problem::{Code, Error};

/// Name of the page's session cookie.
pub const COOKIE: &str = "auralink_session";

/// Middleware: identifies the caller, refuses callers without permission, and stores the
/// [`Principal`] in the request's extensions. The route says which [`Scope`] it needs.
///
/// Without a token, the session cookie or `api.open` admits the caller. A browser uses both also
/// for pages of other sites. So the host must be ours and, except for plain reading, the origin
/// too.
///
/// # Errors
/// `unauthorized`, `forbidden`, `unknown_host`.
pub async fn guard(
    State((auth, scope)): State<(Auth, Scope)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Error> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let from = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.0.ip());
    // A page of any origin can open a WebSocket by GET, and CORS does not apply to it.
    let reads = reads && !request.headers().contains_key(header::UPGRADE);
    let principal = principal(&auth, request.headers(), from, reads)?;
    permit(&principal, scope)?;
    request.extensions_mut().insert(principal);
    Ok(next.run(request).await)
}

/// Refuses callers without read permission, for addresses that are not behind [`guard`].
///
/// # Errors
/// `unauthorized`, `forbidden`, `too_many_requests`.
pub fn check_reader(auth: &Auth, headers: &HeaderMap, from: Option<IpAddr>) -> Result<(), Error> {
    let from = from.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    permit(&principal(auth, headers, from, true)?, Scope::View)
}

fn permit(principal: &Principal, scope: Scope) -> Result<(), Error> {
    if principal.may(scope) {
        return Ok(());
    }
    let needed = Role::ALL.into_iter().find(|role| role.may(scope));
    let hint = match needed {
        Some(role) => format!("use a token with the role `{}`", role.as_str()),
        None => "only another appliance of the cluster may do it".to_owned(),
    };
    let who = match principal.role() {
        Some(role) => format!("the role `{}`", role.as_str()),
        None => "another appliance".to_owned(),
    };
    Err(Error::new(Code::Forbidden, format!("{who} may not do that"), hint))
}

fn principal(
    auth: &Auth,
    headers: &HeaderMap,
    from: IpAddr,
    reads: bool,
) -> Result<Principal, Error> {
    if let Some(shown) = bearer(headers) {
        return auth.check_token(shown, from);
    }
    if let Some(principal) = session_cookie(headers).and_then(|cookie| auth.session(cookie)) {
        auth.check_host(headers)?;
        if !reads && !same_origin(headers) {
            return Err(Error::new(
                Code::Forbidden,
                "a session of the page may change things and open WebSockets only from the page itself",
                "send `Authorization: Bearer <admin token>` instead of the cookie",
            ));
        }
        return Ok(principal);
    }
    if auth.is_open() {
        auth.check_host(headers)?;
        return if reads || same_origin_or_no_browser(headers) {
            Ok(Principal::Anybody)
        } else {
            Err(Error::new(
                Code::Forbidden,
                "another site may not change this appliance through a browser",
                "call the API from the page itself or without a browser",
            ))
        };
    }
    Err(Error::new(
        Code::Unauthorized,
        "a token is needed",
        "send `Authorization: Bearer <admin token>`; it was printed at the first start",
    ))
}

/// The token of an `Authorization: Bearer` header (RFC 6750).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The session cookie of the page, if the request has one.
pub fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then_some(value))
}

/// Whether the request comes from our own page. `SameSite=Strict` already keeps the cookie from
/// other sites; this check covers browsers and sibling subdomains that circumvent it.
fn same_origin(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    origin_is_host(headers).unwrap_or(false)
}

fn same_origin_or_no_browser(headers: &HeaderMap) -> bool {
    if headers.contains_key("sec-fetch-site") {
        return same_origin(headers);
    }
    origin_is_host(headers).unwrap_or(true)
}

fn origin_is_host(headers: &HeaderMap) -> Option<bool> {
    let origin = headers.get(header::ORIGIN)?.to_str().ok()?;
    let host = headers.get(header::HOST)?.to_str().ok()?;
    Some(origin.split_once("://").is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(host)))
}

#[cfg(test)]
mod tests {
    use super::super::Hosts;
    use super::*;
    use crate::media::Secret;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (n.parse().expect("name"), v.parse().expect("value"))).collect()
    }

    #[test]
    fn a_cookie_changes_things_only_from_the_page() {
        let token = crate::media::new_token();
        let (cluster, hosts) = (Secret::new("of the cluster"), Hosts::new(["box".to_owned()]));
        let auth = Auth::new(&Auth::digest(&token), &cluster, false, hosts).expect("a digest");
        let from = IpAddr::from([10, 0, 0, 1]);
        let cookie = format!("a=b; {COOKIE}={}", auth.sign_in(&token, from).expect("token"));
        let check = |extra: &[(&'static str, &str)], reads, expect: Result<Principal, Code>| {
            let mut all = vec![("host", "box:8080"), ("cookie", cookie.as_str())];
            all.extend(extra);
            let got = principal(&auth, &headers(&all), from, reads).map_err(|e| e.code());
            assert_eq!(got, expect, "{extra:?} reads={reads}");
        };
        check(&[], true, Ok(Principal::Admin));
        check(&[], false, Err(Code::Forbidden));
        check(&[("origin", "http://box:8080")], false, Ok(Principal::Admin));
        check(&[("origin", "http://evil")], false, Err(Code::Forbidden));
        check(&[("sec-fetch-site", "same-origin")], false, Ok(Principal::Admin));
        check(&[("sec-fetch-site", "cross-site")], false, Err(Code::Forbidden));
        let bearer = format!("bearer {token}");
        check(&[("authorization", &bearer)], false, Ok(Principal::Admin));
        check(&[("authorization", "Bearer wrong")], true, Err(Code::Unauthorized));
        let other = [("authorization", "Bearer of the cluster")];
        check(&other, true, Ok(Principal::Appliance));
        let read = check_reader(&auth, &headers(&other), None).expect_err("it is no reader");
        assert_eq!(read.code(), Code::Forbidden);
        let rebound = format!("{COOKIE}={}", auth.sign_in(&token, from).expect("token"));
        let evil = [("host", "evil.example"), ("cookie", rebound.as_str())];
        let read = principal(&auth, &headers(&evil), from, true).map_err(|e| e.code());
        assert_eq!(read, Err(Code::UnknownHost), "a name that points to us is not ours");
    }

    #[test]
    fn open_means_anybody_but_not_another_site() {
        let (nobody, hosts) = (Secret::default(), Hosts::new(["box".to_owned()]));
        let auth = Auth::new(&Auth::digest("x"), &nobody, true, hosts).expect("a digest");
        let from = IpAddr::from([10, 0, 0, 1]);
        let ask = |h: &[(&'static str, &str)]| principal(&auth, &headers(h), from, false);
        assert_eq!(ask(&[("host", "box")]).map_err(|e| e.code()), Ok(Principal::Anybody));
        let evil = ask(&[("host", "box"), ("origin", "http://evil")]);
        assert_eq!(evil.map_err(|e| e.code()), Err(Code::Forbidden));
        let rebound = ask(&[("host", "evil.example:8080"), ("origin", "http://evil.example:8080")]);
        assert_eq!(rebound.map_err(|e| e.code()), Err(Code::UnknownHost));
        let address = ask(&[("host", "192.0.2.7:8080")]);
        assert_eq!(address.map_err(|e| e.code()), Ok(Principal::Anybody));
    }
}
