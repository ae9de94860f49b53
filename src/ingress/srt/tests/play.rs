//! Players connected to the listener.

use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::bench::{Peer, Running, TestGate, h264_aac, h265_opus, publish_forever, serve, until};
use crate::flow::Blame;
use crate::srt::Target;

/// Waits until the stream has media.
async fn flowing(server: &Running) {
    let stream = server.gate.stream("one");
    until("a stream to play", 15, || {
        stream.video.stats().keyframes.load(Ordering::Relaxed) > 0
            && stream.audio.stats().buffers.load(Ordering::Relaxed) > 0
    })
    .await;
}

/// The output of ffprobe after three seconds of playing.
async fn probe(url: String) -> String {
    let mut command = tokio::process::Command::new("ffprobe");
    command
        .args(["-loglevel", "error", "-read_intervals", "%+3", "-of", "compact"])
        .args(["-show_entries", "stream=codec_name,width,channels:packet=codec_type,pts_time"])
        .args(["-probesize", "500000", "-analyzeduration", "1000000", "-i", &url])
        .kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(20), command.output()).await;
    let output = output.expect("ffprobe ends").expect("ffprobe is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Times of the packets of one kind, in seconds.
fn times(probed: &str, kind: &str) -> Vec<f64> {
    let prefix = format!("packet|codec_type={kind}|pts_time=");
    let lines = probed.lines().filter_map(|line| line.strip_prefix(&prefix));
    lines.filter_map(|rest| rest.split('|').next()?.trim().parse().ok()).collect()
}

async fn check_play(file: &std::path::Path, codecs: [&str; 2]) {
    let server = serve(TestGate::default().with("one", None, None));
    let _peer = publish_forever(file, &server.url("streamid=publish:one"));
    flowing(&server).await;
    let probed = probe(server.url("streamid=read:one")).await;
    for expect in codecs {
        assert!(probed.contains(expect), "{expect} in {probed}");
    }
    let (mut video, audio) = (times(&probed, "video"), times(&probed, "audio"));
    video.sort_unstable_by(f64::total_cmp);
    assert!(video.len() > 60, "{} pictures", video.len());
    assert!(audio.len() > 60, "{} packets of sound", audio.len());
    let steady = video.windows(2).filter(|pair| (pair[1] - pair[0] - 1.0 / 30.0).abs() < 0.01);
    assert!(steady.count() > video.len() - 30, "a steady 30 fps after the start: {video:?}");
    let apart = (video[video.len() - 1] - audio[audio.len() - 1]).abs();
    assert!(apart < 0.5, "picture and sound are {apart} s apart");
    until("the player's subscription to be free", 10, || {
        server.gate.stream("one").played.load(Ordering::SeqCst) == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ffprobe_plays_h264_and_aac() {
    check_play(h264_aac(), ["codec_name=h264|width=320", "codec_name=aac|channels=2"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ffprobe_plays_h265_and_opus() {
    check_play(h265_opus(), ["codec_name=hevc|width=320", "codec_name=opus|channels=2"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_players_and_one_that_never_reads() {
    let server = serve(TestGate::default().with("one", None, None));
    let _peer = publish_forever(h264_aac(), &server.url("streamid=publish:one"));
    flowing(&server).await;
    let target: Target = server.url("streamid=read:one").parse().expect("valid");
    let sleeper = target.connect(Blame::Us).await.expect("it lets us in");
    let folder = h264_aac().parent().expect("a folder");
    let record = |n: u32| {
        let file = folder.join(format!("played-{}-{n}.ts", server.address.port()));
        let url = server.url("mode=caller&transtype=live") + "&streamid=#!::r=one,m=request";
        let player = Command::new("srt-live-transmit")
            .args(["-q", "-chunk:1316", &url, "file://con"])
            .stdout(std::fs::File::create(&file).expect("a file"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Peer)
            .expect("srt-tools is installed");
        (player, file)
    };
    let players: Vec<_> = (0..3).map(record).collect();
    for (_, file) in &players {
        until("a player to have a second of media", 15, || {
            std::fs::metadata(file).is_ok_and(|m| m.len() > 100_000)
        })
        .await;
    }
    let stream = server.gate.stream("one");
    assert_eq!(stream.played.load(Ordering::SeqCst), 4);
    for (label, link) in stream.video.links() {
        assert_eq!(link.dropped_slow.load(Ordering::Relaxed), 0, "{label}");
    }
    for (_, file) in &players {
        let bytes = std::fs::read(file).expect("it is there");
        let packets = bytes.chunks_exact(188);
        assert!(packets.clone().all(|p| p[0] == 0x47), "whole TS packets only");
    }
    drop((players, sleeper));
    until("all subscriptions to be free", 10, || stream.played.load(Ordering::SeqCst) == 0).await;
}
