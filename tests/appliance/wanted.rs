//! Desired state of streams: acknowledged changes stay, refused ones leave nothing, and no change
//! undoes another.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::api::{Answer, Api};
use crate::support::appliance::{ADMIN, Appliance};
use crate::support::fault::disk::SmallDisk;
use crate::support::{eventually, s};

const STREAMS: &str = "/api/v1/streams";

/// Limit for the many streams of these tests.
const LIMITS: &str = "[limits]\nstreams = 2000\n";

async fn names(api: &Api) -> BTreeSet<String> {
    let list = api.must_get(STREAMS).await;
    let all = list["streams"].as_array().cloned().unwrap_or_default();
    all.iter().filter_map(|stream| Some(stream["name"].as_str()?.to_owned())).collect()
}

async fn answer(api: &Api, method: Method, path: &str, body: Value) -> Answer {
    let shown = format!("{method} {path} {body}");
    api.request(method, path, Some(&body)).await.unwrap_or_else(|e| panic!("{shown}: {e}"))
}

/// Sends a whole request and disconnects after a while, without waiting for the answer.
async fn cut(appliance: &Appliance, path: &str, body: &Value, after: Duration) {
    let (port, body) = (appliance.ports.http, body.to_string());
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.expect("the port is open");
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {ADMIN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(format!("{head}{body}").as_bytes()).await.expect("it is sent");
    tokio::time::sleep(after).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_hang_up_leave_whole_changes_or_none() {
    let mut appliance = Appliance::start_with(LIMITS).await;
    for n in 0..150u64 {
        // From zero to longer than a change takes.
        let after = Duration::from_micros(n * 150);
        cut(&appliance, STREAMS, &json!({ "name": format!("cut-{n}") }), after).await;
        let output =
            json!({ "id": format!("o{n}"), "type": "push", "url": "rtmp://127.0.0.1:9/a/b" });
        cut(&appliance, &format!("{STREAMS}/cut-{n}/outputs"), &output, after).await;
    }
    let mut changed = BTreeSet::new();
    for name in names(&appliance.api).await {
        let path = format!("{STREAMS}/{name}");
        let patch = answer(&appliance.api, Method::PATCH, &path, json!({ "linger_s": 77 })).await;
        assert_eq!(patch.status, 200, "a ghost: {name}: {}", patch.text);
        changed.insert(name);
    }
    eprintln!("  of 150 streams whose callers hung up, {} are there", changed.len());
    assert!(!changed.is_empty(), "no request came through");
    let mut outputs = Vec::new();
    for name in &changed {
        outputs.push(appliance.api.must_get(&format!("{STREAMS}/{name}/spec")).await);
    }
    appliance.kill();
    appliance.launch().await;
    let there = names(&appliance.api).await;
    assert!(there.is_superset(&changed), "gone: {:?}", changed.difference(&there));
    for before in outputs {
        let path = format!("{STREAMS}/{}/spec", before["name"].as_str().unwrap_or_default());
        let after = appliance.api.must_get(&path).await;
        assert_eq!(after["linger_s"], 77, "{after}");
        // An output may have been added after the reading; none may be missing.
        let has = |spec: &Value| spec["outputs"].as_array().map_or(0, Vec::len);
        assert!(has(&after) >= has(&before), "{before}\n{after}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_acknowledged_is_there_after_kill_nine() {
    let mut appliance = Appliance::start_with(LIMITS).await;
    let mut workers = JoinSet::new();
    let (said, mut heard) = tokio::sync::mpsc::channel(1024);
    for worker in 0..6 {
        let (api, said) = (appliance.api.clone(), said.clone());
        workers.spawn(async move {
            for n in 0.. {
                let path = format!("{STREAMS}/w{worker}-{n}");
                let spec = json!({ "name": format!("w{worker}-{n}") });
                for (method, path, body) in [
                    (Method::POST, STREAMS, spec),
                    (Method::PATCH, path.as_str(), json!({ "linger_s": n + 1 })),
                ] {
                    let acknowledged = api.request(method, path, Some(&body)).await;
                    if !acknowledged.is_ok_and(|a| a.status < 300) {
                        return;
                    }
                    let _ = said.send((format!("w{worker}-{n}"), body["linger_s"].clone())).await;
                }
            }
        });
    }
    drop(said);
    let mut acknowledged = Vec::new();
    while acknowledged.len() < 120 {
        acknowledged.push(heard.recv().await.expect("the workers go on"));
    }
    appliance.kill();
    while let Some(last) = heard.recv().await {
        acknowledged.push(last);
    }
    appliance.launch().await;
    let mut missing = Vec::new();
    for (name, linger) in &acknowledged {
        let spec = appliance.api.get(&format!("{STREAMS}/{name}/spec")).await.expect("an answer");
        let kept = linger.is_null() || spec.json()["linger_s"] == *linger;
        if spec.status != 200 || !kept {
            missing.push((name, linger, spec.text));
        }
    }
    eprintln!("  {} acknowledged, {} missing", acknowledged.len(), missing.len());
    assert!(missing.is_empty(), "{missing:?}");
}

/// Sends all at once; each must succeed.
async fn together(api: &Api, requests: Vec<(Method, String, Value)>) {
    let mut running = JoinSet::new();
    for (method, path, body) in requests {
        let api = api.clone();
        running.spawn(async move {
            let answer = answer(&api, method, &path, body).await;
            assert!(answer.status < 300, "{path}: {} {}", answer.status, answer.text);
        });
    }
    while let Some(done) = running.join_next().await {
        done.expect("it succeeds");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_at_the_same_time_all_take_effect_and_stay() {
    const ROUNDS: usize = 40;
    let mut appliance = Appliance::start().await;
    let api = appliance.api.clone();
    api.must_post(STREAMS, &json!({ "name": "busy", "preset": "clean-audio" })).await;
    let path = format!("{STREAMS}/busy");
    let mut tokens = BTreeSet::new();
    let mut lost = Vec::new();
    for round in 0..ROUNDS {
        let before = api.must_get(&format!("{path}/spec")).await;
        tokens.insert(before["access"]["publish_token"].to_string());
        let conflict = ["replace", "reject"][round % 2];
        let output = json!({ "id": format!("o{round}"), "type": "push",
            "url": "rtmp://127.0.0.1:9/a/b", "enabled": false });
        let mix = (round % 10) as f64 / 16.0;
        let patch = |body: Value| (Method::PATCH, path.clone(), body);
        together(
            &api,
            vec![
                patch(json!({ "linger_s": round + 1 })),
                patch(json!({ "on_conflict": conflict })),
                (Method::POST, format!("{path}/outputs"), output),
                (Method::POST, format!("{path}/access/rotate"), json!({})),
                (Method::PATCH, format!("{path}/denoise"), json!({ "mix": mix })),
                (Method::PATCH, format!("{path}/captions"), json!({ "keep_days": round + 1 })),
            ],
        )
        .await;
        let after = api.must_get(&format!("{path}/spec")).await;
        let ids = after["outputs"].as_array().map_or(0, Vec::len);
        for (what, kept) in [
            ("linger_s", after["linger_s"] == json!(round + 1)),
            ("on_conflict", after["on_conflict"] == json!(conflict)),
            ("the output", ids == round + 1),
            ("the mix", after["denoise"]["mix"].as_f64() == Some(mix)),
            ("captions", after["captions"]["keep_days"] == json!(round + 1)),
            ("new tokens", !tokens.contains(&after["access"]["publish_token"].to_string())),
        ] {
            if !kept {
                lost.push((round, what));
            }
        }
    }
    eprintln!("  {} changes at the same time, {} lost", ROUNDS * 6, lost.len());
    assert!(lost.is_empty(), "{lost:?}");
    let before = api.must_get(&format!("{path}/spec")).await;
    appliance.kill();
    appliance.launch().await;
    assert_eq!(api.must_get(&format!("{path}/spec")).await, before, "as stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_go_by_the_same_state_one_changes_it() {
    let appliance = Appliance::start().await;
    let api = &appliance.api;
    api.must_post(STREAMS, &json!({ "name": "tagged" })).await;
    let path = format!("{STREAMS}/tagged");
    let read = api.get(&path).await.expect("an answer");
    let tag = read.header("etag").to_owned();
    let spec = api.get(&format!("{path}/spec")).await.expect("an answer");
    assert_eq!(spec.header("etag"), tag, "it is that of what is wanted");
    let change = |method: Method, tag: String, body: Value| {
        let request = api.raw(method, &path).bearer_auth(ADMIN).header("If-Match", tag);
        let (api, request) = (api.clone(), request.json(&body));
        async move { api.send(request).await.expect("an answer") }
    };
    let mut tries = JoinSet::new();
    for n in 0..20 {
        tries.spawn(change(Method::PATCH, tag.clone(), json!({ "linger_s": 100 + n })));
    }
    let tried = tries.join_all().await;
    let won: Vec<&Answer> = tried.iter().filter(|a| a.status == 200).collect();
    assert_eq!(won.len(), 1, "{tried:?}");
    for refused in tried.iter().filter(|a| a.status != 200) {
        let said = refused.json();
        assert_eq!((refused.status, &said["code"]), (412, &json!("precondition_failed")), "{said}");
        assert!(said["hint"].as_str().is_some_and(|hint| hint.contains("If-Match")), "{said}");
    }
    let now = won[0].header("etag").to_owned();
    assert_ne!(now, tag);
    let put = json!({ "name": "tagged", "linger_s": 3 });
    assert_eq!(change(Method::PUT, tag.clone(), put.clone()).await.status, 412);
    assert_eq!(change(Method::PUT, "untagged".into(), put.clone()).await.status, 400);
    assert_eq!(change(Method::PUT, now, put).await.status, 200);
    assert_eq!(change(Method::DELETE, tag, Value::Null).await.status, 412);
    assert_eq!(change(Method::DELETE, "*".into(), Value::Null).await.status, 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_optional_is_removed_by_null_and_by_leaving_it_out() {
    let appliance = Appliance::start().await;
    let api = &appliance.api;
    let whole = json!({
        "name": "full", "backup": { "type": "test" }, "denoise": { "mix": 0.5 },
        "captions": { "enabled": false },
        "access": { "publish_token": "pub-full", "play_token": "play-full", "open_play": true,
            "srt_passphrase": "first-pass-123" },
    });
    api.must_post(STREAMS, &whole).await;
    let path = format!("{STREAMS}/full");
    let spec = async || api.must_get(&format!("{path}/spec")).await;
    api.must_patch(&path, &json!({ "access": { "srt_passphrase": null } })).await;
    let now = spec().await;
    assert_eq!(now["access"]["srt_passphrase"], Value::Null, "{now}");
    assert_eq!(now["access"]["publish_token"], "pub-full", "{now}");
    let nothing = json!({ "backup": null, "denoise": null, "captions": null });
    api.must_patch(&path, &nothing).await;
    let now = spec().await;
    for field in ["backup", "denoise", "captions"] {
        assert_eq!(now[field], Value::Null, "{now}");
    }
    api.must_patch(&path, &json!({ "access": { "play_token": null } })).await;
    let token = spec().await["access"]["play_token"].clone();
    assert!(
        token.as_str().is_some_and(|token| token != "play-full" && token.len() >= 32),
        "{token}"
    );

    assert_eq!(answer(api, Method::PUT, &path, whole.clone()).await.status, 200);
    assert_eq!(spec().await["access"]["srt_passphrase"], "first-pass-123");
    let bare = json!({ "name": "full", "access": { "open_publish": true } });
    assert_eq!(answer(api, Method::PUT, &path, bare).await.status, 200);
    let now = spec().await;
    let access = &now["access"];
    assert_eq!(access["srt_passphrase"], Value::Null, "{now}");
    assert_eq!((&access["open_play"], &access["open_publish"]), (&json!(false), &json!(true)));
    assert_eq!(
        (&access["publish_token"], &access["play_token"]),
        (&json!("pub-full"), &json!("play-full"))
    );
    assert_eq!((&now["backup"], &now["denoise"]), (&Value::Null, &Value::Null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_nothing_changes_and_the_appliance_is_not_ready() {
    let mut appliance = Appliance::start().await;
    appliance.api.must_post(STREAMS, &json!({ "name": "there", "linger_s": 5 })).await;
    appliance.stop().await;
    let disk = appliance.state().join("small");
    let Some(_disk) = SmallDisk::mount(&disk, 3) else { return };
    // Only the database is on it, so that the log is not affected.
    let database = appliance.state().join("auralink.db");
    std::fs::copy(&database, disk.join("auralink.db")).expect("it fits");
    std::fs::remove_file(&database).expect("it was there");
    std::os::unix::fs::symlink(disk.join("auralink.db"), &database).expect("a link");
    appliance.launch().await;
    let api = &appliance.api;
    let filler = disk.join("filler");
    // Writes as much as fits, and ignores the error.
    let _ = std::fs::write(&filler, vec![0u8; 4 << 20]);

    let path = format!("{STREAMS}/there");
    // Space that the database has already allocated may still be filled.
    let big = |n: usize| {
        let output = |i: usize| {
            let url = format!("rtmp://127.0.0.1:9/a/{n}-{}", "k".repeat(900));
            json!({ "id": format!("o{i}"), "type": "push", "url": url, "enabled": false })
        };
        json!({ "outputs": (0..40).map(output).collect::<Vec<_>>() })
    };
    let mut before = api.must_get(&format!("{path}/spec")).await;
    let mut refused = None;
    for n in 0..100 {
        let (status, said) = api.patch(&path, &big(n)).await;
        if status != 200 {
            refused = Some((status, said));
            break;
        }
        before = api.must_get(&format!("{path}/spec")).await;
    }
    let (status, said) = refused.expect("the disk is full");
    assert_eq!((status, &said["code"]), (503, &json!("not_stored")), "{said}");
    let ready = api.get("/readyz").await.expect("an answer");
    assert_eq!(
        (ready.status, &ready.json()["code"]),
        (503, &json!("not_stored")),
        "{}",
        ready.text
    );
    assert_eq!(api.must_get(&format!("{path}/spec")).await, before, "it is not in force");
    let spec = json!({ "name": "new", "outputs": big(0)["outputs"] });
    let made = answer(api, Method::POST, STREAMS, spec).await;
    assert_eq!((made.status, &made.json()["code"]), (503, &json!("not_stored")), "{}", made.text);
    assert_eq!(names(api).await, BTreeSet::from(["there".to_owned()]));
    assert_eq!(api.get("/healthz").await.expect("an answer").status, 200, "it goes on");

    std::fs::remove_file(&filler).expect("it was there");
    eventually("it is ready again", s(30), || async {
        let ready = api.get("/readyz").await?;
        if ready.status == 200 { Ok(()) } else { Err(ready.text) }
    })
    .await;
    api.must_patch(&path, &json!({ "linger_s": 9 })).await;
    appliance.kill();
    appliance.launch().await;
    let kept = appliance.api.must_get(&format!("{path}/spec")).await;
    assert_eq!((&kept["linger_s"], &kept["outputs"]), (&json!(9), &before["outputs"]));
}

/// Streams without a publisher cost nothing; all of them are listed quickly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_idle_streams_sleep() {
    const STREAMS_MADE: usize = 1000;
    const CPU_MAX_PERCENT: f64 = 2.0;
    let appliance = Appliance::start_with(LIMITS).await;
    let mut making = JoinSet::new();
    for worker in 0..4 {
        let api = appliance.api.clone();
        making.spawn(async move {
            for n in (worker..STREAMS_MADE).step_by(4) {
                api.must_post(STREAMS, &json!({ "name": format!("idle-{n}") })).await;
            }
        });
    }
    making.join_all().await;
    let before = appliance.usage();
    tokio::time::sleep(s(10)).await;
    let idle = appliance.usage().cpu_since(&before);
    let mut took = Vec::new();
    for _ in 0..40 {
        let start = Instant::now();
        let list = appliance.api.must_get(STREAMS).await;
        took.push(start.elapsed());
        assert_eq!(list["streams"].as_array().map_or(0, Vec::len), STREAMS_MADE);
    }
    took.sort();
    let (median, p95) = (took[took.len() / 2], took[took.len() * 95 / 100]);
    eprintln!(
        "  {STREAMS_MADE} idle streams: {idle:.2} % of a core; list {median:.0?}, p95 {p95:.0?}"
    );
    assert!(idle <= CPU_MAX_PERCENT, "{idle} % of a core");
    assert!(p95 < s(5), "the list took {p95:?}, in a build without optimisation");
}
