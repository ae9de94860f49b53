//! JPEG thumbnails of a stream.
//!
//! A new pipeline decodes one key frame for each thumbnail and ends: at the end of stream the
//! decoder outputs its frame at once, and nothing runs between thumbnails.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use gst::prelude::*;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::flow::{Blame, Error, Feed, Join, Node, NodeEvent, Task};
use crate::media::IgnorePoison;

/// Minimum interval between two thumbnails.
const THUMBNAIL_INTERVAL: Duration = Duration::from_secs(2);

/// Time limit for decoding one frame.
const DECODE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a paused feed is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// Number of consecutive key frames without a thumbnail after which the node fails.
const FAILURES_MAX: u32 = 5;

/// Converts any coded or raw frame to a JPEG of 320 pixels width, for [`catch`].
pub(super) const TO_JPEG: &str = "decodebin name=decode ! videoconvert ! videoscale \
     ! video/x-raw,format=I420,width=320,pixel-aspect-ratio=1/1 ! jpegenc quality=80 \
     ! appsink name=picture sync=false async=false enable-last-sample=false";

/// Updates `latest` with the newest key frame, at most every two seconds, until cancelled.
///
/// # Errors
/// If several consecutive key frames cannot be decoded.
pub async fn run(
    task: Task,
    video: Feed,
    latest: watch::Sender<Option<Bytes>>,
) -> Result<(), Error> {
    let work = async {
        let (mut pictures, mut failures, mut seen) = (0_u64, 0, None);
        loop {
            let begun = Instant::now();
            let keyframes = video.stats().keyframes.load(std::sync::atomic::Ordering::Relaxed);
            if video.format().borrow().is_none() || seen == Some(keyframes) {
                sleep(CHECK_INTERVAL).await;
                continue;
            }
            seen = Some(keyframes);
            match picture_of(&task, &video).await {
                Ok(picture) => {
                    (pictures, failures) = (pictures + 1, 0);
                    latest.send_replace(Some(picture));
                    task.status.set_running();
                    task.status.set("pictures", pictures);
                    let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                    task.status.set("made_in_ms", ms);
                }
                Err(error) if failures == FAILURES_MAX => return error,
                Err(error) => {
                    tracing::debug!(node = %task.name, %error, "no thumbnail this time");
                    failures += 1;
                }
            }
            tokio::time::sleep_until(begun + THUMBNAIL_INTERVAL).await;
        }
    };
    tokio::select! {
        () = task.cancel.cancelled() => Ok(()),
        error = work => Err(error),
    }
}

async fn picture_of(task: &Task, video: &Feed) -> Result<Bytes, Error> {
    let node = Node::parse(&task.name, &format!("appsrc name=in ! {TO_JPEG}"))?;
    let picture = catch(&node)?;
    node.input("in", video, Join::KeyFrames)?;
    node.start().await?;
    // The last key frame is available at once, unless its GOP exceeded the limits of the feed.
    let joined = Instant::now();
    while node.input_totals().0 == 0 && joined.elapsed() < DECODE_TIMEOUT {
        sleep(CHECK_INTERVAL / 10).await;
    }
    node.finish(DECODE_TIMEOUT).await;
    node.stop().await?;
    let found = picture.lock().ignore_poison().take();
    found.ok_or_else(|| {
        let hint = "watch the stream: other viewers will see the same";
        Error::refused(Blame::Input, "the key frame could not be decoded", hint)
    })
}

/// Captures the first frame from a [`TO_JPEG`].
pub(super) fn catch(node: &Node) -> Result<Arc<Mutex<Option<Bytes>>>, Error> {
    // One frame needs no threads: starting them would cost more than decoding.
    node.pipeline().connect_deep_element_added(|_, _, element| {
        if element.find_property("max-threads").is_some() {
            element.set_property_from_str("max-threads", "1");
        }
    });
    let sink = node
        .element("picture")?
        .downcast::<gst_app::AppSink>()
        .map_err(|_| Error::build(node.name(), "`picture` is not an appsink"))?;
    let slot = Arc::new(Mutex::new(None));
    let fill = slot.clone();
    let on_sample = move |sink: &gst_app::AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let bytes = sample.buffer().and_then(|b| b.map_readable().ok().map(|map| map.to_vec()));
        let mut slot = fill.lock().ignore_poison();
        if slot.is_none() {
            *slot = bytes.map(Bytes::from);
        }
        // Further frames are not needed.
        Err(gst::FlowError::Eos)
    };
    sink.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(on_sample).build());
    Ok(slot)
}

/// Waits until a node that plays a file has output its first frame or has ended.
///
/// # Errors
/// The error of the node before its first frame; [`Error::Stalled`] after `max`.
pub(super) async fn first_of(
    node: &Node,
    slot: &Mutex<Option<Bytes>>,
    max: Duration,
) -> Result<Bytes, Error> {
    let ended = async {
        loop {
            match node.next_event().await {
                Ok(NodeEvent::Element(_)) => {}
                Ok(NodeEvent::Eos) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    };
    let event = timeout(max, ended).await;
    let found = slot.lock().ignore_poison().take();
    match (found, event) {
        (Some(picture), _) => Ok(picture),
        (None, Err(_)) => Err(Error::Stalled(max)),
        (None, Ok(Err(error))) => Err(error),
        (None, Ok(Ok(()))) => Err(Error::Ended),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow;
    use crate::media::Kind;

    /// Every codec that a feed may carry, with a single key frame far from the next.
    #[tokio::test(flavor = "multi_thread")]
    async fn every_codec_gives_a_picture_within_a_second_of_joining() {
        crate::init().expect("GStreamer starts");
        let h264 = "x264enc key-int-max=600 bframes=2 ! h264parse config-interval=-1 \
             ! video/x-h264,stream-format=byte-stream,alignment=au";
        let h265 = "x265enc key-int-max=600 speed-preset=ultrafast ! h265parse config-interval=-1 \
             ! video/x-h265,stream-format=byte-stream,alignment=au";
        let vp8 = "vp8enc deadline=1 keyframe-max-dist=600";
        let vp9 = "vp9enc deadline=1 cpu-used=8 keyframe-max-dist=600 ! vp9parse";
        let raw = "identity";
        for coder in [h264, h265, vp8, vp9, raw] {
            let pattern = Node::parse(
                "pattern",
                &format!(
                    "videotestsrc is-live=true ! video/x-raw,format=I420,width=640,height=360,\
                     framerate=15/1 ! {coder} ! appsink name=video"
                ),
            );
            let pattern = pattern.expect("elements are installed");
            let feed = Feed::new("video", Kind::Video);
            pattern.output("video", &feed.sole_writer()).expect("an appsink");
            pattern.start().await.expect("starts");
            let mut format = feed.format();
            let flows = format.wait_for(Option::is_some);
            timeout(Duration::from_secs(10), flows).await.expect("in time").expect("flows");
            let task = Task::new("thumbnail");
            let (latest, mut seen) = watch::channel(None);
            let running = tokio::spawn(run(task.clone(), feed, latest));
            let first = timeout(Duration::from_secs(5), seen.wait_for(Option::is_some)).await;
            let picture = first.expect("in time").expect("running").clone().expect("a picture");
            let size = jpeg_size(&picture);
            eprintln!("{coder:.8}: {} bytes, {:?}", picture.len(), task.status.facts());
            assert_eq!(size, (320, 180), "{coder}");
            task.cancel.cancel();
            running.await.expect("no panic").expect("ends well");
        }
    }

    /// Width and height in the frame header of a baseline JPEG (ITU-T T.81, B.2.2).
    fn jpeg_size(jpeg: &[u8]) -> (u16, u16) {
        let at = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).expect("a frame header");
        let number = |at: usize| u16::from_be_bytes([jpeg[at], jpeg[at + 1]]);
        (number(at + 7), number(at + 5))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn garbage_is_an_error_and_not_a_picture() {
        crate::init().expect("GStreamer starts");
        let feed = Feed::new("video", Kind::Video);
        let writer = feed.sole_writer();
        let caps: gst::Caps = "video/x-vp8,width=320,height=180".parse().expect("valid caps");
        let task = Task::new("thumbnail");
        let (latest, seen) = watch::channel(None);
        let running = tokio::spawn(run(task.clone(), feed, latest));
        let publish = async {
            loop {
                let mut buffer = gst::Buffer::from_slice([0xa5_u8; 64]);
                buffer.make_mut().set_pts(flow::now());
                writer.push(buffer, &caps);
                sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            () = publish => unreachable!("it never ends"),
            ended = timeout(Duration::from_secs(60), running) => {
                assert!(ended.expect("in time").expect("no panic").is_err());
            }
        }
        assert!(seen.borrow().is_none());
    }
}
