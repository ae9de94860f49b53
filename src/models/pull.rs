//! Fetches a model from the addresses of its manifest.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, RANGE};
use reqwest::{Client, Response, StatusCode};
use tokio::task::spawn_blocking;

use super::digest::READ_BYTES;
use super::manifest::{File, Manifest};
use super::package::Packages;
use super::part::{Hold, Part, make_room};
use super::progress::Progress;
use super::registry::{Installed, Registry, State};
use super::stamp::{FileStamp, Stamp, look};
use super::{Error, part};
use crate::media::Backoff;

/// The address that a mirror replaces.
const HUB: &str = "https://huggingface.co";

/// Longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How a model is fetched.
#[derive(Clone, Debug)]
pub struct PullOptions {
    /// The models folder; `None`: the first writable one in search order.
    pub to: Option<PathBuf>,
    /// Accepts files without a published hash, and compares with their first download from then on.
    pub trust_first_download: bool,
    /// Most attempts in a row that may fail without a byte.
    pub attempts: u32,
    /// A server that sends nothing for this long has failed.
    pub stall: Duration,
    /// The first pause between attempts; each further one doubles.
    pub pause: Duration,
}

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            to: None,
            trust_first_download: false,
            attempts: 5,
            stall: Duration::from_secs(30),
            pause: Duration::from_secs(1),
        }
    }
}

/// Fetches the missing or damaged files of a model. Continues earlier attempts. Each file gets its
/// final name only when its hash is right.
///
/// # Errors
/// If a hash is unknown or wrong, the disk is too small, or the server refuses or repeatedly breaks
/// off.
pub async fn pull(
    registry: &Registry,
    manifest: &Arc<Manifest>,
    options: &PullOptions,
    told: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<Installed, Error> {
    let id = &manifest.id;
    let hashless = manifest.files.iter().find(|f| f.sha256.is_none());
    if let Some(file) = hashless.filter(|_| !options.trust_first_download) {
        return Err(Error::Unpinned { id: id.clone(), file: file.name.clone() });
    }
    let folder = registry.target(options.to.as_deref())?.join(id);
    let wanted = wanted(registry, manifest, &folder).await?;
    let known: u64 = wanted.iter().filter_map(|file| file.size).sum();
    let kept = |file: &File| look(&part::part_path(&folder.join(&file.name))).map_or(0, |l| l.0);
    make_room(&folder, known.saturating_sub(wanted.iter().map(kept).sum()))?;
    let _hold = Hold::take(&folder)?;
    let client = Client::builder()
        .connect_timeout(options.stall)
        .read_timeout(options.stall)
        .user_agent(concat!("auralink/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|e| Error::Broken { url: HUB.into(), attempts: 0, reason: reason(&e) })?;
    let mut packages = Packages::new(&folder);
    for file in wanted {
        let target = folder.join(&file.name);
        let packed = match &file.package {
            Some(package) => Some(packages.file(package, &file, &target, told).await),
            None => None,
        };
        let seen = match packed {
            Some(Ok(seen)) => seen,
            Some(Err(error)) if file.url.is_none() => return Err(error),
            failed => {
                if let Some(Err(error)) = failed {
                    told(Progress::Again { reason: &error.to_string(), pause: Duration::ZERO });
                }
                let url = address(registry, manifest, &file)?;
                let client = &client;
                Fetch { client, url, file: &file, target, options, etag: None }.run(told).await?
            }
        };
        told(Progress::Done { name: &file.name, sha256: &seen.sha256 });
        let mut stamp = Stamp::read(&folder, id);
        if file.sha256.is_none() {
            stamp.pinned.insert(file.name.clone(), seen.sha256.clone());
        }
        stamp.seen.insert(file.name.clone(), seen);
        stamp.write(&folder, id)?;
    }
    match registry.state_in(manifest, &folder) {
        State::Installed(installed) => Ok(installed),
        _ => Err(Error::Missing(id.clone())),
    }
}

/// The files that are missing or damaged. Existing files are hashed, unless their hash is known.
async fn wanted(
    registry: &Registry,
    manifest: &Arc<Manifest>,
    folder: &Path,
) -> Result<Vec<File>, Error> {
    let (cache, manifest, folder) = (registry.cache.clone(), manifest.clone(), folder.to_owned());
    blocking(move || {
        let stamp = Stamp::read(&folder, &manifest.id);
        let right = |file: &File| {
            let path = folder.join(&file.name);
            let (Some(expected), Ok((size, _))) =
                (file.sha256.as_ref().or_else(|| stamp.pinned.get(&file.name)), look(&path))
            else {
                return false;
            };
            if file.size.is_some_and(|right| right != size) {
                return false;
            }
            let known = cache.get(&path, &file.name, &stamp);
            let found = known.or_else(|| cache.hash(&path, |_| ()).ok().map(|s| s.sha256));
            found.as_ref() == Some(expected)
        };
        Ok(manifest.files.iter().filter(|file| !right(file)).cloned().collect())
    })
    .await
}

/// Address of a file.
fn address(registry: &Registry, manifest: &Manifest, file: &File) -> Result<String, Error> {
    let url = file
        .url
        .as_deref()
        .ok_or_else(|| Error::NoAddress { id: manifest.id.clone(), file: file.name.clone() })?;
    Ok(match (&registry.mirror, url.strip_prefix(HUB)) {
        (Some(mirror), Some(path)) => format!("{}{path}", mirror.trim_end_matches('/')),
        _ => url.to_owned(),
    })
}

/// A file being fetched.
struct Fetch<'a> {
    client: &'a Client,
    url: String,
    file: &'a File,
    target: PathBuf,
    options: &'a PullOptions,
    /// Strong `ETag` of the answer that the bytes so far come from.
    etag: Option<String>,
}

/// How an attempt ended.
enum Ended {
    /// The file is complete, according to the server.
    Whole,
    /// It broke off, for this reason.
    Early(String),
}

impl Fetch<'_> {
    async fn run(
        mut self,
        told: &mut (dyn FnMut(Progress<'_>) + Send),
    ) -> Result<FileStamp, Error> {
        // Without a hash it would go unnoticed that the file has changed since.
        let (target, resume) = (self.target.clone(), self.file.sha256.is_some());
        let mut part = blocking(move || Part::open(&target, resume)).await?;
        if self.file.size.is_some_and(|size| part.written() > size) {
            part = blocking(move || part.restart()).await?;
        }
        let kept = part.written();
        match self.whole(part, told).await {
            // The bytes of the earlier attempt may be the wrong ones.
            Err(Error::WrongHash { .. }) if kept > 0 => {
                let target = self.target.clone();
                let part = blocking(move || Part::open(&target, false)).await?;
                self.whole(part, told).await
            }
            outcome => outcome,
        }
    }

    async fn whole(
        &mut self,
        mut part: Part,
        told: &mut (dyn FnMut(Progress<'_>) + Send),
    ) -> Result<FileStamp, Error> {
        let (name, size) = (self.file.name.as_str(), self.file.size);
        told(Progress::File { name, size, kept: part.written() });
        let mut pauses = Backoff::new(self.options.pause, PAUSE_MAX, Duration::MAX);
        let mut failed = 0;
        while self.file.size != Some(part.written()) || part.written() == 0 {
            let before = part.written();
            let ended;
            (part, ended) = self.attempt(part, told).await?;
            let Ended::Early(reason) = ended else { break };
            if part.written() > before {
                failed = 0;
                pauses.reset();
            }
            failed += 1;
            if failed >= self.options.attempts {
                let url = self.url.clone();
                return Err(Error::Broken { url, attempts: failed, reason });
            }
            let pause = pauses.pause(Duration::ZERO);
            told(Progress::Again { reason: &reason, pause });
            tokio::time::sleep(pause).await;
            if self.file.sha256.is_none() && self.etag.is_none() {
                part = blocking(move || part.restart()).await?;
            }
        }
        let (size, sha256) = (self.file.size, self.file.sha256.clone());
        blocking(move || part.finish(size, sha256.as_ref())).await
    }

    async fn attempt(
        &mut self,
        mut part: Part,
        told: &mut (dyn FnMut(Progress<'_>) + Send),
    ) -> Result<(Part, Ended), Error> {
        let mut request = self.client.get(&self.url);
        if part.written() > 0 {
            request = request.header(RANGE, format!("bytes={}-", part.written()));
            if let Some(etag) = &self.etag {
                request = request.header(IF_RANGE, etag);
            }
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return Ok((part, Ended::Early(reason(&error)))),
        };
        match answer.status() {
            StatusCode::OK if part.written() > 0 => {
                part = blocking(move || part.restart()).await?;
            }
            StatusCode::OK => {}
            StatusCode::PARTIAL_CONTENT if begins(answer.headers()) == Some(part.written()) => {}
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                part = blocking(move || part.restart()).await?;
                return Ok((part, Ended::Early("the server sends another part".into())));
            }
            status if may_pass(status) => {
                return Ok((part, Ended::Early(format!("the server answers {status}"))));
            }
            status => return Err(refused(&self.url, status)),
        }
        let strong = answer.headers().get(ETAG).and_then(|v| v.to_str().ok());
        self.etag = strong.filter(|v| !v.starts_with("W/")).map(str::to_owned);
        let whole = answer.content_length().map(|rest| part.written() + rest);
        if let (Some(expected), Some(got)) = (self.file.size, whole)
            && expected != got
        {
            return Err(Error::WrongSize { path: self.target.clone(), expected, got });
        }
        if let (None, Some(whole), Some(folder)) = (self.file.size, whole, self.target.parent()) {
            make_room(folder, whole - part.written())?;
        }
        take(answer, part, whole, self.file.size, told).await
    }
}

/// Writes an answer to the file until it ends. Reports progress in steps of a mebibyte.
async fn take(
    answer: Response,
    mut part: Part,
    whole: Option<u64>,
    most: Option<u64>,
    told: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<(Part, Ended), Error> {
    let mut stream = answer.bytes_stream();
    let mut early = None;
    let mut ended = false;
    while !ended {
        let mut block = Vec::with_capacity(READ_BYTES);
        while block.len() < READ_BYTES {
            match stream.next().await {
                Some(Ok(bytes)) => block.extend_from_slice(&bytes),
                Some(Err(error)) => {
                    early = Some(reason(&error));
                    ended = true;
                    break;
                }
                None => {
                    ended = true;
                    break;
                }
            }
        }
        part = blocking(move || part.write(&block)).await?;
        told(Progress::Bytes(part.written()));
        // Stops an endless answer without a length at the file's known size.
        ended |= most.is_some_and(|most| part.written() > most);
    }
    let short = whole.is_some_and(|whole| part.written() < whole);
    let early = early.or(short.then(|| "the server broke off".to_owned()));
    Ok((part, early.map_or(Ended::Whole, Ended::Early)))
}

/// Start of a partial answer: `Content-Range: bytes 100-199/200`.
fn begins(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    range.split_once('-')?.0.trim().parse().ok()
}

/// Whether another attempt may help.
fn may_pass(status: StatusCode) -> bool {
    status.is_server_error()
        || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS]
            .contains(&status)
}

fn refused(url: &str, status: StatusCode) -> Error {
    let hint = match status.as_u16() {
        401 | 403 => ": a licence may have to be accepted there; fetch it by hand and import it",
        404 | 410 => ": it has moved; fetch it by hand and import it, or correct the manifest",
        407 => ": set $HTTPS_PROXY with the user's name and password",
        _ => "",
    };
    Error::Refused { url: url.to_owned(), status: status.as_u16(), hint }
}

/// An error of the client in one line, without the address, which the caller adds.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "the server is silent".into();
    }
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// Runs file operations off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests;
