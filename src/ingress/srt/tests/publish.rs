//! Publishers, well-behaved and others.

use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::bench::{
    MEDIA_S, Peer, Probe, Running, TestGate, ffmpeg, frame_times, h264_aac, h264_mp2, h265_opus,
    publish, publish_forever, serve, serve_with, until,
};
use crate::flow::{AccessRequest, Blame, Feed, Gate, SourceReport};
use crate::ingress::source::tests::run_alone;
use crate::ingress::srt::Config;
use crate::media::Protocol;
use crate::srt::Target;

fn format(feed: &Feed) -> String {
    feed.format().borrow().as_ref().map(ToString::to_string).unwrap_or_default()
}

/// Publishes a whole file and checks every timestamp of both tracks.
async fn check_media(server: &Running, stream: &str, file: &std::path::Path, expect: [&str; 2]) {
    let stream_of = server.gate.stream(stream);
    let (video, audio) = (Probe::on(&stream_of.video).await, Probe::on(&stream_of.audio).await);
    let peer = publish(file, &server.url(&format!("streamid=publish:{stream}:key")));
    until("both tracks", 15, || {
        !format(&stream_of.video).is_empty() && !format(&stream_of.audio).is_empty()
    })
    .await;
    let found = format!("{} / {}", format(&stream_of.video), format(&stream_of.audio));
    assert!(found.contains(expect[0]) && found.contains(expect[1]), "{found}");
    until("the publisher to leave", 20, || !stream_of.taken.load(Ordering::SeqCst)).await;
    drop(peer);

    let (video, audio) = (video.seen.lock().expect("lock"), audio.seen.lock().expect("lock"));
    let frames = MEDIA_S as usize * 30;
    // The last frames may have been in transit when the connection closed.
    assert!((frames - 12..=frames).contains(&video.len()), "{} of {frames} frames", video.len());
    for track in [&video, &audio] {
        for pair in track.windows(2) {
            assert!(pair[1].1 > pair[0].1, "decode times run forward: {pair:?}");
        }
        let late = track.iter().map(|(_, dts, now)| now.abs_diff(*dts)).max();
        assert!(late < Some(1500), "timestamps are running time: {late:?} ms off");
    }
    let mut shown: Vec<u64> = video.iter().map(|(pts, ..)| *pts).collect();
    let first = shown[0].cast_signed();
    for (n, (was, is)) in frame_times(file).iter().zip(&shown).enumerate() {
        let is = is.cast_signed() - first;
        assert!(was.abs_diff(is) < 25, "picture {n} was at {was} ms and is at {is} ms");
    }
    shown.sort_unstable();
    let offset = shown[0].abs_diff(audio[0].0);
    assert!(offset < 60, "picture and sound begin {offset} ms apart");
    let ends = shown[shown.len() - 1].abs_diff(audio[audio.len() - 1].0);
    assert!(ends < 600, "picture and sound end {ends} ms apart");
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_with_b_frames_and_aac_by_ffmpeg() {
    let server = serve(TestGate::default().with("one", Some("key"), None));
    check_media(&server, "one", h264_aac(), ["h264 320x180 30 fps", "aac 48000 Hz 2 ch"]).await;
    let stream = server.gate.stream("one");
    let report = stream.report.lock().expect("lock").clone().expect("published");
    let bytes = report.bytes.load(Ordering::Relaxed);
    let size = std::fs::metadata(h264_aac()).expect("it is there").len();
    assert!(bytes > size / 2 && bytes < size * 2, "{bytes} received of a file of {size}");
    assert!(report.rtt_us.load(Ordering::Relaxed) > 0, "a round-trip time was measured");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_publishers_at_once_on_one_port() {
    let gate = TestGate::default().with("one", Some("key"), None).with("two", Some("key"), None);
    let server = serve(gate);
    tokio::join!(
        check_media(&server, "one", h265_opus(), ["h265 320x180 30 fps", "opus 48000 Hz 2 ch"]),
        check_media(&server, "two", h264_mp2(), ["h264 320x180 30 fps", "mp2 48000 Hz 2 ch"]),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn srt_live_transmit_with_the_standard_stream_id() {
    let server = serve(TestGate::default().with("one", Some("key"), None));
    let stream = server.gate.stream("one");
    let file = h264_aac().to_str().expect("a plain path");
    let mut source = ffmpeg(&["-re", "-i", file, "-c", "copy", "-f", "mpegts", "-"]);
    let mut source = Peer(source.stdout(Stdio::piped()).spawn().expect("ffmpeg is installed"));
    let url = server.url("mode=caller&transtype=live") + "&streamid=#!::r=one,m=publish,s=key";
    let _transmit = Command::new("srt-live-transmit")
        .args(["-q", "-chunk:1316", "file://con", &url])
        .stdin(source.0.stdout.take().expect("piped"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(Peer)
        .expect("srt-tools is installed");
    until("pictures and sound", 15, || {
        let count = |feed: &Feed| feed.stats().buffers.load(Ordering::Relaxed);
        count(&stream.video) > 30 && count(&stream.audio) > 40
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn passphrases_of_both_key_lengths() {
    let passphrase = "correct-horse-battery";
    let server = serve(TestGate::default().with("one", None, Some(passphrase)));
    let stream = server.gate.stream("one");
    for length in [16, 32] {
        let before = stream.video.stats().buffers.load(Ordering::Relaxed);
        let query = "streamid=publish:one&passphrase=correct-horse-battery";
        let mut peer = publish(h264_aac(), &server.url(&format!("{query}&pbkeylen={length}")));
        until("decrypted pictures", 15, || {
            stream.video.stats().buffers.load(Ordering::Relaxed) > before + 20
        })
        .await;
        peer.kill();
        until("the dead publisher to be noticed", 10, || !stream.taken.load(Ordering::SeqCst))
            .await;
    }
    assert_eq!(server.gate.refusals(), []);
}

/// Sends bytes with our own caller, as fast as a live sender may.
async fn send_bytes(server: &Running, bytes: &[u8]) -> std::sync::Arc<crate::srt::Socket> {
    let target: Target = server.url("streamid=publish:one").parse().expect("valid");
    let socket = target.connect(Blame::Us).await.expect("it lets us in");
    for payload in bytes.chunks(1316) {
        socket.send(payload).expect("connected");
    }
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_truncation_and_a_stop_in_mid_frame_disturb_nobody() {
    let server = serve_with(
        TestGate::default().with("one", None, None).with("two", Some("key"), None),
        Config { idle_timeout_s: 2, ..Config::default() },
    );
    let stream = server.gate.stream("one");
    let gone = || !stream.taken.load(Ordering::SeqCst);
    let two = server.gate.stream("two");
    let good = publish_forever(h264_aac(), &server.url("streamid=publish:two:key"));

    let mut state = 7_u32;
    let garbage: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(400_000)
    .collect();
    let socket = send_bytes(&server, &garbage).await;
    until("the garbage to be taken in", 5, || stream.published.load(Ordering::SeqCst) == 1).await;
    until("the garbage to be refused", 10, gone).await;
    assert_eq!(stream.video.stats().buffers.load(Ordering::Relaxed), 0);
    drop(socket);

    // A file that begins and ends within a TS packet and has a hole.
    let media = std::fs::read(h264_aac()).expect("it is there");
    let torn: Vec<u8> = [&media[100..90_000], &media[130_011..250_077]].concat();
    let socket = send_bytes(&server, &torn).await;
    until("pictures from the torn file", 10, || {
        stream.video.stats().buffers.load(Ordering::Relaxed) > 10
    })
    .await;
    // Nothing more is sent: the idle time-out ends it.
    until("the silent publisher to be let go", 10, gone).await;
    drop(socket);

    assert!(two.taken.load(Ordering::SeqCst), "its neighbour was disturbed");
    let before = two.video.stats().buffers.load(Ordering::Relaxed);
    assert!(before > 30, "its neighbour has only {before} frames");
    drop(good);
}

/// A program that changes its tracks and whose clock jumps, as at a splice between two encoders.
#[tokio::test(flavor = "multi_thread")]
async fn other_codecs_and_another_clock_within_a_connection() {
    let server = serve(TestGate::default().with("one", None, None));
    let stream = server.gate.stream("one");
    let (video, audio) = (Probe::on(&stream.video).await, Probe::on(&stream.audio).await);
    let read = |file: &std::path::Path| std::fs::read(file).expect("it is there");
    // The middle of the same file has a clock that jumps back; the other file has other codecs.
    let first = read(h264_mp2());
    let half = first.len() / 2 / 188 * 188;
    let parts = [&first[..], &first[..half], &read(h265_opus())[..]];
    let target: Target = server.url("streamid=publish:one").parse().expect("valid");
    let socket = target.connect(Blame::Us).await.expect("it lets us in");
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    let seconds = f64::from(MEDIA_S);
    for (part, length) in parts.iter().zip([seconds, seconds / 2.0, seconds]) {
        let size = (part.len() as f64 * 0.02 / length) as usize;
        for piece in part.chunks(size) {
            pace.tick().await;
            for payload in piece.chunks(1316) {
                socket.send(payload).expect("connected");
            }
        }
    }
    until("the other codecs", 10, || {
        format(&stream.video).starts_with("h265") && format(&stream.audio).starts_with("opus")
    })
    .await;
    until("their frames", 5, || video.seen.lock().expect("lock").len() > 30 * 12).await;
    assert!(stream.taken.load(Ordering::SeqCst), "the publisher stayed connected");
    for track in [&video, &audio] {
        let track = track.seen.lock().expect("lock");
        // After a splice, time restarts at the present, so a track that was ahead steps back. On a
        // busy machine a second step may follow until audio and video are aligned.
        let back: Vec<u64> =
            track.windows(2).filter_map(|pair| pair[0].1.checked_sub(pair[1].1 + 1)).collect();
        assert!(back.len() <= 4 && back.iter().all(|ms| *ms < 500), "steps back: {back:?} ms");
        let late = track.iter().map(|(_, dts, now)| now.abs_diff(*dts)).max();
        assert!(late < Some(2500), "timestamps are running time: {late:?} ms off");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_and_the_server_can_end_a_publisher() {
    let mut server = serve(TestGate::default().with("one", Some("key"), None));
    let stream = server.gate.stream("one");
    let flows = |at_least: u64| stream.video.stats().buffers.load(Ordering::Relaxed) > at_least;
    let peer = publish(h264_aac(), &server.url("streamid=publish:one:key"));
    until("pictures", 15, || flows(5)).await;
    stream.cancel.lock().expect("lock").cancel();
    until("the publisher to be gone", 5, || !stream.taken.load(Ordering::SeqCst)).await;
    drop(peer);

    let so_far = stream.video.stats().buffers.load(Ordering::Relaxed);
    let _peer = publish(h264_aac(), &server.url("streamid=publish:one:key"));
    until("pictures again", 15, || flows(so_far + 5)).await;
    server.cancel.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(5), &mut server.task).await;
    ended.expect("it drains in time").expect("no panic").expect("no error");
    assert!(!stream.taken.load(Ordering::SeqCst), "the session has ended when the server has");
}

#[tokio::test(flavor = "multi_thread")]
async fn pulls_from_a_listener_and_says_what_is_wrong_with_it() {
    let gate = std::sync::Arc::new(TestGate::default().with("pulled", None, None));
    crate::init().expect("GStreamer starts");
    let stream = gate.stream("pulled");
    let access_request = || AccessRequest {
        action: crate::flow::Action::Publish,
        protocol: Protocol::Srt,
        stream: "pulled".parse().expect("a name"),
        credential: None,
        peer: "puller".into(),
    };
    let intake =
        || gate.publish(access_request(), SourceReport::new(Protocol::Srt, "puller").into());

    // A free port without a listener.
    let port = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|s| s.local_addr());
    let port = port.expect("a port").port();
    let url = format!("srt://127.0.0.1:{port}");
    let pull = |intake, passphrase: Option<&str>| {
        let source = serde_json::json!({ "type": "srt", "url": url, "passphrase": passphrase });
        run_alone(&source, intake, Default::default()).1
    };
    let error = pull(intake().await.expect("free"), None).await.expect_err("nobody there");
    assert_eq!(error.blame(), Blame::Input);
    assert!(error.to_string().contains(&url), "{error}");

    let listen = format!("{url}?mode=listener&passphrase=0123456789ab&pbkeylen=32");
    let _peer = publish(h264_aac(), &listen);
    let wrong = async |passphrase: Option<&str>| {
        let taken = intake().await.expect("free");
        pull(taken, passphrase).await.expect_err("a wrong passphrase").to_string()
    };
    // The listener needs time to start; ffmpeg takes one caller, and continues after a refusal.
    let mut said = String::new();
    for _ in 0..10 {
        said = wrong(Some("wrong passphrase")).await;
        if said.contains("passphrase") {
            break;
        }
    }
    assert!(said.contains("wrong passphrase"), "{said}");
    let _peer = publish(h264_aac(), &listen);
    let taken = intake().await.expect("free");
    let cancel = taken.cancel.clone();
    let pulling = tokio::spawn(pull(taken, Some("0123456789ab")));
    until("pulled pictures and sound", 15, || {
        let count = |feed: &Feed| feed.stats().buffers.load(Ordering::Relaxed);
        count(&stream.video) > 30 && count(&stream.audio) > 40
    })
    .await;
    cancel.cancel();
    pulling.await.expect("no panic").expect("a good end");
}
