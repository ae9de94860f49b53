//! The receivers of a stream, and what they received.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::count::{self, Counted, Pictures, Sound};
use super::input::SRT_LATENCY;
use crate::support::api::Stream;
use crate::support::appliance::{Appliance, free_tcp};
use crate::support::client::Client;
use crate::support::publish::Ffmpeg;

use crate::support::{eventually, s};

/// The columns, in the order of [`Receivers::finish`].
pub(super) const OUTPUTS: [&str; 5] = ["recording", "hls", "srt", "whep", "rtmp push"];

/// How often a refused receiver tries again, and a playlist is read.
const AGAIN: Duration = Duration::from_millis(200);

/// An RTMP server that takes one publisher: ffmpeg.
pub(super) struct Push {
    pub(super) url: String,
    server: Ffmpeg,
    file: PathBuf,
}

impl Push {
    /// Listens; writes what arrives to a file in this folder.
    pub(super) async fn listen(folder: &Path) -> Self {
        let (port, file) = (free_tcp(), folder.join("pushed.mkv"));
        let url = format!("rtmp://127.0.0.1:{port}/live/copy");
        let command = format!("-listen 1 -f flv -i {url} -c copy -y {}", file.display());
        let server = Ffmpeg::with(&command);
        // A test connection would use up the one that it accepts.
        let entry = format!(":{port:04X} 00000000:0000 0A");
        eventually("ffmpeg listens", s(20), || async {
            let table = std::fs::read_to_string("/proc/net/tcp").map_err(|e| e.to_string())?;
            if table.contains(&entry) { Ok(()) } else { Err("not yet".to_owned()) }
        })
        .await;
        Self { url, server, file }
    }
}

/// All receivers of one stream.
pub(super) struct Receivers {
    over: Arc<AtomicBool>,
    push: Push,
    srt: JoinHandle<()>,
    srt_file: PathBuf,
    hls: JoinHandle<Vec<PathBuf>>,
    whep: Client,
}

impl Receivers {
    /// Starts all of them before there is any media; they retry until they are admitted.
    pub(super) fn attend(
        appliance: &Appliance,
        stream: &Stream,
        push: Push,
        folder: &Path,
    ) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let srt_file = folder.join("played.ts");
        let (url, token) = (appliance.srt_play(stream), stream.play_token());
        let play = format!("-i {url}&{SRT_LATENCY} -c copy -y {}", srt_file.display());
        let srt = tokio::spawn(play_srt(play, srt_file.clone(), over.clone()));
        let hls = tokio::spawn(read_hls(stream.clone(), folder.to_owned(), over.clone()));
        let args = [&stream.whep(), "--token", &token, "--wait", "90", "--patience", "60"];
        let whep = Client::python("whep.py", &args);
        Self { over, push, srt, srt_file, hls, whep }
    }

    /// After the stream has ended: returns what each of them received.
    pub(super) async fn finish(
        mut self,
        appliance: &Appliance,
        stream: &Stream,
        fps: f64,
    ) -> [Counted; 5] {
        self.over.store(true, Ordering::Relaxed);
        self.srt.await.expect("the player does not panic");
        let hls = self.hls.await.expect("the player does not panic");
        // It ends when the appliance has disconnected.
        let _ = self.push.server.end(s(20)).await;
        let mut segments = Counted::default();
        for file in hls {
            segments = segments.and(count::file(&file, fps).await);
        }
        [
            recordings(appliance, stream, fps).await,
            segments,
            count::file(&self.srt_file, fps).await,
            watched(&self.whep.last_event(s(40)).await, fps),
            count::file(&self.push.file, fps).await,
        ]
    }
}

/// All recordings of the stream, once they are finished.
async fn recordings(appliance: &Appliance, stream: &Stream, fps: f64) -> Counted {
    let path = format!("/api/v1/recordings?stream={}", stream.name);
    let items = eventually("the recordings are finished", s(40), || async {
        let items = appliance.api.must_get(&path).await["items"].clone();
        let items = items.as_array().cloned().unwrap_or_default();
        let writing = items.iter().any(|item| item["state"] == "writing");
        if writing { Err(format!("{items:?}")) } else { Ok(items) }
    })
    .await;
    let folder = appliance.state().join("recordings").join(&stream.name);
    let mut all = Counted::default();
    for item in items {
        let id = item["id"].as_str().unwrap_or_default();
        all = all.and(count::file(&folder.join(format!("{id}.mp4")), fps).await);
    }
    all
}

/// Plays by SRT until the appliance disconnects.
async fn play_srt(play: String, file: PathBuf, over: Arc<AtomicBool>) {
    loop {
        let mut player = Ffmpeg::with(&play);
        let mut ended = None;
        while ended.is_none() {
            ended = player.end(AGAIN).await;
            if ended.is_none() && over.load(Ordering::Relaxed) {
                ended = Some(player.end(s(20)).await.unwrap_or(false));
            }
        }
        let played = file.metadata().is_ok_and(|m| m.len() > 0);
        if played || over.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// The media in a report of `whep.py`.
fn watched(report: &Value, fps: f64) -> Counted {
    if report["event"] != "report" {
        return Counted::failed(report.to_string());
    }
    let codec = |kind: &str| {
        let line = report["codecs"].to_string();
        let known = ["VP8", "H264", "opus"].into_iter().filter(|name| line.contains(name));
        let mut fitting = known.filter(|name| (*name == "opus") == (kind == "audio"));
        fitting.next().unwrap_or("unknown").to_lowercase()
    };
    let (video, audio) = (&report["video"], &report["audio"]);
    let number = |value: &Value| value.as_f64().unwrap_or(0.0);
    let count = number(&video["frames"]) as u64;
    let due = (number(&video["span_s"]) * fps).round() as u64 + 1;
    let missing = due.saturating_sub(count);
    let pictures = Pictures { codec: codec("video"), count, missing };
    let (seconds, missing_s) = (number(&audio["seconds"]), number(&audio["lost_ms"]) / 1000.0);
    let sound = Sound { codec: codec("audio"), seconds, missing_s };
    Counted {
        video: (count > 0).then_some(pictures),
        audio: (seconds > 0.0).then_some(sound),
        failure: None,
    }
}

/// One rendition and its files: one per initialisation section.
struct Rendition {
    uri: String,
    init: String,
    seen: HashSet<String>,
    files: Vec<PathBuf>,
}

/// Reads all complete segments, as a player would from the beginning.
async fn read_hls(stream: Stream, folder: PathBuf, over: Arc<AtomicBool>) -> Vec<PathBuf> {
    let get = |uri: String| {
        let api = stream.api.clone();
        let path = format!("/hls/{}/{uri}", stream.name);
        async move {
            let answer = api.raw(Method::GET, &path).send().await.ok()?;
            let answer = answer.error_for_status().ok()?;
            Some(answer.bytes().await.ok()?.to_vec())
        }
    };
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let master = loop {
        let uri = format!("index.m3u8?token={}", stream.play_token());
        if let Some(master) = get(uri).await {
            break text(master);
        }
        if over.load(Ordering::Relaxed) {
            return Vec::new();
        }
        tokio::time::sleep(AGAIN).await;
    };
    let mut renditions: Vec<Rendition> = uris(&master)
        .into_iter()
        .filter(|uri| uri.starts_with("video.m3u8") || uri.starts_with("audio.m3u8"))
        .map(|uri| Rendition { uri, init: String::new(), seen: HashSet::new(), files: Vec::new() })
        .collect();
    loop {
        let last = over.load(Ordering::Relaxed);
        for rendition in &mut renditions {
            let Some(playlist) = get(rendition.uri.clone()).await else { continue };
            for line in text(playlist).lines() {
                let init = line.starts_with("#EXT-X-MAP:").then(|| quoted(line)).flatten();
                if let Some(init) = init.filter(|init| *init != rendition.init) {
                    let kind = rendition.uri.split('.').next().unwrap_or_default().to_owned();
                    let number = rendition.files.len();
                    rendition.files.push(folder.join(format!("{kind}-{number}.mp4")));
                    append(rendition, get(init.clone()).await);
                    rendition.init = init;
                }
                if !line.starts_with('#') && rendition.seen.insert(line.to_owned()) {
                    append(rendition, get(line.to_owned()).await);
                }
            }
        }
        if last {
            return renditions.into_iter().flat_map(|rendition| rendition.files).collect();
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn append(rendition: &Rendition, bytes: Option<Vec<u8>>) {
    use std::io::Write;
    let (Some(file), Some(bytes)) = (rendition.files.last(), bytes) else { return };
    let opened = std::fs::File::options().create(true).append(true).open(file);
    let written = opened.and_then(|mut file| file.write_all(&bytes));
    written.expect("the temporary folder is writable");
}

/// URIs of variants and renditions in a master playlist.
fn uris(master: &str) -> Vec<String> {
    let line = |line: &str| match line.starts_with('#') {
        true => quoted(line),
        false => Some(line.to_owned()),
    };
    master.lines().filter_map(line).collect()
}

/// `URI="…"` of a tag.
fn quoted(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("URI=\"")?;
    rest.split_once('"').map(|(uri, _)| uri.to_owned())
}
