//! Refused or useless clients leave a line in the log and an entry in the stream; floods of them
//! leave few lines.

use std::time::{Duration, Instant};

use auralink::flow::Blame;
use auralink::srt::Target;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::api::Stream;
use crate::support::appliance::Appliance;
use crate::support::media::{Coding, media};
use crate::support::publish::Ffmpeg;
use crate::support::{eventually, s};

/// Waits until the newest refusal of a stream contains this text, and returns it.
async fn refusal(stream: &Stream, protocol: &str, expect: &str) -> Value {
    refusal_to("publish", stream, protocol, expect).await
}

async fn refusal_to(action: &str, stream: &Stream, protocol: &str, expect: &str) -> Value {
    let fits = |r: &Value| {
        r["protocol"] == protocol && r["message"].as_str().is_some_and(|m| m.contains(expect))
    };
    let snapshot = stream.wait(expect, s(40), |s| fits(&s["refusals"][0])).await;
    let found = snapshot["refusals"][0].clone();
    assert_eq!(found["action"], action, "{found}");
    assert!(found["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{found}");
    assert!(found["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{found}");
    assert!(found["at"].is_string() && found["count"].as_u64() >= Some(1), "{found}");
    found
}

/// Waits until the log has a line of level INFO or WARN with this text.
async fn logged(appliance: &Appliance, expect: &str) {
    eventually(&format!("`{expect}` in the log"), s(10), || async {
        let log = appliance.log_text();
        let line = |l: &&str| l.contains("refused") && l.contains(expect) && !l.contains("DEBUG");
        if log.lines().any(|l| line(&l)) { Ok(()) } else { Err(log) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_are_refused_are_shown_with_the_remedy() {
    let appliance = Appliance::start().await;
    let studio = appliance.api.create(json!({ "name": "studio", "linger_s": 0 })).await;
    let secret =
        json!({ "name": "secret", "access": { "srt_passphrase": "correct horse battery" } });
    let secret = appliance.api.create(secret).await;
    let (srt, token) = (appliance.srt(&studio), studio.publish_token());

    let _wrong = Ffmpeg::send(Coding::H264BFrames, &srt.replace(&token, "not-the-token"));
    refusal(&studio, "srt", "a wrong token to publish").await;
    logged(&appliance, "a wrong token to publish").await;

    let start = srt.split('?').next().expect("an address").to_owned();
    let _broken = Ffmpeg::send(Coding::H264BFrames, &format!("{start}?streamid=studio?t={token}"));
    refusal(&studio, "srt", "is not a stream name").await;

    let rtmp = appliance.rtmp(&studio);
    let _broken = Ffmpeg::send(Coding::H264BFrames, &rtmp.replace('?', "&"));
    refusal(&studio, "rtmp", "is not a stream name").await;
    let only = rtmp.replace(&format!("studio?token={token}"), &token);
    let _only = Ffmpeg::send(Coding::H264BFrames, &only);
    refusal(&studio, "rtmp", "a token stands where the stream's name belongs").await;

    let access = appliance.api.must_get(&format!("{}/access", secret.path())).await;
    let url = access["publish"][0]["url"].as_str().expect("an address");
    let url = url.replace("correct horse", "wrong horse");
    let _wrong = Ffmpeg::send(Coding::H264BFrames, &url);
    refusal(&secret, "srt", "wrong SRT passphrase").await;
    logged(&appliance, "stream=\"secret\"").await;
}

/// A browser's offer to play, and the same as an offer to publish.
const PLAYER: &str = include_str!("../data/chromium-recvonly.sdp");

fn publisher() -> String {
    PLAYER.replace("a=recvonly", "a=sendonly")
}

/// An offer of codecs that no other client has.
fn unknown_codecs(offer: &str) -> String {
    let known = ["VP8", "VP9", "H264", "AV1", "H265", "opus"];
    known.iter().fold(offer.to_owned(), |offer, codec| offer.replace(codec, "X-MINE"))
}

/// Posts an offer to `/whip/…` or `/whep/…`; returns the status.
async fn post(stream: &Stream, path: &str, token: &str, offer: &str) -> u16 {
    let request = stream.api.raw(Method::POST, path).bearer_auth(token);
    let request = request.header("content-type", "application/sdp").body(offer.to_owned());
    let answer = stream.api.send(request).await.unwrap_or_else(|e| panic!("POST {path}: {e}"));
    assert!(answer.status == 201 || answer.json()["hint"].is_string(), "{answer:?}");
    answer.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whip_publishers_that_are_refused_are_shown_with_the_remedy() {
    let appliance = Appliance::start_with("webrtc.sessions_max = 2").await;
    let stream = appliance.api.create(json!({ "name": "studio", "linger_s": 0 })).await;
    let other = appliance.api.create(json!({ "name": "other" })).await;
    let late = appliance.api.create(json!({ "name": "late" })).await;
    let (path, token) = ("/whip/studio", stream.publish_token());
    let offer = publisher();

    assert_eq!(post(&stream, path, "not-the-token", &offer).await, 401);
    refusal(&stream, "whip", "a wrong token to publish").await;
    logged(&appliance, "a wrong token to publish").await;

    assert_eq!(post(&stream, path, &token, &format!("v=0\n{token}\n")).await, 400);
    refusal(&stream, "whip", "line 2 has no `=`").await;

    assert_eq!(post(&stream, path, &token, &unknown_codecs(&offer)).await, 406);
    refusal(&stream, "whip", "no audio or video that can be used").await;

    let request = stream.api.raw(Method::POST, path).bearer_auth(&token).body(offer.clone());
    assert_eq!(stream.api.send(request).await.map(|answer| answer.status), Ok(415));
    refusal(&stream, "whip", "the body must be application/sdp").await;

    // No client ever connects to the session that this creates.
    assert_eq!(post(&stream, path, &token, &offer).await, 201);
    assert_eq!(post(&stream, path, &token, &offer).await, 409);
    refusal(&stream, "whip", "is already published by whip").await;
    assert_eq!(post(&other, "/whip/other", &other.publish_token(), &offer).await, 201);
    assert_eq!(post(&late, "/whip/late", &late.publish_token(), &offer).await, 503);
    refusal(&late, "whip", "2 WebRTC sessions are open, the limit").await;
    refusal(&stream, "whip", "no connection within 15 s").await;
    let log = appliance.log_text();
    assert!(!log.contains(&token), "the token is in the log:\n{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_by_http_that_are_refused_are_shown_with_the_remedy() {
    let appliance = Appliance::start_with("webrtc.viewers_per_stream_max = 1").await;
    let spec = json!({ "name": "studio", "source": { "type": "test" } });
    let stream = appliance.api.create(spec).await;
    stream.wait_state("live", s(30)).await;
    let (path, token) = ("/whep/studio", stream.play_token());

    assert_eq!(post(&stream, path, &token, "v=1").await, 400);
    refusal_to("play", &stream, "whep", "does not begin with v=0").await;
    logged(&appliance, "does not begin with v=0").await;

    assert_eq!(post(&stream, path, &token, &unknown_codecs(PLAYER)).await, 406);
    refusal_to("play", &stream, "whep", "no video or audio that can be sent").await;

    assert_eq!(post(&stream, &format!("{path}?audio=loud"), &token, PLAYER).await, 422);
    refusal_to("play", &stream, "whep", "`loud` is not a language").await;

    assert_eq!(post(&stream, path, &token, PLAYER).await, 201);
    assert_eq!(post(&stream, path, &token, PLAYER).await, 503);
    refusal_to("play", &stream, "whep", "1 viewers play this stream by WebRTC, the limit").await;

    let events = format!("/captions/studio/events?token={token}&language=loud");
    let answer = stream.api.send(stream.api.raw(Method::GET, &events)).await;
    assert_eq!(answer.map(|answer| answer.status), Ok(422));
    refusal_to("play", &stream, "captions", "`loud` is not a language").await;
    // The viewer that was admitted.
    refusal_to("play", &stream, "whep", "no connection within 15 s").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spaces_after_the_commas_of_a_streamid_do_no_harm() {
    let appliance = Appliance::start().await;
    let stream = appliance.api.create(json!({ "name": "studio", "linger_s": 0 })).await;
    let (port, token) = (appliance.ports.srt, stream.publish_token());
    let url = format!("srt://127.0.0.1:{port}?streamid=#!::r=studio, m=publish, s={token}");
    let _publisher = Ffmpeg::send(Coding::H264BFrames, &url);
    let live = stream.wait_state("live", s(20)).await;
    assert_eq!(live["refusals"], json!([]), "{live}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_whose_media_cannot_be_used_are_shown_with_the_remedy() {
    let appliance = Appliance::start_with("rtmp.idle_timeout_s = 3").await;
    let stream = appliance.api.create(json!({ "name": "studio", "linger_s": 0 })).await;
    let file = media(Coding::H264BFrames).display().to_string();
    let (srt, rtmp) = (appliance.srt(&stream), appliance.rtmp(&stream));

    let _container = Ffmpeg::with(&format!("-re -i {file} -c copy -f mpegts {rtmp}"));
    let told = refusal(&stream, "rtmp", "what comes is MPEG-TS").await;
    assert!(told["hint"].as_str().is_some_and(|h| h.contains("-f flv")), "{told}");
    logged(&appliance, "what comes is MPEG-TS").await;

    // The file lasts two minutes, but is sent in seconds.
    let mut hasty = Ffmpeg::with(&format!("-i {file} -c copy -f flv {rtmp}"));
    hasty.end(s(40)).await.expect("it is sent as fast as it can be read");
    let told = refusal(&stream, "rtmp", "faster than its media plays").await;
    assert!(told["hint"].as_str().is_some_and(|h| h.contains("-re")), "{told}");

    let before = told["at"].clone();
    let mut hasty = Ffmpeg::with(&format!("-i {file} -t 7 -c copy -f mpegts {srt}"));
    hasty.end(s(40)).await.expect("it is sent as fast as it can be read");
    let told = stream.wait("its hint", s(40), |s| {
        let newest = &s["refusals"][0];
        newest["protocol"] == "srt" && newest["at"] != before
    });
    let newest = told.await["refusals"][0].clone();
    assert!(newest["hint"].as_str().is_some_and(|h| h.contains("-re")), "{newest}");
    logged(&appliance, "protocol=\"srt\"").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_strangers_is_a_few_lines_in_the_log() {
    let appliance = Appliance::start().await;
    let stream = appliance.api.create(json!({ "name": "studio" })).await;
    let call = |n: usize| {
        let query = ["x?y", "#!::m=up", "nobody:x:y", "publish:studio:wrong-token", ""][n % 5];
        format!("srt://127.0.0.1:{}?streamid={query}", appliance.ports.srt)
    };
    let (start, lines) = (Instant::now(), appliance.log_text().lines().count());
    for batch in 0..25 {
        let calls = (0..8).map(|n| async move {
            let target: Target = call(batch * 8 + n).parse().expect("an address");
            let answer = target.connect(Blame::Us).await.map(|_| ());
            answer.expect_err("junk is refused").to_string()
        });
        for answer in futures::future::join_all(calls).await {
            assert!(answer.contains("SRT reason"), "{answer}");
        }
    }
    // One line per ten seconds and unknown address; there are two kinds here.
    let allowed = 8 + 3 * usize::try_from(start.elapsed().as_secs() / 10).unwrap_or(usize::MAX);
    let written = appliance.log_text().lines().count() - lines;
    assert!((1..=allowed).contains(&written), "{written} lines:\n{}", appliance.log_text());
    let refusals = stream.snapshot().await["refusals"].clone();
    let counts = refusals.as_array().expect("a list").iter().filter_map(|r| r["count"].as_u64());
    assert!(
        counts.sum::<u64>() >= 40 && refusals.as_array().map(Vec::len) <= Some(10),
        "{refusals}"
    );
    assert!(start.elapsed() < Duration::from_secs(120), "{:?}", start.elapsed());
}
