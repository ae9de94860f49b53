//! What is kept for consumers that come late, and how a feed ends.

use super::tests::{Started, caps, frame, stuck, taken};
use super::*;

fn tone(ms: u64) -> gst::Buffer {
    let mut buffer = gst::Buffer::with_size(10).expect("allocates");
    let writable = buffer.get_mut().expect("sole owner");
    writable.set_pts(gst::ClockTime::from_mseconds(ms));
    writable.set_duration(gst::ClockTime::from_mseconds(20));
    buffer
}

#[test]
fn sound_of_the_past_goes_to_those_who_begin_there() {
    let raw: gst::Caps = {
        let _ = caps();
        "audio/x-raw,format=F32LE,rate=48000,channels=2".parse().expect("valid caps")
    };
    let feed = Feed::new("audio.aac", Kind::Audio);
    let writer = feed.sole_writer();
    let at = gst::ClockTime::from_mseconds;
    writer.past_until(at(1100));
    writer.push(tone(980), &raw);
    let (_a, live) = stuck(&feed, Join::Live);
    let (_b, recorder) = stuck(&feed, Join::Since(at(1000)));
    for n in 50..60 {
        writer.push(tone(n * 20), &raw);
    }
    assert_eq!(taken(&live), 5, "from 1100 ms on");
    assert_eq!(taken(&recorder), 10, "from 1000 ms on");
    let (_c, late) = stuck(&feed, Join::Since(at(1040)));
    assert_eq!(taken(&late), 8, "raw sound is kept too");
}

#[test]
fn raw_pictures_are_kept_until_the_first_consumer_has_them() {
    let raw: gst::Caps = {
        let _ = caps();
        "video/x-raw,format=I420,width=64,height=64,framerate=30/1".parse().expect("valid caps")
    };
    let feed = Feed::new("video", Kind::Video);
    let writer = feed.sole_writer();
    for n in 0..5 {
        writer.push(frame(1000 + n * 33, true), &raw);
    }
    let (_a, thumbnail) = stuck(&feed, Join::KeyFrames);
    let (_b, encoder) = stuck(&feed, Join::KeptFrom(gst::ClockTime::ZERO));
    assert_eq!((taken(&thumbnail), taken(&encoder)), (1, 5));
    writer.push(frame(1166, true), &raw);
    let (_c, second) = stuck(&feed, Join::KeptFrom(gst::ClockTime::ZERO));
    assert_eq!((taken(&encoder), taken(&second)), (6, 0), "nothing is kept any more");
}

#[tokio::test]
async fn a_consumer_waits_for_the_last_of_a_writer_that_ends() {
    let patience = std::time::Duration::from_secs(20);
    let feed = Feed::new("audio.aac", Kind::Audio);
    let writer = feed.sole_writer();
    feed.ended(patience).await;
    feed.end();
    let waiting = tokio::spawn({
        let feed = feed.clone();
        async move { feed.ended(patience).await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(writer);
    waiting.await.expect("no panic");
    let _next = feed.sole_writer();
    assert!(!feed.is_ending(), "another one is on air");
}

#[test]
fn a_consumer_that_waits_in_vain_goes_on_without_a_key_frame() {
    let caps = caps();
    let appsrc = gst_app::AppSrc::builder().build();
    consumer::configure(&appsrc);
    let _source = Started(appsrc.clone());
    let mut consumer = Consumer::new(1, "slow".to_owned(), appsrc.clone(), Join::Live, Kind::Video);
    appsrc.set_state(gst::State::Paused).expect("starts");
    let taken = |consumer: &Consumer| consumer.stats.buffers.load(Ordering::Relaxed);
    let start = clock::now();
    // An endless GOP at 30 fps.
    let send = |consumer: &mut Consumer, n: u64| {
        let buffer = frame(1000 + n * 33, n == 0);
        let arrived = start + gst::ClockTime::from_mseconds(n * 33);
        let caps = caps.clone();
        let _starved = consumer.push(&Frame {
            buffer,
            caps,
            is_key: n == 0,
            recovers: false,
            arrived,
            is_past: false,
            sent: false,
        });
    };
    (0..600).for_each(|n| send(&mut consumer, n));
    let before = taken(&consumer);
    assert!(before < 300, "6 s of 20 s, or a little more: {before}");
    appsrc.set_state(gst::State::Ready).expect("it empties its queue");
    appsrc.set_state(gst::State::Paused).expect("starts again");
    (600..850).for_each(|n| send(&mut consumer, n));
    assert_eq!(taken(&consumer), before, "it waits for a key frame");
    (850..950).for_each(|n| send(&mut consumer, n));
    assert!(taken(&consumer) > before, "it has waited for 10 s");
}
