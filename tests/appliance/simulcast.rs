//! A publisher that sends one picture in several sizes, which viewers get as qualities.

use serde_json::{Value, json};

use crate::support::api::Stream;
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::line::Line;
use crate::support::s;

/// A feed of the stream.
fn feed<'a>(stream: &'a Value, name: &str) -> Option<&'a Value> {
    stream["feeds"].as_array()?.iter().find(|feed| feed["name"] == name)
}

/// Height of the stream's video.
fn height(stream: &Value) -> u64 {
    let video = feed(stream, "video");
    video.and_then(|video| video["format"]["video"]["height"].as_u64()).unwrap_or(0)
}

/// Heights of the qualities below the video.
fn rungs(stream: &Value) -> Vec<u64> {
    let ladder = stream["ladder"].as_array().into_iter().flatten();
    ladder.filter_map(|rung| rung["height"].as_u64()).collect()
}

/// Nodes that encode or decode video.
fn coders(stream: &Value) -> Vec<String> {
    let nodes = stream["nodes"].as_array().into_iter().flatten();
    let names = nodes.filter_map(|node| node["name"].as_str().map(str::to_owned));
    names.filter(|name| name.starts_with("encode.video") || name == "decode.video").collect()
}

/// Waits until all three sizes come.
async fn wait_for_all(stream: &Stream) -> Value {
    let all = "the video is the largest layer, and the others are qualities";
    stream.wait(all, s(90), |v| height(v) == 720 && rungs(v) == [360, 180]).await
}

async fn publish(stream: &Stream, codec: &str) -> Client {
    let token = stream.publish_token();
    let args = [&*stream.whip(), "--token", &token, "--codec", codec, "--layers"];
    let mut publisher = Client::browser("whip", &args);
    publisher.wait_for("publishing", s(60)).await;
    wait_for_all(stream).await;
    publisher
}

/// Chromium publishes in three sizes: each is a quality, nothing is encoded, and the video goes on when the
/// publisher stops its largest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn layers_of_a_publisher_are_qualities() {
    let appliance = Appliance::start().await;
    let stream = appliance.api.create(json!({ "name": "layers" })).await;
    let mut publisher = publish(&stream, "VP8").await;

    let (url, token) = (format!("{}?quality=180p", stream.whep()), stream.play_token());
    let args = [&*url, "--token", &token, "--quality", "source"];
    let mut viewer = Client::python("whep.py", &args);
    let offered = viewer.wait_for("quality", s(60)).await;
    let names: Vec<_> = offered["qualities"].as_array().into_iter().flatten().collect();
    let names: Vec<_> = names.iter().map(|quality| &quality["name"]).collect();
    assert_eq!(names, ["source", "360p", "180p"], "{offered}");
    assert_eq!(offered["playing"], "180p");
    let pictures = |e: &Value, size: &str| e["sizes"][size].as_u64().unwrap_or(0);
    viewer.wait_until("progress", s(60), |e| pictures(e, "320x180") > 15).await;
    viewer.wait_until("progress", s(60), |e| pictures(e, "1280x720") > 15).await;

    publisher.tell("stop f").await;
    stream
        .wait("the next one is the video", s(30), |v| height(v) == 360 && rungs(v) == [180])
        .await;
    viewer.wait_until("progress", s(30), |e| pictures(e, "640x360") > 15).await;
    publisher.tell("send f").await;
    let again = wait_for_all(&stream).await;
    let layers: Vec<_> = again["sources"][0]["layers"].as_array().into_iter().flatten().collect();
    let layers: Vec<_> = layers.iter().map(|l| (&l["rid"], &l["height"], &l["is_main"])).collect();
    let expect = [("f", 720, true), ("h", 360, false), ("q", 180, false)];
    let expect = expect.map(|(rid, height, main)| (json!(rid), json!(height), json!(main)));
    assert_eq!(layers, expect.each_ref().map(|(rid, height, main)| (rid, height, main)));
    let before = pictures(&viewer.wait_for("progress", s(10)).await, "1280x720");
    viewer.wait_until("progress", s(30), |e| pictures(e, "1280x720") > before + 15).await;
    assert!(coders(&stream.snapshot().await).is_empty(), "nothing is encoded");
    let report = viewer.finish().await;
    let video = &report["video"];
    eprintln!("  longest gap {} ms, steps back {}", video["max_gap_ms"], video["steps_back"]);
    assert_eq!(video["steps_back"], 0, "{video}");
    // The largest layer is missed after half a second, and the next one sends a key frame then.
    assert!(video["max_gap_ms"].as_f64() < Some(2500.0), "{video}");
    let published = publisher.finish().await;
    assert_eq!(published["layer_q"]["size"], "320x180", "{published}");

    let missing = format!("{}?quality=480p", stream.whep());
    let answer = Client::python("whep.py", &[&missing, "--token", &token]).last_event(s(30)).await;
    assert!(answer.to_string().contains("has no quality `480p`"), "{answer}");
}

/// The same publisher in H.264, played by Chromium, which begins with a small picture and gets a larger one
/// when its line is known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_rises_through_the_layers_of_another() {
    let appliance = Appliance::start().await;
    let stream = appliance.api.create(json!({ "name": "rise" })).await;
    let _publisher = publish(&stream, "H264").await;
    let args = [&*stream.whep(), "--token", &stream.play_token(), "--patience", "60"];
    let mut browser = Client::browser("whep", &args);
    let first = browser.wait_for("playing", s(60)).await;
    eprintln!("  first picture after {} ms", first["first_frame_ms"]);
    browser.wait_until("progress", s(180), |e| e["size"] == "1280x720").await;
    assert!(coders(&stream.snapshot().await).is_empty(), "nothing is encoded");
    browser.finish().await;
}

/// A publisher's line loses packets, which are sent again, gets thin, so that Chromium stops what it does
/// not carry, and gets better.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_video_follows_the_line_of_its_publisher() {
    let Some(mut line) = Line::lay().await else { return };
    let appliance = Appliance::start_on(&line.ends[0]).await;
    let stream = appliance.api.create(json!({ "name": "thin" })).await;
    line.set(0, 0.02, 30).await;
    let (place, token) = (line.ends[1].clone(), stream.publish_token());
    let url = format!("http://{}:{}/whip/thin", line.ends[0].on_line, appliance.ports.http);
    let args = [&*url, "--token", &token, "--codec", "VP8", "--layers"];
    let mut publisher = Client::browser_at(&place, "whip", &args);
    publisher.wait_for("publishing", s(60)).await;
    wait_for_all(&stream).await;
    let requested = |e: &Value, rid: &str| e[format!("layer_{rid}")]["nacks"].as_u64() > Some(0);
    let all = |e: &Value| ["q", "h", "f"].iter().all(|rid| requested(e, rid));
    publisher.wait_until("progress", s(90), all).await;

    line.set(500, 0.0, 30).await;
    let thin = stream.wait("the largest stops", s(90), |v| [180, 360].contains(&height(v))).await;
    eprintln!("  at 500 kbit/s: {}", thin["sources"][0]["layers"]);
    line.set(0, 0.0, 30).await;
    wait_for_all(&stream).await;
    publisher.finish().await;
}
