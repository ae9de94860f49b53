//! Faults of what the appliance depends on: store, clock, network, files.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::api::Stream;
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fault::Conditions;
use crate::support::fault::clock::Clock;
use crate::support::fault::files::HungFile;
use crate::support::fault::network::{Proxy, Way};
use crate::support::fault::store::StoreLock;
use crate::support::media::Coding;
use crate::support::publish::Ffmpeg;
use crate::support::{eventually, s};

/// Longest request while the store is locked: twice the store's own limit of 5 s.
const LOCKED_MAX: Duration = s(15);

/// One field of a stream's spec.
async fn linger_of(stream: &Stream) -> Value {
    stream.api.must_get(&format!("{}/spec", stream.path())).await["linger_s"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_store_delays_a_change_or_refuses_it_whole() {
    let mut appliance = Appliance::start().await;
    let api = appliance.api.clone();
    let stream = api.create(json!({ "name": "locked", "linger_s": 10 })).await;
    let path = stream.path();

    // Locked longer than requests wait: the change is refused with a reason and not in force.
    let lock = StoreLock::take(&appliance.state()).await;
    let change = json!({ "linger_s": 11 });
    let answer = tokio::time::timeout(LOCKED_MAX, api.patch(&path, &change)).await;
    let (status, body) = answer.expect("an answer while the store is locked");
    assert!(status >= 500 && body["hint"].is_string(), "{status} {body}");
    assert_eq!(linger_of(&stream).await, 10, "a refused change is in force");

    // Locked briefly: the change waits and is stored.
    let change = tokio::spawn({
        let (api, path) = (api.clone(), path.clone());
        async move { api.patch(&path, &json!({ "linger_s": 12 })).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!change.is_finished(), "it was acknowledged while nothing could be written");
    lock.release().await;
    let (status, body) = change.await.expect("no panic");
    assert_eq!(status, 200, "{body}");
    appliance.kill();
    appliance.launch().await;
    assert_eq!(linger_of(&stream).await, 12, "an acknowledged change is lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_right_while_a_stream_runs_disturbs_nobody() {
    // A machine with an empty clock battery starts with a date years ago, until it has network
    // time.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let years = 10 * 365 * 24 * 3600;
    let clock = Clock::ahead_by(folder.path(), -years);
    let conditions = Conditions { clock: Some(clock.clone()), ..Conditions::default() };
    let appliance = Appliance::start_under(conditions, "").await.expect("any user may do this");
    let spec = json!({ "name": "dated", "preset": "record", "source": { "type": "test" } });
    let stream = appliance.api.create(spec).await;
    let before = stream.wait_state("live", s(20)).await;
    let year = |text: &str| text[..4].parse::<i32>().unwrap_or_else(|_| panic!("no year: {text}"));
    let since = before["since"].as_str().unwrap_or_default().to_owned();
    let now = chrono::Utc::now().to_rfc3339();
    assert!(year(&since) < year(&now) - 8, "the clock is not moved: {since}");
    let token = stream.play_token();
    let mut viewer = Client::python("whep.py", &[&stream.whep(), "--token", &token]);
    viewer.wait_until("progress", s(40), |e| e["frames"].as_u64() > Some(30)).await;

    clock.jump_to(0);
    let watched = viewer.wait_for("progress", s(20)).await["frames"].as_u64().unwrap_or(0);
    viewer.wait_until("progress", s(40), |e| e["frames"].as_u64() > Some(watched + 90)).await;
    let after = stream.snapshot().await;
    assert_eq!((&after["state"], &after["since"]), (&before["state"], &before["since"]), "{after}");
    for node in after["nodes"].as_array().into_iter().flatten() {
        assert_eq!(node["restarts"], 0, "a node was restarted: {node}");
    }
    let report = viewer.finish().await;
    let gap = report["video"]["max_gap_ms"].as_f64().unwrap_or(f64::NAN);
    assert!(gap < 1000.0, "the viewer's picture stood still for {gap} ms");
    // New entries have the right date.
    let spec = json!({ "name": "later", "source": { "type": "test" } });
    let later = appliance.api.create(spec).await.wait_state("live", s(20)).await;
    assert_eq!(year(later["since"].as_str().unwrap_or_default()), year(&now), "{later}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_whose_connection_breaks_makes_room_for_its_return() {
    let appliance = Appliance::start().await;
    let proxy = Proxy::before(appliance.ports.rtmp).await;
    let stream = appliance.api.create(json!({ "name": "cable", "linger_s": 60 })).await;
    let url = proxy.instead_of(&appliance.rtmp(&stream));
    for round in 0..3 {
        let publisher = Ffmpeg::send(Coding::H264BFrames, &url);
        stream.wait_state("live", s(30)).await;
        proxy.set(Way::Cut);
        stream.wait(&format!("slate, round {round}"), s(30), |s| s["state"] == "slate").await;
        publisher.kill().await;
        proxy.set(Way::Open);
    }
    // Bytes that arrive late, in a burst, do not disconnect the publisher.
    let _publisher = Ffmpeg::send(Coding::H264BFrames, &url);
    let live = stream.wait_state("live", s(30)).await;
    proxy.set(Way::Held);
    let bytes = |s: &Value| s["sources"][0]["bytes"].as_u64();
    let before = bytes(&stream.snapshot().await);
    tokio::time::sleep(Duration::from_millis(700)).await;
    proxy.set(Way::Open);
    let after = stream.wait("the burst arrives", s(20), |s| bytes(s) > before).await;
    assert_eq!(after["sources"][0]["since"], live["sources"][0]["since"], "{after}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_hangs_among_the_recordings_holds_up_nobody() {
    let mut appliance = Appliance::start().await;
    let folder = appliance.state().join("recordings/hung");
    std::fs::create_dir_all(&folder).expect("the state folder is writable");
    let hung = HungFile::make(&folder.join("2026-01-02T03-04-05.678Z.mp4"));
    let spec = json!({ "name": "hung", "preset": "record", "source": { "type": "test" } });
    let stream = appliance.api.create(spec).await;
    stream.wait_state("live", s(20)).await;
    let listed = eventually("the other recording is listed", s(20), || async {
        let list = appliance.api.must_get("/api/v1/recordings?stream=hung").await;
        match list["items"].as_array() {
            Some(items) if !items.is_empty() => Ok(items.clone()),
            _ => Err(list.to_string()),
        }
    })
    .await;
    let hangs = |id: &str| hung.path().file_stem().is_some_and(|stem| stem == id);
    assert!(!listed.iter().any(|e| e["id"].as_str().is_some_and(hangs)), "{listed:?}");
    let took = appliance.stop().await;
    assert!(took < s(10), "shut-down took {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_state_disk_refuses_what_it_cannot_keep_and_recovers() {
    let conditions = Conditions { state_disk_mib: Some(8), ..Conditions::default() };
    let Some(appliance) = Appliance::start_under(conditions, "").await else { return };
    let api = &appliance.api;
    let before = api.create(json!({ "name": "before" })).await;
    appliance.disk().fill(0);
    // Some pages of the write-ahead log may still be free; after several changes none is.
    let mut refused = None;
    for number in 0..200 {
        let spec = json!({ "name": format!("full-{number}"), "backup": { "type": "test" } });
        let answer = api.request(reqwest::Method::POST, "/api/v1/streams", Some(&spec)).await;
        let answer = answer.expect("an answer");
        if answer.status >= 500 {
            refused = Some((number, answer));
            break;
        }
        assert_eq!(answer.status, 201, "{}", answer.text);
    }
    let (number, answer) = refused.expect("a full disk refuses a change sooner or later");
    assert!(answer.json()["hint"].is_string(), "{}", answer.text);
    let ghost = api.get(&format!("/api/v1/streams/full-{number}")).await.expect("an answer");
    assert_eq!(ghost.status, 404, "a refused stream is there: {}", ghost.text);

    appliance.disk().empty();
    api.must_patch(&before.path(), &json!({ "linger_s": 9 })).await;
    assert_eq!(linger_of(&before).await, 9);
}
