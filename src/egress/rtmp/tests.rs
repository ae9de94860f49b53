use std::net::SocketAddr;

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::*;
use crate::flow::Feed;
use crate::ingress::rtmp::Config;
use crate::ingress::rtmp::testing::{Probe, TOKEN, TestServer, peers, until};
use crate::media::Kind;

const SOON: Duration = Duration::from_secs(20);

/// Feeds with H.264 (B-frames) and AAC, filled while the node exists.
async fn source() -> (Inputs, Node) {
    crate::init().expect("GStreamer starts");
    let (video, audio) = (Feed::new("video", Kind::Video), Feed::new("audio", Kind::Audio));
    let node = Node::parse(
        "source",
        "videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=30/1 \
         ! x264enc speed-preset=ultrafast bframes=2 key-int-max=30 \
         ! h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au \
         ! appsink name=video \
         audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=2 ! avenc_aac ! aacparse \
         ! audio/mpeg,mpegversion=4,stream-format=raw ! appsink name=audio",
    )
    .expect("a source");
    node.output("video", &video.sole_writer()).expect("there");
    node.output("audio", &audio.sole_writer()).expect("there");
    node.start().await.expect("starts");
    (Inputs { video: Some(video), audio: Some(audio), ..Inputs::default() }, node)
}

/// The error of a push to this URL, and its delay.
async fn failure(url: String) -> (Error, Duration) {
    let (inputs, _source) = source().await;
    let start = Instant::now();
    let run = run(Task::new("push.test"), inputs, url);
    let result = tokio::time::timeout(Duration::from_secs(40), run).await;
    (result.expect("it ends by itself").expect_err("it fails"), start.elapsed())
}

async fn silent_server() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn media_arrives_at_our_own_server_and_the_end_is_told() {
    let server = TestServer::start(Config::default()).await;
    let (video, audio) = (Probe::on(&server.gate.video).await, Probe::on(&server.gate.audio).await);
    let (inputs, _source) = source().await;
    let task = Task::new("push.test");
    let push = tokio::spawn(run(task.clone(), inputs, server.url("studio-1", TOKEN)));
    until("two seconds of media", SOON, || video.count() > 60 && audio.count() > 90).await;
    assert!(task.status.is_running());
    let format = server.gate.video.format().borrow().clone().expect("known");
    assert!(format.codec == Codec::H264 && format.video.reorders, "{format}");
    let facts = serde_json::to_string(&task.status.facts()).expect("JSON");
    assert!(facts.contains("/live/***") && !facts.contains("s3cret"), "{facts}");
    task.cancel.cancel();
    push.await.expect("no panic").expect("a clean end");
    until("the server knows the end", SOON, || !server.gate.is_taken()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slashes_behind_the_question_mark_belong_to_the_key() {
    let server = TestServer::start(Config::default()).await;
    let video = Probe::on(&server.gate.video).await;
    let (inputs, _source) = source().await;
    let task = Task::new("push.test");
    assert!(TOKEN.contains('/'), "{TOKEN}");
    let url = format!("rtmp://{}/live/studio-1?from=https://x/y&token={TOKEN}", server.address);
    let push = tokio::spawn(run(task.clone(), inputs, url));
    until("pictures", SOON, || video.count() > 10).await;
    task.cancel.cancel();
    push.await.expect("no panic").expect("a clean end");
}

#[tokio::test(flavor = "multi_thread")]
async fn media_arrives_at_an_independent_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("out.flv");
    let (listener, address) = silent_server().await;
    drop(listener);
    let url = format!("rtmp://{address}/live/a-stream-key");
    let path = file.to_str().expect("UTF-8").to_owned();
    let child = peers::ffmpeg(&["-listen", "1", "-i", &url, "-c", "copy", "-t", "2", "-y", &path]);
    let (inputs, _source) = source().await;
    // ffmpeg needs time until it listens; the supervisor's retries cover that.
    let mut retries = 0;
    let end = loop {
        let error = run(Task::new("push.test"), inputs.clone(), url.clone()).await;
        let error = error.expect_err("ffmpeg hangs up after two seconds");
        if file.exists() || retries > 50 {
            break error;
        }
        retries += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(end.blame(), Blame::Destination, "{end}");
    let (good, said) = peers::outcome(child).await;
    assert!(good, "{said}");
    assert!(said.contains("Video: h264") && said.contains("Audio: aac"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_port_and_a_wrong_key_are_blamed_on_the_destination() {
    let (listener, address) = silent_server().await;
    drop(listener);
    let (error, after) = failure(format!("rtmp://{address}/live/top-secret?auth=s3same")).await;
    assert_eq!(error.blame(), Blame::Destination, "{error}");
    let text = format!("{error} {error:?}");
    assert!(!text.contains("top-secret") && !text.contains("s3same"), "{text}");
    assert!(after < Duration::from_secs(5), "{after:?}");

    let server = TestServer::start(Config::default()).await;
    let (error, after) = failure(server.url("studio-1", "top-secret")).await;
    assert_eq!(error.blame(), Blame::Destination, "{error}");
    let text = format!("{error} {error:?}");
    assert!(!text.contains("top-secret"), "{text}");
    assert!(after < Duration::from_secs(5), "{after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole_is_noticed() {
    let (listener, address) = silent_server().await;
    let hole = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let (error, after) = failure(format!("rtmp://{address}/live/key")).await;
    hole.abort();
    assert_eq!(error.blame(), Blame::Destination, "{error}");
    assert!(after < Duration::from_secs(15), "{after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_reading_or_hangs_up_is_noticed() {
    // The connection passes through a relay that can freeze and cut it.
    let server = TestServer::start(Config::default()).await;
    for freeze in [true, false] {
        let (listener, address) = silent_server().await;
        let upstream = server.address;
        let relay = tokio::spawn(async move {
            let (client, _) = listener.accept().await.expect("a client");
            let server = tokio::net::TcpStream::connect(upstream).await.expect("connects");
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            let back = tokio::spawn(async move {
                let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
            });
            let mut first = (&mut from_client).take(60_000);
            let _ = tokio::io::copy(&mut first, &mut to_server).await;
            if freeze {
                std::future::pending::<()>().await;
            }
            back.abort();
        });
        let token = TOKEN.replace('/', "%2F").replace('+', "%2B");
        let (error, after) = failure(format!("rtmp://{address}/live/studio-1?token={token}")).await;
        relay.abort();
        assert_eq!(error.blame(), Blame::Destination, "{error}");
        assert!(after < Duration::from_secs(30), "{after:?} {error}");
        until("the place is free", SOON, || !server.gate.is_taken()).await;
    }
}

#[test]
fn progress_is_not_blamed_for_a_silent_feed() {
    let start = Instant::now();
    let at = |s: u64| start + Duration::from_secs(s);
    let mut progress = Progress::new(start);
    assert_eq!(progress.stalled(at(9), 100, 0), None);
    assert_eq!(progress.stalled(at(11), 100, 0), None, "nothing more was offered");
    assert_eq!(progress.stalled(at(20), 200, 0), None);
    assert_eq!(progress.stalled(at(22), 300, 0), Some(Duration::from_secs(11)));
    assert_eq!(progress.stalled(at(23), 400, 1), None);
}

#[test]
fn addresses_are_checked_and_shown_without_their_secrets() {
    let shown = |url: &str| Target::parse(url).map(|t| t.shown).map_err(|e| e.to_string());
    let expect = "rtmps://a.example:444/live/app/***";
    assert_eq!(shown("rtmps://u:pw@a.example:444/live/app/key?x=y").as_deref(), Ok(expect));
    for bad in [
        "",
        "http://a/live/key",
        "rtmp://a/live",
        "rtmp://a/live/",
        "rtmp:///live/key",
        "rtmp://a/live?key=a/b",
    ] {
        assert!(shown(bad).is_err(), "{bad}");
    }
    let parts = |url: &str| {
        let target = Target::parse(url).expect(url);
        (target.host, target.port, target.app, target.key)
    };
    let check = |url: &str, host: &str, port: u16, app: &str, key: &str| {
        assert_eq!(parts(url), (host.into(), port, app.into(), key.into()), "{url}");
    };
    check("rtmp://h/s/abc?auth=https://x/y", "h", 1935, "s", "abc?auth=https://x/y");
    check("rtmps://h/rtmp/FB-1?s_bl=1&s_sc=2", "h", 443, "rtmp", "FB-1?s_bl=1&s_sc=2");
    check("rtmp://[::1]:1936//a/b/k%2F#1?", "::1", 1936, "a/b", "k%2F#1?");
    let login = Target::parse("rtmp://me:p%40ss@h/live/key").expect("valid").user;
    assert_eq!(login, Some(("me".to_owned(), "p@ss".to_owned())));
    let target = Target::parse("rtmp://h/live/abcd-efgh?token=a%2Fbcd").expect("valid");
    let message = "no rtmp://h/live/abcd-efgh?token=a%2Fbcd (a/bcd)".to_owned();
    let error = Error::Element { element: "sink".into(), message, blame: Blame::Destination };
    assert_eq!(target.redact(error).to_string(), "`sink`: no rtmp://h/live/*** (***)");
}

#[tokio::test(flavor = "multi_thread")]
async fn rtmps_is_spoken_and_certificates_are_verified() {
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = peers::certificate(folder.path());
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let (tls_cert, tls_key) = (Some(cert), Some(key));
    let config = Config { tls_listen: Some(any), tls_cert, tls_key, ..Config::default() };
    let server = TestServer::start(config).await;
    let port = server.tls_address.expect("RTMPS").port();
    let token = TOKEN.replace('/', "%2F").replace('+', "%2B");
    let url = format!("rtmps://localhost:{port}/live/studio-1?token={token}");

    let (error, _) = failure(url.clone()).await;
    assert_eq!(error.blame(), Blame::Destination, "{error}");
    assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");

    let video = Probe::on(&server.gate.video).await;
    let (inputs, _source) = source().await;
    let task = Task::new("push.test");
    let push = tokio::spawn(push(task.clone(), inputs, url, false));
    until("pictures over TLS", SOON, || video.count() > 30).await;
    task.cancel.cancel();
    push.await.expect("no panic").expect("a clean end");
}
