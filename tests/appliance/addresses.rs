//! The addresses from the API work when pasted.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::support::api::{Api, Stream};
use crate::support::appliance::Appliance;
use crate::support::media::Coding;
use crate::support::publish::Ffmpeg;
use crate::support::rough::{SrtPipe, transport_stream};
use crate::support::s;

/// Secrets with characters that are special to URLs, shells and SRT clients; `null` generates one.
const SECRETS: &[(&str, Option<&str>, Option<&str>)] = &[
    ("plain", Some("change-me_please.~1"), Some("ten-chars_ten.chars~")),
    ("odd", Some("a/b&c+d%e,f:g#h?i=j@k!l"), Some("pass, phrase: (with) /marks!=?@;'*")),
    ("percent", Some("100%2Fpercent"), None),
    ("made", None, None),
];

async fn access(api: &Api, stream: &Stream) -> Value {
    api.must_get(&format!("{}/access", stream.path())).await
}

/// The address of a protocol in `publish` or `play`.
fn url(access: &Value, direction: &str, protocol: &str) -> String {
    let all = access[direction].as_array().expect("a list of addresses");
    let found = all.iter().find(|a| a["protocol"] == protocol);
    found.and_then(|a| a["url"].as_str()).expect("an address").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn srt_addresses_work_as_they_are_pasted() {
    let appliance = Appliance::start().await;
    let clip = transport_stream(appliance.state(), 6, 0).await;
    // Mostly it is waited for connections that time out, so all streams go at once.
    let each = SECRETS.iter().map(async |(name, token, passphrase)| {
        let secrets = json!({
            "publish_token": token, "play_token": token, "srt_passphrase": passphrase,
        });
        publish_and_play(
            &appliance,
            json!({ "name": name, "linger_s": 0, "access": secrets }),
            &clip,
        )
        .await;
    });
    futures::future::join_all(each).await;
}

async fn publish_and_play(appliance: &Appliance, spec: Value, clip: &[u8]) {
    let stream = appliance.api.create(spec).await;
    let access = access(&appliance.api, &stream).await;
    let (publish, play) = (url(&access, "publish", "srt"), url(&access, "play", "srt"));

    let publisher = Ffmpeg::send(Coding::H264BFrames, &publish);
    stream.wait_state("live", s(20)).await;
    let received = appliance.state().join(format!("{}.ts", stream.name));
    let mut player = Ffmpeg::receive(&play, 1, &received);
    assert_eq!(player.end(s(30)).await, Some(true), "ffmpeg does not play {play}");
    publisher.kill().await;
    stream.wait("its publisher is gone", s(20), |s| s["state"] != "live").await;

    // It does not decode percent-encoding, and neither does OBS.
    let mut publisher = SrtPipe::open(&publish);
    let (_, snapshot) = tokio::join!(publisher.send(clip, s(6)), stream.wait_state("live", s(20)));
    assert_eq!(snapshot["refusals"], json!([]), "{snapshot}");
    drop(publisher);
    stream.wait("its publisher is gone", s(20), |s| s["state"] != "live").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_name_the_public_url_or_what_a_trusted_proxy_says() {
    let check = async |appliance: &Appliance, expect: [&str; 2]| {
        let api = &appliance.api;
        let stream = api.create(json!({ "name": "studio", "linger_s": 0 })).await;
        let asked = api
            .raw(reqwest::Method::GET, &format!("{}/access", stream.path()))
            .bearer_auth(crate::support::appliance::ADMIN)
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", "proxy.example.org");
        let access = api.send(asked).await.expect("an answer").json();
        let whip = expect[0].replace("HTTP", &appliance.ports.http.to_string());
        assert_eq!(url(&access, "publish", "whip"), format!("{whip}/whip/studio"));
        let srt = url(&access, "play", "srt");
        let start = format!("srt://{}:{}?", expect[1], appliance.ports.srt);
        assert!(srt.starts_with(&start), "{srt}");
        api.must_delete(&stream.path()).await;
    };
    let appliance = Appliance::start_with("api.trusted_proxies = [\"10.0.0.0/8\"]").await;
    let stranger: IpAddr = [127, 0, 0, 1].into();
    check(&appliance, ["http://127.0.0.1:HTTP", &stranger.to_string()]).await;
    drop(appliance);
    let appliance = Appliance::start_with("api.trusted_proxies = [\"127.0.0.1\"]").await;
    check(&appliance, ["https://proxy.example.org", "proxy.example.org"]).await;
    drop(appliance);
    let appliance = Appliance::start_with("api.public_url = \"https://media.example.org\"").await;
    check(&appliance, ["https://media.example.org", "media.example.org"]).await;
}
