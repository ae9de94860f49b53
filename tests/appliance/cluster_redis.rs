//! Appliances that find each other by Redis.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::api::Stream;
use crate::support::appliance::Appliance;
use crate::support::client::{Client, output};
use crate::support::media::Coding;
use crate::support::publish::Ffmpeg;
use crate::support::redis::{PASSWORD, Redis};
use crate::support::{eventually, s};

const TOKEN: &str = "a-token-of-the-cluster-0123456789";

fn config(redis: &Redis) -> String {
    let url = redis.url();
    format!(
        "[cluster]\ntoken = \"{TOKEN}\"\nredis = \"{url}\"\nurl = \"{{here}}\"\nidle_s = 2\nlinger_s = 60\n"
    )
}

/// The stream as another appliance has it.
fn at(appliance: &Appliance, stream: &Stream) -> Stream {
    Stream { api: appliance.api.clone(), name: stream.name.clone() }
}

fn viewer(stream: &Stream) -> Client {
    Client::python("whep.py", &[&stream.whep(), "--token", &stream.play_token()])
}

/// Waits for what the cluster looks like from one appliance.
async fn see(appliance: &Appliance, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    eventually(what, s(30), || async {
        let cluster = appliance.api.must_get("/api/v1/cluster").await;
        if is_so(&cluster) { Ok(cluster) } else { Err(cluster.to_string()) }
    })
    .await
}

/// What one appliance knows of another one.
fn known<'a>(cluster: &'a Value, other: &Appliance) -> &'a Value {
    let all = cluster["appliances"].as_array().expect("a list");
    let found = all.iter().find(|appliance| appliance["url"] == other.api.url(""));
    found.unwrap_or(&Value::Null)
}

/// The answer to a player by HLS.
async fn hls(appliance: &Appliance, stream: &str, token: &str) -> u16 {
    let path = format!("/hls/{stream}/index.m3u8?token={token}");
    appliance.api.with_token("").get(&path).await.expect("an answer").status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_played_anywhere_and_followed_where_its_publisher_goes() {
    let Some(mut redis) = Redis::prepare() else { return };
    redis.launch().await;
    let mut first = Appliance::start_with(&config(&redis)).await;
    let edge = first.start_beside(&config(&redis)).await;
    let second = first.start_beside(&config(&redis)).await;
    let stream = first.api.create(json!({ "name": "studio" })).await;
    let moved = second.api.create(json!({ "name": "studio" })).await;
    let publisher = Ffmpeg::send(Coding::H264Baseline, &first.srt(&stream));
    stream.wait_state("live", s(20)).await;

    // The edge knows nothing but Redis.
    let far = at(&edge, &stream);
    assert_eq!(hls(&edge, "studio", "wrong-token").await, 401);
    assert_eq!(edge.api.must_get("/api/v1/streams").await["streams"], json!([]));
    let mut viewer = viewer(&far);
    viewer.wait_for("playing", s(30)).await;
    for url in [far.hls(), edge.srt_play(&far)] {
        let args = ["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", &url];
        let (status, text) = output("ffprobe", &args, s(60)).await;
        assert!(status.success() && text.contains("h264"), "{url}: {text}");
    }
    let pulls = stream.snapshot().await;
    assert_eq!(pulls["viewers"]["srt"], 1, "one pull for all: {}", pulls["viewers"]);
    let all = |cluster: &Value| cluster["appliances"].as_array().map(Vec::len) == Some(3);
    let cluster = see(&edge, "all know each other", all).await;
    assert_eq!(cluster["redis"]["reachable"], true, "{cluster}");
    assert_eq!(cluster["appliances"][0]["url"], edge.api.url(""), "{cluster}");
    let told = &known(&cluster, &first)["registration"]["streams"];
    assert_eq!(told, &json!([{ "name": "studio", "live": true }]), "{cluster}");
    assert_eq!(cluster["streams"][0]["origin"], first.api.url(""), "{cluster}");

    // The origin dies, and its publisher goes to another appliance.
    first.kill();
    publisher.kill().await;
    let _publisher = Ffmpeg::send(Coding::H264Baseline, &second.srt(&moved));
    moved.wait_state("live", s(20)).await;
    let back = Instant::now();
    let there = second.api.url("");
    let follows =
        |s: &Value| s["state"] == "live" && s["nodes"][0]["facts"]["origin"] == there.as_str();
    far.wait("the edge follows", s(30), follows).await;
    eprintln!("  followed {:.1} s after its publisher was back", back.elapsed().as_secs_f64());
    let viewers = &far.snapshot().await["viewers"];
    assert_eq!(viewers["whep"], 1, "it is still the same session: {viewers}");
    let frames = |event: &Value| event["frames"].as_u64().unwrap_or(0);
    let before = viewer.wait_for("progress", s(10)).await;
    viewer.wait_until("progress", s(30), |e| frames(e) > frames(&before) + 30).await;
    let gone = |cluster: &Value| known(cluster, &first)["registration"]["is_present"] == false;
    see(&edge, "the dead appliance's record has ended", gone).await;
    let report = viewer.finish().await;
    assert_eq!(report["state"], "connected", "{report}");
    let log = [&first, &second, &edge].map(|appliance| appliance.log_text()).concat();
    for secret in [TOKEN, PASSWORD, &stream.play_token()] {
        assert!(!log.contains(secret), "a secret is in a log");
    }
}

/// Waits until an appliance plays a stream of another one.
async fn plays_at(edge: &Appliance, stream: &Stream) {
    eventually(&format!("the edge plays {}", stream.name), s(30), || async {
        match hls(edge, &stream.name, &stream.play_token()).await {
            200 => Ok(()),
            status => Err(status.to_string()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_what_runs_goes_on_and_all_heals_when_it_is_back() {
    let Some(mut redis) = Redis::prepare() else { return };
    let mut origin = Appliance::start_with(&config(&redis)).await;
    let edge = origin.start_beside(&config(&redis)).await;
    let tested = |name: &str| json!({ "name": name, "source": { "type": "test" } });
    let one = origin.api.create(tested("one")).await;
    let two = origin.api.create(tested("two")).await;
    let lost = |cluster: &Value| cluster["redis"]["reachable"] == false;
    let cluster = see(&edge, "there is no Redis", lost).await;
    assert!(cluster["redis"]["problem"].is_string(), "{cluster}");
    assert!(!cluster.to_string().contains(PASSWORD), "{cluster}");
    let health = edge.api.must_get("/api/v1/health").await;
    assert_eq!(health["state"], "yellow", "{health}");
    assert_eq!(hls(&edge, "one", &one.play_token()).await, 503, "nobody can be asked");

    redis.launch().await;
    let told = |cluster: &Value| {
        known(cluster, &origin)["registration"]["streams"].as_array().map(Vec::len) == Some(2)
    };
    see(&edge, "the edge knows the origin", told).await;
    // That nobody could be asked may be used for another moment.
    plays_at(&edge, &one).await;
    let far = at(&edge, &one);
    let mut viewer = viewer(&far);
    viewer.wait_for("playing", s(30)).await;

    redis.kill();
    see(&edge, "Redis is gone", lost).await;
    assert_eq!(hls(&edge, "two", "wrong-token").await, 401);
    assert_eq!(hls(&edge, "two", &two.play_token()).await, 200, "what was known is used");

    redis.launch().await;
    let works = |cluster: &Value| cluster["redis"]["reachable"] == true;
    see(&origin, "the origin tells Redis again", works).await;
    let three = origin.api.create(tested("three")).await;
    three.wait_state("live", s(20)).await;
    plays_at(&edge, &three).await;
    let frames = |event: &Value| event["frames"].as_u64().unwrap_or(0);
    let before = viewer.wait_for("progress", s(10)).await;
    viewer.wait_until("progress", s(30), |e| frames(e) > frames(&before) + 30).await;
    let report = viewer.finish().await;
    assert_eq!(report["state"], "connected", "{report}");
    // One that is stopped takes its record with it.
    origin.stop().await;
    let left = |cluster: &Value| known(cluster, &origin)["registration"]["is_present"] == false;
    see(&edge, "the origin has left", left).await;
}
