//! Clients that do not send a valid stream.

use std::time::{Duration, Instant};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use rtmp_rs::amf::AmfValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ingress::rtmp::Config;
use crate::ingress::rtmp::connection::{self, Shared};
use crate::ingress::rtmp::testing::{
    Probe, TOKEN, TestGate, TestServer, client::Client, peers, until,
};

const SOON: Duration = Duration::from_secs(15);

fn key() -> String {
    format!("studio-1?token={TOKEN}")
}

/// Reads until the server closes.
async fn hung_up(stream: &mut TcpStream) {
    let mut sink = Vec::new();
    let read = tokio::time::timeout(SOON, stream.read_to_end(&mut sink)).await;
    let _ = read.expect("the server hangs up");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_of_every_kind_disturbs_nobody() {
    let server =
        TestServer::start(Config { connections_per_ip_max: 20, ..Config::default() }).await;
    let video = Probe::on(&server.gate.video).await;
    let _publisher = peers::publisher(&server.url("studio-1", TOKEN));
    until("pictures", SOON, || video.count() > 5).await;

    let resident = resident_bytes();
    let mut runner = TestRunner::deterministic();
    let bytes = proptest::collection::vec(proptest::num::u8::ANY, 0..4000);
    let mut crowd = Vec::new();
    for round in 0..1500_usize {
        let Ok(mut stream) = TcpStream::connect(server.address).await else { continue };
        let mut garbage = bytes.new_tree(&mut runner).expect("bytes").current();
        if round % 2 == 0 {
            // With a valid handshake, so that the chunks are garbage too.
            garbage.splice(0..0, [3].into_iter().chain(std::iter::repeat_n(0, 2 * 1536)));
        }
        let _ = stream.write_all(&garbage).await;
        // Some of them stay connected and send nothing more.
        if round % 10 == 0 {
            crowd.push(stream);
        }
    }
    let grown = resident_bytes().saturating_sub(resident);
    assert!(grown < 48 << 20, "{grown} bytes for garbage");
    drop(crowd);
    let count = video.count();
    until("the publisher goes on", SOON, || video.count() > count + 30).await;
    assert_eq!(server.gate.admitted.load(std::sync::atomic::Ordering::SeqCst), 1);
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = statm.split(' ').nth(1).and_then(|p| p.parse::<usize>().ok());
    pages.expect("a number") * 4096
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_handshakes_end_in_time() {
    let gate = TestGate::new();
    let shared = Shared {
        gate: gate.clone(),
        publishers: Default::default(),
        setup_max: Duration::from_millis(300),
        idle: SOON,
        cancel: Default::default(),
    };
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let drip = tokio::spawn(async move {
        theirs.write_all(&[3]).await.expect("writes");
        while theirs.write_all(&[0]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let start = Instant::now();
    let peer = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    let result = connection::serve(ours, peer, &shared).await;
    assert!(matches!(result, Err(connection::Error::TooSlow(_))), "{result:?}");
    // It may take two more seconds to close.
    assert!(start.elapsed() < Duration::from_secs(4));
    drip.await.expect("its writes fail in the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_are_turned_away_and_places_come_back() {
    let server = TestServer::start(Config { connections_max: 8, ..Config::default() }).await;
    let mut crowd = Vec::new();
    for _ in 0..8 {
        crowd.push(Client::connect(server.address).await);
    }
    let mut ninth = TcpStream::connect(server.address).await.expect("connects");
    hung_up(&mut ninth).await;
    drop(crowd);
    let start = Instant::now();
    loop {
        let mut stream = TcpStream::connect(server.address).await.expect("connects");
        stream.write_all(&vec![3; 1537]).await.expect("writes");
        if stream.read_exact(&mut [0; 10]).await.is_ok() {
            break;
        }
        assert!(start.elapsed() < SOON, "no place came back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn players_and_confused_clients_are_told() {
    let server = TestServer::start(Config::default()).await;
    let mut player = Client::connect(server.address).await;
    let text = |t: &str| AmfValue::String(t.into());
    let app = AmfValue::Object([("app".to_owned(), text("live"))].into());
    player.command(0, &[text("connect"), AmfValue::Number(1.0), app]).await;
    player
        .command(1, &[text("play"), AmfValue::Number(2.0), AmfValue::Null, text("studio-1")])
        .await;
    let answer = player.await_command("onStatus").await;
    assert!(answer.contains("NetStream.Play.Failed") && answer.contains("WHEP"), "{answer}");
    hung_up(&mut player.stream).await;

    let mut twice = Client::publish(server.address, &key()).await;
    twice.ask_to_publish("live", &key()).await;
    let answer = twice.await_command("onStatus").await;
    assert!(answer.contains("publishing already"), "{answer}");
    until("its place is free", SOON, || !server.gate.is_taken()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn media_in_the_wrong_order_and_of_the_wrong_kind_is_noted() {
    let server = TestServer::start(Config::default()).await;
    let mut client = Client::publish(server.address, &key()).await;
    client.video(0, vec![0x17, 1, 0, 0, 0, 0, 0, 0, 1, 0x65]).await;
    client.audio(0, vec![0xaf, 1, 0x21]).await;
    client.audio(0, vec![0xb2, 1, 2, 3]).await;
    client.video(0, vec![0x17]).await;
    client.video(0, &b"\x90vvc1\x00"[..]).await;
    let expect = [
        "h264 before its sequence header",
        "aac before its sequence header",
        "sound format 11",
        "cut short",
        "`vvc1`",
    ];
    until("all notes", SOON, || {
        let notes = server.gate.notes().join("; ");
        expect.iter().all(|e| notes.contains(e))
    })
    .await;
    assert!(server.gate.is_taken(), "none of it ends the session");

    // Neither do invalid sequence headers: empty ones, and one that its parser refuses.
    client.video(0, vec![0x17, 0, 0, 0, 0]).await;
    client.audio(0, vec![0xaf, 0]).await;
    client.video(0, vec![0x17, 0, 0, 0, 0, 9, 9]).await;
    client.video(0, &b"\x17\0\0\0\0\x01\x64\0\x1e\xff\xe1\0\x02\x67\xff\x01\0\x01\x68"[..]).await;
    client.video(0, vec![0x17, 1, 0, 0, 0, 0, 0, 0, 2, 0x65, 0x88]).await;
    let expect = [
        "a sequence header of h264 is ignored: 0 bytes",
        "a sequence header of h264 is ignored: 2 bytes",
        "a sequence header of aac is ignored: 0 bytes",
    ];
    until("all notes", SOON, || {
        let notes = server.gate.notes().join("; ");
        expect.iter().all(|e| notes.contains(e))
    })
    .await;
    assert!(server.gate.is_taken(), "none of it ends the session: {:?}", server.gate.notes());
    client.command(1, &[AmfValue::String("deleteStream".into()), AmfValue::Number(4.0)]).await;
    until("its place is free", SOON, || !server.gate.is_taken()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn absurd_sizes_and_torn_chunks_end_the_session_only() {
    let server = TestServer::start(Config::default()).await;
    // A message with an announced size of 16 MiB.
    let mut client = Client::publish(server.address, &key()).await;
    let huge = [0x06, 0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0];
    client.stream.write_all(&huge).await.expect("writes");
    hung_up(&mut client.stream).await;
    until("its place is free", SOON, || !server.gate.is_taken()).await;

    // The connection ends in the middle of a chunk.
    let mut client = Client::publish(server.address, &key()).await;
    let torn = [0x06, 0, 0, 0, 0, 1, 0, 9, 1, 0, 0, 0, 0x17, 1];
    client.stream.write_all(&torn).await.expect("writes");
    drop(client);
    until("its place is free", SOON, || !server.gate.is_taken()).await;

    // An extremely long stream key.
    let mut client = Client::connect(server.address).await;
    client.ask_to_publish("live", &"x".repeat(60_000)).await;
    let answer = client.await_command("onStatus").await;
    assert!(answer.contains("is not a stream name") && answer.len() < 2000, "{answer}");
}
