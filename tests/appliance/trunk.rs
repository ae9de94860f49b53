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
