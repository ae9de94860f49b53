//! Players of other makers on the same WHEP: what each can do of codecs, captions, networks and losses.
//! docs/players.md names the test of each.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::api::Stream;
use crate::support::appliance::{ADMIN, Appliance};
use crate::support::client::Client;
use crate::support::line::Line;
use crate::support::needs::skip;
use crate::support::{eventually, s};

/// Share of the datagrams that a bad line loses.
const LOSS: f64 = 0.02;

/// A test source of H.264, with captions that the test pushes.
async fn captioned(appliance: &Appliance) -> Stream {
    let captions = json!({ "language": "en" });
    let spec = json!({ "name": "shown", "source": { "type": "test" }, "captions": captions });
    let stream = appliance.api.create(spec).await;
    stream.wait_state("live", s(30)).await;
    let has_cues = |s: &Value| s["cues"].as_array().is_some_and(|cues| !cues.is_empty());
    stream.wait("captions are there", s(30), has_cues).await;
    stream
}

/// Whether this many pictures have been played, and sound has been heard.
fn plays(event: &Value, pictures: u64) -> bool {
    let shown = ["decoded", "frames"].iter().find_map(|name| event[*name].as_u64());
    let shown = shown.or(event["video"]["pictures"].as_u64());
    let heard =
        event["energy"].as_f64() > Some(0.0) || event["audio"]["packets"].as_u64() > Some(30);
    shown > Some(pictures) && heard
}

/// Pushes a cue as soon as a player reads captions, and waits until it has come.
async fn reads_a_caption(stream: &Stream, player: &mut Client) {
    let greeted = |e: &Value| e["languages"] == json!(["en"]);
    player.wait_until("progress", s(40), greeted).await;
    let cue = json!({ "language": "en", "text": "Good evening." });
    stream.api.must_post(&format!("{}/captions/cues", stream.path()), &cue).await;
    let come = |e: &Value| e["cues"].to_string().contains("Good evening.");
    player.wait_until("progress", s(20), come).await;
}

/// Restarts ICE, and waits until pictures come on the new path.
async fn moves(player: &mut Client) {
    player.tell("restart").await;
    let moved = player.wait_for("restarted", s(40)).await;
    assert_ne!(moved["before"]["local_port"], moved["after"]["local_port"], "{moved}");
    let now = player.wait_for("progress", s(10)).await;
    let shown = ["decoded", "frames"].iter().find_map(|name| now[*name].as_u64());
    let shown = shown.or(now["video"]["pictures"].as_u64()).unwrap_or_default();
    player.wait_until("progress", s(30), |e| plays(e, shown + 30)).await;
}

/// The viewers as the API lists them, as soon as there are so many with this transport.
async fn listed(stream: &Stream, transport: &str, count: usize) -> Vec<Value> {
    eventually(&format!("{count} viewers by {transport}"), s(20), || async {
        let list = stream.api.must_get(&format!("{}/viewers", stream.path())).await;
        let list = list["viewers"].as_array().cloned().unwrap_or_default();
        let by: Vec<Value> = list.iter().filter(|v| v["transport"] == transport).cloned().collect();
        if by.len() == count { Ok(by) } else { Err(json!(list).to_string()) }
    })
    .await
}

/// Whether this machine has an IPv6 address that others can reach.
fn has_ipv6() -> bool {
    let list = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    // The fourth column is the scope: 00 is global.
    let found = list.lines().any(|line| line.split_whitespace().nth(3) == Some("00"));
    if !found {
        skip("an IPv6 address");
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn firefox_plays_both_codecs_by_each_network_and_restarts() {
    let appliance = Appliance::start().await;
    let stream = captioned(&appliance).await;
    let (url, token) = (stream.whep(), stream.play_token());
    let firefox = |args: &[&str]| {
        let all = [&[&*url, "--token", &token, "--patience", "60"], args].concat();
        Client::firefox(None, "whep", &all)
    };
    let Some(mut first) = firefox(&["--codec", "h264", "--captions", "all"]) else { return };
    let seen = first.wait_until("progress", s(60), |e| plays(e, 30)).await;
    assert_eq!(codec(&seen), "h264", "{seen}");
    reads_a_caption(&stream, &mut first).await;
    moves(&mut first).await;
    first.finish().await;

    // One after the other: each is a browser of its own.
    let mut by_tcp = firefox(&["--codec", "vp8", "--only", "tcp"]).expect("it is there");
    let seen = by_tcp.wait_until("progress", s(60), |e| plays(e, 30)).await;
    assert_eq!(codec(&seen), "vp8", "{seen}");
    listed(&stream, "tcp", 1).await;
    by_tcp.finish().await;
    if has_ipv6() {
        let mut by_ipv6 = firefox(&["--only", "ipv6"]).expect("it is there");
        by_ipv6.wait_until("progress", s(60), |e| plays(e, 30)).await;
        by_ipv6.finish().await;
    }
}

/// Firefox tells what its line carries, so it begins with a rung and may choose another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn firefox_shows_our_page_with_captions_and_qualities() {
    let appliance = Appliance::start().await;
    let spec = json!({
        "name": "paged", "source": { "type": "test" }, "captions": { "language": "en" },
        "ladder": [{ "height": 180, "kbps": 200 }]
    });
    let stream = appliance.api.create(spec).await;
    stream.wait_state("live", s(30)).await;
    let page = appliance.api.url("/");
    let args = [
        &*page,
        "--token",
        ADMIN,
        "--stream",
        "paged",
        "--captions",
        "Good evening",
        "--quality",
        "source",
        "--patience",
        "60",
    ];
    let Some(browser) = Client::firefox(None, "page", &args) else { return };
    let (mut estimate, push) = (Value::Null, format!("{}/captions/cues", stream.path()));
    let look = async {
        loop {
            appliance
                .api
                .must_post(&push, &json!({ "language": "en", "text": "Good evening." }))
                .await;
            let list = appliance.api.must_get(&format!("{}/viewers", stream.path())).await;
            let told = &list["viewers"][0]["estimate_kbps"];
            if told.is_number() {
                estimate = told.clone();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let report = tokio::select! {
        report = browser.report(s(120)) => report,
        () = look => unreachable!("it goes on for ever"),
    };
    assert!(estimate.as_f64() > Some(0.0), "it sends feedback: {estimate}");
    assert_eq!(report["qualities"], json!(["auto", "source", "180p"]), "{report}");
    assert_eq!((&report["width"], &report["errors"]), (&json!(640), &json!([])), "{report}");
}

/// The codec of the pictures that a browser plays.
fn codec(seen: &Value) -> String {
    seen["codec_video"].as_str().unwrap_or_default().to_lowercase()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pion_plays_both_codecs_by_each_network_restarts_and_recovers_what_is_lost() {
    let appliance = Appliance::start().await;
    let stream = captioned(&appliance).await;
    let (url, token) = (stream.whep(), stream.play_token());
    let pion = |args: &[&str]| Client::pion(&[&[&*url, "--token", &token], args].concat());
    let Some(mut moving) = pion(&["--captions"]) else { return };
    let loss = LOSS.to_string();
    let mut bad = pion(&["--codec", "vp8", "--loss", &loss]).expect("it is there");
    let mut by_tcp = pion(&["--network", "tcp"]).expect("it is there");
    let by_ipv6 = has_ipv6().then(|| pion(&["--network", "udp6"]).expect("it is there"));

    reads_a_caption(&stream, &mut moving).await;
    moves(&mut moving).await;
    let report = moving.finish().await;
    assert_eq!(report["video"]["codec"], "video/H264", "{report}");

    by_tcp.wait_until("progress", s(30), |e| plays(e, 90)).await;
    listed(&stream, "tcp", 1).await;
    let report = by_tcp.finish().await;
    assert_eq!(
        (&report["video"]["lost"], &report["audio"]["lost"]),
        (&json!(0), &json!(0)),
        "{report}"
    );
    if let Some(mut by_ipv6) = by_ipv6 {
        let seen = by_ipv6.wait_until("progress", s(30), |e| plays(e, 90)).await;
        assert!(seen["path"]["remote"].as_str().is_some_and(|at| at.contains(':')), "{seen}");
        assert_eq!(by_ipv6.finish().await["video"]["lost"], 0);
    }
    let recovers = |e: &Value| plays(e, 120) && e["video"]["recovered"].as_u64() > Some(5);
    bad.wait_until("progress", s(60), recovers).await;
    let report = bad.finish().await;
    let (video, dropped) = (&report["video"], &report["dropped"]);
    assert_eq!((&video["codec"], &video["lost"]), (&json!("video/VP8"), &json!(0)), "{report}");
    assert!(video["key_frames"].as_u64() > Some(0) && dropped.as_u64() > Some(5), "{report}");
    eprintln!("  pion on a bad line: {report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chromium_and_aiortc_play_vp8_by_tcp_and_by_ipv6() {
    let appliance = Appliance::start().await;
    let stream = captioned(&appliance).await;
    let (url, token) = (stream.whep(), stream.play_token());
    let args = [&url, "--token", &token, "--codec", "vp8", "--only", "tcp", "--patience", "60"];
    let mut browser = Client::browser("whep", &args);
    let seen = browser.wait_until("progress", s(60), |e| plays(e, 30)).await;
    assert_eq!(codec(&seen), "vp8", "{seen}");
    listed(&stream, "tcp", 1).await;
    browser.finish().await;
    if !has_ipv6() {
        return;
    }
    let args = [&url, "--token", &token, "--only", "ipv6", "--patience", "60"];
    let mut browser = Client::browser("whep", &args);
    let args = [&url, "--token", &token, "--codec", "vp8", "--captions", "--only-ipv6"];
    let mut aiortc = Client::python("whep.py", &args);
    aiortc.wait_until("progress", s(60), |e| plays(e, 30)).await;
    reads_a_caption(&stream, &mut aiortc).await;
    browser.wait_until("progress", s(60), |e| plays(e, 30)).await;
    tokio::join!(aiortc.finish(), browser.finish());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn players_on_a_line_that_loses_packets_ask_for_them_again() {
    let Some(mut line) = Line::lay().await else { return };
    let appliance = Appliance::start_on(&line.ends[0]).await;
    let stream =
        appliance.api.create(json!({ "name": "lossy", "source": { "type": "test" } })).await;
    stream.wait_state("live", s(30)).await;
    line.set(0, LOSS, 30).await;
    let (place, token) = (line.ends[1].clone(), stream.play_token());
    let url = format!("http://{}:{}/whep/lossy", line.ends[0].on_line, appliance.ports.http);
    let args = [&*url, "--token", &token, "--patience", "60"];
    let mut aiortc = Client::python_at(&place, "whep.py", &args);
    let mut browser = Client::browser_at(&place, "whep", &args);
    let recovers = |e: &Value| plays(e, 150) && e["nacks"].as_u64() > Some(2);
    let seen = browser.wait_until("progress", s(90), recovers).await;
    eprintln!("  Chromium on a bad line: {seen}");
    aiortc.wait_until("progress", s(60), |e| plays(e, 150)).await;
    let carried = line.carried().await;
    assert!(carried["a_to_b"]["lost"].as_u64() > Some(10), "{carried}");
    tokio::join!(browser.finish(), aiortc.finish());
}
