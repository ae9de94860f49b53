//! The control API as a client sees it.

use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::{eventually, s};

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// The body as JSON; null if it is not JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }
}

/// A client of one appliance.
#[derive(Clone)]
pub(crate) struct Api {
    base: String,
    token: String,
    client: Client,
}

impl Api {
    pub(crate) fn new(base: String, token: &str) -> Self {
        let client = Client::builder()
            .timeout(s(20))
            // Pooled sockets would outlive an appliance that was killed.
            .pool_max_idle_per_host(0)
            .build()
            .expect("a client without TLS needs nothing");
        Self { base, token: token.into(), client }
    }

    /// The same appliance with another token; an empty one is not sent.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: token.into(), ..self.clone() }
    }

    /// The address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Sends any request. `body` is sent as JSON.
    ///
    /// # Errors
    /// If there is no HTTP answer, in words.
    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, String> {
        let mut request = self.client.request(method, self.url(path));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        self.send(request).await
    }

    /// Sends a request that was built with [`Self::raw`].
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, String> {
        let response = request.send().await.map_err(|e| format!("{e:?}"))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.map_err(|e| e.to_string())?;
        Ok(Answer { status, headers, text: String::from_utf8_lossy(&bytes).into_owned() })
    }

    /// A request to a path without token and body, for the caller to complete.
    pub(crate) fn raw(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, self.url(path))
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer, String> {
        self.request(Method::GET, path, None).await
    }

    /// A request that must succeed.
    async fn must(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let shown = format!("{method} {path}");
        let answer =
            self.request(method, path, body).await.unwrap_or_else(|e| panic!("{shown}: {e}"));
        assert!((200..300).contains(&answer.status), "{shown}: {} {}", answer.status, answer.text);
        answer.json()
    }

    pub(crate) async fn must_get(&self, path: &str) -> Value {
        self.must(Method::GET, path, None).await
    }

    pub(crate) async fn must_post(&self, path: &str, body: &Value) -> Value {
        self.must(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn must_patch(&self, path: &str, body: &Value) -> Value {
        self.must(Method::PATCH, path, Some(body)).await
    }

    /// Sends a PATCH; returns its status and body in any case.
    pub(crate) async fn patch(&self, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.request(Method::PATCH, path, Some(body)).await;
        let answer = answer.unwrap_or_else(|e| panic!("PATCH {path}: {e}"));
        (answer.status, answer.json())
    }

    pub(crate) async fn must_delete(&self, path: &str) {
        self.must(Method::DELETE, path, None).await;
    }

    /// Creates a stream from a spec; its tokens are `publish-<name>` and `play-<name>` unless the
    /// spec has others.
    pub(crate) async fn create(&self, mut spec: Value) -> Stream {
        let name = spec["name"].as_str().expect("a spec has a name").to_owned();
        if spec["access"].is_null() {
            spec["access"] = json!({
                "publish_token": format!("publish-{name}"),
                "play_token": format!("play-{name}"),
            });
        }
        self.must_post("/api/v1/streams", &spec).await;
        Stream { api: self.clone(), name }
    }
}

/// One stream of the appliance under test.
#[derive(Clone)]
pub(crate) struct Stream {
    pub(crate) api: Api,
    pub(crate) name: String,
}

impl Stream {
    pub(crate) fn path(&self) -> String {
        format!("/api/v1/streams/{}", self.name)
    }

    pub(crate) fn publish_token(&self) -> String {
        format!("publish-{}", self.name)
    }

    pub(crate) fn play_token(&self) -> String {
        format!("play-{}", self.name)
    }

    pub(crate) fn whip(&self) -> String {
        self.api.url(&format!("/whip/{}", self.name))
    }

    pub(crate) fn whep(&self) -> String {
        self.api.url(&format!("/whep/{}", self.name))
    }

    /// Address of the master playlist, token included.
    pub(crate) fn hls(&self) -> String {
        self.api.url(&format!("/hls/{}/index.m3u8?token={}", self.name, self.play_token()))
    }

    /// Current snapshot of the stream.
    pub(crate) async fn snapshot(&self) -> Value {
        self.api.must_get(&self.path()).await
    }

    /// Waits until viewers see this state.
    pub(crate) async fn wait_state(&self, state: &str, max: Duration) -> Value {
        self.wait(&format!("state {state}"), max, |s| s["state"] == state).await
    }

    /// Waits until the snapshot fulfils a condition.
    pub(crate) async fn wait(
        &self,
        what: &str,
        max: Duration,
        condition: impl Fn(&Value) -> bool,
    ) -> Value {
        eventually(&format!("{}: {what}", self.name), max, || async {
            let snapshot = self.snapshot().await;
            if condition(&snapshot) { Ok(snapshot) } else { Err(snapshot.to_string()) }
        })
        .await
    }
}
