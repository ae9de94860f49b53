//! A trunk between two appliances: streams published to one are watched on the other.

use serde_json::{Value, json};

use crate::support::api::Stream;
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::expect::{Bounds, LIVE, expect};
use crate::support::line::Line;
use crate::support::media::Coding;
use crate::support::publish::Ffmpeg;
use crate::support::s;

/// Two appliances and a viewer share the machine: gaps depend on its load, order and sync do not.
const RELAYED: Bounds =
    Bounds { video_gap_ms: 900.0, audio_lost_ms: 600.0, beat_ms: 400.0, ..LIVE };

/// The trunk in a snapshot.
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
    far.wait_state("live", s(30)).await;
    let pictures = |s: &Value| s["feeds"].to_string().contains("h264");
    let there = far.wait("pictures", s(20), pictures).await;
    assert_eq!(there["sources"][0]["protocol"], "whip", "{there}");
    let here = near.wait("the trunk runs", s(10), |s| trunk(s)["state"] == "running").await;
    assert!(!here.to_string().contains(&far.publish_token()), "the token is shown: {here}");

    let token = far.play_token();
    let args = [&far.whep(), "--token", &token, "--seconds", "8"];
    let report = Client::python("whep.py", &args).report(s(60)).await;
    expect("SRT -> trunk -> WHEP", &report, RELAYED);
}

/// A captioned stream whose words come by the API, so that only their transport is tested.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captions_cross_over() {
    let a = Appliance::start().await;
    let b = a.start_beside("").await;
    let far = b.api.create(json!({ "name": "far" })).await;
    let spec = json!({
        "name": "near", "source": { "type": "test" }, "preset": "captions",
        "captions": { "language": "en" }, "outputs": [to(&far, json!({ "aic": false }))],
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
async fn a_trunk_is_added_on_the_page_which_says_how_it_goes() {
    let a = Appliance::start().await;
    let b = a.start_beside("").await;
    let far = b.api.create(json!({ "name": "far" })).await;
    let near = a.api.create(json!({ "name": "near", "source": { "type": "test" } })).await;
    near.wait_state("live", s(20)).await;
    let (page, whip, publish) = (a.api.url("/"), far.whip(), far.publish_token());
    let token = crate::support::appliance::ADMIN;
    let to = ["--trunk", &whip, "--trunk-token", &publish, "--patience", "40"];
    let args = [&[&page, "--token", token, "--stream", "near"][..], &to[..]].concat();
    let report = Client::browser("page", &args).report(s(90)).await;
    let told = report["trunk"]["told"].as_str().unwrap_or_default();
    for figure in ["Bandwidth estimate", "Round trip", "The same in Opus"] {
        assert!(told.contains(figure), "{figure}: {report}");
    }
    assert!(!report.to_string().contains(&publish), "the token is shown: {report}");
    let edited = &report["trunk"]["edited"];
    assert_eq!((&edited["id"], &edited["type"]), (&json!("b"), &json!("trunk")), "{edited}");
    assert!(edited["refused"].as_str().is_some_and(|t| t.contains("`url`")), "{edited}");
    let refusals = report["errors"].to_string().matches("422").count();
    let errors = report["errors"].as_array().map(Vec::len);
    assert_eq!(errors, Some(refusals), "the console is quiet but for the refusal: {report}");
    let output = near.snapshot().await["outputs"][0].clone();
    assert_eq!(output["settings"]["max_kbps"], 300, "{output}");
    far.wait_state("live", s(20)).await;
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

/// Speech of the test data, as one file that FFmpeg sends.
fn voice() -> Option<std::path::PathBuf> {
    crate::support::speech::speech(6).map(|speech| speech.file)
}

fn codec(snapshot: &Value) -> &str {
    trunk(snapshot)["facts"]["codec"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voice_goes_by_aic_and_takes_less_than_half_of_opus() {
    let Some(file) = voice() else { return };
    let a = Appliance::start().await;
    let b = a.start_beside("").await;
    let far = b.api.create(json!({ "name": "far" })).await;
    let more = json!({ "video": "off", "max_kbps": 15 });
    let near = a.api.create(json!({ "name": "near", "outputs": [to(&far, more)] })).await;
    let send = format!(
        "-re -stream_loop -1 -i {} -vn -c:a copy -f mpegts {}",
        file.display(),
        a.srt(&near)
    );
    let _publisher = Ffmpeg::with(&send);
    near.wait_state("live", s(30)).await;
    far.wait_state("live", s(40)).await;
    let flying = near.wait("voice goes by AIC-A", s(60), |s| codec(s) == "aic").await;
    eprintln!("  {}", trunk(&flying)["facts"]);
    far.wait("the other end says so too", s(10), |s| s["nodes"][0]["facts"]["codec"] == "aic")
        .await;
    let hinted = |s: &Value| s["nodes"][0]["facts"]["content"].is_string();
    far.wait("hints come along", s(10), hinted).await;
    let saved = |s: &Value| trunk(s)["facts"]["saved_percent"].as_f64().unwrap_or(0.0);
    near.wait("it takes half of Opus or less", s(30), |s| codec(s) == "aic" && saved(s) > 50.0)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_does_not_know_aic_gets_opus() {
    let a = Appliance::start().await;
    let b = a.start_beside("[webrtc]\naic = false\n").await;
    let far = b.api.create(json!({ "name": "far" })).await;
    let spec = json!({
        "name": "near", "source": { "type": "test" },
        "outputs": [to(&far, json!({ "video": "off" }))],
    });
    let near = a.api.create(spec).await;
    far.wait_state("live", s(40)).await;
    near.wait("sound goes as Opus", s(20), |s| codec(s) == "opus").await;
    far.wait("it comes as Opus", s(10), |s| s["feeds"].to_string().contains("opus")).await;
    let metrics = a.api.get("/metrics").await.expect("an answer").text;
    assert!(metrics.contains("auralink_trunk_audio_kbps{codec=\"opus\",output=\"b\""), "{metrics}");
}

/// Video that the other end does not support is encoded in a codec that it supports.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_are_encoded_where_they_cannot_pass() {
    let a = Appliance::start().await;
    let b = a.start_beside("[webrtc]\npublish_codecs = [\"vp8\"]\n").await;
    let far = b.api.create(json!({ "name": "far" })).await;
    let near = a.api.create(json!({ "name": "near", "outputs": [to(&far, json!({}))] })).await;
    let _publisher = Ffmpeg::send(Coding::H264Baseline, &a.srt(&near));
    near.wait_state("live", s(20)).await;
    far.wait("pictures come as VP8", s(40), |s| s["feeds"].to_string().contains("vp8")).await;
    let fact = |s: &Value, name: &str| trunk(s)["facts"][name].as_f64().unwrap_or(0.0);
    near.wait("pictures flow", s(20), |s| fact(s, "video_kbps") > 20.0).await;
}

/// Opus packets lost on the line are missing for viewers too, and players restore them from the
/// next packet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_line_loses_is_made_up_by_players() {
    let Some(speech) = crate::support::speech::speech(6) else { return };
    let Some(mut line) = Line::lay().await else { return };
    let [a, b] = Appliance::start_at(&line.ends).await;
    line.set(3000, 0.08, 20).await;
    let far = b.api.create(json!({ "name": "far" })).await;
    let url = format!("http://{}:{}/whip/far", line.ends[1].on_line, b.ports.http);
    let output = to(&far, json!({ "url": url, "aic": false }));
    let near = a.api.create(json!({ "name": "near", "outputs": [output] })).await;
    let _publisher = Ffmpeg::send_file(&speech.file, &a.srt(&near));
    near.wait_state("live", s(20)).await;
    far.wait_state("live", s(40)).await;
    let mut viewer = Client::browser("whep", &[&far.whep(), "--token", &far.play_token()]);
    viewer.wait_for("playing", s(40)).await;
    let made_up = |e: &Value| e["audio_lost"].as_i64() > Some(10) && e["fec"].as_u64() > Some(10);
    let seen = viewer.wait_until("progress", s(60), made_up).await;
    eprintln!("  lost {}, repeated {}", seen["audio_lost"], seen["fec"]);
    viewer.finish().await;
}

/// FFmpeg packs a quarter of a second of audio into each PES packet of a transport stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_that_comes_in_bursts_arrives_whole() {
    let Some(speech) = crate::support::speech::speech(6) else { return };
    let a = Appliance::start().await;
    let b = a.start_beside("").await;
    let far = b.api.create(json!({ "name": "far" })).await;
    let more = json!({ "aic": false });
    let near = a.api.create(json!({ "name": "near", "outputs": [to(&far, more)] })).await;
    let _publisher = Ffmpeg::send_file(&speech.file, &a.srt(&near));
    near.wait_state("live", s(20)).await;
    far.wait_state("live", s(40)).await;
    let (token, wav) = (far.play_token(), b.state().join("heard.wav"));
    let wav = wav.display().to_string();
    let args = [&far.whep(), "--token", &token, "--seconds", "15", "--wav", &wav];
    Client::python("whep.py", &args).report(s(60)).await;
    let source = speech.file.display().to_string();
    let score = Client::python("stoi.py", &[&source, &wav]).report(s(120)).await;
    eprintln!("  {score}");
    assert!(score["stoi"].as_f64().is_some_and(|stoi| stoi > 0.95), "{score}");
}
