use super::*;

mod caches;
mod dash;

use std::collections::HashMap;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::super::cross_origin::cross_origin;
use crate::egress::segments::{self, Settings};
use crate::flow::{self, CaptionFeeds, CueFeed, Feed, Inputs, Node, RefusalKind, Task};
use crate::media::{Cue, Origin, Stage};

/// A test pattern with beeps and B-frames, served by its segment store on a real socket.
struct Site {
    url: String,
    segment_store: Arc<SegmentStore>,
    task: Task,
    captions: CaptionFeeds,
    _pattern: Node,
}

struct OneStream(Arc<SegmentStore>);

impl OneStream {
    fn judge(&self, access_request: &AccessRequest) -> Result<(), Refusal> {
        let refusal = |kind, message: &str| Err(Refusal::new(kind, message, "ask another"));
        match (access_request.stream.as_str(), &access_request.credential) {
            ("studio-1", Some(c)) if c.matches("let me in") => Ok(()),
            ("studio-1", _) => refusal(RefusalKind::Unauthorized, "wrong token"),
            _ => refusal(RefusalKind::UnknownStream, "no such stream"),
        }
    }
}

impl SegmentSource for OneStream {
    fn open(
        &self,
        access_request: AccessRequest,
    ) -> BoxFuture<'_, Result<Arc<SegmentStore>, Refusal>> {
        let answer = self.judge(&access_request).map(|()| self.0.clone());
        Box::pin(async move { answer })
    }

    fn admit(&self, access_request: AccessRequest) -> BoxFuture<'_, Result<(), Refusal>> {
        Box::pin(async move { self.judge(&access_request) })
    }
}

/// H.264 at 30 fps with one key frame a second and two B-frames between other frames.
const PICTURES: &str = "videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=30/1 \
     ! timeoverlay ! x264enc key-int-max=30 bframes=2 b-adapt=false speed-preset=ultrafast \
     ! video/x-h264,profile=main ! h264parse config-interval=-1 \
     ! video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=video ";
const SOUND: &str = "audiotestsrc is-live=true wave=ticks ! audio/x-raw,rate=48000,channels=2 \
     ! avenc_aac ! aacparse ! audio/mpeg,stream-format=raw ! appsink name=audio ";
/// Audio in Spanish.
const DUB: &str = "audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=2 \
     ! avenc_aac ! aacparse ! audio/mpeg,stream-format=raw ! appsink name=dub ";

async fn site(settings: Settings, sources: &str) -> Site {
    crate::init().expect("GStreamer starts");
    let pattern = Node::parse("pattern", sources).expect("elements are installed");
    let mut inputs = Inputs::default();
    for (kind, slot) in [(Kind::Video, &mut inputs.video), (Kind::Audio, &mut inputs.audio)] {
        if sources.contains(&format!("name={kind}")) {
            let feed = slot.insert(Feed::new(kind.as_str(), kind));
            pattern.output(kind.as_str(), &feed.sole_writer()).expect("an appsink");
        }
    }
    if sources.contains("name=dub") {
        let feed = Feed::new("audio.es", Kind::Audio);
        pattern.output("dub", &feed.sole_writer()).expect("an appsink");
        inputs.dubs.push(("es".parse().expect("a language"), feed));
    }
    pattern.start().await.expect("the pattern starts");
    let (segment_store, task) = (SegmentStore::new(settings), Task::new("hls"));
    let captions = inputs.captions.clone();
    tokio::spawn(segments::run(task.clone(), inputs, segment_store.clone(), settings));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/hls/studio-1", listener.local_addr().expect("bound"));
    let layer = axum::middleware::from_fn_with_state(false, cross_origin);
    let source: Arc<dyn SegmentSource> = Arc::new(OneStream(segment_store.clone()));
    let app = router(&source).layer(layer);
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let cancel = task.cancel.clone();
    let server = axum::serve(listener, app);
    tokio::spawn(async move {
        tokio::select! { _ = server => {}, () = cancel.cancelled() => {} }
    });
    Site { url, segment_store, task, captions, _pattern: pattern }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.cancel.cancel();
    }
}

impl Site {
    async fn get(&self, file: &str) -> reqwest::Response {
        let separator = if file.contains('?') { '&' } else { '?' };
        let url = format!("{}/{file}{separator}token=let%20me%20in", self.url);
        reqwest::get(url).await.expect("an answer")
    }

    /// The address of the first file, for players.
    fn entry(&self, file: &str) -> String {
        format!("{}/{file}?token=let%20me%20in", self.url)
    }

    async fn playlist(&self, file: &str) -> m3u8_rs::MediaPlaylist {
        let text = self.get(file).await.text().await.expect("text");
        match m3u8_rs::parse_playlist_res(text.as_bytes()) {
            Ok(m3u8_rs::Playlist::MediaPlaylist(playlist)) => playlist,
            other => panic!("not a media playlist: {other:?}\n{text}"),
        }
    }
}

/// `(pts, dts)` in seconds of every packet of a kind (`v` or `a`) that ffmpeg reads in 20 s.
async fn packets(url: &str) -> HashMap<char, Vec<(f64, f64)>> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-live_start_index", "0", "-show_packets", "-of", "csv=p=0"])
        .args(["-show_entries", "packet=codec_type,pts_time,dts_time", "-read_intervals", "%+20"])
        .arg(url)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(90), output);
    let output = output.await.expect("in time").expect("ffprobe is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    let mut packets: HashMap<char, Vec<(f64, f64)>> = HashMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let mut fields = line.split(',');
        let kind = fields.next().and_then(|k| k.chars().next());
        let mut number = || fields.next().and_then(|t| t.parse::<f64>().ok());
        if let (Some(kind), Some(pts), Some(dts)) = (kind, number(), number()) {
            packets.entry(kind).or_default().push((pts, dts));
        }
    }
    packets
}

/// Twenty seconds are ten segments without gap or overlap, with audio and video.
#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_reads_ten_segments_without_a_gap() {
    let site = site(Settings::default(), &format!("{PICTURES} {SOUND}")).await;
    let packets = packets(&format!("{}/index.m3u8?token=let%20me%20in", site.url)).await;
    let mut video: Vec<f64> = packets[&'v'].iter().map(|p| p.0).collect();
    assert!(packets[&'v'].windows(2).all(|w| w[1].1 > w[0].1), "decode times go up");
    video.sort_by(f64::total_cmp);
    let steps: Vec<f64> = video.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(video.len() > 550, "{} pictures", video.len());
    assert!(steps.iter().all(|s| (0.025..0.045).contains(s)), "cadence: {steps:?}");
    let audio: Vec<f64> = packets[&'a'].iter().map(|p| p.0).collect();
    let worst = audio.windows(2).map(|w| (w[1] - w[0] - 1024.0 / 48_000.0).abs());
    assert!(worst.fold(0.0, f64::max) < 0.002, "every packet of sound follows the one before");
    assert!((video[0] - audio[0]).abs() < 2.5, "both begin in the same segment's time");
}

#[tokio::test(flavor = "multi_thread")]
async fn players_are_let_in_and_told_what_is_wrong() {
    let site = site(Settings::default(), &format!("{PICTURES} {SOUND}")).await;
    let master = site.get("index.m3u8").await;
    assert_eq!(master.headers()["content-type"], "application/vnd.apple.mpegurl");
    let master = master.text().await.expect("text");
    assert!(master.contains("CODECS=\"avc1.4d") && master.contains(",mp4a.40.2\""), "{master}");
    assert!(master.contains("RESOLUTION=320x180,FRAME-RATE=30.000"), "{master}");
    assert!(master.contains("video.m3u8?token=let%20me%20in"), "{master}");

    let playlist = site.playlist("video.m3u8").await;
    let first = playlist.media_sequence;
    let check = async |file: String, status: u16, code: &str| {
        let answer = site.get(&file).await;
        assert_eq!(answer.status(), status, "{file}");
        let body: serde_json::Value = answer.json().await.expect("json");
        assert_eq!(body["code"], code, "{file}: {body}");
        assert!(body["hint"].as_str().is_some_and(|h| !h.is_empty()));
    };
    check(format!("video.{}.m4s", first - 1), 404, "segment_gone").await;
    check(format!("video.{}.m4s", first + 500), 404, "not_found").await;
    check(format!("video.m3u8?_HLS_msn={}", first + 500), 400, "bad_request").await;
    check("video.m3u8?_HLS_part=1".into(), 400, "bad_request").await;
    check("video.m3u8?_HLS_msn=soon".into(), 400, "bad_request").await;
    check("video.init7.mp4".into(), 404, "segment_gone").await;
    check("nonsense".into(), 404, "not_found").await;

    let wrong = reqwest::get(format!("{}/index.m3u8?token=x", site.url)).await.expect("answer");
    assert_eq!(wrong.status(), 401);
    let unknown = site.url.replace("studio-1", "nobody");
    let unknown = reqwest::get(format!("{unknown}/index.m3u8")).await.expect("answer");
    assert_eq!(unknown.status(), 404);
    assert_eq!(site.segment_store.viewers(), 1);
}

/// A low-latency player: every answer to a blocking reload ends with exactly the requested part,
/// and that part is no older than its duration plus scheduling time.
#[tokio::test(flavor = "multi_thread")]
async fn blocking_reloads_follow_the_live_edge() {
    let site = site(Settings::default(), &format!("{PICTURES} {SOUND}")).await;
    let playlist = site.playlist("video.m3u8").await;
    let mut at = (playlist.media_sequence + playlist.segments.len() as u64 + 1, 0_usize);
    let mut ages = Vec::new();
    for _ in 0..12 {
        let (sequence, part) = at;
        let file = format!("video.m3u8?_HLS_msn={sequence}&_HLS_part={part}");
        let text = site.get(&file).await.text().await.expect("text");
        let listed = format!("video.{sequence}.{part}.m4s");
        let next_segment = format!("video.{}.", sequence + 1);
        if !text.contains(&format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{listed}")) {
            assert!(text.contains(&listed) || text.contains(&next_segment), "{file}\n{text}");
            let body = site.get(&listed).await;
            if body.status() == 200 {
                let body = body.bytes().await.expect("body");
                assert_eq!(&body[4..8], b"moof");
                ages.push(flow::now().mseconds() as f64 - decode_time_ms(&body));
            }
        }
        at = if text.contains(&next_segment) { (sequence + 1, 0) } else { (sequence, part + 1) };
    }
    ages.sort_by(f64::total_cmp);
    eprintln!("age of the first frame of a part when fetched, ms: {ages:?}");
    assert!(ages.len() >= 8, "{ages:?}");
    assert!(ages[ages.len() / 2] < 1200.0, "{ages:?}");
}

/// `tfdt` of one of our fragments, in ms.
fn decode_time_ms(fragment: &[u8]) -> f64 {
    let at = fragment.windows(4).position(|w| w == b"tfdt").expect("a tfdt") + 8;
    let ticks = u64::from_be_bytes(fragment[at..at + 8].try_into().expect("eight bytes"));
    ticks as f64 / 90.0
}

/// The decoder configuration changes while the stream runs, and later the node is restarted.
#[tokio::test(flavor = "multi_thread")]
async fn sound_alone_plays_and_goes_on_after_a_restart() {
    let settings = Settings { segment_s: 1, part_ms: 0, ..Settings::default() };
    let site = site(settings, SOUND).await;
    let master = site.get("index.m3u8").await.text().await.expect("text");
    assert!(master.contains("CODECS=\"mp4a.40.2\"\naudio.m3u8"), "{master}");
    let before = site.playlist("audio.m3u8").await;

    let feed = Feed::new("audio", Kind::Audio);
    let other = SOUND.replace("channels=2", "channels=1");
    let pattern = Node::parse("pattern-2", &other).expect("elements are installed");
    pattern.output("audio", &feed.sole_writer()).expect("an appsink");
    pattern.start().await.expect("starts");
    site.task.cancel.cancel();
    let inputs = Inputs { audio: Some(feed), video: None, ..Inputs::default() };
    let task = Task::new("hls-again");
    tokio::spawn(segments::run(task.clone(), inputs, site.segment_store.clone(), settings));
    let after = async {
        loop {
            let text = hls::playlist(&site.segment_store, &TrackId::Audio, "", None, false)
                .await
                .expect("a playlist")
                .text;
            if text.contains("#EXT-X-DISCONTINUITY\n") {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let after = tokio::time::timeout(Duration::from_secs(20), after).await.expect("in time");
    assert_eq!(after.matches("#EXT-X-MAP").count(), 2, "{after}");
    let numbers = |text: &str| -> Vec<u64> {
        let lines = text.lines().filter_map(|l| l.strip_prefix("audio.")?.strip_suffix(".m4s"));
        lines.map(|n| n.parse().expect("a number")).collect()
    };
    let numbers = numbers(&after);
    assert!(numbers.windows(2).all(|w| w[1] == w[0] + 1), "{numbers:?}");
    assert!(numbers[0] >= before.media_sequence);
    task.cancel.cancel();
}

/// The captions that a playlist has now, as read by ffmpeg. ffmpeg does not follow live captions,
/// so it gets them as a finished playlist.
async fn captions_now(site: &Site, playlist: &str) -> HashMap<char, Vec<(f64, f64)>> {
    let folder = tempfile::tempdir().expect("a folder");
    let text = site.get(playlist).await.text().await.expect("text");
    let text = text.replace("?token=let%20me%20in", "") + "#EXT-X-ENDLIST\n";
    for file in text.lines().filter(|line| line.ends_with(".vtt")) {
        let answer = site.get(file).await;
        assert_eq!(answer.headers()["content-type"], "text/vtt; charset=utf-8");
        let body = answer.bytes().await.expect("a body");
        std::fs::write(folder.path().join(file), body).expect("written");
    }
    let local = folder.path().join(playlist);
    std::fs::write(&local, text).expect("written");
    packets(&local.display().to_string()).await
}

/// hls.js switches to another audio language during playback.
#[tokio::test(flavor = "multi_thread")]
async fn hls_js_changes_the_language_of_the_sound() {
    let site = site(Settings::default(), &format!("{PICTURES} {SOUND} {DUB}")).await;
    let options = ["--seconds", "18", "--sound", "es"];
    let Some(report) = play_in_chromium(&site, &options).await else { return };
    eprintln!("{report}");
    assert_eq!((&report["sounds"][1], &report["sound"]), (&"es".into(), &"es".into()), "{report}");
    assert!(report["fetched"]["es"].as_u64().is_some_and(|n| n > 3), "{report}");
    assert!(report["fetched"]["original"].as_u64().is_some_and(|n| n > 3), "{report}");
    assert!(report["position_s"].as_f64().is_some_and(|s| s > 10.0), "it plays on: {report}");
    assert!(!report["errors"].to_string().contains("fatal=true"), "{report}");
}

/// The report of hls.js after playing a site for some seconds. `None`, with a message, if the
/// packages that `make test` installs into `tests/clients` are missing.
async fn play_in_chromium(site: &Site, options: &[&str]) -> Option<serde_json::Value> {
    report_of("hls.js", &["hls.mjs", &site.entry("index.m3u8")], options).await
}

/// The report of a player's script with these options, unless its package is missing.
async fn report_of(package: &str, script: &[&str], options: &[&str]) -> Option<serde_json::Value> {
    let clients = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    if !clients.join("node_modules").join(package).exists() {
        crate::needs::skip(format!("{package}, from `make setup`"));
        return None;
    }
    let output = Command::new("node")
        .args(script)
        .args(options)
        .current_dir(clients)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(90), output);
    let output = output.await.expect("in time").expect("node is installed");
    let said = String::from_utf8_lossy(&output.stdout);
    let report = serde_json::from_str(said.trim())
        .unwrap_or_else(|e| panic!("{e}: {said}{}", String::from_utf8_lossy(&output.stderr)));
    Some(report)
}

/// hls.js in Chromium at low latency plays without an error and fetches parts.
#[tokio::test(flavor = "multi_thread")]
async fn hls_js_plays_with_low_latency() {
    let site = site(Settings::default(), &format!("{PICTURES} {SOUND}")).await;
    let Some(report) = play_in_chromium(&site, &["--seconds", "15"]).await else { return };
    eprintln!("{report}");
    let number = |name: &str| report[name].as_f64().unwrap_or(0.0);
    assert_eq!(report["size"], "320x180", "{report}");
    assert!(number("frames") > 200.0 && number("audio_bytes") > 1000.0, "{report}");
    assert!(number("parts") > 10.0, "{report}");
    assert!(!report["errors"].to_string().contains("fatal=true"), "{report}");
    assert!(number("latency_s") < 5.0, "{report}");
}

/// hls.js shows captions at the time of their speech, although they arrive two seconds after it; a
/// second language is offered beside the first.
#[tokio::test(flavor = "multi_thread")]
async fn hls_js_shows_captions_at_their_moment() {
    let site = site(Settings::default(), &format!("{PICTURES} {SOUND}")).await;
    let feed = |tag: &str| CueFeed::new(format!("captions.{tag}"), tag.parse().expect("a tag"));
    let (english, spanish) = (feed("en"), feed("es"));
    site.captions.set(vec![english.clone(), spanish.clone()]);
    let spoken = Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = spoken.clone();
    let speaking = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(1500));
        for id in 1.. {
            tick.tick().await;
            let now = Duration::from_nanos(flow::now().nseconds());
            let Some(start) = now.checked_sub(Duration::from_millis(3200)) else { continue };
            let at = flow::wall_clock(gst::ClockTime::from_nseconds(start.as_nanos() as u64));
            let cue = Cue {
                id,
                language: english.language().clone(),
                stage: Stage::Committed,
                start,
                end: start + Duration::from_millis(1200),
                text: at.as_millis().to_string(),
                words: Arc::default(),
                ends_sentence: true,
                origin: Arc::new(Origin { engine: "test".into(), model: None }),
                speaker: None,
            };
            noted.lock().expect("not poisoned").push(start.as_secs_f64());
            spanish.publish(Cue { language: spanish.language().clone(), ..cue.clone() });
            english.publish(cue);
        }
    });
    // The stream must have been on air for as long as a player stays behind.
    let listed = async |file: &str| {
        let answer = site.get(file).await;
        let listed = answer.status() == 200;
        answer.text().await.is_ok_and(|text| listed && text.matches("#EXTINF").count() > 2)
    };
    while !listed("captions-es.m3u8").await {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let report = play_in_chromium(&site, &["--seconds", "15"]).await;
    let packets = captions_now(&site, "captions-en.m3u8").await;
    speaking.abort();
    let spoken = spoken.lock().expect("not poisoned").clone();
    let off = |at: f64| spoken.iter().map(|start| (at - start).abs()).fold(f64::MAX, f64::min);
    let read: Vec<f64> = packets[&'s'].iter().map(|(at, _)| off(*at)).collect();
    eprintln!("as ffmpeg reads them, off by seconds: {read:?}");
    assert!(read.len() >= 6 && read.iter().all(|off| *off < 0.002), "{read:?}");
    let Some(report) = report else { return };
    assert_eq!(report["tracks"], serde_json::json!(["en", "es"]), "{report}");
    let off: Vec<f64> = report["cues"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|cue| {
            let spoken: f64 = cue["text"].as_str()?.trim().parse().ok()?;
            Some(cue["at_ms"].as_f64()? - spoken)
        })
        .collect();
    eprintln!("shown after it was spoken, ms: {off:?}; behind live {}", report["latency_s"]);
    assert!(off.len() >= 6, "{report}");
    // Browsers check cues four times a second; none is shown before its time.
    let steady = &off[1..];
    assert!(steady.iter().all(|ms| (-60.0..450.0).contains(ms)), "{off:?}");
    assert!(!report["errors"].to_string().contains("fatal=true"), "{report}");
}

/// File names and query strings of players.
#[test]
fn fuzz_hls_request() {
    use percent_encoding::{AsciiSet, CONTROLS};
    const QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>');
    crate::fuzz::run("hls-request", |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (name, query) = text.split_once('?').unwrap_or((&text, ""));
        let _ = File::parse(name);
        let uri = format!("/?{}", utf8_percent_encode(query, QUERY));
        if let Ok(uri) = uri.parse() {
            let _ = axum::extract::Query::<Wanted>::try_from_uri(&uri);
        }
    });
}
