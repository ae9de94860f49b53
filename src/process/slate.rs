//! The slate that viewers see while the source is gone.

use std::time::Duration;

use gst::prelude::*;

use super::encode::{self, Settings};
use super::encoders::Encoders;
use crate::flow::{Error, Node, Task, Writer};
use crate::media::{Format, Kind};

/// Frame rate of the still picture: a joining viewer soon gets a key frame and players keep going,
/// at hardly any cost.
const FPS_MAX: f32 = 10.0;

/// Picture size if that of the stream is unknown.
const DEFAULT_SIZE_PX: (u32, u32) = (1280, 720);

/// Plays a slate until cancelled: a dark picture with the stream's name and a text that it will be
/// back, and silence. Codecs, picture size and sample rate are those of the stream, so that viewers
/// stay connected. It begins with a key frame.
///
/// A track whose codec no encoder produces is left out and named in the fact `left_out`.
///
/// # Errors
/// If there is nothing to play, or the pipeline cannot be built or fails.
pub async fn run(
    task: Task,
    video: Option<(Writer, Format)>,
    audio: Option<(Writer, Format)>,
    name: &str,
    encoders: &Encoders,
) -> Result<(), Error> {
    let mut descriptions = Vec::new();
    let mut outputs = Vec::new();
    for (writer, format) in [video, audio].into_iter().flatten() {
        let Some(coder) = coder(&format, encoders)? else {
            task.status.set("left_out", format!("{format}: no encoder makes it"));
            continue;
        };
        let source = match format.kind() {
            Kind::Video => picture(&format),
            Kind::Audio => silence(&format),
        };
        let sink = format.kind().as_str();
        descriptions.push(format!("{source} ! {coder} ! appsink name={sink}"));
        outputs.push((sink, writer));
    }
    if descriptions.is_empty() {
        return Err(Error::build(&task.name, "no encoder makes what the stream carried"));
    }
    // Two elements of one pipeline cannot both be named `encoder`.
    let description = descriptions.join("  ").replace("name=encoder ", "");
    let node = Node::parse(&task.name, &description)?;
    if let Some(title) = node.pipeline().by_name("title") {
        title.set_property("text", gst::glib::markup_escape_text(name).as_str());
    }
    for (sink, writer) in &outputs {
        node.output(sink, writer)?;
        super::report_first_buffer(&node, sink, &task.status)?;
    }
    node.start().await?;
    let outcome = node.run(&task.cancel).await;
    node.stop().await?;
    outcome
}

/// The encoder branch for a track like the stream's own; `None` if no encoder produces its codec.
fn coder(format: &Format, encoders: &Encoders) -> Result<Option<String>, Error> {
    if format.codec.is_raw() {
        return Ok(Some("identity silent=true".to_owned()));
    }
    let Some(encoder) = encoders.best(format.codec) else { return Ok(None) };
    let mut still = format.clone();
    still.video.fps = fps(format);
    // No key frames are requested from this encoder by time, so it inserts one after four
    // intervals: every two seconds.
    let keyframe_interval = Duration::from_millis(500);
    let settings = Settings { video_kbps: Some(500), keyframe_interval, ..Settings::default() };
    encode::describe(&encoder, &still, &settings).map(Some)
}

fn fps(format: &Format) -> f32 {
    let fps = format.video.fps;
    if fps > 0.0 { fps.clamp(1.0, FPS_MAX) } else { FPS_MAX }
}

/// A still picture, drawn once and repeated.
fn picture(format: &Format) -> String {
    let known = format.video.width >= 16 && format.video.height >= 16;
    let size = (format.video.width & !1, format.video.height & !1);
    let (width, height) = if known { size } else { DEFAULT_SIZE_PX };
    let rate = fps(format).round() as u32;
    let font = "shaded-background=false draw-shadow=false draw-outline=false";
    format!(
        "videotestsrc num-buffers=1 pattern=solid-color foreground-color=0xff141a22 \
         ! video/x-raw,format=I420,width={width},height={height},framerate={rate}/1 \
         ! textoverlay name=title font-desc=\"DejaVu Sans, 28\" {font} valignment=center \
           halignment=center line-alignment=center color=0xffe8ecf1 \
         ! textoverlay text=\"the stream will be back\" font-desc=\"DejaVu Sans, 14\" {font} \
           valignment=center halignment=center deltay=50 color=0xff8b98a8 \
         ! imagefreeze is-live=true ! video/x-raw,framerate={rate}/1"
    )
}

fn silence(format: &Format) -> String {
    let rate = if format.audio.rate > 0 { format.audio.rate } else { 48_000 };
    let channels = format.audio.channels.clamp(1, 2);
    format!(
        "audiotestsrc is-live=true wave=silence samplesperbuffer={} \
         ! audio/x-raw,format=F32LE,rate={rate},channels={channels},layout=interleaved \
         ! audioconvert",
        rate / 50
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Feed;
    use crate::media::Codec;
    use crate::process::testing::{Catch, encoders, eventually, is_key};

    fn video(codec: Codec, width: u32, height: u32) -> Format {
        let mut format = Format::new(codec);
        (format.video.width, format.video.height, format.video.fps) = (width, height, 30.0);
        format
    }

    fn audio(codec: Codec, rate: u32, channels: u32) -> Format {
        let mut format = Format::new(codec);
        (format.audio.rate, format.audio.channels) = (rate, channels);
        format
    }

    /// Plays a slate for these formats and checks that both feeds carry matching formats.
    async fn check(video: Format, audio: Format) {
        let (pictures, sound) = (Feed::new("video", Kind::Video), Feed::new("audio", Kind::Audio));
        let (seen, heard) = (Catch::new(&pictures).await, Catch::new(&sound).await);
        let task = Task::new("slate");
        let outputs = (
            Some((pictures.sole_writer(), video.clone())),
            Some((sound.sole_writer(), audio.clone())),
        );
        let slate = run(task.clone(), outputs.0, outputs.1, "studio-1 <b>&", encoders());
        let begun = crate::flow::now();
        let watch = async {
            eventually("pictures and sound", || seen.count() >= 6 && heard.count() >= 20).await;
            task.cancel.cancel();
        };
        let (outcome, ()) = tokio::join!(slate, watch);
        outcome.expect("ends in peace");
        let (frames, packets) = (seen.buffers(), heard.buffers());
        assert!(is_key(&frames[0]), "{video}: begins with a key frame");
        for first in [&frames[0], &packets[0]] {
            let pts = first.pts().expect("dated");
            let late = Duration::from(pts.max(begun) - pts.min(begun));
            assert!(late < Duration::from_secs(3), "{video} {audio}: begins now, not {late:?} off");
        }
        let format = |feed: &Feed| feed.format().borrow().clone().expect("known");
        let (shown, played) = (format(&pictures), format(&sound));
        assert_eq!(shown.codec, video.codec);
        let size = (shown.video.width, shown.video.height);
        assert_eq!(size, (video.video.width, video.video.height));
        assert_eq!((played.codec, played.audio.channels), (audio.codec, audio.audio.channels));
        if audio.codec != Codec::Opus {
            assert_eq!(played.audio.rate, audio.audio.rate);
        }
        assert!(task.status.is_running());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_slate_is_like_the_stream() {
        check(video(Codec::H264, 1280, 720), audio(Codec::Aac, 44_100, 2)).await;
        check(video(Codec::Vp8, 640, 360), audio(Codec::Opus, 48_000, 2)).await;
        check(video(Codec::H265, 640, 360), audio(Codec::Aac, 48_000, 1)).await;
        check(video(Codec::RawVideo, 320, 180), audio(Codec::RawAudio, 48_000, 2)).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_track_that_cannot_be_made_is_left_out() {
        let (pictures, sound) = (Feed::new("video", Kind::Video), Feed::new("audio", Kind::Audio));
        let heard = Catch::new(&sound).await;
        let none = Encoders::none_for(Codec::H264, encoders());
        let task = Task::new("slate");
        let slate = run(
            task.clone(),
            Some((pictures.sole_writer(), video(Codec::H264, 640, 360))),
            Some((sound.sole_writer(), audio(Codec::Opus, 48_000, 2))),
            "studio-1",
            &none,
        );
        let watch = async {
            eventually("sound", || heard.count() >= 5).await;
            task.cancel.cancel();
        };
        let (outcome, ()) = tokio::join!(slate, watch);
        outcome.expect("ends in peace");
        assert!(task.status.facts().contains_key("left_out"));
    }

    /// The slate is a dark picture with bright letters.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_picture_has_words() {
        let pictures = Feed::new("video", Kind::Video);
        let seen = Catch::new(&pictures).await;
        let task = Task::new("slate");
        let raw = video(Codec::RawVideo, 640, 360);
        let slate =
            run(task.clone(), Some((pictures.sole_writer(), raw)), None, "studio-1", encoders());
        let watch = async {
            eventually("a picture", || seen.count() >= 1).await;
            task.cancel.cancel();
        };
        let (outcome, ()) = tokio::join!(slate, watch);
        outcome.expect("ends in peace");
        let frame = seen.buffers()[0].clone();
        let luma = frame.map_readable().expect("readable")[..640 * 360].to_vec();
        let bright = luma.iter().filter(|y| **y > 150).count();
        assert!((300..20_000).contains(&bright), "{bright} bright pixels");
        assert!(luma[0] < 40, "the ground is dark: {}", luma[0]);
    }
}
