//! Nothing publishes, plays or changes state without a credential.

use reqwest::Method;
use serde_json::json;

use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::media::Coding;
use crate::support::publish::Ffmpeg;
use crate::support::s;

/// Paths that are open on purpose: for load balancers, and for browsers and tools before they have
/// a token.
const OPEN: &[&str] = &["/healthz", "/readyz", "/", "/api/v1/openapi.json", "/api/v1/session"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_of_the_api_wants_a_token() {
    let appliance = Appliance::start().await;
    let spec = json!({ "name": "studio", "source": { "type": "test" } });
    let stream = appliance.api.create(spec).await;
    let openapi = appliance.api.must_get("/api/v1/openapi.json").await;
    let paths = openapi["paths"].as_object().expect("an OpenAPI document has paths").clone();
    assert!(paths.len() > 10, "the document names all routes: {:?}", paths.keys());
    let mut tried = 0;
    for (path, methods) in &paths {
        if OPEN.contains(&path.as_str()) {
            continue;
        }
        let mut concrete = path.replace("{stream}", "studio").replace("{name}", "studio");
        while let (Some(from), Some(to)) = (concrete.find('{'), concrete.find('}')) {
            concrete.replace_range(from..=to, "x");
        }
        for name in methods.as_object().into_iter().flat_map(|m| m.keys()) {
            let Ok(method) = Method::from_bytes(name.to_uppercase().as_bytes()) else { continue };
            if method == Method::OPTIONS || !name.chars().all(|c| c.is_ascii_lowercase()) {
                continue;
            }
            // Neither an anonymous caller nor a viewer of the stream may use the API.
            for token in ["", "wrong", &stream.play_token()] {
                let viewer = !token.is_empty() && token != "wrong";
                let player = ["/whep", "/hls"].iter().any(|p| path.starts_with(p));
                if viewer && player {
                    continue;
                }
                let api = appliance.api.with_token(token);
                let body = json!({});
                let request = api.request(method.clone(), &concrete, Some(&body));
                let answer = request.await.expect("an answer");
                let refused = [401, 403, 415].contains(&answer.status)
                    // A session's address is its credential; an unknown one is not found.
                    || concrete.ends_with("/x") && answer.status == 404;
                assert!(
                    refused,
                    "{method} {concrete} as `{token}`: {} {}",
                    answer.status, answer.text
                );
                tried += 1;
            }
        }
    }
    assert!(tried > 30, "only {tried} requests were tried");
    // The requests changed nothing.
    stream.wait_state("live", s(20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_and_players_need_the_stream_s_own_tokens() {
    let appliance = Appliance::start().await;
    let api = &appliance.api;
    let stream = api.create(json!({ "name": "studio" })).await;
    let other = api.create(json!({ "name": "other" })).await;
    let (srt, rtmp) = (appliance.srt(&stream), appliance.rtmp(&stream));
    let right = stream.publish_token();
    // The play token, another stream's token, and none.
    for wrong in [stream.play_token(), other.publish_token(), String::new()] {
        for url in [srt.replace(&right, &wrong), rtmp.replace(&right, &wrong)] {
            let mut publisher = Ffmpeg::send(Coding::H264BFrames, &url);
            assert_eq!(publisher.end(s(20)).await, Some(false), "{url} was let in");
        }
        let mut args = vec![stream.whip()];
        if !wrong.is_empty() {
            args.extend(["--token".to_owned(), wrong.clone()]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut publisher = Client::python("whip.py", &args);
        let refusal = publisher.next_event().await.expect("it says something");
        assert_eq!((&refusal["event"], &refusal["status"]), (&json!("refused"), &json!(401)));
    }
    assert_eq!(stream.snapshot().await["state"], "idle");

    let _publisher = Ffmpeg::send(Coding::H264BFrames, &srt);
    stream.wait_state("live", s(20)).await;
    for wrong in [stream.publish_token(), other.play_token(), "nonsense".into()] {
        let mut viewer = Client::python("whep.py", &[&stream.whep(), "--token", &wrong]);
        let refusal = viewer.next_event().await.expect("it says something");
        assert_eq!((&refusal["event"], &refusal["status"]), (&json!("refused"), &json!(401)));
        let path = format!("/hls/studio/index.m3u8?token={wrong}");
        let playlist = api.with_token("").get(&path).await.expect("an answer");
        assert_eq!(playlist.status, 401, "{}", playlist.text);
        let url = appliance.srt_play(&stream).replace(&stream.play_token(), &wrong);
        let mut puller = Ffmpeg::with(&format!("-i {url} -t 1 -f null -"));
        assert_eq!(puller.end(s(20)).await, Some(false), "{url} was let in");
    }
    let log = appliance.log_text();
    for secret in [stream.publish_token(), stream.play_token(), other.play_token()] {
        assert!(!log.contains(&secret), "a token is in the log");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_srt_publisher_with_the_wrong_passphrase_is_refused() {
    let appliance = Appliance::start().await;
    let access = json!({
        "publish_token": "publish-secret", "play_token": "play-secret",
        "srt_passphrase": "correct horse battery",
    });
    let stream = appliance.api.create(json!({ "name": "secret", "access": access })).await;
    let url = appliance.srt(&stream);
    for extra in ["", "&passphrase=wrong horse battery&pbkeylen=16"] {
        let mut refused = Ffmpeg::send(Coding::H264BFrames, &format!("{url}{extra}"));
        assert_eq!(refused.end(s(20)).await, Some(false), "`{extra}` was let in");
    }
    for key_length in [16, 32] {
        let extra = format!("&passphrase=correct horse battery&pbkeylen={key_length}");
        let publisher = Ffmpeg::send(Coding::H264BFrames, &format!("{url}{extra}"));
        stream.wait_state("live", s(20)).await;
        publisher.kill().await;
        stream.wait("the publisher is gone", s(20), |s| s["state"] != "live").await;
    }
}
