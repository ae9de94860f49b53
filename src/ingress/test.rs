//! Test pattern: moving video with a timecode. At each second of running time there is a white
//! flash and a beep, both 100 ms long and in sync, for measuring offset, cadence and gaps.

use std::sync::atomic::{AtomicBool, Ordering};

use gst::prelude::*;
use serde::{Deserialize, Serialize};

use super::source::{PulledSource, SourceContext};
use crate::flow::{Error, Intake, Node};
use crate::media::Protocol;

/// 640x360 at 30 fps as H.264 constrained baseline, stereo 48 kHz as Opus: every viewer accepts
/// these without transcoding.
const PATTERN: &str = "
    videotestsrc is-live=true pattern=smpte horizontal-speed=2
      ! video/x-raw,format=I420,width=640,height=360,framerate=30/1
      ! timeoverlay valignment=bottom halignment=center font-desc=\"Sans 20\"
      ! videobalance name=flash
      ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=1200 key-int-max=60 bframes=0
      ! video/x-h264,profile=constrained-baseline
      ! h264parse config-interval=-1
      ! video/x-h264,stream-format=byte-stream,alignment=au
      ! appsink name=video
    audiotestsrc is-live=true wave=silence samplesperbuffer=480 name=sound
      ! audio/x-raw,format=S16LE,rate=48000,channels=2,layout=interleaved
      ! opusenc bitrate=96000 frame-size=20
      ! opusparse
      ! appsink name=audio";

/// Duration of flash and beep.
const MARK_LENGTH: gst::ClockTime = gst::ClockTime::from_mseconds(100);

/// Fills S16LE stereo samples at 48 kHz; the first one plays at the given running time.
pub(super) type AudioSource = Box<dyn Fn(&mut [u8], gst::ClockTime) + Send + Sync>;

/// A test pattern with beeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestSource {}

impl PulledSource for TestSource {
    const PROTOCOL: Protocol = Protocol::Test;

    fn shown(&self) -> String {
        "test pattern".into()
    }

    async fn run(self, context: SourceContext) -> Result<(), Error> {
        let intake = context.intake;
        run_with(intake, Box::new(beep)).await
    }
}

/// Runs the pattern with the given audio.
pub(super) async fn run_with(intake: Intake, audio: AudioSource) -> Result<(), Error> {
    let node = Node::parse("test pattern", PATTERN)?;
    flash_seconds(&node)?;
    audio_by_time(&node, audio)?;
    node.output("video", &intake.tracks.video)?;
    node.output("audio", &intake.tracks.audio)?;
    node.start().await?;
    let outcome = node.run(&intake.cancel).await;
    node.stop().await?;
    outcome
}

/// Whether a buffer at this running time is within the mark at the start of a second.
fn is_marked(at: gst::ClockTime) -> bool {
    at.nseconds() % gst::ClockTime::SECOND.nseconds() < MARK_LENGTH.nseconds()
}

/// Flashes according to buffer timestamps: the source runs on the shared clock, so a timestamp is
/// the running time.
fn flash_seconds(node: &Node) -> Result<(), Error> {
    let flash = node.element("flash")?;
    let pad = flash.static_pad("sink").ok_or_else(|| Error::build("the flash", "no pad"))?;
    let weak = flash.downgrade();
    let lit = AtomicBool::new(false);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let (Some(flash), Some(at)) = (weak.upgrade(), info.buffer().and_then(|b| b.pts())) else {
            return gst::PadProbeReturn::Ok;
        };
        let light = is_marked(at);
        if lit.swap(light, Ordering::Relaxed) != light {
            flash.set_property("brightness", if light { 1.0f64 } else { 0.0 });
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

/// Fills every buffer of the silent source with `audio`.
fn audio_by_time(node: &Node, audio: AudioSource) -> Result<(), Error> {
    let source = node.element("sound")?;
    let pad = source.static_pad("src").ok_or_else(|| Error::build("the sound", "no pad"))?;
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data
            && let Some(at) = buffer.pts()
            && let Ok(mut samples) = buffer.make_mut().map_writable()
        {
            audio(&mut samples, at);
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

/// A 1 kHz tone at -12 dBFS within the mark of each second.
pub(super) fn beep(samples: &mut [u8], at: gst::ClockTime) {
    const RATE_HZ: u64 = 48_000;
    for (index, frame) in samples.chunks_exact_mut(4).enumerate() {
        let ns = at.nseconds() + index as u64 * 1_000_000_000 / RATE_HZ;
        if is_marked(gst::ClockTime::from_nseconds(ns)) {
            let phase = (ns % gst::ClockTime::SECOND.nseconds()) as f64 / 1e9 * 1000.0;
            let value = (phase * std::f64::consts::TAU).sin() * 0.25 * f64::from(i16::MAX);
            write_frame(frame, value as i16);
        }
    }
}

/// The same sample on both channels.
pub(super) fn write_frame(frame: &mut [u8], value: i16) {
    let bytes = value.to_le_bytes();
    frame[..2].copy_from_slice(&bytes);
    frame[2..].copy_from_slice(&bytes);
}
