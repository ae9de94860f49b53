//! A hundred joins and leaves per protocol leak no threads, files or memory.

use std::future::Future;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::support::api::Stream;
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::media::{Coding, media};
use crate::support::usage::Usage;
use crate::support::{eventually, s};

/// Joins between the two readings.
const JOINS: usize = 100;

/// Joins before the first reading, so that pools, caches and allocator arenas have reached the size
/// that parallel joins need.
const WARM_UP: usize = 60;

/// The same for SRT viewers: libsrt's large buffers are spread over the arenas of many threads,
/// which stop growing only after some hundred joins.
const SRT_WARM_UP: usize = 300;

/// Parallel joins.
const PARALLEL: usize = 4;

/// Threads and files that may vary with pools: far below one per ten joins.
const STRAY_MAX: u64 = 4;

/// Growth of memory per hundred joins, in KiB. The allocator keeps pages of ended threads; a leak
/// of one GOP per join would be 20 MiB.
const RSS_GROWTH_MAX_KIB: u64 = 16 * 1024;

/// Waits until earlier joins are cleaned up: threads and files do not fall for three seconds.
async fn settled(appliance: &Appliance) -> Usage {
    let mut least = appliance.usage();
    let start = Instant::now();
    let mut since = start;
    while since.elapsed() < s(3) {
        assert!(start.elapsed() < s(60), "threads and files never settle: {least}");
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = appliance.usage();
        if now.threads < least.threads || now.fds < least.fds {
            since = Instant::now();
            least = now;
        }
        least.rss_kib = now.rss_kib;
    }
    least
}

/// Runs the joins and compares the appliance's resources before and after.
async fn compare<F: Future<Output = ()>>(
    appliance: &Appliance,
    what: &str,
    warm_up: usize,
    join: impl Fn(usize) -> F,
) {
    join(warm_up).await;
    let before = settled(appliance).await;
    let start = Instant::now();
    join(JOINS).await;
    let took = start.elapsed();
    let mut after = settled(appliance).await;
    // A peer whose goodbye was lost times out after five seconds.
    let waited = Instant::now();
    while (after.threads > before.threads + STRAY_MAX || after.fds > before.fds + STRAY_MAX)
        && waited.elapsed() < s(20)
    {
        after = settled(appliance).await;
    }
    eprintln!(
        "  {what:<16} before: {before}; after {JOINS}: {after} ({:.0} s)",
        took.as_secs_f64()
    );
    assert!(after.threads <= before.threads + STRAY_MAX, "{what}: threads are left behind");
    assert!(after.fds <= before.fds + STRAY_MAX, "{what}: files are left behind");
    let grown = after.rss_kib.saturating_sub(before.rss_kib);
    assert!(grown < RSS_GROWTH_MAX_KIB, "{what}: {grown} KiB are left behind");
}

/// Streams for publishers that connect in parallel.
async fn doors(appliance: &Appliance, prefix: &str) -> Vec<Stream> {
    let mut streams = Vec::new();
    for n in 0..PARALLEL {
        let spec =
            json!({ "name": format!("{prefix}-{n}"), "linger_s": 0, "on_conflict": "replace" });
        streams.push(appliance.api.create(spec).await);
    }
    streams
}

/// Attempts of a publisher: a handshake that fails on a loaded machine is repeated, as by encoders.
const ATTEMPTS_MAX: usize = 3;

/// One publisher: FFmpeg sends half a second of media in real time and disconnects.
async fn send_a_little(url: &str) {
    let format = if url.starts_with("rtmp") { "flv" } else { "mpegts" };
    for attempt in 1..=ATTEMPTS_MAX {
        let status = Command::new("ffmpeg")
            .args(["-v", "quiet", "-nostdin", "-re", "-i"])
            .arg(media(Coding::H264BFrames))
            .args(["-t", "0.5", "-c", "copy", "-f", format, url])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .status();
        let ended = tokio::time::timeout(s(20), status).await;
        if matches!(ended, Ok(Ok(s)) if s.success()) {
            return;
        }
        eprintln!("  attempt {attempt} of a publisher: {ended:?}");
    }
    panic!("a publisher was refused {ATTEMPTS_MAX} times: {format}");
}

async fn come_and_go(urls: &[String], joins: usize) {
    let lanes = urls.iter().map(|url| async move {
        for _ in 0..joins / PARALLEL {
            send_a_little(url).await;
        }
    });
    futures::future::join_all(lanes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_leave_nothing_behind() {
    let appliance = Appliance::start().await;
    let streams = doors(&appliance, "srt").await;
    let urls: Vec<_> = streams.iter().map(|s| appliance.srt(s)).collect();
    compare(&appliance, "SRT publishers", WARM_UP, |n| come_and_go(&urls, n)).await;

    let streams = doors(&appliance, "rtmp").await;
    let urls: Vec<_> = streams.iter().map(|s| appliance.rtmp(s)).collect();
    compare(&appliance, "RTMP publishers", WARM_UP, |n| come_and_go(&urls, n)).await;

    let streams = doors(&appliance, "whip").await;
    compare(&appliance, "WHIP publishers", WARM_UP, |n| {
        let lanes = streams.iter().map(move |stream| {
            let joins = (n / PARALLEL).to_string();
            let args = [&stream.whip(), "--token", &stream.publish_token(), "--joins", &joins];
            Client::python("whip.py", &args).report(s(180))
        });
        let all = futures::future::join_all(lanes);
        async { drop(all.await) }
    })
    .await;
}

/// One SRT viewer: it leaves after the first packets.
async fn take_a_packet(url: &str) {
    let mut child = Command::new("srt-live-transmit")
        .args(["-q", url, "file://con"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("srt-tools are installed: run `make setup` first");
    let mut packets = [0; 1316];
    let stdout = child.stdout.as_mut().expect("stdout is piped");
    let read = tokio::time::timeout(s(20), stdout.read_exact(&mut packets)).await;
    assert!(matches!(read, Ok(Ok(_))), "an SRT viewer got nothing: {read:?}");
    assert_eq!(packets[0], 0x47, "transport stream packets begin with 0x47");
    let _ = child.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_leave_nothing_behind() {
    let appliance = Appliance::start().await;
    let spec = json!({ "name": "watched", "source": { "type": "test" } });
    let stream = appliance.api.create(spec).await;
    stream.wait_state("live", s(20)).await;

    compare(&appliance, "WHEP viewers", WARM_UP, |n| {
        let (joins, lanes) = (n.to_string(), PARALLEL.to_string());
        let (url, token) = (stream.whep(), stream.play_token());
        async move {
            let args = [&url, "--token", &token, "--joins", &joins, "--parallel", &lanes];
            Client::python("whep.py", &args).report(s(240)).await;
        }
    })
    .await;

    compare(&appliance, "HLS viewers", WARM_UP, |n| {
        let stream = &stream;
        let players = futures::stream::iter(0..n).map(move |_| play_a_segment(stream));
        async move { players.buffer_unordered(PARALLEL).collect().await }
    })
    .await;

    let url = appliance.srt_play(&stream);
    compare(&appliance, "SRT viewers", SRT_WARM_UP, |n| {
        let viewers = futures::stream::iter(0..n).map(|_| take_a_packet(&url));
        async move { viewers.buffer_unordered(PARALLEL).collect().await }
    })
    .await;
}

/// One HLS viewer: master playlist, video playlist, newest segment.
async fn play_a_segment(stream: &Stream) {
    let api = stream.api.with_token(&stream.play_token());
    let folder = format!("/hls/{}", stream.name);
    let segment = eventually("a segment is listed", s(30), || async {
        let master = api.get(&format!("{folder}/index.m3u8")).await?;
        if master.status != 200 {
            return Err(master.text);
        }
        let list = api.get(&format!("{folder}/video.m3u8")).await?.text;
        let newest = list.lines().rfind(|l| l.contains(".m4s") && !l.starts_with('#'));
        newest.map(str::to_owned).ok_or(list.clone())
    })
    .await;
    let answer = api.get(&format!("{folder}/{segment}")).await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text.chars().take(200).collect::<String>());
}
