//! Shared by tests of models: a folder with manifests and weights, and a server that misbehaves on
//! demand. Tests of the command line use it too.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Bytes that resemble weights, reproducible by seed.
pub(crate) fn weights(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

/// The hash as `sha256sum` prints it.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file of a manifest, as text.
pub(crate) fn file(name: &str, bytes: Option<&[u8]>, url: Option<&str>) -> String {
    let known = bytes.map(|b| format!("size = {}\nsha256 = \"{}\"\n", b.len(), sha256(b)));
    let url = url.map(|url| format!("url = \"{url}\"\n"));
    let (known, url) = (known.unwrap_or_default(), url.unwrap_or_default());
    format!("[[files]]\nname = \"{name}\"\n{known}{url}")
}

/// A temporary folder with a models folder and a folder of manifests.
pub(crate) struct ModelFolder(TempDir);

impl ModelFolder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        for name in ["models", "manifests", "stick"] {
            std::fs::create_dir(folder.path().join(name)).expect("creates");
        }
        Self(folder)
    }

    /// The models folder.
    pub(crate) fn models(&self) -> PathBuf {
        self.0.path().join("models")
    }

    /// The folder of manifests.
    pub(crate) fn manifests(&self) -> PathBuf {
        self.0.path().join("manifests")
    }

    /// The folder to import from.
    pub(crate) fn stick(&self) -> PathBuf {
        self.0.path().join("stick")
    }

    /// Adds the manifest of a model; `kind` contains its other fields.
    pub(crate) fn describe(&self, id: &str, kind: &str, files: &[String]) {
        let text = format!(
            "id = \"{id}\"\ntitle = \"{id}\"\n{kind}\n\
             licence = {{ spdx = \"MIT\", commercial = true }}\n{}",
            files.join("\n")
        );
        std::fs::write(self.manifests().join(format!("{id}.toml")), text).expect("writes");
    }
}

/// `kind` of [`ModelFolder::describe`] for English speech-to-text.
pub(crate) const STT: &str = "task = \"stt\"\nengine = \"whisper\"\nlanguages = [\"en\"]";

/// Writes a file and creates its folders.
pub(crate) fn put(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().expect("in a folder")).expect("creates");
    std::fs::write(path, bytes).expect("writes");
}

/// How the server answers one request.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "each test binary uses its own")]
pub(crate) enum Manner {
    /// Complete or partial, as requested.
    Good,
    /// Always complete.
    NoRange,
    /// The connection ends after this many bytes of the answer.
    Cut(usize),
    /// Other bytes of the same length.
    Wrong,
    /// More bytes than the file has, without a length.
    Endless,
    /// Only a status.
    Status(u16),
    /// This many bytes, then nothing.
    Silent(usize),
}

#[derive(Clone)]
struct Shared {
    bytes: Bytes,
    manners: Arc<Mutex<VecDeque<Manner>>>,
    asked: Arc<Mutex<Vec<Option<String>>>>,
}

/// An HTTP server on this machine that serves the same bytes for every path.
pub(crate) struct Server {
    /// Its address, without a slash at the end.
    pub(crate) url: String,
    shared: Shared,
}

impl Server {
    /// Starts the server; the first requests are answered in these manners, later ones correctly.
    pub(crate) async fn start(bytes: &[u8], manners: &[Manner]) -> Self {
        let shared = Shared {
            bytes: Bytes::copy_from_slice(bytes),
            manners: Arc::new(Mutex::new(manners.iter().copied().collect())),
            asked: Arc::default(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().fallback(answer).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shared }
    }

    /// The `Range` of every request so far.
    pub(crate) fn asked(&self) -> Vec<Option<String>> {
        self.shared.asked.lock().expect("no test has panicked").clone()
    }
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let range = request.headers().get(header::RANGE).and_then(|r| r.to_str().ok());
    shared.asked.lock().expect("no panic").push(range.map(str::to_owned));
    let manner = shared.manners.lock().expect("no panic").pop_front().unwrap_or(Manner::Good);
    let whole = shared.bytes.clone();
    let from: Option<usize> =
        range.and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    match (manner, from) {
        (Manner::Status(status), _) => {
            StatusCode::from_u16(status).expect("a status").into_response()
        }
        (Manner::Endless, _) => {
            let endless = stream::repeat(whole).map(Ok::<_, std::convert::Infallible>);
            Body::from_stream(endless).into_response()
        }
        (_, Some(from)) if from >= whole.len() => StatusCode::RANGE_NOT_SATISFIABLE.into_response(),
        (Manner::NoRange, _) | (_, None) => {
            (headers(whole.len()), body(whole, manner)).into_response()
        }
        (_, Some(from)) => {
            let rest = whole.slice(from..);
            let mut headers = headers(rest.len());
            let range = format!("bytes {from}-{}/{}", whole.len() - 1, whole.len());
            headers.insert(header::CONTENT_RANGE, range.parse().expect("a value"));
            (StatusCode::PARTIAL_CONTENT, headers, body(rest, manner)).into_response()
        }
    }
}

fn headers(length: usize) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::ETAG, "\"1\"".parse().expect("a value"));
    headers
}

fn body(bytes: Bytes, manner: Manner) -> Body {
    let part = |length: usize| stream::iter([Ok(bytes.slice(..length.min(bytes.len())))]);
    match manner {
        Manner::Cut(after) => Body::from_stream(part(after).chain(stream::once(async {
            // Lets hyper send what it has.
            tokio::task::yield_now().await;
            Err(std::io::Error::other("cut"))
        }))),
        Manner::Silent(after) => Body::from_stream(part(after).chain(stream::pending())),
        Manner::Wrong => Body::from(bytes.iter().map(|b| !b).collect::<Vec<u8>>()),
        _ => Body::from(bytes),
    }
}
