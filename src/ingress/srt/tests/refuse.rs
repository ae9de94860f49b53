//! Refused callers, and the reasons that they get.

use std::net::UdpSocket;
use std::sync::atomic::Ordering;

use super::bench::{TestGate, ffmpeg, h264_aac, publish, serve, serve_with, until};
use crate::flow::{Blame, RefusalKind};
use crate::ingress::srt::Config;
use crate::srt::Target;

/// The reason that a caller with this query gets.
async fn told(server: &super::bench::Running, query: &str) -> String {
    let target: Target = server.url(query).parse().expect("valid");
    match target.connect(Blame::Us).await {
        Ok(_) => "let in".into(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_has_its_reason() {
    let gate = TestGate::default().with("one", Some("key"), None).with("used", None, None);
    let server = serve(gate);
    server.gate.stream("used").taken.store(true, Ordering::SeqCst);
    let check = async |query: &str, expect: &str| {
        let said = told(&server, query).await;
        assert!(said.contains(expect), "{query}: {said}");
    };
    check("streamid=publish:nobody:key", "no such stream (SRT reason 1404)").await;
    check("streamid=publish:one:wrong", "(SRT reason 1401)").await;
    check("streamid=read:one", "(SRT reason 1401)").await;
    check("streamid=publish:used", "(SRT reason 1409)").await;
    check("streamid=#!::r=one,m=bidirectional", "(SRT reason 1405)").await;
    check("streamid=#!::m=publish", "(SRT reason 1400)").await;
    check("", "(SRT reason 1400)").await;
    check("streamid=publish:one:key", "let in").await;
    let kinds: Vec<_> = server.gate.refusals().into_iter().map(|(_, kind, _)| kind).collect();
    assert_eq!(kinds.first(), Some(&RefusalKind::UnknownStream));
    assert!(kinds.contains(&RefusalKind::Unauthorized) && kinds.contains(&RefusalKind::Taken));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_and_missing_passphrases_reach_the_gate() {
    let gate = TestGate::default().with("one", None, Some("0123456789ab")).with("two", None, None);
    let server = serve(gate);
    let check = async |query: &str, count: usize, stream: &str, expect: &str| {
        let said = told(&server, query).await;
        assert!(said.contains("passphrase"), "{query}: {said}");
        until("the gate to hear of it", 5, || server.gate.refusals().len() == count).await;
        let (name, kind, message) = server.gate.refusals().pop().expect("one");
        assert_eq!((name.as_str(), kind), (stream, RefusalKind::Unauthorized));
        assert!(message.contains(expect), "{message}");
    };
    check("streamid=publish:one&passphrase=ab0123456789", 1, "one", "wrong SRT passphrase").await;
    check("streamid=publish:one", 2, "one", "wrong SRT passphrase, or none").await;
    check("streamid=publish:two&passphrase=ab0123456789", 3, "two", "it encrypts").await;
    // ffmpeg is refused too.
    let url = server.url("streamid=publish:one&passphrase=ab0123456789");
    let file = h264_aac().to_str().expect("a plain path");
    let mut peer = ffmpeg(&["-re", "-i", file, "-c", "copy", "-f", "mpegts", &url]);
    assert!(!peer.status().expect("ffmpeg is installed").success());
    assert_eq!(server.gate.stream("one").published.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_connections_is_bounded() {
    let gate = TestGate::default().with("a", None, None).with("b", None, None);
    let server = serve_with(gate, Config { connections_max: 1, ..Config::default() });
    let first: Target = server.url("streamid=publish:a").parse().expect("valid");
    let first = first.connect(Blame::Us).await.expect("there is room for one");
    let said = told(&server, "streamid=publish:b").await;
    assert!(said.contains("(SRT reason 1402)"), "{said}");
    drop(first);
    let mut said = String::new();
    for _ in 0..50 {
        said = told(&server, "streamid=publish:b").await;
        if said == "let in" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(said, "let in", "the place is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_datagrams_change_nothing() {
    let server = serve(TestGate::default().with("one", Some("key"), None));
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let mut state = 1_u32;
    for size in (0..5000_usize).map(|n| n % 1472) {
        let mut bytes = vec![0_u8; size];
        for byte in &mut bytes {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8;
        }
        if size >= 64 && size % 3 == 0 {
            // Resembles a handshake: control packet of type 0 to socket 0.
            bytes[..2].copy_from_slice(&[0x80, 0]);
            bytes[12..16].fill(0);
        }
        socket.send_to(&bytes, server.address).expect("loopback takes it");
    }
    let stream = server.gate.stream("one");
    let _peer = publish(h264_aac(), &server.url("streamid=publish:one:key"));
    until("pictures", 15, || stream.video.stats().buffers.load(Ordering::Relaxed) > 5).await;
    assert!(!server.task.is_finished());
}

#[test]
fn the_configuration_is_checked() {
    let check = |text: &str, expect: &str| {
        let config: Config = toml::from_str(text).expect("readable");
        let said = config.check().expect_err("wrong").to_string();
        assert!(said.contains(expect), "{said}");
    };
    check("latency_ms = 5", "srt.latency_ms: 5 is not in 20-30000");
    check("connections_max = 0", "srt.connections_max");
    check("peer_version_min = 'new'", "srt.peer_version_min: `new` is not a version");
    check("idle_timeout_s = 0", "srt.idle_timeout_s");
    assert!(toml::from_str::<Config>("").expect("readable").check().is_ok());
    assert!(toml::from_str::<Config>("port = 1").is_err());
}
