//! Start, reload, restart, shut-down.

use serde_json::{Value, json};

use crate::support::appliance::{ADMIN, Appliance};
use crate::support::client::{Client, measure};
use crate::support::media::Coding;
use crate::support::publish::Ffmpeg;
use crate::support::{eventually, s};
use crate::sync::newest_recording;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shut_down_finishes_files_and_tells_viewers_within_five_seconds() {
    let mut appliance = Appliance::start().await;
    let stream = appliance.api.create(json!({ "name": "last", "preset": "record" })).await;
    let _publisher = Ffmpeg::send(Coding::H264BFrames, &appliance.srt(&stream));
    stream.wait_state("live", s(20)).await;
    let token = stream.play_token();
    let mut viewer = Client::python("whep.py", &[&stream.whep(), "--token", &token]);
    viewer.wait_until("progress", s(40), |e| e["frames"].as_u64() > Some(60)).await;

    let took = appliance.stop().await;
    assert!(took < s(5), "shut-down took {took:?}\n{}", appliance.log_text());
    // The viewer is notified; otherwise it would notice by a timeout half a minute later.
    viewer.wait_until("progress", s(5), |e| e["ended"].as_u64() >= Some(1)).await;

    let file = newest_recording(&appliance.state().join("recordings/last"));
    let report = measure(&file.display().to_string(), 0, 0).await;
    assert_eq!(report["errors"], 0, "{report}");
    assert!(report["video"]["frames"].as_u64() > Some(60), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captions_and_those_who_follow_them_do_not_hold_up_a_shut_down() {
    let mut appliance = Appliance::start().await;
    let captions = json!({ "enabled": true, "language": "en", "translate": ["es"] });
    let spec = json!({
        "name": "last", "preset": "record", "source": { "type": "demo" }, "captions": captions,
    });
    let stream = appliance.api.create(spec).await;
    stream.wait_state("live", s(30)).await;
    let recording = |s: &Value| {
        let nodes = s["nodes"].as_array().cloned().unwrap_or_default();
        nodes.iter().any(|n| n["name"] == "output.record" && n["state"] == "running")
            && s["cues"].as_array().is_some_and(|cues| cues.len() == 2)
    };
    stream.wait("it is recorded, with captions", s(30), recording).await;
    let mut followers = Vec::new();
    let play = stream.play_token();
    for path in ["/captions/last/events", "/api/v1/streams/last/captions/events", "/api/v1/events"]
    {
        let token = if path.starts_with("/api") { ADMIN } else { &play };
        let request = appliance.api.raw(reqwest::Method::GET, path).bearer_auth(token);
        followers.push(request.send().await.expect("it begins"));
    }
    let mut viewer = Client::python("whep.py", &[&stream.whep(), "--token", &play]);
    viewer.wait_until("progress", s(60), |e| e["frames"].as_u64() > Some(0)).await;
    let took = appliance.stop().await;
    // Well under a second on an idle machine; each of the waits that this tests takes two.
    assert!(took < s(3), "shut-down took {took:?}\n{}", appliance.log_text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_names_every_section_that_needs_a_restart() {
    let appliance = Appliance::start().await;
    appliance.write_config(
        "[stt]\nthreads = 1\n[translate]\ntimeout_ms = 3000\n[tts]\ntimeout_ms = 900\n",
    );
    appliance.reload();
    for section in ["stt", "translate", "tts"] {
        let line = format!("setting=\"{section}\"");
        eventually(&format!("the log names {section}"), s(20), || async {
            let log = appliance.log_text();
            let named = log.lines().any(|l| l.contains(&line) && l.contains("next start"));
            if named { Ok(()) } else { Err(log) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_made_by_the_api_survives_a_restart() {
    let mut appliance = Appliance::start().await;
    let spec = json!({
        "name": "kept", "preset": "clean-audio", "source": { "type": "test" }, "linger_s": 7,
        "outputs": [{ "id": "away", "type": "push", "url": "srt://127.0.0.1:9", "enabled": false }],
    });
    let stream = appliance.api.create(spec).await;
    stream.wait_state("live", s(20)).await;
    appliance.stop().await;
    appliance.launch().await;
    let snapshot = stream.wait_state("live", s(20)).await;
    assert_eq!(snapshot["preset"], "clean-audio");
    assert_eq!(snapshot["outputs"][0]["id"], "away");
    assert_eq!(snapshot["outputs"][0]["enabled"], false);
    // Its tokens are unchanged.
    let args = [&stream.whep(), "--token", &stream.play_token(), "--seconds", "2"];
    let report = Client::python("whep.py", &args).report(s(60)).await;
    assert!(report["video"]["frames"].as_u64() > Some(10), "{report}");
}

fn of_config(name: &str, linger_s: u32) -> String {
    format!(
        "[[streams]]\nname = \"{name}\"\nsource = {{ type = \"test\" }}\nlinger_s = {linger_s}\n\
         access = {{ publish_token = \"publish-{name}\", play_token = \"play-{name}\" }}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_touches_only_what_changed() {
    let before = of_config("same", 30) + &of_config("changed", 30) + &of_config("dropped", 30);
    let appliance = Appliance::start_with(&before).await;
    let api = appliance.api.clone();
    let same = crate::support::api::Stream { api: api.clone(), name: "same".into() };
    let on_air_since = same.wait_state("live", s(20)).await["sources"][0]["since"].clone();
    let token = same.play_token();
    let mut viewer = Client::python("whep.py", &[&same.whep(), "--token", &token]);
    viewer.wait_until("progress", s(30), |e| e["frames"].as_u64() > Some(30)).await;

    let names = || async {
        let list = api.must_get("/api/v1/streams").await;
        let rows = list["streams"].as_array().cloned().unwrap_or_default();
        rows.iter().filter_map(|r| Some(r["name"].as_str()?.to_owned())).collect::<Vec<_>>()
    };
    appliance.write_config(
        &(of_config("same", 30) + &of_config("changed", 5) + &of_config("added", 30)),
    );
    appliance.reload();
    eventually("the new configuration is in force", s(20), || async {
        let names = names().await;
        if names == ["added", "changed", "same"] { Ok(()) } else { Err(format!("{names:?}")) }
    })
    .await;

    // An invalid file changes nothing and is reported in the log.
    appliance.write_config(&(of_config("same", 30) + "nonsense = 1\n"));
    appliance.reload();
    eventually("the mistake is in the log", s(10), || async {
        let log = appliance.log_text();
        if log.contains("nonsense") { Ok(()) } else { Err("not there".to_owned()) }
    })
    .await;
    assert_eq!(names().await, ["added", "changed", "same"]);

    viewer.wait_until("progress", s(30), |e| e["frames"].as_u64() > Some(90)).await;
    let now = same.snapshot().await;
    assert_eq!(now["sources"][0]["since"], on_air_since, "its source was touched: {now}");
    let report = viewer.finish().await;
    assert_eq!(report["state"], "connected");
    let gap = report["video"]["max_gap_ms"].as_f64().unwrap_or(f64::NAN);
    assert!(gap < 1000.0, "its viewer saw a gap of {gap} ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_shows_something_within_seconds() {
    let appliance = Appliance::start_demo().await;
    let demo = crate::support::api::Stream { api: appliance.api.clone(), name: "demo".into() };
    demo.wait_state("live", s(15)).await;
    let snapshot = demo
        .wait("pictures and sound", s(15), |s| {
            let flowing = |f: &Value| f["buffers"].as_u64() > Some(10);
            s["feeds"].as_array().is_some_and(|l| l.iter().filter(|f| flowing(f)).count() >= 2)
        })
        .await;
    assert!(!snapshot["denoise"].is_null(), "the demo cleans its voice: {snapshot}");
    let captions = "/api/v1/streams/demo/captions";
    eventually("captions in English and Spanish", s(120), || async {
        let view = appliance.api.must_get(captions).await;
        let feeds = view["feeds"].as_array().cloned().unwrap_or_default();
        let written = |tag: &str| {
            let feed = feeds.iter().find(|feed| feed["language"] == tag);
            feed.is_some_and(|feed| feed["words"].as_u64() > Some(5))
        };
        if written("en") && written("es") { Ok(()) } else { Err(view.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noise_suppression_is_switched_while_the_stream_runs() {
    let appliance = Appliance::start().await;
    let spec = json!({ "name": "switched", "preset": "clean-audio", "source": { "type": "test" } });
    let stream = appliance.api.create(spec).await;
    stream.wait_state("live", s(20)).await;
    let token = stream.play_token();
    let mut viewer = Client::python("whep.py", &[&stream.whep(), "--token", &token]);
    viewer.wait_for("playing", s(30)).await;
    for (enabled, mix) in [(false, 1.0), (true, 1.0), (true, 0.5), (false, 1.0)] {
        let wanted = json!({ "enabled": enabled, "mix": mix, "max_attenuation_db": 24.0 });
        appliance.api.must_patch(&format!("{}/denoise", stream.path()), &wanted).await;
        let now = stream.snapshot().await;
        assert_eq!(now["denoise"]["enabled"], enabled, "{now}");
        viewer.wait_for("progress", s(5)).await;
    }
    let report = viewer.finish().await;
    let gap = report["audio"]["max_gap_ms"].as_f64().unwrap_or(f64::NAN);
    assert!(gap < 60.0, "switching tore a gap of {gap} ms into the sound");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_figures_are_served() {
    let appliance = Appliance::start().await;
    let spec = json!({ "name": "counted", "source": { "type": "test" } });
    let stream = appliance.api.create(spec).await;
    stream.wait_state("live", s(20)).await;
    for path in ["/healthz", "/readyz"] {
        let answer = appliance.api.with_token("").get(path).await.expect("an answer");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
    eventually("the stream's buffers are counted", s(10), || async {
        let text = appliance.api.get("/metrics").await?.text;
        let counted = |l: &&str| l.contains("stream=\"counted\"") && !l.ends_with(" 0");
        if text.lines().any(|l| counted(&l)) { Ok(()) } else { Err(text) }
    })
    .await;
    let openapi = appliance.api.get("/api/v1/openapi.json").await.expect("an answer");
    assert!(openapi.json()["openapi"].as_str().is_some_and(|v| v.starts_with("3.1")));
}
