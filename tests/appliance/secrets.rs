//! No text repeats a possible credential, and invalid credentials are refused.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Connection;

use crate::support::appliance::Appliance;
use crate::support::client::output;
use crate::support::media::{Coding, media};
use crate::support::{eventually, s};

/// Forbidden in every log line and answer. Each attempt below sends it with a number.
const MARK: &str = "hunter-";

/// What a publisher prints when it calls an address, without its own text about the address.
async fn told_by(url: &str) -> String {
    let file = media(Coding::H264BFrames).display().to_string();
    let format = if url.starts_with("rtmp") { "flv" } else { "mpegts" };
    let args = ["-v", "error", "-re", "-i", &file, "-t", "1", "-c", "copy", "-f", format, url];
    let (_, said) = output("ffmpeg", &args, s(60)).await;
    said.lines().filter(|l| l.contains("Server error")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_may_be_a_credential_is_repeated() {
    let appliance = Appliance::start_with("log.level = \"debug\"").await;
    let api = &appliance.api;
    api.create(json!({ "name": "leak" })).await;
    let (srt, rtmp) = (appliance.ports.srt, appliance.ports.rtmp);
    let mut answers = Vec::new();
    for id in [
        "leak?token=hunter-1",
        "%23%21%3A%3Ar%3Dleak,m%3Dpublish,s%3Dhunter-2",
        "hunter-3:leak:token",
        "#!::r=leak,m=hunter-4",
        "#!::r=leak,t=hunter-5,m=publish",
        "publish:leak:hunter-6",
        "hunter-7",
        "publish:hunter-8/x",
    ] {
        answers.push(told_by(&format!("srt://127.0.0.1:{srt}?streamid={id}")).await);
    }
    for path in [
        "live/leak&token=hunter-9",
        "live/leak?token=hunter-10",
        "live/hunter-11",
        "hunter-12/leak",
        "live/leak?hunter-13",
    ] {
        answers.push(told_by(&format!("rtmp://127.0.0.1:{rtmp}/{path}")).await);
    }
    assert!(answers.iter().filter(|a| !a.is_empty()).count() >= 4, "RTMP answers: {answers:?}");
    let nobody = api.with_token("");
    for (method, path) in [
        (Method::GET, "/hls/leak/index.m3u8?token=hunter-14"),
        (Method::GET, "/hls/hunter-15/index.m3u8"),
        (Method::GET, "/hls/leak/hunter-32/index.m3u8"),
        (Method::GET, "/hls/leak/hunter-33/hunter-34"),
        (Method::GET, "/dash/leak/hunter-35/manifest.mpd"),
        (Method::GET, "/dash/leak/hunter-36/admission"),
        (Method::POST, "/whip/leak?token=hunter-16"),
        (Method::POST, "/whip/leak&token=hunter-17"),
        (Method::POST, "/whep/hunter-18"),
    ] {
        answers.push(nobody.request(method, path, None).await.expect("an answer").text);
    }
    answers.push(api.with_token("hunter-19").get("/api/v1/streams").await.expect("an answer").text);
    for spec in [
        json!({ "name": "bad", "source": { "type": "rtsp", "url": "me:hunter-20@camera/x" } }),
        json!({ "name": "bad", "source": { "type": "srt", "url": "hunter-21" } }),
        json!({ "name": "bad", "access": { "publish_token": "hunter-22 with spaces" } }),
        json!({ "name": "bad", "access": { "srt_passphrase": "hunter-23&more" } }),
    ] {
        let answer = api.request(Method::POST, "/api/v1/streams", Some(&spec)).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 422, "{}", answer.text);
        answers.push(answer.text);
    }
    let dead = appliance_with_dead_ends(&appliance).await;
    answers.push(dead.to_string());
    answers.push(api.must_get("/api/v1/streams").await.to_string());
    for text in answers.iter().chain([&appliance.log_text()]) {
        let leak = text.lines().find(|line| line.contains(MARK));
        assert_eq!(leak, None, "a credential is repeated");
    }
    assert!(appliance.log_text().contains("DEBUG"), "the log is not at debug level");
}

/// A stream that pulls from and pushes to closed ports, with secrets in every address; returns its
/// snapshot once all of them have failed.
async fn appliance_with_dead_ends(appliance: &Appliance) -> Value {
    let push = |id: &str, url: &str| json!({ "id": id, "type": "push", "url": url });
    let spec = json!({
        "name": "dead",
        "source": { "type": "test" },
        "outputs": [
            push("rtmp", "rtmp://127.0.0.1:1/live/hunter-24?auth=https://x/hunter-25"),
            push("srt", "srt://127.0.0.1:1?streamid=hunter-26&passphrase=hunter-27-hunter"),
            push("halved", "srt://127.0.0.1:1?passphrase=0123456789&hunter-28"),
        ],
    });
    let outputs = appliance.api.create(spec).await;
    for (name, url) in [
        ("camera", "rtsp://me:hunter-29@127.0.0.1:1/hunter-30"),
        ("far-srt", "srt://127.0.0.1:1?streamid=hunter-31"),
    ] {
        let kind = url.split(':').next().expect("a scheme");
        let spec = json!({ "name": name, "source": { "type": kind, "url": url } });
        let pull = appliance.api.create(spec).await;
        pull.wait("its source fails", s(60), |s| s["last_error"].is_string()).await;
    }
    let failed = |s: &Value| {
        let outputs = s["outputs"].as_array().cloned().unwrap_or_default();
        outputs.len() == 3 && outputs.iter().all(|o| o["error"].is_string())
    };
    outputs.wait("every output has failed", s(60), failed).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weak_tokens_are_refused_and_old_ones_named_at_the_start() {
    let mut appliance = Appliance::start().await;
    let stream = appliance.api.create(json!({ "name": "studio" })).await;
    for (field, weak) in [
        ("publish_token", "x"),
        ("play_token", "1234567"),
        ("play_token", "with a space"),
        ("srt_passphrase", "ten&letters"),
    ] {
        let access = json!({ "access": { field: weak } });
        let (status, refused) = appliance.api.patch(&stream.path(), &access).await;
        assert_eq!((status, &refused["code"]), (422, &json!("invalid")), "{refused}");
        let message = refused["message"].as_str().expect("words");
        assert!(message.contains(&format!("`access.{field}`")), "{refused}");
        let mut spec = json!({ "name": "weak" });
        spec["access"] = access["access"].clone();
        let made = appliance.api.request(Method::POST, "/api/v1/streams", Some(&spec)).await;
        assert_eq!(made.expect("an answer").status, 422, "{spec}");
    }
    appliance.stop().await;
    let path = appliance.state().join("auralink.db");
    let mut database = sqlx::SqliteConnection::connect(&format!("sqlite://{}", path.display()))
        .await
        .expect("the database is there");
    let sql = "UPDATE stream SET spec = json_set(spec, '$.access.publish_token', 'x')";
    sqlx::query(sql).execute(&mut database).await.expect("written");
    database.close().await.expect("closed");

    appliance.launch().await;
    eventually("the weak token is named", s(10), || async {
        let log = appliance.log_text();
        let told =
            |l: &str| l.contains("WARN") && l.contains("studio") && l.contains("publish_token");
        if log.lines().any(told) { Ok(()) } else { Err(log) }
    })
    .await;
    let spec = appliance.api.must_get(&format!("{}/spec", stream.path())).await;
    assert_eq!(spec["access"]["publish_token"], "x", "it goes on working");
    let renamed = json!({ "linger_s": 7 });
    let (status, changed) = appliance.api.patch(&stream.path(), &renamed).await;
    assert_eq!(status, 200, "another field can be changed: {changed}");
}
