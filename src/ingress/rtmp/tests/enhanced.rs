//! Codecs and layouts that Debian's ffmpeg cannot publish: encoded by GStreamer and put into tags
//! here.

use std::time::{Duration, Instant};

use gst::prelude::*;
use tokio::io::AsyncWriteExt;

use crate::flow::{Feed, Node};
use crate::ingress::rtmp::Config;
use crate::ingress::rtmp::chunk::{self, Message, VIDEO_MESSAGE_TYPE};
use crate::ingress::rtmp::testing::{Probe, TOKEN, TestServer, client::Client, until};
use crate::media::{Codec, Format};

const SOON: Duration = Duration::from_secs(20);

/// Output of an encoder: its configuration record, and frames with time and key flag.
pub(super) struct Coded {
    record: Vec<u8>,
    frames: Vec<(u32, bool, Vec<u8>)>,
}

impl Coded {
    /// Shifts the frames to the current time of a live encoder that began at `start`, but not
    /// before `least_ms`, where the previous frames end.
    fn shift(&mut self, start: Instant, least_ms: u32) {
        let by = u32::try_from(start.elapsed().as_millis()).expect("a short test").max(least_ms);
        self.frames.iter_mut().for_each(|f| f.0 += by);
    }
}

const PICTURES: &str = "videotestsrc ! video/x-raw,width=320,height=180,framerate=30/1";
const SOUND: &str = "audiotestsrc samplesperbuffer=960 ! audio/x-raw,rate=48000,channels=2";

pub(super) const H264: &str = "x264enc speed-preset=ultrafast key-int-max=10 tune=zerolatency \
                               ! h264parse ! video/x-h264,stream-format=avc,alignment=au";
const H265: &str = "x265enc speed-preset=ultrafast key-int-max=10 tune=zerolatency \
                    ! h265parse ! video/x-h265,stream-format=hvc1,alignment=au";
const AV1: &str = "av1enc cpu-used=8 usage-profile=realtime ! av1parse \
                   ! video/x-av1,stream-format=obu-stream,alignment=tu";
const VP9: &str = "vp9enc deadline=1 cpu-used=8 ! vp9parse ! video/x-vp9,alignment=frame";
const VP8: &str = "vp8enc deadline=1";
const OPUS: &str = "audioconvert ! opusenc";
const MP3: &str = "audioconvert ! lamemp3enc ! mpegaudioparse";

/// Encodes a test signal.
pub(super) async fn coded(encoder: &str, count: u32) -> Coded {
    crate::init().expect("GStreamer starts");
    let sounds = [OPUS, MP3].contains(&encoder);
    let source = if sounds { SOUND } else { PICTURES };
    let source = source.replacen(' ', &format!(" num-buffers={count} "), 1);
    let description = format!("{source} ! {encoder} ! appsink name=out sync=false async=false");
    let node = Node::parse("encoder", &description).expect("a pipeline");
    let sink = node.element("out").expect("there").downcast::<gst_app::AppSink>();
    let sink = sink.expect("an appsink");
    node.start().await.expect("starts");
    let take = tokio::task::spawn_blocking(move || {
        let mut coded = Coded { record: Vec::new(), frames: Vec::new() };
        while let Ok(sample) = sink.pull_sample() {
            let caps = sample.caps().expect("caps").structure(0).expect("one");
            if let Ok(record) = caps.get::<gst::Buffer>("codec_data") {
                coded.record = record.map_readable().expect("readable").to_vec();
            } else if let Ok(headers) = caps.get::<gst::Array>("streamheader") {
                let first = headers.first().and_then(|h| h.get::<gst::Buffer>().ok());
                coded.record =
                    first.map(|h| h.map_readable().expect("readable").to_vec()).unwrap_or_default();
            }
            let buffer = sample.buffer().expect("a buffer");
            let ms = buffer.dts_or_pts().map_or(0, gst::ClockTime::mseconds);
            let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
            let bytes = buffer.map_readable().expect("readable").to_vec();
            coded.frames.push((u32::try_from(ms % 1_000_000).expect("small"), key, bytes));
        }
        coded
    });
    let coded = tokio::time::timeout(SOON, take).await.expect("encodes in time").expect("no panic");
    node.stop().await.expect("stops");
    assert!(!coded.frames.is_empty());
    coded
}

/// Sends H.264 in legacy FLV tags.
pub(super) async fn send_legacy(client: &mut Client, coded: &Coded) {
    client.video(coded.frames[0].0, [&[0x17, 0, 0, 0, 0], &coded.record[..]].concat()).await;
    for (ms, key, frame) in &coded.frames {
        let first = if *key { 0x17 } else { 0x27 };
        client.video(*ms, [&[first, 1, 0, 0, 0], &frame[..]].concat()).await;
    }
}

/// Sends enhanced tags with this FourCC. `prefix` is inserted between FourCC and frame.
async fn send_enhanced(client: &mut Client, fourcc: &[u8; 4], prefix: &[u8], coded: &Coded) {
    let sound = [b"Opus", b".mp3", b"mp4a"].contains(&fourcc);
    if !coded.record.is_empty() {
        let tag = [&[0x90], &fourcc[..], &coded.record].concat();
        let ms = coded.frames[0].0;
        if sound { client.audio(ms, tag).await } else { client.video(ms, tag).await }
    }
    for (ms, key, frame) in &coded.frames {
        if sound {
            client.audio(*ms, [&[0x91], &fourcc[..], frame].concat()).await;
        } else {
            let first = if *key { 0x91 } else { 0xa1 };
            client.video(*ms, [&[first], &fourcc[..], prefix, frame].concat()).await;
        }
    }
}

/// Waits for `count` buffers on a feed and returns its format.
async fn arrives(feed: &Feed, probe: &Probe, codec: Codec, count: usize) -> Format {
    until(&format!("{count} buffers of {codec}"), SOON, || {
        let is = feed.format().borrow().as_ref().is_some_and(|f| f.codec == codec);
        is && probe.count() >= count
    })
    .await;
    feed.format().borrow().clone().expect("known")
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_of_every_codec_arrive() {
    let all: [(&str, &[u8; 4], &[u8], Codec); 5] = [
        (H264, b"avc1", &[0, 0, 0], Codec::H264),
        (H265, b"hvc1", &[0, 0, 0], Codec::H265),
        (AV1, b"av01", &[], Codec::Av1),
        (VP9, b"vp09", &[], Codec::Vp9),
        (VP8, b"vp08", &[], Codec::Vp8),
    ];
    for (encoder, fourcc, prefix, codec) in all {
        let coded = coded(encoder, 20).await;
        let server = TestServer::start(Config::default()).await;
        let probe = Probe::on(&server.gate.video).await;
        let mut client = Client::publish(server.address, &format!("studio-1?token={TOKEN}")).await;
        send_enhanced(&mut client, fourcc, prefix, &coded).await;
        // A parser may hold the last frame until the next one arrives.
        let format = arrives(&server.gate.video, &probe, codec, coded.frames.len() - 2).await;
        assert_eq!((format.video.width, format.video.height), (320, 180), "{format}");
        let seen = probe.seen();
        assert!(seen.windows(2).all(|p| p[0].pts < p[1].pts), "{codec}: in order");
        let notes = server.gate.notes();
        assert!(notes.is_empty(), "{codec}: {notes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_of_every_codec_arrives() {
    for (encoder, fourcc, codec) in [(OPUS, b"Opus", Codec::Opus), (MP3, b".mp3", Codec::Mp3)] {
        let coded = coded(encoder, 50).await;
        let server = TestServer::start(Config::default()).await;
        let probe = Probe::on(&server.gate.audio).await;
        let mut client = Client::publish(server.address, &format!("studio-1?token={TOKEN}")).await;
        send_enhanced(&mut client, fourcc, &[], &coded).await;
        let format = arrives(&server.gate.audio, &probe, codec, coded.frames.len() - 2).await;
        assert_eq!((format.audio.rate, format.audio.channels), (48_000, 2), "{format}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_size_and_a_new_codec_are_followed() {
    let server = TestServer::start(Config::default()).await;
    let feed = server.gate.video.clone();
    let probe = Probe::on(&feed).await;
    let mut client = Client::publish(server.address, &format!("studio-1?token={TOKEN}")).await;
    let first = coded(H264, 12).await;
    let start = Instant::now();
    send_legacy(&mut client, &first).await;
    arrives(&feed, &probe, Codec::H264, 11).await;

    let small = format!("videoscale ! video/x-raw,width=160,height=90 ! {H264}");
    let mut later = coded(&small, 12).await;
    later.shift(start, 400);
    send_legacy(&mut client, &later).await;
    until("the new size", SOON, || {
        feed.format().borrow().as_ref().is_some_and(|f| f.video.width == 160)
    })
    .await;

    let mut last = coded(H265, 12).await;
    last.shift(start, 800);
    let count = probe.count();
    send_enhanced(&mut client, b"hvc1", &[0, 0, 0], &last).await;
    arrives(&feed, &probe, Codec::H265, count + 10).await;
    let seen = probe.seen();
    assert!(seen.windows(2).all(|p| p[0].dts < p[1].dts), "time goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn timestamps_may_wrap() {
    let server = TestServer::start(Config::default()).await;
    let probe = Probe::on(&server.gate.video).await;
    let mut client = Client::publish(server.address, &format!("studio-1?token={TOKEN}")).await;
    // With full headers and their extended timestamps, as ffmpeg sends them.
    let media = coded(H264, 30).await;
    let start = u32::MAX - 500;
    let header = (0, [&[0x17, 0, 0, 0, 0], &media.record[..]].concat());
    let frame = |(ms, key, frame): &(u32, bool, Vec<u8>)| {
        let first = if *key { 0x17 } else { 0x27 };
        (*ms, [&[first, 1, 0, 0, 0], &frame[..]].concat())
    };
    let mut bytes = Vec::new();
    for (ms, payload) in std::iter::once(header).chain(media.frames.iter().map(frame)) {
        let timestamp = start.wrapping_add(ms);
        let message =
            Message { kind: VIDEO_MESSAGE_TYPE, stream: 1, timestamp, payload: payload.into() };
        chunk::encode(&message, 6, 128, &mut bytes);
    }
    client.stream.write_all(&bytes).await.expect("writes");
    until("the frames", SOON, || probe.count() >= 28).await;
    let seen = probe.seen();
    for pair in seen.windows(2) {
        let step = (pair[1].pts - pair[0].pts).as_millis();
        assert!((30..=37).contains(&step), "{step} ms over the edge");
    }
}
