//! Tests of decoding: the output of our own encoders decodes again, intact or damaged.

use super::*;
use crate::process::encode;
use crate::process::encoders::Encoder;
use crate::process::testing::{Camera, Catch, Singer, encoders, eventually};

/// The output of an encoder for generated video or audio: buffers with their caps.
async fn coded(encoder: Encoder, amount: usize) -> (Vec<gst::Buffer>, Format, gst::Caps) {
    let kind = encoder.codec.kind();
    let (input, output) = (Feed::new("raw", kind), Feed::new("coded", kind));
    let task = Task::new("encode");
    let catch = Catch::new(&output).await;
    let raw = input.sole_writer();
    let run = encode::run(
        task.clone(),
        input.clone(),
        output.sole_writer(),
        encoder,
        encode::Settings::default(),
    );
    let run = tokio::spawn(run);
    match kind {
        Kind::Video => {
            let mut camera = Camera::new(raw, 320, 180, 30, "30/1");
            camera.shoot(1);
            eventually("the encoder joins", || !input.links().is_empty()).await;
            camera.shoot(amount);
        }
        Kind::Audio => {
            let mut singer = Singer::new(raw, 2);
            singer.sing(1);
            eventually("the encoder joins", || !input.links().is_empty()).await;
            singer.sing(amount);
        }
    }
    let enough = if kind == Kind::Video { amount } else { amount * 3 / 4 };
    eventually("it is encoded", || catch.count() >= enough).await;
    task.cancel.cancel();
    run.await.expect("no panic").expect("ends in peace");
    let format = output.format().borrow().clone().expect("known");
    (catch.buffers(), format, catch.caps())
}

/// A running decoder between two feeds.
struct Bench {
    task: Task,
    coded: Writer,
    raw: Feed,
    catch: Catch,
    run: tokio::task::JoinHandle<Result<(), Error>>,
}

impl Bench {
    /// Writes `first` before the decoder starts: it determines the format, and a video decoder
    /// begins with it.
    async fn new(kind: Kind, first: &[gst::Buffer], caps: &gst::Caps) -> Self {
        let (input, raw) = (Feed::new("coded", kind), Feed::new("raw", kind));
        let task = Task::new("decode");
        let coded = input.sole_writer();
        let catch = Catch::new(&raw).await;
        first.iter().for_each(|buffer| coded.push(buffer.clone(), caps));
        let run = tokio::spawn(run(task.clone(), input.clone(), raw.sole_writer()));
        eventually("the decoder joins", || !input.links().is_empty()).await;
        Self { task, coded, raw, catch, run }
    }

    async fn stop(self) {
        self.task.cancel.cancel();
        self.run.await.expect("no panic").expect("ends in peace");
    }
}

fn video_encoders() -> Vec<Encoder> {
    let codecs = [Codec::H264, Codec::H265, Codec::Vp8, Codec::Vp9, Codec::Av1];
    codecs.into_iter().filter_map(|codec| encoders().best(codec)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_video_codec_is_decoded_without_delay() {
    for encoder in video_encoders() {
        let codec = encoder.codec;
        let (frames, _, caps) = coded(encoder, 30).await;
        let bench = Bench::new(Kind::Video, &frames[..1], &caps).await;
        eventually("the first picture", || bench.catch.count() == 1).await;
        // The second frame must come out before any other is written: a decoder that holds frames
        // back never outputs it.
        for (n, frame) in frames.iter().enumerate().skip(1) {
            bench.coded.push(frame.clone(), &caps);
            let shown = |raw: &gst::Buffer| raw.pts() == frame.pts();
            let what = format!("{codec}: picture {n} comes before the next is given");
            eventually(&what, || bench.catch.buffers().last().is_some_and(shown)).await;
        }
        let format = bench.raw.format().borrow().clone().expect("known");
        assert_eq!((format.codec, format.video.width), (Codec::RawVideo, 320), "{codec}");
        assert!(bench.task.status.is_running());
        bench.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_decoder_shows_the_live_edge_at_once() {
    let encoder = encoders().best(Codec::H264).expect("H.264 is there");
    let (frames, _, caps) = coded(encoder, 40).await;
    let bench = Bench::new(Kind::Video, &frames[..35], &caps).await;
    eventually("a picture", || bench.catch.count() > 0).await;
    let shown = bench.catch.buffers()[0].pts().expect("dated");
    let edge = frames[34].pts().expect("dated");
    assert!(shown >= edge.saturating_sub(gst::ClockTime::from_mseconds(40)), "{shown} of {edge}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_survived() {
    for encoder in video_encoders() {
        let codec = encoder.codec;
        let (frames, _, caps) = coded(encoder, 60).await;
        let bench = Bench::new(Kind::Video, &frames[..1], &caps).await;
        eventually("the first picture", || bench.catch.count() == 1).await;
        for (n, frame) in frames[..40].iter().enumerate().skip(1) {
            let mut bytes = frame.map_readable().expect("readable").to_vec();
            let from = bytes.len() / 3;
            bytes[from..].iter_mut().step_by(7).for_each(|b| *b ^= (n * 37 + 1) as u8);
            if n % 5 == 0 {
                bytes.truncate(from + 1);
            }
            let mut broken = gst::Buffer::from_mut_slice(bytes);
            let copied = gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS;
            let target = broken.get_mut().expect("sole owner");
            frame.copy_into(target, copied, ..).expect("copies");
            bench.coded.push(broken, &caps);
        }
        // Later frames are intact again, GOP after GOP, as after real packet loss.
        let length = gst::ClockTime::from_seconds(2);
        let first = frames[0].pts().expect("dated") + length;
        let end = Instant::now() + crate::process::testing::PATIENCE;
        let mut shift = length;
        let recovered = || bench.catch.buffers().last().is_some_and(|b| b.pts() >= Some(first));
        while !recovered() && !bench.run.is_finished() {
            assert!(Instant::now() < end, "{codec} goes on after the damage");
            for frame in &frames[..20] {
                let mut frame = frame.clone();
                let moved = frame.pts().map(|pts| pts + shift);
                let writable = frame.make_mut();
                writable.set_pts(moved);
                writable.set_dts(moved);
                bench.coded.push(frame, &caps);
            }
            shift += length;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(!bench.run.is_finished(), "{codec}: the node lives on");
        bench.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_audio_codec_is_decoded_to_the_canonical_form() {
    for codec in [Codec::Aac, Codec::Opus, Codec::Mp2, Codec::Mp3] {
        let Some(encoder) = encoders().best(codec) else { continue };
        let (packets, _, caps) = coded(encoder, 60).await;
        let bench = Bench::new(Kind::Audio, &packets[..1], &caps).await;
        // One after the other: on a busy machine a consumer that gets everything at once loses
        // data.
        let rest = std::cell::RefCell::new(packets.iter().skip(1));
        let next =
            || rest.borrow_mut().next().map(|packet| bench.coded.push(packet.clone(), &caps));
        eventually("sound", || next().is_none() && bench.catch.count() > 30).await;
        let format = bench.raw.format().borrow().clone().expect("known");
        assert_eq!(format.to_string(), "rawaudio 48000 Hz 2 ch", "{codec}");
        // A codec may overshoot at the start of the tone.
        let loudest = bench.catch.buffers().iter().skip(10).fold(0.0_f32, |most, buffer| {
            let map = buffer.map_readable().expect("readable");
            let samples = map.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            samples.fold(most, |most, sample| most.max(sample.abs()))
        });
        assert!((0.2..0.5).contains(&loudest), "{codec}: a tone of 0.3 came back as {loudest}");
        bench.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn surround_becomes_stereo() {
    crate::init().expect("GStreamer starts");
    let input = Feed::new("surround", Kind::Audio);
    let output = Feed::new("stereo", Kind::Audio);
    let source = Node::parse(
        "source",
        "audiotestsrc is-live=true ! audio/x-raw,format=F32LE,rate=44100,channels=6,\
         channel-mask=(bitmask)0x3f,layout=interleaved ! appsink name=out",
    )
    .expect("parses");
    source.output("out", &input.sole_writer()).expect("an appsink");
    let task = Task::new("decode");
    let decode = tokio::spawn(run(task.clone(), input, output.sole_writer()));
    source.start().await.expect("starts");
    let format = output.format();
    eventually("stereo", || format.borrow().is_some()).await;
    let text = format.borrow().clone().expect("known").to_string();
    assert_eq!(text, "rawaudio 48000 Hz 2 ch");
    task.cancel.cancel();
    decode.await.expect("no panic").expect("ends in peace");
}
