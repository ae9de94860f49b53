//! A trunk between two appliances: what is published to the one is watched on the other.

use serde_json::{Value, json};

use crate::support::api::Stream;
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::expect::{LIVE, expect};
use crate::support::media::Coding;
use crate::support::publish::Ffmpeg;
use crate::support::s;

/// The trunk of a snapshot.
fn trunk(snapshot: &Value) -> &Value {
    let outputs = snapshot["outputs"].as_array().map(Vec::as_slice).unwrap_or_default();
    outputs.iter().find(|o| o["kind"] == "trunk").unwrap_or(&Value::Null)
}

/// A trunk to a stream of another appliance.
fn to(stream: &Stream, more: Value) -> Value {
    let mut output = json!({
        "id": "b", "type": "trunk", "url": stream.whip(), "token": stream.publish_token(),
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        output[name] = value.clone();
    }
    output
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_here_is_watched_there() {
    let a = Appliance::start().await;
    let b = a.start_beside("").await;
    let far = b.api.create(json!({ "name": "far" })).await;
    let near = a.api.create(json!({ "name": "near", "outputs": [to(&far, json!({}))] })).await;
    let _publisher = Ffmpeg::send(Coding::H264Baseline, &a.srt(&near));
    near.wait_state("live", s(20)).await;
    let there = far.wait_state("live", s(30)).await;
    assert_eq!(there["sources"][0]["protocol"], "whip", "{there}");
    let here = near.wait("the trunk runs", s(10), |s| trunk(s)["state"] == "running").await;
    assert!(!here.to_string().contains(&far.publish_token()), "the token is shown: {here}");

    let token = far.play_token();
    let args = [&far.whep(), "--token", &token, "--seconds", "8"];
    let report = Client::python("whep.py", &args).report(s(60)).await;
    expect("SRT -> trunk -> WHEP", &report, LIVE);
}

/// A captioned stream whose words come by the API, so that nothing but their way is tested.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captions_cross_over() {
    let a = Appliance::start().await;
    let b = a.start_beside("").await;
    let far = b.api.create(json!({ "name": "far" })).await;
    let spec = json!({
        "name": "near", "source": { "type": "test" }, "preset": "captions",
        "captions": { "language": "en" }, "outputs": [to(&far, json!({}))],
    });
    let near = a.api.create(spec).await;
    far.wait_state("live", s(40)).await;
    let listed = |s: &Value| s["cues"][0]["name"] == "captions.en";
    far.wait("the language of the captions", s(20), listed).await;
    let token = far.play_token();
    let mut viewer =
        Client::browser("whep", &[&far.whep(), "--token", &token, "--captions", "all"]);
    viewer.wait_for("playing", s(40)).await;
    let cue = json!({ "language": "en", "text": "Across the trunk." });
    a.api.must_post(&format!("{}/captions/cues", near.path()), &cue).await;
    let came = |s: &Value| s["cues"][0]["last"] == "Across the trunk.";
    let there = far.wait("the cue", s(10), came).await;
    let delay = there["cues"][0]["delay_ms"].as_i64().expect("a delay");
    assert!(delay < 1000, "it came {delay} ms late: {}", there["cues"]);
    let read = |e: &Value| e["cues"].to_string().contains("Across the trunk.");
    viewer.wait_until("progress", s(20), read).await;
    viewer.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_calls_again_when_the_other_end_comes_back() {
    let a = Appliance::start().await;
    let mut b = a.start_beside("").await;
    let far = b.api.create(json!({ "name": "far" })).await;
    let spec = json!({
        "name": "near", "source": { "type": "test" }, "outputs": [to(&far, json!({}))],
    });
    let near = a.api.create(spec).await;
    far.wait_state("live", s(40)).await;
    near.wait("the trunk runs", s(10), |s| trunk(s)["state"] == "running").await;
    b.kill();
    let lost = near.wait("the loss is seen", s(40), |s| trunk(s)["error"].is_string()).await;
    assert_eq!(lost["state"], "live", "the stream goes on: {lost}");
    assert_eq!(lost["nodes"][0]["restarts"], 0, "the source was not disturbed: {lost}");
    b.launch().await;
    far.wait_state("live", s(60)).await;
    let back = near.wait("the trunk runs", s(10), |s| trunk(s)["state"] == "running").await;
    assert!(trunk(&back)["error"].is_null(), "{back}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_trunk_is_told() {
    let a = Appliance::start().await;
    let b = a.start_beside("").await;
    let far = b.api.create(json!({ "name": "far" })).await;
    let near = a.api.create(json!({ "name": "near", "source": { "type": "test" } })).await;
    let outputs = format!("{}/outputs", near.path());
    near.wait_state("live", s(20)).await;
    let dead = crate::support::appliance::free_tcp();
    for (more, expect) in [
        (json!({ "token": "a-token-that-is-wrong" }), "refuses the token (401)"),
        (json!({ "url": b.api.url("/whip/nobody") }), "no such WHIP endpoint (404)"),
        (json!({ "url": b.api.url("/nothing/here") }), "(40"),
        (json!({ "url": format!("http://127.0.0.1:{dead}/whip/x") }), "cannot be reached"),
        (json!({ "ca": "/no/such/file.pem" }), "/no/such/file.pem"),
    ] {
        a.api.must_post(&outputs, &to(&far, more)).await;
        let told = |s: &Value| trunk(s)["error"].as_str().is_some_and(|e| e.contains(expect));
        let shown = near.wait(expect, s(20), told).await;
        assert!(!shown.to_string().contains("a-token-that-is-wrong"), "{shown}");
        assert!(!shown.to_string().contains(&far.publish_token()), "{shown}");
        a.api.must_delete(&format!("{outputs}/b")).await;
    }
    let log = a.log_text();
    let secrets = ["a-token-that-is-wrong", &far.publish_token()];
    assert!(secrets.iter().all(|secret| !log.contains(secret)), "a token is in the log");
    let wrong = json!({ "id": "x", "type": "trunk", "url": "ftp://h/x" });
    let answer = a.api.request(reqwest::Method::POST, &outputs, Some(&wrong)).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 422, "{}", answer.text);
    assert!(answer.text.contains("`url`"), "{}", answer.text);
}

/// Pictures that the other end does not take as they are go in a codec that it takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_are_encoded_where_they_cannot_pass() {
    let a = Appliance::start().await;
    let b = a.start_beside("[webrtc]\npublish_codecs = [\"vp8\"]\n").await;
    let far = b.api.create(json!({ "name": "far" })).await;
    let near = a.api.create(json!({ "name": "near", "outputs": [to(&far, json!({}))] })).await;
    let _publisher = Ffmpeg::send(Coding::H264Baseline, &a.srt(&near));
    near.wait_state("live", s(20)).await;
    let there = far.wait_state("live", s(40)).await;
    assert!(there["feeds"].to_string().contains("vp8"), "{}", there["feeds"]);
    let fact = |s: &Value, name: &str| trunk(s)["facts"][name].as_f64().unwrap_or(0.0);
    near.wait("pictures flow", s(20), |s| fact(s, "video_kbps") > 20.0).await;
}
