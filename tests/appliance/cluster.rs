//! Two appliances: an edge plays what its origin has.

use serde_json::{Value, json};

use crate::support::api::Stream;
use crate::support::appliance::{Appliance, free_tcp};
use crate::support::client::{Client, output};
use crate::support::media::Coding;
use crate::support::publish::Ffmpeg;
use crate::support::{eventually, s};

const TOKEN: &str = "a-token-of-the-cluster-0123456789";

/// An origin, and an edge beside it.
async fn pair() -> (Appliance, Appliance) {
    let origin = Appliance::start_with(&format!("[cluster]\ntoken = \"{TOKEN}\"\n")).await;
    let edge = beside(&origin, &[origin.api.url("")]).await;
    (origin, edge)
}

async fn beside(origin: &Appliance, origins: &[String]) -> Appliance {
    let config = format!(
        "[cluster]\ntoken = \"{TOKEN}\"\norigins = {}\nidle_s = 2\nlinger_s = 60\n",
        json!(origins)
    );
    origin.start_beside(&config).await
}

/// The stream as the edge has it.
fn at(edge: &Appliance, stream: &Stream) -> Stream {
    Stream { api: edge.api.clone(), name: stream.name.clone() }
}

fn viewer(stream: &Stream) -> Client {
    Client::python("whep.py", &[&stream.whep(), "--token", &stream.play_token()])
}

/// Video frames that a viewer has had.
fn frames(event: &Value) -> u64 {
    event["frames"].as_u64().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_pulls_once_for_all_and_stops_after_the_last() {
    let (origin, edge) = pair().await;
    let stream = origin.api.create(json!({ "name": "studio" })).await;
    let far = at(&edge, &stream);
    let _publisher = Ffmpeg::send(Coding::H264Baseline, &origin.srt(&stream));
    stream.wait_state("live", s(20)).await;

    // Strangers start nothing, and are told what the origin would tell them.
    for (path, expect) in [
        ("/hls/studio/index.m3u8?token=wrong-token", 401),
        ("/hls/studio/index.m3u8", 401),
        ("/captions/studio/events?token=wrong-token", 401),
        ("/hls/nobody/index.m3u8?token=play-studio", 404),
    ] {
        let answer = edge.api.with_token("").get(path).await.expect("an answer");
        assert_eq!(answer.status, expect, "{path}: {}", answer.text);
    }
    let mut stranger = Client::python("whep.py", &[&far.whep(), "--token", "wrong-token"]);
    let refusal = stranger.next_event().await.expect("it says something");
    assert_eq!((&refusal["event"], &refusal["status"]), (&json!("refused"), &json!(401)));
    assert_eq!(edge.api.must_get("/api/v1/streams").await["streams"], json!([]));

    // Two viewers at once, then players by HLS, DASH and SRT.
    let (mut one, mut two) = (viewer(&far), viewer(&far));
    one.wait_for("playing", s(30)).await;
    two.wait_for("playing", s(30)).await;
    let dash = edge.api.url(&format!("/dash/studio/manifest.mpd?token={}", far.play_token()));
    for url in [far.hls(), dash, edge.srt_play(&far)] {
        let entries = "stream=codec_name";
        let args = ["-v", "error", "-show_entries", entries, "-of", "csv=p=0", &url];
        let (status, text) = output("ffprobe", &args, s(60)).await;
        assert!(status.success() && text.contains("h264"), "{url}: {text}");
    }
    let pulls = stream.snapshot().await;
    assert_eq!(pulls["viewers"]["srt"], 1, "one pull for all: {}", pulls["viewers"]);

    // It is the origin's: seen here, changed there.
    let shown = far.snapshot().await;
    assert_eq!(shown["owner"], "edge", "{shown}");
    assert_eq!(shown["nodes"][0]["facts"]["origin"], origin.api.url(""), "{shown}");
    for (path, body) in [("", json!({ "linger_s": 1 })), ("/denoise", json!({ "mix": 0.5 }))] {
        let (status, problem) = edge.api.patch(&format!("{}{path}", far.path()), &body).await;
        assert_eq!((status, &problem["code"]), (409, &json!("edge_owned")), "{problem}");
    }
    let cluster = edge.api.must_get("/api/v1/cluster").await;
    let shown = &cluster["streams"][0];
    assert_eq!(
        (&shown["stream"], &shown["state"]),
        (&json!("studio"), &json!("live")),
        "{cluster}"
    );
    assert_eq!(shown["origin"], origin.api.url(""), "{cluster}");
    let origin_shown = &cluster["appliances"][1];
    assert_eq!(
        (&origin_shown["reachable"], &origin_shown["load"]["streams"]),
        (&json!(true), &json!(1))
    );
    assert_eq!(cluster["appliances"][0]["load"]["streams_from_origins"], 1, "{cluster}");

    one.finish().await;
    two.finish().await;
    eventually("the edge gives the stream up", s(60), || async {
        let streams = edge.api.must_get("/api/v1/streams").await;
        if streams["streams"] == json!([]) { Ok(()) } else { Err(streams.to_string()) }
    })
    .await;
    let left = |s: &Value| s["viewers"]["srt"].as_u64().unwrap_or(0) == 0;
    stream.wait("the pull has ended", s(20), left).await;
    let log = edge.log_text() + &origin.log_text();
    assert!(!log.contains(TOKEN) && !log.contains(&stream.play_token()), "a token is in a log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_of_an_edge_stay_while_its_origin_is_killed_and_back() {
    let (mut origin, edge) = pair().await;
    let spec = json!({ "name": "studio", "source": { "type": "test" } });
    let stream = origin.api.create(spec).await;
    let far = at(&edge, &stream);
    stream.wait_state("live", s(20)).await;
    let mut viewer = viewer(&far);
    viewer.wait_for("playing", s(30)).await;
    origin.kill();
    far.wait_state("slate", s(30)).await;
    let cluster = edge.api.must_get("/api/v1/cluster").await;
    assert_eq!(cluster["appliances"][1]["reachable"], false, "{cluster}");
    assert!(cluster["appliances"][1]["problem"].is_string(), "{cluster}");
    let on_the_slate = viewer.wait_for("progress", s(10)).await;
    origin.launch().await;
    stream.wait_state("live", s(20)).await;
    let back = std::time::Instant::now();
    far.wait_state("live", s(20)).await;
    eprintln!("  followed {:.1} s after its origin was live again", back.elapsed().as_secs_f64());
    let goes_on = |e: &Value| frames(e) > frames(&on_the_slate) + 60;
    viewer.wait_until("progress", s(30), goes_on).await;
    let viewers = &far.snapshot().await["viewers"];
    assert_eq!(viewers["whep"], 1, "it is still the same session: {viewers}");

    // New tokens of the origin are the edge's within seconds; those before are refused.
    let old = far.play_token();
    let path = format!("{}/access/rotate", stream.path());
    let new = origin.api.must_post(&path, &json!({})).await["access"]["play_token"].clone();
    let new = new.as_str().expect("a token").to_owned();
    eventually("the old token is refused", s(30), || async {
        let hls = |token: &str| format!("/hls/studio/index.m3u8?token={token}");
        let with_old = edge.api.with_token("").get(&hls(&old)).await?.status;
        let with_new = edge.api.with_token("").get(&hls(&new)).await?.status;
        if (with_old, with_new) == (401, 200) {
            Ok(())
        } else {
            Err(format!("{with_old} {with_new}"))
        }
    })
    .await;
    let report = viewer.finish().await;
    assert_eq!(report["state"], "connected", "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_cannot_ask_says_so_and_nobody_else_may_ask() {
    let origin = Appliance::start_with(&format!("[cluster]\ntoken = \"{TOKEN}\"\n")).await;
    let spec = json!({ "name": "studio", "source": { "type": "test" } });
    let stream = origin.api.create(spec).await;
    stream.wait_state("live", s(20)).await;
    // The token of the cluster opens two doors, and no other token opens them but the admin's.
    let asked = "/api/v1/cluster/streams/studio";
    let status = async |token: &str, path: &str| {
        origin.api.with_token(token).get(path).await.expect("an answer").status
    };
    for (token, path, expect) in [
        (TOKEN, asked, 200),
        (TOKEN, "/api/v1/cluster/load", 200),
        (TOKEN, "/api/v1/cluster", 403),
        (TOKEN, "/api/v1/streams", 403),
        (TOKEN, "/metrics", 403),
        ("", asked, 401),
        ("another-token-0123456789", asked, 401),
        (&stream.play_token(), asked, 401),
    ] {
        assert_eq!(status(token, path).await, expect, "{path} with `{token}`");
    }

    let dead = format!("http://127.0.0.1:{}", free_tcp());
    let lost = beside(&origin, std::slice::from_ref(&dead)).await;
    let hls = format!("/hls/studio/index.m3u8?token={}", stream.play_token());
    let answer = lost.api.with_token("").get(&hls).await.expect("an answer");
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(answer.text.contains("does not answer"), "{}", answer.text);

    drop(lost);

    // A dead origin before a living one holds nobody up, and a player by SRT may be the first.
    let edge = beside(&origin, &[dead, origin.api.url("")]).await;
    let url = edge.srt_play(&stream);
    let wrong = url.replace(&stream.play_token(), "a-wrong-token");
    for (url, admitted) in [(wrong, false), (url, true)] {
        let args = ["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", &url];
        let (status, text) = output("ffprobe", &args, s(60)).await;
        assert_eq!(status.success() && text.contains("h264"), admitted, "{url}: {text}");
        let streams = edge.api.must_get("/api/v1/streams").await["streams"].clone();
        assert_eq!(streams.as_array().map(Vec::len), Some(usize::from(admitted)), "{streams}");
    }
    // A stream that is created here takes the place of the origin's.
    let own = edge.api.create(json!({ "name": "studio" })).await;
    let shown = own.snapshot().await;
    assert_eq!((&shown["owner"], &shown["state"]), (&json!("api"), &json!("idle")), "{shown}");
}

/// Cues come by the API, so that only their transport is tested.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captions_of_an_origin_are_the_edge_s_too() {
    let (origin, edge) = pair().await;
    let spec = json!({
        "name": "studio", "source": { "type": "test" }, "preset": "captions",
        "captions": { "language": "en" },
    });
    let stream = origin.api.create(spec).await;
    let far = at(&edge, &stream);
    stream.wait_state("live", s(20)).await;
    let mut viewer = viewer(&far);
    viewer.wait_for("playing", s(30)).await;
    let listed = |s: &Value| s["cues"][0]["name"] == "captions.en";
    far.wait("the language of the captions", s(20), listed).await;
    let cue = json!({ "language": "en", "text": "Across the cluster." });
    origin.api.must_post(&format!("{}/captions/cues", stream.path()), &cue).await;
    let came = |s: &Value| s["cues"][0]["last"] == "Across the cluster.";
    let there = far.wait("the cue", s(20), came).await;
    let delay = there["cues"][0]["delay_ms"].as_i64().expect("a delay");
    assert!(delay < 2000, "it came {delay} ms late: {}", there["cues"]);
    let playlist = far.hls().replace(&edge.api.url(""), "");
    eventually("players by HLS are offered them", s(30), || async {
        let master = edge.api.with_token("").get(&playlist).await?.text;
        if master.contains("TYPE=SUBTITLES") { Ok(()) } else { Err(master) }
    })
    .await;
    viewer.finish().await;
}
