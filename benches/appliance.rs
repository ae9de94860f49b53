//! Costs of publishers and viewers, and the latency of video.
//!
//! `make bench`. Everything runs on this machine, including publishers and viewers. The figures are
//! of the appliance's process only, but a busy machine increases latency.

#[path = "../tests/support/mod.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod support;

use serde_json::{Value, json};
use support::api::Stream;
use support::appliance::Appliance;
use support::client::Client;
use support::media::Coding;
use support::publish::Ffmpeg;
use support::s;
use support::usage::Usage;

/// Averaging time of each figure, in seconds.
const WINDOW_S: u64 = 10;

/// Publishers of each kind.
const PUBLISHERS: u32 = 4;

/// Viewers of each kind, besides the one that starts shared work.
const VIEWERS: u32 = 4;

/// Frames displayed this soon after the first are not measured, in seconds.
const JOIN_S: f64 = 2.0;

/// How long latency is measured, in seconds.
const LATENCY_S: u32 = 30;

/// Processor use over the window, and resources at its end.
async fn reading(appliance: &Appliance) -> (f64, Usage) {
    // Excludes the cost of starting.
    tokio::time::sleep(s(2)).await;
    let before = appliance.usage();
    tokio::time::sleep(s(WINDOW_S)).await;
    let after = appliance.usage();
    (after.cpu_since(&before), after)
}

fn row(what: &str, count: u32, before: &(f64, Usage), after: &(f64, Usage)) {
    let each = |a: u64, b: u64| (a as f64 - b as f64) / f64::from(count);
    eprintln!(
        "| {what:<40} | {:>7.2} | {:>7.1} | {:>8.1} |",
        (after.0 - before.0) / f64::from(count),
        each(after.1.threads, before.1.threads),
        each(after.1.rss_kib, before.1.rss_kib) / 1024.0,
    );
}

async fn streams(appliance: &Appliance, prefix: &str) -> Vec<Stream> {
    let mut made = Vec::new();
    for n in 0..PUBLISHERS {
        let spec = json!({ "name": format!("{prefix}-{n}") });
        let stream = appliance.api.create(spec).await;
        made.push(stream);
    }
    made
}

async fn all_live(streams: &[Stream]) {
    for stream in streams {
        stream.wait_state("live", s(30)).await;
    }
}

async fn cost_of_publishers() {
    let appliance = Appliance::start().await;
    let idle = reading(&appliance).await;
    eprintln!(
        "| {:<40} | {:>7.2} | {:>7} | {:>8.1} |",
        "the appliance, idle",
        idle.0,
        idle.1.threads,
        idle.1.rss_kib as f64 / 1024.0
    );

    let made = streams(&appliance, "srt").await;
    let before = reading(&appliance).await;
    let senders: Vec<_> =
        made.iter().map(|s| Ffmpeg::send(Coding::H264BFrames, &appliance.srt(s))).collect();
    all_live(&made).await;
    row("SRT publisher, H.264+AAC, 0.9 Mbit/s", PUBLISHERS, &before, &reading(&appliance).await);
    drop(senders);

    let made = streams(&appliance, "rtmp").await;
    let before = reading(&appliance).await;
    let senders: Vec<_> =
        made.iter().map(|s| Ffmpeg::send(Coding::H264BFrames, &appliance.rtmp(s))).collect();
    all_live(&made).await;
    row("RTMP publisher, H.264+AAC, 0.9 Mbit/s", PUBLISHERS, &before, &reading(&appliance).await);
    drop(senders);

    let made = streams(&appliance, "whip").await;
    let before = reading(&appliance).await;
    let senders: Vec<_> = made
        .iter()
        .map(|s| Client::python("whip.py", &[&s.whip(), "--token", &s.publish_token()]))
        .collect();
    all_live(&made).await;
    row("WHIP publisher, VP8+Opus, 320x240", PUBLISHERS, &before, &reading(&appliance).await);
    drop(senders);
}

async fn cost_of_viewers() {
    let appliance = Appliance::start().await;
    let spec = json!({ "name": "watched", "source": { "type": "test" } });
    let stream = appliance.api.create(spec).await;
    stream.wait_state("live", s(30)).await;
    let before = reading(&appliance).await;
    eprintln!(
        "| {:<40} | {:>7.2} |         |          |",
        "test source, 640x360, x264, nobody watches", before.0
    );

    let token = stream.play_token();
    let whep = || Client::python("whep.py", &[&stream.whep(), "--token", &token]);
    let mut first = whep();
    first.wait_for("playing", s(60)).await;
    let before = reading(&appliance).await;
    let mut viewers: Vec<_> = (0..VIEWERS).map(|_| whep()).collect();
    for viewer in &mut viewers {
        viewer.wait_for("playing", s(60)).await;
    }
    row("WHEP viewer, H.264 1.2 Mbit/s", VIEWERS, &before, &reading(&appliance).await);
    drop((first, viewers));

    // -re paces FFmpeg like a player with a screen.
    let hls = || Ffmpeg::with(&format!("-re -i {} -f null -", stream.hls()));
    let first = hls();
    stream.wait("a player of HLS", s(30), |s| s["viewers"]["hls"].as_u64() >= Some(1)).await;
    let before = reading(&appliance).await;
    let viewers: Vec<_> = (0..VIEWERS).map(|_| hls()).collect();
    row("HLS viewer, 2 s segments", VIEWERS, &before, &reading(&appliance).await);
    drop((first, viewers));

    let srt = || Ffmpeg::with(&format!("-i {} -c copy -f null -", appliance.srt_play(&stream)));
    let first = srt();
    stream.wait("a player by SRT", s(30), |s| s["viewers"]["srt"].as_u64() >= Some(1)).await;
    let before = reading(&appliance).await;
    let viewers: Vec<_> = (0..VIEWERS).map(|_| srt()).collect();
    let enough = u64::from(VIEWERS) + 1;
    stream.wait("players by SRT", s(30), |s| s["viewers"]["srt"].as_u64() >= Some(enough)).await;
    row("SRT viewer", VIEWERS, &before, &reading(&appliance).await);
    drop((first, viewers));
}

fn latency_row(path: &str, figures: &Value) {
    let ms = |field: &str| figures[field].as_f64().unwrap_or(f64::NAN);
    eprintln!("| {path:<48} | {:>7.0} | {:>7.0} | {:>6} |", ms("p50"), ms("p95"), figures["count"]);
}

/// Percentiles of the delay of each flash after the full second (shifted by `offset_s`).
fn after_the_second(shown: impl IntoIterator<Item = f64>, offset_s: f64) -> Value {
    // A browser reports a frame's time by its screen's refresh, which may have begun before the
    // frame arrived: a delay of almost a second is slightly early.
    let signed = |after: f64| if after > 0.9 { after - 1.0 } else { after };
    let mut late: Vec<f64> =
        shown.into_iter().map(|t| signed((t - offset_s).rem_euclid(1.0)) * 1000.0).collect();
    late.sort_by(f64::total_cmp);
    let at = |p: f64| late.get(((late.len() as f64 - 1.0) * p).round() as usize).copied();
    json!({ "p50": at(0.5), "p95": at(0.95), "count": late.len() })
}

/// A viewer's report for both ways of reading latency.
async fn aiortc(stream: &Stream) -> Value {
    let (token, seconds) = (stream.play_token(), LATENCY_S.to_string());
    let args = [&stream.whep(), "--token", &token, "--seconds", &seconds];
    Client::python("whep.py", &args).report(s(120)).await
}

async fn chromium(stream: &Stream, options: &[&str]) -> Vec<f64> {
    let (token, seconds) = (stream.play_token(), LATENCY_S.to_string());
    let address = stream.whep();
    let mut args = vec![address.as_str(), "--token", &token, "--seconds", &seconds];
    args.extend(options);
    let report = Client::browser("whep", &args).report(s(120)).await;
    let flashes = report["flashes"].as_array().cloned().unwrap_or_default();
    let shown: Vec<f64> = flashes.iter().filter_map(|f| f["wall"].as_f64()).collect();
    // A viewer that joins gets the frames since the last key frame compressed in time, including
    // flashes: measures only what follows, as aiortc does.
    let begun = report["began_wall"].as_f64().unwrap_or_default() + JOIN_S;
    eprintln!(
        "  Chromium holds pictures for {:.0} ms and sound for {:.0} ms, {} concealed",
        report["jitter_buffer_ms"].as_f64().unwrap_or(f64::NAN),
        report["audio_buffer_ms"].as_f64().unwrap_or(f64::NAN),
        report["concealed"],
    );
    shown.into_iter().filter(|t| *t > begun).collect()
}

async fn latency() {
    let appliance = Appliance::start().await;
    let spec = json!({ "name": "pattern", "source": { "type": "test" } });
    let pattern = appliance.api.create(spec).await;
    pattern.wait_state("live", s(30)).await;
    let report = aiortc(&pattern).await;
    latency_row("test source (H.264) → aiortc, flashes", &report["flash_latency_ms"]);
    latency_row("test source (H.264) → aiortc, all frames", &report["frame_latency_ms"]);
    // The pattern flashes at full seconds of the appliance's own clock; aiortc reports their offset
    // to the wall clock.
    let made = report["flash_sender_times"][0].as_f64().unwrap_or(f64::NAN);
    let shown = chromium(&pattern, &[]).await;
    latency_row("test source (H.264) → Chromium, flashes shown", &after_the_second(shown, made));
    let shown = after_the_second(chromium(&pattern, &["--eager"]).await, made);
    latency_row("the same, as the page plays it", &shown);
    appliance.api.must_delete(&pattern.path()).await;

    let webrtc = appliance.api.create(json!({ "name": "camera" })).await;
    let args = [&webrtc.whip(), "--token", &webrtc.publish_token()];
    let mut camera = Client::python("whip.py", &args);
    camera.wait_for("publishing", s(60)).await;
    webrtc.wait_state("live", s(30)).await;
    let arrivals = aiortc(&webrtc).await["flash_arrivals"].as_array().cloned().unwrap_or_default();
    let arrivals = arrivals.iter().filter_map(Value::as_f64);
    latency_row("aiortc → WHIP (VP8) → WHEP → aiortc, flashes", &after_the_second(arrivals, 0.0));
    let shown = after_the_second(chromium(&webrtc, &[]).await, 0.0);
    latency_row("aiortc → WHIP (VP8) → WHEP → Chromium, flashes", &shown);
    let shown = after_the_second(chromium(&webrtc, &["--eager"]).await, 0.0);
    latency_row("the same, as the page plays it", &shown);
    drop(camera);
}

#[tokio::main]
async fn main() {
    // `cargo test --bench appliance -- FILTER` passes arguments: the first plain one is a
    // filter, and a test run only checks that the bench starts.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|a| a == "--test") {
        return;
    }
    let filter = arguments.iter().find(|a| !a.starts_with('-')).cloned().unwrap_or_default();
    let wanted = |name: &str| name.contains(&filter);
    if wanted("cost") {
        eprintln!("\n| each                                     | CPU %   | threads | RSS MiB  |");
        eprintln!("|------------------------------------------|---------|---------|----------|");
        cost_of_publishers().await;
        cost_of_viewers().await;
    }
    if wanted("latency") {
        eprintln!(
            "\n| latency, from the frame's making to the client   | p50 ms  | p95 ms  | frames |"
        );
        eprintln!(
            "|--------------------------------------------------|---------|---------|--------|"
        );
        latency().await;
    }
}
