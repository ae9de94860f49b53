//! ffmpeg as publisher.

use std::time::Duration;

use crate::ingress::rtmp::Config;
use crate::ingress::rtmp::testing::{Probe, TOKEN, TestServer, peers, until};
use crate::media::Codec;

const SOON: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_publishes_h264_with_b_frames_and_aac() {
    let server = TestServer::start(Config::default()).await;
    let gate = server.gate.clone();
    let (video, audio) = (Probe::on(&gate.video).await, Probe::on(&gate.audio).await);
    let child = peers::publisher(&server.url("studio-1", TOKEN));
    until("three seconds of video", SOON, || video.count() > 90 && audio.count() > 130).await;

    let format = gate.video.format().borrow().clone().expect("known");
    assert_eq!((format.codec, format.video.width, format.video.height), (Codec::H264, 320, 180));
    assert!(format.video.reorders, "{format}");
    let format = gate.audio.format().borrow().clone().expect("known");
    let expect = (Codec::Aac, 48_000, 2);
    assert_eq!((format.codec, format.audio.rate, format.audio.channels), expect);

    let frames = video.seen();
    assert!(frames[0].bytes.starts_with(&[0, 0, 0, 1]), "Annex B");
    assert!(frames[0].bytes.windows(5).any(|w| w == [0, 0, 0, 1, 0x67]), "an SPS in front");
    for pair in frames.windows(2) {
        assert!(pair[0].dts.expect("DTS") < pair[1].dts.expect("DTS"), "decode order");
    }
    assert!(frames.iter().all(|f| f.pts >= f.dts.expect("DTS")));
    assert!(frames.windows(2).any(|p| p[1].pts < p[0].pts), "B-frames");
    let mut shown: Vec<_> = frames.iter().map(|f| f.pts).collect();
    shown.sort();
    // The neighbours of the last two may still be missing.
    for pair in shown[..shown.len() - 3].windows(2) {
        let step = pair[1] - pair[0];
        assert!((30..=37).contains(&step.as_millis()), "{step:?} between pictures");
    }
    let apart = frames[0].pts.abs_diff(audio.seen()[0].pts);
    assert!(apart < Duration::from_millis(120), "sound and pictures begin {apart:?} apart");

    peers::signal(&child, "INT");
    until("the place is free again", SOON, || !gate.is_taken()).await;
    let notes = gate.notes();
    assert!(notes.is_empty(), "{notes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_refused_are_told_why() {
    let server = TestServer::start(Config::default()).await;
    let check = async |url: String, expect: &str| {
        let (good, said) = peers::outcome(peers::publisher(&url)).await;
        assert!(!good && said.contains(expect), "{said}");
    };
    check(server.url("studio-1", "wrong"), "the token is wrong: ask the admin").await;
    check(server.url("studio-2", TOKEN), "there is no such stream").await;
    check(server.url("..", TOKEN), "is not a stream name").await;
    check(format!("rtmp://{}/vod/studio-1", server.address), "no such application").await;
    assert_eq!(server.gate.admitted.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_publisher_is_refused_while_the_first_one_lives() {
    let server = TestServer::start(Config::default()).await;
    let gate = server.gate.clone();
    let video = Probe::on(&gate.video).await;
    let _first = peers::publisher(&server.url("studio-1", TOKEN));
    until("pictures", SOON, || video.count() > 5).await;
    let (good, said) = peers::outcome(peers::publisher(&server.url("studio-1", TOKEN))).await;
    assert!(!good && said.contains("another publishes"), "{said}");
    let count = video.count();
    until("more pictures of the first one", SOON, || video.count() > count + 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dismissed_publisher_is_told_and_a_stopping_server_hangs_up() {
    let server = TestServer::start(Config::default()).await;
    let gate = server.gate.clone();
    let video = Probe::on(&gate.video).await;
    let child = peers::publisher(&server.url("studio-1", TOKEN));
    until("pictures", SOON, || video.count() > 5).await;
    gate.last.lock().expect("no panic").as_ref().expect("a publisher").1.cancel();
    let (good, said) = peers::outcome(child).await;
    assert!(!good && said.contains("disconnected by the stream"), "{said}");
    until("the place is free", SOON, || !gate.is_taken()).await;

    let count = video.count();
    let child = peers::publisher(&server.url("studio-1", TOKEN));
    until("pictures again", SOON, || video.count() > count + 5).await;
    server.cancel.cancel();
    let (good, said) = peers::outcome(child).await;
    assert!(!good && said.contains("shutting down"), "{said}");
    until("the server has ended", Duration::from_secs(5), || server.done.is_finished()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rtmps_carries_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = peers::certificate(folder.path());
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let (tls_cert, tls_key) = (Some(cert.clone()), Some(key));
    let config = Config { tls_listen: Some(any), tls_cert, tls_key, ..Config::default() };
    let server = TestServer::start(config).await;
    let video = Probe::on(&server.gate.video).await;
    let url = server.url("studio-1", TOKEN);
    let port = server.tls_address.expect("RTMPS").port();
    let secure = url
        .replace("rtmp://", "rtmps://")
        .replace(&server.address.port().to_string(), &port.to_string());
    let _child = peers::publisher(&secure);
    until("pictures", SOON, || video.count() > 30).await;

    // TLS on the plain port, and plain RTMP on the TLS port, are refused without harm.
    let (good, _) = peers::outcome(peers::publisher(&url.replace("rtmp://", "rtmps://"))).await;
    assert!(!good);
    let clear = secure.replace("rtmps://", "rtmp://");
    let (good, _) = peers::outcome(peers::publisher(&clear)).await;
    assert!(!good);
    let count = video.count();
    until("more pictures", SOON, || video.count() > count + 30).await;

    let missing = Some(folder.path().join("none.pem"));
    let config = Config {
        tls_listen: Some(any),
        tls_cert: Some(cert),
        tls_key: missing,
        listen: any,
        ..Config::default()
    };
    let error = crate::ingress::rtmp::Server::bind(config).await.err().expect("refused");
    assert!(error.to_string().contains("none.pem"), "{error}");
}
