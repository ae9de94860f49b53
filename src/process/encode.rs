//! Encodes raw media.

use std::sync::atomic::{AtomicU64, Ordering};

use gst::prelude::*;
use tokio::sync::watch;

use super::SOURCE;
use super::encoder_settings::{self, Wanted};
use super::encoders::Encoder;
use super::key_frames;
use super::node::{MediaContext, MediaNode};
pub use super::settings::EncodeSettings as Settings;
use crate::flow::{Blame, Error, Feed, Node, Task, Writer};
use crate::media::{Codec, Format, Kind, Rung, VideoDetail};

/// Highest frame rate that is encoded; further frames are dropped.
const FPS_MAX: u32 = 60;

/// Most threads of one encoder, so that one stream cannot starve the others.
const THREADS_MAX: usize = 4;

/// Bits per pixel of H.264 or VP8 at 30 fps: 2.5 Mbit/s for 720p, 5.6 for 1080p.
const BITS_PER_PIXEL: f64 = 0.09;

/// Default video bitrate in kbit/s for a picture size: 0.09 bits per pixel at 30 fps, frames above
/// 30 fps at half that rate, 35% less for VP9, H.265 and AV1; between 150 and 12,000.
pub fn default_video_kbps(codec: Codec, video: &VideoDetail) -> u32 {
    let fps = if video.fps > 0.0 { f64::from(video.fps).min(f64::from(FPS_MAX)) } else { 30.0 };
    let weighted_fps = if fps > 30.0 { 30.0 + (fps - 30.0) / 2.0 } else { fps };
    let pixels = f64::from(video.width) * f64::from(video.height);
    let saving = match codec {
        Codec::Vp9 | Codec::H265 | Codec::Av1 => 0.65,
        _ => 1.0,
    };
    let kbps = pixels * weighted_fps * BITS_PER_PIXEL * saving / 1000.0;
    kbps.clamp(150.0, 12_000.0).round() as u32
}

/// Default audio bitrate in kbit/s: Opus 128 for stereo and 72 for mono, AAC 160 and 96, MPEG
/// layers 192.
pub fn default_audio_kbps(codec: Codec, channels: u32) -> u32 {
    match (codec, channels) {
        (Codec::Opus, 1) => 72,
        (Codec::Opus, _) => 128,
        (Codec::Aac, 1) => 96,
        (Codec::Aac, _) => 160,
        _ => 192,
    }
}

/// Encodes the raw `input` into `output` until cancelled. A change of picture size, sample rate or
/// number of channels restarts the encoder, with a key frame. Reports `encoder`, `kbps` and, for
/// video, `size`.
///
/// # Errors
/// When the encoder cannot be built or fails.
pub async fn run(
    task: Task,
    input: Feed,
    output: Writer,
    encoder: Encoder,
    settings: Settings,
) -> Result<(), Error> {
    let mut formats = input.format();
    loop {
        let Some(format) = wait_for_raw(&task, &mut formats).await else { return Ok(()) };
        let node = build(&task, &format, &encoder, &settings)?;
        node.output("out", &output)?;
        super::report_first_buffer(&node, "out", &task.status)?;
        // Started first: an appsrc loses data during its change to PLAYING.
        node.start().await?;
        super::input_with_past(&node, &input, &output)?;
        let outcome = tokio::select! {
            () = wait_for_another(&mut formats, &format) => None,
            ended = node.run(&task.cancel) => Some(ended),
        };
        if let Some(Ok(())) = outcome {
            super::finish(&node, &input).await;
        }
        node.stop().await?;
        match outcome {
            None => tracing::info!(node = %task.name, was = %format, "encoding another format"),
            Some(ended) => return ended,
        }
    }
}

/// The format of the feed once raw media flows; `None` if the task is cancelled before.
async fn wait_for_raw(
    task: &Task,
    formats: &mut watch::Receiver<Option<Format>>,
) -> Option<Format> {
    tokio::select! {
        () = task.cancel.cancelled() => None,
        found = formats.wait_for(|f| f.as_ref().is_some_and(|f| f.codec.is_raw())) => {
            found.ok().and_then(|format| format.clone())
        }
    }
}

/// Returns when size, sample rate, channels or codec change; never during a mere pause.
async fn wait_for_another(formats: &mut watch::Receiver<Option<Format>>, now: &Format) {
    let other = |f: &Option<Format>| f.as_ref().is_some_and(|f| !same_shape(f, now));
    if formats.wait_for(other).await.is_err() {
        // The feed is gone and this node has no purpose: its supervisor cancels it.
        std::future::pending::<()>().await;
    }
}

fn same_shape(a: &Format, b: &Format) -> bool {
    (a.codec, a.video.width, a.video.height, &a.audio)
        == (b.codec, b.video.width, b.video.height, &b.audio)
}

fn build(
    task: &Task,
    format: &Format,
    encoder: &Encoder,
    settings: &Settings,
) -> Result<Node, Error> {
    if format.kind() != encoder.codec.kind() {
        return Err(Error::build(&task.name, format!("{} cannot take {format}", encoder.factory)));
    }
    let entry = match format.kind() {
        Kind::Video => video_entry(&format.video, settings.rung)?,
        Kind::Audio => "audioconvert ! audioresample".to_owned(),
    };
    let format = &match settings.rung {
        Some(rung) => Format { video: rung.scaled(&format.video), ..format.clone() },
        None => format.clone(),
    };
    let description = describe(encoder, format, settings)?;
    let node = Node::parse(
        &task.name,
        &format!(
            "{SOURCE} ! {entry} ! identity name=raw silent=true ! {description} ! appsink name=out"
        ),
    )?;
    if format.kind() == Kind::Video {
        thin_out(&node)?;
        key_frames::request(&node, settings.keyframe_interval)?;
        task.status.set("size", format!("{}x{}", format.video.width, format.video.height));
    }
    task.status.set("encoder", encoder.factory.clone());
    task.status.set("kbps", kbps(encoder.codec, format, settings));
    Ok(node)
}

/// The elements from raw media to the canonical form of the codec, in `gst-launch-1.0` syntax.
pub(super) fn describe(
    encoder: &Encoder,
    format: &Format,
    settings: &Settings,
) -> Result<String, Error> {
    let recipe = encoder_settings::recipe(&encoder.factory)
        .ok_or_else(|| Error::MissingElement { factory: encoder.factory.clone() })?;
    let fps = if format.video.fps > 0.0 { format.video.fps } else { 30.0 };
    let key_frames = fps * settings.keyframe_interval.as_secs_f32();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    Ok(recipe.describe(Wanted {
        kbps: kbps(encoder.codec, format, settings),
        key_frames: key_frames.clamp(2.0, 600.0) as u32,
        threads,
    }))
}

/// The elements from raw video to the encoder's codec, for a pipeline built elsewhere: in
/// `gst-launch-1.0` syntax, with the encoder named `encoder`.
///
/// # Errors
/// When the encoder is unknown.
pub fn branch(encoder: &Encoder, format: &Format, kbps: u32) -> Result<String, Error> {
    let settings = Settings { video_kbps: Some(kbps), ..Settings::default() };
    describe(encoder, format, &settings)
}

/// Changes the bitrate of a running video encoder.
pub fn retune(encoder: &gst::Element, kbps: u32) {
    encoder_settings::retune(encoder, kbps);
}

fn kbps(codec: Codec, format: &Format, settings: &Settings) -> u32 {
    match codec.kind() {
        Kind::Video => {
            settings.video_kbps.unwrap_or_else(|| default_video_kbps(codec, &format.video))
        }
        Kind::Audio => {
            let default = || default_audio_kbps(codec, format.audio.channels);
            settings.audio_kbps.unwrap_or_else(default)
        }
    }
}

/// The elements before a video encoder: a nominal frame rate for rate control if the source has
/// none or too high a one, the size of the rung, and even sizes, because 4:2:0 encoders refuse odd
/// ones.
fn video_entry(video: &VideoDetail, rung: Option<Rung>) -> Result<String, Error> {
    if video.width < 2 || video.height < 2 {
        return Err(Error::refused(
            Blame::Input,
            format!("a picture of {}x{} cannot be encoded", video.width, video.height),
            "publish at least 2x2 pixels",
        ));
    }
    let (right, bottom) = (video.width % 2, video.height % 2);
    let size = match rung.filter(|rung| rung.is_below(video)).map(|rung| rung.scaled(video)) {
        Some(VideoDetail { width, height, .. }) => {
            // The shape of the pixels stays: without it players would stretch the picture.
            format!("videoscale add-borders=false ! video/x-raw,width={width},height={height} ! ")
        }
        None if right + bottom == 0 => String::new(),
        None => format!("videocrop right={right} bottom={bottom} ! "),
    };
    let nominal = match video.fps {
        fps if fps > FPS_MAX as f32 => {
            format!("capssetter caps=video/x-raw,framerate={FPS_MAX}/1 ! ")
        }
        fps if fps > 0.0 => String::new(),
        _ => "capssetter caps=video/x-raw,framerate=30/1 ! ".to_owned(),
    };
    Ok(format!("{nominal}{size}videoconvert"))
}

/// Drops frames that follow another too closely, such as those of a 120 Hz source. (`videorate`
/// would count from the start of the clock, and again after each pause.)
fn thin_out(node: &Node) -> Result<(), Error> {
    let source = node.element("in")?;
    let pad = source.static_pad("src").ok_or_else(|| Error::build("in", "it has no pad"))?;
    // 25% less than the distance at 60 Hz, so that jitter does not drop regular frames.
    let closest = 1_000_000_000 / u64::from(FPS_MAX) * 3 / 4;
    let last = AtomicU64::new(0);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(pts) = info.buffer().and_then(|b| b.pts()) else { return gst::PadProbeReturn::Ok };
        let (pts, before) = (pts.nseconds(), last.load(Ordering::Relaxed));
        if pts > before && pts - before < closest {
            return gst::PadProbeReturn::Drop;
        }
        last.store(pts, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

/// Encoding.
#[derive(Clone, Debug, PartialEq)]
pub struct Encode {
    /// The encoder.
    pub encoder: Encoder,
    /// The rung of the ladder that is made; `None` keeps the size of the picture.
    pub rung: Option<Rung>,
}

impl MediaNode for Encode {
    fn describe(&self) -> String {
        let size = self.rung.map(|rung| format!(" {rung}")).unwrap_or_default();
        format!("encode {}{size} by {}", self.encoder.codec, self.encoder.factory)
    }

    async fn run(self, context: MediaContext) -> Result<(), Error> {
        let MediaContext { task, input, output, services, .. } = context;
        let mut settings = services.encode;
        if let Some(rung) = self.rung {
            settings.video_kbps = rung.kbps;
            settings.rung = Some(rung);
        }
        run(task, input, output, self.encoder, settings).await
    }
}

#[cfg(test)]
mod tests;
