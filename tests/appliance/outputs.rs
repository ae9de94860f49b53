//! Restreaming: each output is independent of the others.

use serde_json::{Value, json};

use crate::support::appliance::{Appliance, free_tcp};
use crate::support::media::Coding;
use crate::support::publish::Ffmpeg;
use crate::support::s;

fn output<'a>(snapshot: &'a Value, id: &str) -> &'a Value {
    let outputs = snapshot["outputs"].as_array().map(Vec::as_slice).unwrap_or_default();
    outputs.iter().find(|o| o["id"] == id).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_dead_target_among_three_disturbs_nobody() {
    let appliance = Appliance::start().await;
    let api = &appliance.api;
    // Two targets are streams of the same appliance, the third is a closed port.
    let (left, right) =
        (api.create(json!({ "name": "left" })).await, api.create(json!({ "name": "right" })).await);
    let dead = format!("rtmp://127.0.0.1:{}/live/key-that-nobody-may-see", free_tcp());
    let push = |id: &str, url: String| json!({ "id": id, "type": "push", "url": url });
    let spec = json!({
        "name": "studio",
        "outputs": [
            push("left", appliance.rtmp(&left)),
            push("dead", dead),
            push("right", appliance.rtmp(&right)),
        ],
    });
    let studio = api.create(spec).await;
    let _publisher = Ffmpeg::send(Coding::H264BFrames, &appliance.srt(&studio));
    studio.wait_state("live", s(20)).await;
    left.wait_state("live", s(30)).await;
    right.wait_state("live", s(30)).await;
    let shown = studio
        .wait("the dead target is shown with its reason and the others run", s(30), |s| {
            let running = |id: &str| output(s, id)["state"] == "running";
            output(s, "dead")["error"].is_string() && running("left") && running("right")
        })
        .await;
    assert!(!shown.to_string().contains("key-that-nobody-may-see"), "a stream key is shown");
    let dead = output(&shown, "dead");
    assert!(dead["error_hint"].is_string() && dead["error_at"].is_string(), "{dead}");
    for id in ["left", "right"] {
        let state = output(&shown, id);
        assert_eq!(state["restarts"], 0, "{state}");
    }
    // Codecs pass unchanged: the result still has B-frames.
    left.wait("B-frames", s(10), |s| s["feeds"].to_string().contains("B-frames")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outputs_are_added_stopped_started_and_removed_while_the_stream_runs() {
    let appliance = Appliance::start().await;
    let api = &appliance.api;
    let copy = api.create(json!({ "name": "copy", "linger_s": 0 })).await;
    let studio = api.create(json!({ "name": "studio", "source": { "type": "test" } })).await;
    studio.wait_state("live", s(20)).await;

    let outputs = format!("{}/outputs", studio.path());
    let push = json!({ "id": "copy", "type": "push", "url": appliance.srt(&copy) });
    api.must_post(&outputs, &push).await;
    copy.wait_state("live", s(30)).await;

    api.must_post(&format!("{outputs}/copy/stop"), &json!({})).await;
    copy.wait("its publisher is gone", s(20), |s| s["state"] != "live").await;
    api.must_post(&format!("{outputs}/copy/start"), &json!({})).await;
    copy.wait_state("live", s(30)).await;

    api.must_delete(&format!("{outputs}/copy")).await;
    let after = studio.snapshot().await;
    assert_eq!(after["outputs"].as_array().map(Vec::len), Some(0), "{after}");
    let source = &after["nodes"][0];
    assert_eq!(source["restarts"], 0, "the source was not disturbed: {source}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_output_starts_again_and_no_other_one() {
    let appliance = Appliance::start().await;
    let api = &appliance.api;
    let (left, right, new) = (
        api.create(json!({ "name": "left" })).await,
        api.create(json!({ "name": "right" })).await,
        api.create(json!({ "name": "new" })).await,
    );
    let push = |id: &str, url: String| json!({ "id": id, "type": "push", "url": url });
    let outputs = [push("moves", appliance.srt(&left)), push("stays", appliance.srt(&right))];
    let spec = json!({ "name": "studio", "source": { "type": "test" }, "outputs": outputs });
    let studio = api.create(spec).await;
    left.wait_state("live", s(30)).await;
    let since = right.wait_state("live", s(30)).await["sources"][0]["since"].clone();

    let moves = format!("{}/outputs/moves", studio.path());
    let refused = api.patch(&moves, &json!({ "url": "gopher://h" })).await;
    assert!(refused.0 == 422 && refused.1["message"].to_string().contains("`url`"), "{refused:?}");
    assert_eq!(left.snapshot().await["state"], "live", "nothing is lost by a refusal");
    let changed = api.patch(&moves, &json!({ "url": appliance.srt(&new) })).await;
    assert_eq!(changed.0, 200, "{changed:?}");
    assert!(!changed.1.to_string().contains("publish-new"), "the token is shown: {changed:?}");
    new.wait_state("live", s(30)).await;
    left.wait("its publisher is gone", s(20), |s| s["state"] != "live").await;
    let untouched = right.snapshot().await;
    assert_eq!(untouched["sources"][0]["since"], since, "the other one was disturbed");
    assert_eq!(studio.snapshot().await["nodes"][0]["restarts"], 0);
}
