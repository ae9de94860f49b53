//! Test pattern: a moving picture with a timecode; each second of running time a white flash and a
//! beep, both 100 ms long and in sync, so that a test can measure offset, cadence and gaps.

use crate::flow::{Error, Intake, Node};

/// 640x360 at 30 frames a second as H.264 constrained baseline, stereo 48 kHz as Opus: what every
/// viewer takes untouched.
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
    audiotestsrc is-live=true wave=silence samplesperbuffer=480 name=beep
      ! audio/x-raw,format=S16LE,rate=48000,channels=2,layout=interleaved
      ! opusenc bitrate=96000 frame-size=20
      ! opusparse
      ! appsink name=audio";

/// Length of flash and beep.
const MARK: gst::ClockTime = gst::ClockTime::from_mseconds(100);

/// Runs the pattern until the stream wants it gone.
///
/// # Errors
/// When an element is missing or fails.
pub async fn run(intake: Intake) -> Result<(), Error> {
    let node = Node::parse("test pattern", PATTERN)?;
    mark_seconds(&node)?;
    node.output("video", &intake.tracks.video)?;
    node.output("audio", &intake.tracks.audio)?;
    node.start().await?;
    let outcome = node.run(&intake.cancel).await;
    node.stop().await?;
    outcome
}

/// Whether a buffer at this running time lies within the mark at the start of a second.
fn is_marked(at: gst::ClockTime) -> bool {
    at.nseconds() % gst::ClockTime::SECOND.nseconds() < MARK.nseconds()
}

/// Flashes and beeps by the timestamps that pass: both sources run on the shared clock, whose
/// running time is the timestamp.
fn mark_seconds(node: &Node) -> Result<(), Error> {
    use gst::prelude::*;

    let flash = node.element("flash")?;
    let pad = flash.static_pad("sink").ok_or_else(|| Error::build("the flash", "no pad"))?;
    let weak = flash.downgrade();
    let lit_state = std::sync::Mutex::new(false);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let (Some(flash), Some(at)) = (weak.upgrade(), info.buffer().and_then(|b| b.pts())) else {
            return gst::PadProbeReturn::Ok;
        };
        let mut lit = lit_state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *lit != is_marked(at) {
            *lit = is_marked(at);
            flash.set_property("brightness", if *lit { 1.0f64 } else { 0.0 });
        }
        gst::PadProbeReturn::Ok
    });
    let beep = node.element("beep")?;
    let pad = beep.static_pad("src").ok_or_else(|| Error::build("the beep", "no pad"))?;
    pad.add_probe(gst::PadProbeType::BUFFER, |_, info| {
        let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data else {
            return gst::PadProbeReturn::Ok;
        };
        let Some(at) = buffer.pts().filter(|at| is_marked(*at)) else {
            return gst::PadProbeReturn::Ok;
        };
        if let Ok(mut samples) = buffer.make_mut().map_writable() {
            beep_into(&mut samples, at);
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

/// Writes a 1 kHz tone at -12 dBFS into S16LE stereo samples that start at `at`.
fn beep_into(samples: &mut [u8], at: gst::ClockTime) {
    const RATE: f64 = 48_000.0;
    let start_s = (at.nseconds() % gst::ClockTime::SECOND.nseconds()) as f64 / 1e9;
    for (index, frame) in samples.chunks_exact_mut(4).enumerate() {
        let t = start_s + index as f64 / RATE;
        let value = (t * 1000.0 * std::f64::consts::TAU).sin() * 0.25 * f64::from(i16::MAX);
        let bytes = (value as i16).to_le_bytes();
        frame[..2].copy_from_slice(&bytes);
        frame[2..].copy_from_slice(&bytes);
    }
}
