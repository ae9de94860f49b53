//! Publishers that die and return, on a stream that refuses a second one.

use std::time::{Duration, Instant};

use crate::ingress::rtmp::Config;
use crate::ingress::rtmp::testing::{Probe, TOKEN, TestServer, client::Client, peers, until};

const SOON: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_publisher_comes_back_at_once() {
    let server = TestServer::start(Config::default()).await;
    let video = Probe::on(&server.gate.video).await;
    let url = server.url("studio-1", TOKEN);
    let mut first = peers::publisher(&url);
    until("pictures", SOON, || video.count() > 30).await;
    first.kill().await.expect("killed");
    let count = video.count();
    let _second = peers::publisher(&url);
    until("pictures again", SOON, || video.count() > count + 30).await;
    let frames = video.seen();
    let in_order = frames.windows(2).all(|p| p[0].dts < p[1].dts);
    assert!(in_order, "the second publisher continues after the first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_whose_link_broke_displaces_its_silent_session() {
    let server = TestServer::start(Config { idle_timeout_s: 60, ..Config::default() }).await;
    let video = Probe::on(&server.gate.video).await;
    let url = server.url("studio-1", TOKEN);
    // A stopped process acts like a broken link: the connection stays, nothing arrives.
    let first = peers::publisher(&url);
    until("pictures", SOON, || video.count() > 30).await;
    peers::signal(&first, "STOP");

    let key = format!("studio-1?token={TOKEN}");
    let start = Instant::now();
    let _back = Client::publish(server.address, &key).await;
    let took = start.elapsed();
    assert!(took < Duration::from_secs(3), "let in after {took:?}");
    // The first one continues, finds itself replaced, and is not readmitted beside the second.
    peers::signal(&first, "CONT");
    let (good, _) = peers::outcome(first).await;
    assert!(!good, "it was disconnected");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_publisher_loses_its_place() {
    let server = TestServer::start(Config { idle_timeout_s: 2, ..Config::default() }).await;
    let key = format!("studio-1?token={TOKEN}");
    let mut client = Client::publish(server.address, &key).await;
    assert!(server.gate.is_taken());
    // Pings are not media.
    let start = Instant::now();
    while server.gate.is_taken() && start.elapsed() < SOON {
        client.send(2, 4, 0, 0, vec![0, 6, 0, 0, 0, 1]).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let took = start.elapsed();
    assert!((1500..4000).contains(&took.as_millis()), "gone after {took:?}");
}

/// Number of threads and file descriptors of this process.
fn held() -> (usize, usize) {
    let count = |folder: &str| std::fs::read_dir(folder).map(Iterator::count).unwrap_or(0);
    (count("/proc/self/task"), count("/proc/self/fd"))
}

/// Runs in a separate process, because other tests would change the count.
#[test]
fn a_hundred_publishers_leave_nothing_behind() {
    let name = "ingress::rtmp::tests::returns::counts_a_hundred_publishers";
    let program = std::env::current_exe().expect("known");
    let mut run = std::process::Command::new(program);
    let output = run.args(["--ignored", "--exact", name, "--nocapture"]).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said} {output:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by a_hundred_publishers_leave_nothing_behind"]
async fn counts_a_hundred_publishers() {
    let server = TestServer::start(Config::default()).await;
    let gate = server.gate.clone();
    let video = Probe::on(&gate.video).await;
    let media = super::enhanced::coded(super::enhanced::H264, 1).await;
    let round = async || {
        let before = video.count();
        let key = format!("studio-1?token={TOKEN}");
        let mut client = Client::publish(server.address, &key).await;
        super::enhanced::send_legacy(&mut client, &media).await;
        until("pictures", SOON, || video.count() > before).await;
        drop(client);
        until("the place is free", SOON, || !gate.is_taken()).await;
    };
    for _ in 0..5 {
        round().await;
    }
    let mut start = (usize::MAX, usize::MAX);
    until("the first ones are cleared away", SOON, || {
        let now = held();
        let settled = now == start;
        start = now;
        settled
    })
    .await;
    for _ in 0..100 {
        round().await;
    }
    // Tokio's blocking threads come and go, but leaked pipelines and sockets would remain.
    until("threads and descriptors are back", SOON, || {
        let now = held();
        now.0 <= start.0 + 4 && now.1 <= start.1 + 2
    })
    .await;
}
