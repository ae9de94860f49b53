//! Tokens of the API, and what each role may do.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{ADMIN, CLUSTER, Fixture};
use crate::control::api::document;
use crate::control::api::route_table::{REQUIRED_SCOPE, operations};
use crate::control::problem::Code;

impl Fixture {
    /// A new token with this role, and its id.
    async fn token(&self, role: &str) -> (String, String) {
        let wish = json!({ "name": format!("a {role}"), "role": role });
        let (status, made) = self.ask(Method::POST, "/api/v1/tokens", wish).await;
        assert_eq!(status, 201, "{made}");
        let text = |field: &str| made[field].as_str().expect("a text").to_owned();
        (text("token"), text("id"))
    }

    /// The status of an answer, without its body, which may have no end.
    async fn status(&self, token: &str, method: &str, path: &str) -> StatusCode {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "box")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from("{}"))
            .expect("a request");
        self.router.clone().oneshot(request).await.expect("infallible").status()
    }
}

/// Every operation with the permission that it needs, with names that nothing has.
fn guarded() -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for (path, mut item) in document().paths.paths {
        let json = serde_json::to_value(&item).expect("JSON");
        let methods: Vec<String> = json.as_object().expect("an object").keys().cloned().collect();
        let scopes: Vec<String> = operations(&mut item)
            .filter_map(|operation| {
                let scope = operation.extensions.as_ref()?.get(REQUIRED_SCOPE)?;
                scope.as_str().map(str::to_owned)
            })
            .collect();
        // One operation of a path may need more than another: the document is read per method.
        assert!(scopes.is_empty() || scopes.len() == methods.len(), "{path}: all or none");
        for method in methods {
            let Some(scope) = json[&method][REQUIRED_SCOPE].as_str() else { continue };
            let words =
                path.split('/').map(|word| if word.starts_with('{') { "none" } else { word });
            let address = words.collect::<Vec<_>>().join("/");
            found.push((method.to_uppercase(), address, scope.to_owned()));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_may_do_what_the_table_says_and_nothing_else() {
    let fixture = Fixture::new().await;
    let mut callers = vec![
        (
            "the admin token",
            ADMIN.to_owned(),
            ["view", "operate", "administer", "cluster"].to_vec(),
        ),
        ("another appliance", CLUSTER.to_owned(), vec!["cluster"]),
        ("nobody", "a wrong token".to_owned(), vec![]),
    ];
    for (role, may) in [
        ("viewer", ["view"].to_vec()),
        ("operator", ["view", "operate"].to_vec()),
        ("admin", ["view", "operate", "administer"].to_vec()),
    ] {
        callers.push((role, fixture.token(role).await.0, may));
    }
    let guarded = guarded();
    assert!(guarded.len() > 40, "{}", guarded.len());
    for (who, token, may) in &callers {
        for (method, path, scope) in &guarded {
            let status = fixture.status(token, method, path).await;
            let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status);
            let expect = !may.contains(&scope.as_str());
            assert_eq!(refused, expect, "{who}: {method} {path} ({scope}): {status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_gets_what_playing_needs() {
    let fixture = Fixture::new().await;
    let access =
        json!({ "publish_token": "publish-secret-of-studio", "play_token": "play-secret" });
    let spec = json!({ "name": "studio", "access": access });
    assert_eq!(fixture.ask(Method::POST, "/api/v1/streams", spec).await.0, 201);
    let path = "/api/v1/streams/studio/access";
    let (_, all) = fixture.get(path).await;
    assert!(all.to_string().contains("publish-secret"), "{all}");
    let (token, _) = fixture.token("viewer").await;
    let request = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
    let (status, _, seen) = fixture.send(request.body(Body::empty()).expect("a request")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(!seen.to_string().contains("publish-secret"), "{seen}");
    assert_eq!(seen["play"], all["play"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_shown_once_and_refused_when_it_is_deleted() {
    let fixture = Fixture::new().await;
    let (token, id) = fixture.token("operator").await;
    let (_, list) = fixture.get("/api/v1/tokens").await;
    assert_eq!(list["tokens"][0]["id"], json!(id));
    assert_eq!(list["tokens"][0]["role"], "operator");
    assert!(!list.to_string().contains(&token), "only its maker sees it");
    assert_eq!(fixture.status(&token, "GET", "/api/v1/streams").await, StatusCode::OK);

    // A session that it opens ends with it.
    let signed_in = Request::post("/api/v1/session")
        .header(header::HOST, "box")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(json!({ "token": token }).to_string()))
        .expect("a request");
    let (status, headers, _) = fixture.send(signed_in).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let cookie = headers[header::SET_COOKIE].to_str().expect("text").to_owned();
    let cookie = cookie.split(';').next().expect("a cookie").to_owned();
    let session = || {
        let request = Request::get("/api/v1/session").header(header::HOST, "box");
        fixture
            .send(request.header(header::COOKIE, &cookie).body(Body::empty()).expect("a request"))
    };
    let signed = json!({ "signed_in": true, "open": false, "role": "operator" });
    assert_eq!(session().await.2, signed);
    let path = format!("/api/v1/tokens/{id}");
    assert_eq!(fixture.ask(Method::DELETE, &path, Value::Null).await.0, 204);
    let out = json!({ "signed_in": false, "open": false, "role": null });
    assert_eq!(session().await.2, out);
    assert_eq!(fixture.status(&token, "GET", "/api/v1/streams").await, StatusCode::UNAUTHORIZED);
    fixture.refused(Method::DELETE, &path, Value::Null, Code::UnknownToken).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_outlive_a_restart_and_wrong_wishes_are_named() {
    let fixture = Fixture::new().await;
    let (token, _) = fixture.token("viewer").await;
    for wrong in [
        json!({ "name": " ", "role": "viewer" }),
        json!({ "name": "x".repeat(101), "role": "viewer" }),
        json!({ "name": "x", "role": "king" }),
        json!({ "name": "x", "role": "viewer", "days": 0 }),
        json!({ "name": "x", "role": "viewer", "days": 3651 }),
    ] {
        fixture.refused(Method::POST, "/api/v1/tokens", wrong, Code::Invalid).await;
    }
    let Fixture { folder, .. } = fixture;
    let again = Fixture::on(folder).await;
    assert_eq!(again.status(&token, "GET", "/api/v1/streams").await, StatusCode::OK);
    assert_eq!(again.status(&token, "POST", "/api/v1/streams").await, StatusCode::FORBIDDEN);
}
