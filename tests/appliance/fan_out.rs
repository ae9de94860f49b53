//! Viewers that share the packets of a stream: cost, the list of them, a viewer with a pipeline.

use std::path::Path;
use std::process::Stdio;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::appliance::{Appliance, free_tcp};
use crate::support::client::Client;
use crate::support::needs::skip;
use crate::support::{eventually, s};

/// Whatever the default is.
const CONFIG: &str = "[webrtc]\nfan_out = true\n";

fn frames(event: &Value) -> u64 {
    event["frames"].as_u64().or(event["decoded"].as_u64()).unwrap_or_default()
}

/// A browser and two other players watch, hear and come and go; one restarts ICE.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_share_packets_and_one_thread() {
    let appliance = Appliance::start_with(CONFIG).await;
    let spec = json!({ "name": "shared", "source": { "type": "test" }, "linger_s": 0 });
    let stream = appliance.api.create(spec).await;
    stream.wait_state("live", s(30)).await;
    let (url, token) = (stream.whep(), stream.play_token());
    let aiortc = || Client::python("whep.py", &[&url, "--token", &token]);
    let flows = |e: &Value| frames(e) > 30 && e["energy"].as_f64() > Some(0.0);
    let mut first = aiortc();
    first.wait_until("progress", s(60), flows).await;
    let before = appliance.usage().threads;
    let (mut second, mut browser) =
        (aiortc(), Client::browser("whep", &[&url, "--token", &token, "--patience", "60"]));
    let begun = browser.wait_for("playing", s(60)).await;
    eprintln!("  Chromium's first picture after {} ms", begun["first_frame_ms"]);
    second.wait_until("progress", s(60), flows).await;
    browser.wait_until("progress", s(60), flows).await;
    let heard = browser.wait_until("progress", s(30), |e| e["capture_age_ms"].is_number()).await;
    let age_ms = heard["capture_age_ms"].as_f64().expect("a number");
    assert!((-100.0..5000.0).contains(&age_ms), "a picture was captured {age_ms} ms ago");
    let more = appliance.usage().threads.saturating_sub(before);
    assert!(more < 9, "two more viewers took {more} threads, as many as a pipeline each");

    browser.tell("restart").await;
    let moved = browser.wait_for("restarted", s(30)).await;
    assert_ne!(moved["before"]["local_port"], moved["after"]["local_port"], "{moved}");
    let now = frames(&browser.wait_for("progress", s(10)).await);
    browser.wait_until("progress", s(30), |e| frames(e) > now + 60).await;

    // One that leaves does not disturb the others.
    second.finish().await;
    let now = frames(&first.wait_for("progress", s(10)).await);
    first.wait_until("progress", s(30), |e| frames(e) > now + 60).await;
    tokio::join!(first.finish(), browser.finish());
    // Clients are killed after their report: a viewer that says nothing more is gone after 30 s.
    eventually("nobody watches", s(60), || async {
        let viewers = stream.snapshot().await["viewers"]["whep"].as_u64();
        if viewers.unwrap_or(0) == 0 { Ok(()) } else { Err(format!("{viewers:?}")) }
    })
    .await;
}

/// Each viewer is listed with its address and what reaches it, and can be disconnected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_watches_is_listed_and_can_be_disconnected() {
    let appliance = Appliance::start_with(CONFIG).await;
    let spec = json!({ "name": "listed", "source": { "type": "test" } });
    let stream = appliance.api.create(spec).await;
    stream.wait_state("live", s(30)).await;
    let (url, token) = (stream.whep(), stream.play_token());
    let mut viewers = [(), ()].map(|()| Client::python("whep.py", &[&url, "--token", &token]));
    let flows = |e: &Value| frames(e) > 30 && e["energy"].as_f64() > Some(0.0);
    for viewer in &mut viewers {
        viewer.wait_until("progress", s(60), flows).await;
    }
    let path = format!("{}/viewers", stream.path());
    let list = eventually("both are measured", s(30), || async {
        let list = appliance.api.must_get(&path).await["viewers"].clone();
        let measured = |v: &Value| {
            let reported = v["rtt_ms"].as_f64() > Some(0.0) && v["loss"].is_number();
            reported && v["kbps"].as_f64() > Some(100.0)
        };
        match list.as_array().filter(|list| list.len() == 2 && list.iter().all(measured)) {
            Some(list) => Ok(list.clone()),
            None => Err(list.to_string()),
        }
    })
    .await;
    eprintln!("  {}", list[0]);
    for viewer in &list {
        assert_eq!((&viewer["protocol"], &viewer["transport"]), (&json!("whep"), &json!("udp")));
        assert!(viewer["agent"].as_str().is_some_and(|a| a.starts_with("Python")), "{viewer}");
        let codecs = viewer["codecs"].as_array().expect("a list");
        assert!(codecs.contains(&json!("opus")), "{viewer}");
        assert!(viewer["loss"].as_f64().is_some_and(|l| (0.0..=1.0).contains(&l)), "{viewer}");
        assert!(viewer["sent_bytes"].as_u64() > Some(10_000), "{viewer}");
    }
    assert_ne!(list[0]["address"], list[1]["address"], "each by its own path");
    let metrics = appliance.api.get("/metrics").await.expect("an answer").text;
    for line in [
        "auralink_viewers{protocol=\"whep\",stream=\"listed\"} 2",
        "auralink_viewers_lossy{protocol=\"whep\",stream=\"listed\"} ",
        "auralink_viewers_kbps{protocol=\"whep\",stream=\"listed\"} ",
    ] {
        assert!(metrics.contains(line), "no {line}");
    }

    let id = list[0]["id"].as_str().expect("a text");
    appliance.api.must_delete(&format!("{path}/{id}")).await;
    eventually("the other one stays", s(30), || async {
        let list = appliance.api.must_get(&path).await["viewers"].clone();
        let stays = list.as_array().is_some_and(|l| l.len() == 1 && l[0]["id"] != id);
        if stays { Ok(()) } else { Err(list.to_string()) }
    })
    .await;
    let gone = format!("{path}/{id}");
    let answer = appliance.api.request(Method::DELETE, &gone, None).await.expect("an answer");
    assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("unknown_session")));
}

/// `fan_out = false`: the viewer of a machine that is reached by STUN and TURN only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_may_have_a_pipeline_of_its_own() {
    let appliance = Appliance::start_with("[webrtc]\nfan_out = false\n").await;
    let spec = json!({ "name": "own", "source": { "type": "test" } });
    let stream = appliance.api.create(spec).await;
    stream.wait_state("live", s(30)).await;
    let (url, token) = (stream.whep(), stream.play_token());
    let mut browser = Client::browser("whep", &[&url, "--token", &token, "--patience", "60"]);
    let flows = |e: &Value| frames(e) > 30 && e["energy"].as_f64() > Some(0.0);
    browser.wait_until("progress", s(60), flows).await;
    browser.tell("restart").await;
    browser.wait_for("restarted", s(30)).await;
    let now = frames(&browser.wait_for("progress", s(10)).await);
    browser.wait_until("progress", s(30), |e| frames(e) > now + 60).await;
    let list = appliance.api.must_get(&format!("{}/viewers", stream.path())).await;
    assert_eq!(list["viewers"][0]["kbps"], Value::Null, "nobody measures it: {list}");
    browser.finish().await;
}

/// Our element in a pipeline of its own, without the appliance: the line that its documentation shows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gst_launch_serves_a_browser_and_another_player() {
    let Some(plugins) = plugin_folder() else {
        return skip("the library as a plugin of GStreamer");
    };
    if std::process::Command::new("gst-launch-1.0").arg("--version").output().is_err() {
        return skip("gst-launch-1.0 of gstreamer1.0-tools");
    }
    let port = free_tcp().to_string();
    let line = format!(
        "videotestsrc is-live=true ! video/x-raw,width=320,height=180 \
         ! x264enc tune=zerolatency key-int-max=60 ! rtph264pay aggregate-mode=zero-latency \
         ! auralinkfanout whep-port={port} token=s3cret"
    );
    let mut program = tokio::process::Command::new("gst-launch-1.0");
    program.args(line.split_whitespace()).stdin(Stdio::null()).stdout(Stdio::null());
    program
        .env("GST_PLUGIN_PATH", plugins.path())
        .env("GST_REGISTRY", plugins.path().join("registry"));
    let mut program = program.kill_on_drop(true).spawn().expect("it starts");
    let url = format!("http://127.0.0.1:{port}");
    eventually("the page is there", s(60), || async {
        let page = reqwest::get(&url).await.map_err(|e| e.to_string())?;
        let text = page.text().await.map_err(|e| e.to_string())?;
        if text.contains("RTCPeerConnection") { Ok(()) } else { Err(text) }
    })
    .await;
    let whep = format!("{url}/whep");
    let stranger = reqwest::Client::new().post(&whep).body("v=0").send().await.expect("an answer");
    assert_eq!(stranger.status(), 401, "without the token");
    let args = [&*whep, "--token", "s3cret", "--patience", "60"];
    let mut browser = Client::browser("whep", &args);
    let mut other = Client::python("whep.py", &args[..3]);
    for player in [&mut browser, &mut other] {
        player.wait_until("progress", s(60), |e| frames(e) > 30).await;
    }
    tokio::join!(browser.finish(), other.finish());
    assert_eq!(program.try_wait().expect("it is ours"), None, "players that leave do not end it");
}

/// A folder with the library that this test was built with; `None` if it was built without.
fn plugin_folder() -> Option<tempfile::TempDir> {
    let built = Path::new(env!("CARGO_BIN_EXE_auralink")).parent()?;
    let folder = tempfile::tempdir().expect("the disk has room");
    let library = ["deps/libauralink.so", "libauralink.so"].map(|name| built.join(name));
    let library = library.into_iter().find(|path| path.exists())?;
    std::os::unix::fs::symlink(library, folder.path().join("libauralink.so")).expect("made");
    Some(folder)
}
