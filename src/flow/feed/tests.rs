//! Feeds with consumers that are not played, so that what waits in them can be counted.

use super::*;

pub(super) fn caps() -> gst::Caps {
    gst::init().expect("GStreamer starts");
    "video/x-vp8,width=64,height=64,framerate=30/1".parse().expect("valid caps")
}

pub(super) fn frame(ms: u64, is_key: bool) -> gst::Buffer {
    let mut buffer = gst::Buffer::with_size(10).expect("allocates");
    let writable = buffer.get_mut().expect("sole owner");
    writable.set_pts(gst::ClockTime::from_mseconds(ms));
    writable.set_duration(gst::ClockTime::from_mseconds(33));
    if !is_key {
        writable.set_flags(gst::BufferFlags::DELTA_UNIT);
    }
    buffer
}

/// A source that is stopped at the end of the test.
pub(super) struct Started(pub(super) gst_app::AppSrc);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}

/// A consumer that takes nothing out of its queue.
pub(super) fn stuck(feed: &Feed, join: Join) -> (Started, Link) {
    let appsrc = gst_app::AppSrc::builder().build();
    let link = feed.join("stuck", &appsrc, join);
    // A source that was never started takes nothing in.
    appsrc.set_state(gst::State::Paused).expect("starts");
    (Started(appsrc), link)
}

pub(super) fn taken(link: &Link) -> u64 {
    link.stats().buffers.load(Ordering::Relaxed)
}

#[test]
fn a_viewer_gets_the_group_of_pictures_and_a_recorder_waits_for_a_key_frame() {
    let caps = caps();
    let feed = Feed::new("video", Kind::Video);
    let writer = feed.sole_writer();
    for n in 0..10 {
        writer.push(frame(1000 + n * 33, n == 0), &caps);
    }
    let (_viewer_source, viewer) = stuck(&feed, Join::FastForward);
    let (_live_source, live) = stuck(&feed, Join::Live);
    writer.push(frame(1330, false), &caps);
    assert_eq!(taken(&live), 0);
    assert_eq!(live.stats().dropped_waiting.load(Ordering::Relaxed), 1);
    writer.push(frame(1363, true), &caps);
    assert_eq!(taken(&live), 1);
    assert!(taken(&viewer) >= 2, "the live frames at least: {}", taken(&viewer));
    drop(viewer);
    assert_eq!(feed.links().len(), 1, "a dropped link has left");
}

#[test]
fn a_slow_consumer_loses_its_own_data_and_nobody_elses() {
    let caps = caps();
    let feed = Feed::new("video", Kind::Video);
    let writer = feed.sole_writer();
    let (_source, link) = stuck(&feed, Join::Live);
    for n in 0..1200 {
        writer.push(frame(1000 + n * 33, n % 30 == 0), &caps);
    }
    let dropped = link.stats().dropped_slow.load(Ordering::Relaxed);
    assert!(dropped > 100, "40 s went into a queue of 25 s: {dropped} dropped");
    assert_eq!(feed.stats().buffers.load(Ordering::Relaxed), 1200);
}

#[test]
fn a_burst_after_a_stall_is_not_taken_for_slowness() {
    let caps = caps();
    let feed = Feed::new("video", Kind::Video);
    let writer = feed.sole_writer();
    let (_source, link) = stuck(&feed, Join::Live);
    for n in 0..300 {
        writer.push(frame(1000 + n * 33, n == 0), &caps);
    }
    assert_eq!(taken(&link), 300);
}

fn through(feed: &Feed) -> u64 {
    feed.stats().buffers.load(Ordering::Relaxed)
}

#[test]
fn what_a_writer_has_sent_before_it_is_activated_goes_out() {
    let caps = caps();
    let feed = Feed::new("video", Kind::Video);
    let writer = feed.writer(None);
    let (_source, link) = stuck(&feed, Join::Live);
    writer.push(frame(960, false), &caps);
    writer.push(frame(1000, true), &caps);
    writer.push(frame(1033, false), &caps);
    assert_eq!(through(&feed), 0, "a writer that stands by is not heard");
    writer.activate();
    assert_eq!((through(&feed), taken(&link)), (2, 2), "from its first key frame");
    writer.push(frame(1066, false), &caps);
    assert_eq!(taken(&link), 3);
    assert_eq!(feed.stats().dropped_standby.load(Ordering::Relaxed), 1, "it had no key frame");
}

#[test]
fn a_change_of_writer_starts_with_a_key_frame_and_never_steps_back() {
    let caps = caps();
    let feed = Feed::new("video", Kind::Video);
    let (first, second) = (feed.writer(None), feed.writer(None));
    first.activate();
    first.push(frame(1000, true), &caps);
    first.push(frame(1040, false), &caps);
    second.push(frame(960, true), &caps);
    second.push(frame(1000, false), &caps);
    second.activate();
    assert_eq!(through(&feed), 2, "all that it has lies behind");
    first.push(frame(1080, false), &caps);
    assert_eq!(through(&feed), 2, "it stands by now");
    second.push(frame(1060, false), &caps);
    assert_eq!(through(&feed), 5, "its group of pictures goes out as soon as time goes on");
    second.push(frame(100, false), &caps);
    second.push(frame(1099, false), &caps);
    assert_eq!(through(&feed), 5, "after a step back everybody waits for a key frame");
    second.push(frame(1132, true), &caps);
    assert_eq!(through(&feed), 6);
}

#[test]
fn after_another_writer_a_group_of_pictures_goes_on_with_what_it_needs() {
    let caps = caps();
    let feed = Feed::new("video", Kind::Video);
    let (source, slate) = (feed.writer(None), feed.writer(None));
    source.activate();
    source.push(frame(1000, true), &caps);
    source.push(frame(1040, false), &caps);
    slate.push(frame(2000, true), &caps);
    slate.activate();
    // Late, and placed behind the slate: the key frame that it refers to was sent before.
    for n in 0..10 {
        source.push(frame(2200 + n * 40, false), &caps);
    }
    assert_eq!(through(&feed), 3);
    source.activate();
    assert_eq!(through(&feed), 3 + 2 + 10);
}

#[test]
fn sound_of_just_now_goes_out_and_never_steps_back() {
    gst::init().expect("GStreamer starts");
    let caps = "audio/x-opus,rate=48000,channels=2".parse().expect("valid caps");
    let feed = Feed::new("audio", Kind::Audio);
    let (first, second) = (feed.writer(None), feed.writer(None));
    for n in 0..5 {
        second.push(frame(1000 + n * 20, true), &caps);
    }
    first.activate();
    first.push(frame(1050, true), &caps);
    second.activate();
    assert_eq!(through(&feed), 3, "1060 and 1080 lie behind what went out");
    let (_source, link) = stuck(&feed, Join::Since(gst::ClockTime::from_mseconds(1070)));
    assert_eq!(link.stats().buffers.load(Ordering::Relaxed), 1);
    let (_other_source, live) = stuck(&feed, Join::Backlog);
    assert_eq!(taken(&live), 0, "sound of the past comes only beside its pictures");
}

#[test]
fn a_stream_is_told_of_what_it_may_have_to_decide() {
    let caps = caps();
    let feed = Feed::new("video", Kind::Video);
    let writer = feed.writer(None);
    let told = Arc::new(AtomicU64::new(0));
    let count = told.clone();
    writer.on_change(move || {
        count.fetch_add(1, Ordering::Relaxed);
    });
    writer.push(frame(1000, false), &caps);
    let after_first = told.swap(0, Ordering::Relaxed);
    writer.push(frame(1033, true), &caps);
    writer.push(frame(1066, false), &caps);
    assert!(after_first <= 1);
    assert_eq!(told.load(Ordering::Relaxed), 1, "it is ready");
    writer.activate();
    writer.push(frame(1100, false), &"video/x-vp8,width=32,height=32".parse().expect("caps"));
    assert_eq!(told.load(Ordering::Relaxed), 2, "it sends something else");
}

#[test]
fn many_viewers_do_not_make_many_key_frame_requests() {
    let caps = caps();
    let feed = Feed::new("video", Kind::Video);
    let writer = feed.writer(None);
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    writer.on_keyframe_request(move || {
        count.fetch_add(1, Ordering::Relaxed);
    });
    writer.activate();
    let links: Vec<_> = (0..50).map(|_| stuck(&feed, Join::Live)).collect();
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    writer.push(frame(1000, true), &caps);
    assert!(feed.format().borrow().is_some());
    drop(links);
}

#[test]
fn a_feed_that_nobody_holds_is_gone_with_its_writer() {
    let caps = caps();
    let feed = Feed::new("video", Kind::Video);
    let writer = feed.sole_writer();
    writer.push(frame(1000, true), &caps);
    let inner = Arc::downgrade(&feed.0);
    drop((feed, writer));
    assert!(inner.upgrade().is_none());
}

/// A playing consumer that reports the addresses of each buffer and of its memory.
fn telling(feed: &Feed) -> (gst::Pipeline, Link, std::sync::mpsc::Receiver<(usize, usize)>) {
    let pipeline = gst::parse::launch("appsrc name=in ! fakesink name=out sync=false async=false")
        .expect("parses")
        .downcast::<gst::Pipeline>()
        .expect("a pipeline");
    let appsrc = pipeline.by_name("in").and_downcast::<gst_app::AppSrc>().expect("an appsrc");
    let link = feed.join("telling", &appsrc, Join::Live);
    let (tell, told) = std::sync::mpsc::channel();
    let sink = pipeline.by_name("out").and_then(|e| e.static_pad("sink")).expect("a sink pad");
    sink.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer() {
            let memory = buffer.peek_memory(0).as_ptr() as usize;
            let _ = tell.send((buffer.as_ptr() as usize, memory));
        }
        gst::PadProbeReturn::Ok
    });
    pipeline.set_state(gst::State::Playing).expect("plays");
    (pipeline, link, told)
}

#[test]
fn what_one_consumer_writes_into_its_buffers_is_not_seen_by_another() {
    let caps = caps();
    let feed = Feed::new("video", Kind::Video);
    let writer = feed.sole_writer();
    let (first, _link, at_first) = telling(&feed);
    let (second, _other_link, at_second) = telling(&feed);
    writer.push(frame(1000, true), &caps);
    let max = std::time::Duration::from_secs(10);
    let (one, memory) = at_first.recv_timeout(max).expect("it arrives");
    let (other, same_memory) = at_second.recv_timeout(max).expect("it arrives");
    assert_ne!(one, other, "a buffer each");
    assert_eq!(memory, same_memory, "and the data only once");
    for pipeline in [first, second] {
        pipeline.set_state(gst::State::Null).expect("stops");
    }
}

#[test]
fn sound_has_one_time_and_it_is_the_presentation_time() {
    gst::init().expect("GStreamer starts");
    let caps = "audio/x-opus,rate=48000,channels=2".parse().expect("valid caps");
    let feed = Feed::new("audio", Kind::Audio);
    let (pipeline, _link, _) = telling(&feed);
    let sink = pipeline.by_name("out").and_then(|e| e.static_pad("sink")).expect("a sink pad");
    let (tell, told) = std::sync::mpsc::channel();
    sink.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let times = info.buffer().map(|b| (b.pts(), b.dts()));
        let _ = tell.send(times.unwrap_or_default());
        gst::PadProbeReturn::Ok
    });
    let mut packet = frame(1000, true);
    packet.make_mut().set_dts(gst::ClockTime::from_mseconds(1120));
    feed.sole_writer().push(packet, &caps);
    let times = told.recv_timeout(std::time::Duration::from_secs(10)).expect("it arrives");
    assert_eq!(times, (Some(gst::ClockTime::from_mseconds(1000)), None));
    pipeline.set_state(gst::State::Null).expect("stops");
}

/// An H.264 access unit at this time with NAL units of these types.
fn access_unit(ms: u64, types: &[u8]) -> gst::Buffer {
    let bytes: Vec<u8> = types.iter().flat_map(|kind| [0, 0, 1, *kind, 0x80]).collect();
    let mut buffer = gst::Buffer::from_slice(bytes);
    let writable = buffer.get_mut().expect("sole owner");
    writable.set_pts(gst::ClockTime::from_mseconds(ms));
    buffer
}

#[test]
fn recovery_points_in_the_place_of_idr_pictures_are_found_out() {
    gst::init().expect("GStreamer starts");
    let caps: gst::Caps =
        "video/x-h264,profile=constrained-baseline,width=64,height=64".parse().expect("valid caps");
    let feed = Feed::new("video", Kind::Video);
    let recovers = || feed.format().borrow().as_ref().is_some_and(|f| f.video.recovery_points);
    let (idr, recovery_point) = ([0x67, 0x68, 0x65], [0x67, 0x68, 6, 0x41]);
    let writer = feed.sole_writer();
    writer.push(access_unit(0, &idr), &caps);
    assert!(!recovers(), "it begins with an IDR picture");
    writer.push(access_unit(2000, &recovery_point), &caps);
    assert!(recovers());
    writer.push(access_unit(4000, &idr), &caps);
    assert!(recovers(), "an IDR picture now and then makes it no better");
    let other = feed.sole_writer();
    other.push(access_unit(6000, &idr), &caps);
    assert!(!recovers(), "another source is looked at anew");
}
