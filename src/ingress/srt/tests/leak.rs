//! Resources are released after a hundred publishers and players.

use std::process::Command;
use std::sync::atomic::Ordering;

use super::bench::{TestGate, h264_aac, serve, until};
use crate::flow::Blame;
use crate::srt::Target;

/// Threads, file descriptors and resident memory (KiB) of this process.
fn holdings() -> (usize, usize, usize) {
    let count = |folder: &str| std::fs::read_dir(folder).expect("Linux").count();
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let rss = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("it has one");
    let rss = rss.trim().trim_end_matches(" kB").parse().expect("a number");
    (count("/proc/self/task"), count("/proc/self/fd"), rss)
}

/// Memory that the allocator may keep after 50 connections, in KiB. One receive buffer of libsrt
/// alone is 12 MiB, so a single leaked connection would show.
const GROWTH_MAX_KIB: usize = 20_000;

/// Runs in a separate process, because other tests would be counted too.
#[test]
fn a_hundred_connections_leave_nothing_behind() {
    let this = std::env::current_exe().expect("it has a path");
    let status = Command::new(this)
        .args(["--exact", "ingress::srt::tests::leak::alone", "--ignored", "--nocapture"])
        .status()
        .expect("it runs again");
    assert!(status.success());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by the test above, in a process of its own"]
async fn alone() {
    let server = serve(TestGate::default().with("one", None, None));
    let stream = server.gate.stream("one");
    let media = std::fs::read(h264_aac()).expect("it is there");
    let one_publisher_with_a_player = async || {
        let publisher: Target = server.url("streamid=publish:one").parse().expect("valid");
        let publisher = publisher.connect(Blame::Us).await.expect("it lets us in");
        for payload in media[..200 * 1316].chunks(1316) {
            publisher.send(payload).expect("connected");
        }
        until("pictures", 10, || stream.video.format().borrow().is_some()).await;
        let player: Target = server.url("streamid=read:one").parse().expect("valid");
        let player = player.connect(Blame::Us).await.expect("it lets us in");
        until("the player", 10, || stream.played.load(Ordering::SeqCst) == 1).await;
        drop((publisher, player));
        until("both to be gone", 15, || {
            !stream.taken.load(Ordering::SeqCst) && stream.played.load(Ordering::SeqCst) == 0
        })
        .await;
    };
    // Thread pools, caches and the allocator's arenas fill up first.
    for _ in 0..25 {
        one_publisher_with_a_player().await;
    }
    let mut before = holdings();
    // libsrt and GStreamer free some resources seconds later: wait until the figures are stable.
    until("quiet before", 30, || {
        let now = holdings();
        let quiet = now.0 >= before.0;
        before = now;
        quiet
    })
    .await;
    for _ in 0..25 {
        one_publisher_with_a_player().await;
    }
    let mut after = holdings();
    until(&format!("threads and descriptors to be {before:?} again"), 30, || {
        after = holdings();
        after.0 <= before.0 && after.1 <= before.1 && after.2 < before.2 + GROWTH_MAX_KIB
    })
    .await;
    eprintln!("threads, descriptors, KiB: {before:?} before, {after:?} after 100 connections");
}
