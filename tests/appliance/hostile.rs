//! Bad input causes an error, costs bounded memory and does not affect other streams.

use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::api::{Answer, Stream};
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::media::Coding;
use crate::support::publish::Ffmpeg;
use crate::support::rough::{SrtPipe, garbage, throw_tcp, throw_udp, transport_stream};
use crate::support::usage::Usage;
use crate::support::{eventually, s, stop};

/// Growth that bad input may cause, in filled caches and pools, in KiB.
const RSS_GROWTH_MAX_KIB: u64 = 48 * 1024;

/// A viewer of a healthy stream while other clients misbehave.
struct Bystander {
    stream: Stream,
    viewer: Client,
    before: Usage,
}

impl Bystander {
    async fn watch(appliance: &Appliance) -> Self {
        let spec = json!({ "name": "healthy", "source": { "type": "test" } });
        let stream = appliance.api.create(spec).await;
        stream.wait_state("live", s(20)).await;
        let token = stream.play_token();
        let mut viewer = Client::python("whep.py", &[&stream.whep(), "--token", &token]);
        viewer.wait_until("progress", s(40), |e| e["frames"].as_u64() > Some(30)).await;
        Self { stream, viewer, before: appliance.usage() }
    }

    /// The bystander was not disturbed and memory did not grow too much.
    async fn was_left_alone(self, appliance: &Appliance) {
        let snapshot = self.stream.snapshot().await;
        assert_eq!(snapshot["state"], "live", "{snapshot}");
        for node in snapshot["nodes"].as_array().into_iter().flatten() {
            assert_eq!(node["restarts"], 0, "a node of the bystander was restarted: {node}");
        }
        let report = self.viewer.finish().await;
        assert_eq!(report["state"], "connected", "{report}");
        let gap = report["video"]["max_gap_ms"].as_f64().unwrap_or(f64::NAN);
        assert!(gap < 1000.0, "the bystander's picture stood still for {gap} ms");
        let before = self.before;
        eventually("what bad input took is given back", s(30), || async {
            let now = appliance.usage();
            let slim = now.rss_kib < before.rss_kib + RSS_GROWTH_MAX_KIB
                && now.threads <= before.threads + 4
                && now.fds <= before.fds + 4;
            if slim { Ok(()) } else { Err(format!("{now}; before {before}")) }
        })
        .await;
        assert!(!appliance.log_text().contains("panicked"), "{}", appliance.log_text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_the_rtmp_and_srt_ports() {
    let appliance = Appliance::start().await;
    let bystander = Bystander::watch(&appliance).await;
    for seed in 0..50 {
        throw_tcp(appliance.ports.rtmp, &garbage(5000, seed)).await;
        // A valid start of a handshake, then garbage instead of messages.
        let mut bytes = garbage(1 + 1536 * 2 + 4096, seed);
        bytes[0] = 3;
        throw_tcp(appliance.ports.rtmp, &bytes).await;
        throw_udp(appliance.ports.srt, (0..20).map(|n| garbage(1316, seed * 100 + n))).await;
    }
    // Peers that connect and send nothing: fewer than the limit of one address, 64.
    let mut idle = Vec::new();
    for _ in 0..40 {
        idle.push(TcpStream::connect(("127.0.0.1", appliance.ports.rtmp)).await);
    }
    // A valid publisher still connects.
    let honest = appliance.api.create(json!({ "name": "honest" })).await;
    let publisher = Ffmpeg::send(Coding::H264BFrames, &appliance.rtmp(&honest));
    honest.wait_state("live", s(20)).await;
    publisher.kill().await;
    let publisher = Ffmpeg::send(Coding::H264BFrames, &appliance.srt(&honest));
    honest.wait("SRT works too", s(20), |s| s["sources"][0]["protocol"] == "srt").await;
    publisher.kill().await;
    appliance.api.must_delete(&honest.path()).await;
    drop(idle);
    bystander.was_left_alone(&appliance).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn truncated_and_scrambled_transport_streams() {
    let appliance = Appliance::start().await;
    let bystander = Bystander::watch(&appliance).await;
    let stream = appliance.api.create(json!({ "name": "broken", "linger_s": 1 })).await;
    let good = transport_stream(appliance.state(), 4, 0).await;

    let mut pipe = SrtPipe::open(&appliance.srt(&stream));
    pipe.send(&garbage(200_000, 1), s(1)).await;
    drop(pipe);
    stream.wait("the garbage is gone", s(20), |s| s["state"] == "idle").await;

    // Cut in the middle of a packet, corrupted in places, and broken off.
    let mut bytes = good.clone();
    for at in (10_000..bytes.len().saturating_sub(400)).step_by(20_011) {
        bytes[at..at + 300].copy_from_slice(&garbage(300, at as u64));
    }
    bytes.drain(50_000..50_123);
    let mut pipe = SrtPipe::open(&appliance.srt(&stream));
    pipe.send(&bytes[..bytes.len() - 77], s(4)).await;
    drop(pipe);
    stream.wait("its publisher is gone", s(20), |s| s["state"] != "live").await;

    // The stream still works.
    let _publisher = Ffmpeg::send(Coding::H264BFrames, &appliance.srt(&stream));
    stream.wait_state("live", s(20)).await;
    appliance.api.must_delete(&stream.path()).await;
    bystander.was_left_alone(&appliance).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timestamps_that_jump_and_run_backwards() {
    let appliance = Appliance::start().await;
    let stream = appliance.api.create(json!({ "name": "jumpy" })).await;
    let mut parts = Vec::new();
    for first_s in [10, 50_000, 3, 95_000] {
        parts.push(transport_stream(appliance.state(), 3, first_s).await);
    }
    let mut pipe = SrtPipe::open(&appliance.srt(&stream));
    assert!(pipe.send(&parts[0], s(3)).await);
    stream.wait_state("live", s(20)).await;
    let token = stream.play_token();
    let mut viewer = Client::python("whep.py", &[&stream.whep(), "--token", &token]);
    for part in &parts[1..] {
        assert!(pipe.send(part, s(3)).await, "the publisher was disconnected");
    }
    viewer.wait_until("progress", s(20), |e| e["frames"].as_u64() > Some(60)).await;
    let report = viewer.finish().await;
    assert_eq!(report["state"], "connected", "{report}");
    // Where the time base restarts, a frame or two may come early.
    let back = report["video"]["max_step_back_ms"].as_f64().unwrap_or(f64::NAN);
    assert!(back < 120.0, "{back} ms back in time: {report}");
    let gap = report["video"]["max_gap_ms"].as_f64().unwrap_or(f64::NAN);
    assert!(gap < 2500.0, "a jump of the source must not become one of {gap} ms for viewers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_stops_in_the_middle_of_a_frame() {
    let appliance = Appliance::start().await;
    let bystander = Bystander::watch(&appliance).await;
    let stream = appliance.api.create(json!({ "name": "frozen", "linger_s": 60 })).await;
    let publisher = Ffmpeg::send(Coding::H264BFrames, &appliance.rtmp(&stream));
    stream.wait_state("live", s(20)).await;
    // The connection stays open but no data follows.
    stop(publisher.pid());
    stream.wait_state("slate", s(30)).await;
    let _second = Ffmpeg::send(Coding::H264BFrames, &appliance.rtmp(&stream));
    stream.wait_state("live", s(30)).await;
    appliance.api.must_delete(&stream.path()).await;
    publisher.kill().await;
    bystander.was_left_alone(&appliance).await;
}

/// Whether an answer is a refusal with a reason: `{code, message, hint}`.
fn refuses(answer: &Answer) -> bool {
    let body: Value = answer.json();
    (400..500).contains(&answer.status) && body["message"].is_string() && body["code"].is_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn absurd_session_descriptions() {
    let appliance = Appliance::start().await;
    let bystander = Bystander::watch(&appliance).await;
    let publish = appliance.api.create(json!({ "name": "absurd" })).await;
    let head = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
    let line = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=rtpmap:96 VP8/90000\r\n";
    let nonsense = String::from_utf8_lossy(&garbage(20_000, 7)).into_owned();
    let offers = [
        String::new(),
        "v=0".into(),
        head.into(),
        nonsense,
        format!("{head}{}", line.repeat(2000)),
        format!("{head}{line}a=candidate:{}\r\n", "9".repeat(60_000)),
        format!("{head}{line}a=ice-ufrag:x\r\na=ice-pwd:y\r\na=fingerprint:sha-256 00\r\n"),
        format!("{head}m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 H266/90000\r\n"),
        format!("{head}{}", "a=x\r\n".repeat(500_000)),
    ];
    for path in ["/whip/absurd", "/whep/healthy"] {
        let token =
            if path.starts_with("/whip") { publish.publish_token() } else { "play-healthy".into() };
        for (number, offer) in offers.iter().enumerate() {
            let request = appliance.api.raw(Method::POST, path).bearer_auth(&token);
            let request = request.header("Content-Type", "application/sdp").body(offer.clone());
            let answer = match appliance.api.send(request).await {
                Ok(answer) => answer,
                // An offer that is far too long is not read to its end: the answer may be lost in
                // the client's own broken pipe.
                Err(error) if offer.len() > 1 << 20 && error.contains("BrokenPipe") => continue,
                Err(error) => panic!("{path}, offer {number}: {error}"),
            };
            let said = (answer.status, &answer.text);
            assert!(refuses(&answer) || answer.status == 413, "{path}, offer {number}: {said:?}");
        }
        let request = appliance.api.raw(Method::POST, path).bearer_auth(&token);
        let request = request.header("Content-Type", "text/plain").body(head);
        let answer = appliance.api.send(request).await.expect("an answer");
        assert_eq!(answer.status, 415, "{}", answer.text);
    }
    bystander.was_left_alone(&appliance).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_for_unknown_streams() {
    let appliance = Appliance::start().await;
    let bystander = Bystander::watch(&appliance).await;
    let nobody = appliance.api.with_token("");
    let requests = (0..10_000).map(|n| {
        let api = nobody.clone();
        async move {
            let answer = match n % 3 {
                0 => api.get(&format!("/hls/nobody-{n}/index.m3u8")).await,
                1 => api.get(&format!("/api/v1/streams/nobody-{n}")).await,
                _ => {
                    let post = api.raw(Method::POST, &format!("/whep/nobody-{n}"));
                    let sdp = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
                    api.send(post.header("Content-Type", "application/sdp").body(sdp)).await
                }
            };
            let answer = answer.expect("an answer");
            let refused = matches!(answer.status, 400 | 401 | 403 | 404 | 422 | 429);
            assert!(refused, "{}: {}", answer.status, answer.text);
        }
    });
    futures::stream::iter(requests).buffer_unordered(32).collect::<Vec<()>>().await;
    bystander.was_left_alone(&appliance).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_hls_clients() {
    let appliance = Appliance::start().await;
    let bystander = Bystander::watch(&appliance).await;
    let stream = &bystander.stream;
    let token = stream.play_token();
    let api = appliance.api.with_token(&token);
    let segment = eventually("a segment is listed", s(30), || async {
        let text = api.get("/hls/healthy/video.m3u8").await?.text;
        let line = text.lines().find(|l| l.contains(".m4s") && !l.starts_with('#'));
        line.map(|l| l.split('?').next().unwrap_or(l).to_owned()).ok_or(text.clone())
    })
    .await;
    // Fifty players request a segment and read a byte now and then, or nothing.
    let mut sockets = Vec::new();
    for _ in 0..50 {
        let address = ("127.0.0.1", appliance.ports.http);
        let mut socket = TcpStream::connect(address).await.expect("the port is open");
        let request = format!(
            "GET /hls/healthy/{segment} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.expect("it is sent");
        sockets.push(socket);
    }
    for socket in sockets.iter_mut().step_by(2) {
        let byte = socket.read_u8().await.expect("an answer begins");
        assert_eq!(byte, b'H');
    }
    // Meanwhile a healthy player gets a new segment.
    eventually("the playlist goes on", s(20), || async {
        let text = api.get("/hls/healthy/video.m3u8").await?.text;
        let gone = !text.contains(&segment);
        let fresh = text.matches(".m4s").count() >= 3;
        if gone || fresh { Ok(()) } else { Err(text) }
    })
    .await;
    drop(sockets);
    bystander.was_left_alone(&appliance).await;
}
