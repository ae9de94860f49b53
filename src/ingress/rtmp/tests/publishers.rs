//! ffmpeg publishes.

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
    // The last two may still be missing their neighbours.
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
