//! Taps: where frames leave GStreamer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use gst::prelude::*;

use super::sample_entry::Described;
use super::{Frame, TrackInfo};
use crate::flow::{Error, Framing, Node, format_of};
use crate::media::{Codec, IgnorePoison};

/// Output of a tap.
#[derive(Debug)]
pub enum Tapped {
    /// The track, before its first frame and whenever the decoder configuration changes.
    Track(TrackInfo),
    /// The next frame in decode order.
    Frame(Frame),
    /// The end of the stream: held data can be written.
    End,
}

/// The launch line of one track's branch: converts a feed's canonical form to MP4's, between an
/// `appsrc` with the given name and an `appsink` called `<name>-tap`. `None` for a codec that MP4
/// cannot carry.
pub fn branch(name: &str, codec: Codec) -> Option<String> {
    let parser = Framing::Mp4.parser(codec)?;
    Some(format!("appsrc name={name} ! {parser} ! appsink name={name}-tap "))
}

/// Calls `take` with everything that reaches the `<name>-tap` of a node, on the streaming thread.
///
/// # Errors
/// [`Error::Build`] if the node has no such appsink.
pub fn tap(
    node: &Node,
    name: &str,
    take: impl FnMut(Tapped) + Send + 'static,
) -> Result<(), Error> {
    let element = node.element(&format!("{name}-tap"))?;
    let sink = element
        .downcast::<gst_app::AppSink>()
        .map_err(|_| Error::build(node.name(), format!("`{name}-tap` is not an appsink")))?;
    sink.set_sync(false);
    sink.set_async(false);
    sink.set_property("wait-on-eos", false);
    sink.set_enable_last_sample(false);
    let state = Arc::new(Mutex::new(Outlet { take, caps: None, entry: Vec::new() }));
    let at_end = state.clone();
    let on_eos = move |_: &gst_app::AppSink| {
        (at_end.lock().ignore_poison().take)(Tapped::End);
    };
    let on_sample = move |sink: &gst_app::AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        state.lock().ignore_poison().sample(&sample).map_err(|reason| {
            gst::element_error!(sink, gst::StreamError::Format, ["{}", reason]);
            gst::FlowError::NotSupported
        })?;
        Ok(gst::FlowSuccess::Ok)
    };
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(on_sample).eos(on_eos);
    sink.set_callbacks(callbacks.build());
    Ok(())
}

struct Outlet<F> {
    take: F,
    caps: Option<gst::Caps>,
    entry: Vec<u8>,
}

impl<F: FnMut(Tapped)> Outlet<F> {
    fn sample(&mut self, sample: &gst::Sample) -> Result<(), String> {
        let (Some(buffer), Some(caps)) = (sample.buffer_owned(), sample.caps()) else {
            return Ok(());
        };
        let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let running = |time: Option<gst::ClockTime>| {
            let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
            match segment.to_running_time_full(time?)? {
                gst::Signed::Positive(time) => Some(Duration::from(time)),
                gst::Signed::Negative(_) => Some(Duration::ZERO),
            }
        };
        let Some(pts) = running(buffer.pts()) else { return Ok(()) };
        let dts = running(buffer.dts()).unwrap_or(pts);
        let duration = buffer.duration().map(Duration::from);
        let Ok(map) = buffer.into_mapped_buffer_readable() else { return Ok(()) };
        let data = Bytes::from_owner(map);
        // Nothing can begin before a key frame, not even after a change of track.
        if key && self.caps.as_deref() != Some(caps) {
            self.caps = Some(caps.to_owned());
            let info = describe(caps, &data)?;
            if info.entry != self.entry {
                self.entry.clone_from(&info.entry);
                (self.take)(Tapped::Track(info));
            }
        }
        if !self.entry.is_empty() {
            (self.take)(Tapped::Frame(Frame { pts, dts, duration, key, data }));
        }
        Ok(())
    }
}

fn describe(caps: &gst::CapsRef, first_frame: &[u8]) -> Result<TrackInfo, String> {
    let format = format_of(caps, None).ok_or_else(|| format!("unknown media: {caps}"))?;
    let s = caps.structure(0).ok_or("empty caps")?;
    let config = s.get::<gst::Buffer>("codec_data").ok();
    let config = config.and_then(|b| b.map_readable().ok().map(|map| map.to_vec()));
    let aspect = s.get::<gst::Fraction>("pixel-aspect-ratio").ok();
    let positive = |value: i32| u32::try_from(value).unwrap_or(1);
    let bounded = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
    let described = Described {
        config: config.unwrap_or_default(),
        width: bounded(format.video.width),
        height: bounded(format.video.height),
        fps: f64::from(format.video.fps),
        pixel_aspect: aspect.map_or((1, 1), |a| (positive(a.numer()), positive(a.denom()))),
        rate: format.audio.rate,
        channels: bounded(format.audio.channels),
        profile: match s.get::<&str>("profile").unwrap_or("0") {
            "main" => 0,
            "high" => 1,
            "professional" => 2,
            digit => digit.parse().unwrap_or(0),
        },
        bit_depth: s.get::<u32>("bit-depth-luma").ok().and_then(|d| d.try_into().ok()).unwrap_or(8),
        chroma: match s.get::<&str>("chroma-format").unwrap_or("4:2:0") {
            "4:0:0" => 0,
            "4:2:2" => 2,
            "4:4:4" => 3,
            _ => 1,
        },
        first_frame: first_frame.get(..first_frame.len().min(4096)).unwrap_or_default().to_vec(),
    };
    described.track(format.codec)
}
