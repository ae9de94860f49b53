//! The video branch: passed through, or encoded at a size and bit rate that follow the path.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gst::prelude::*;

use super::ladder::Level;
use super::links::Source;
use super::{EncoderFactory, branch};
use crate::egress::whep;
use crate::flow::decoding::{DECODER, Decoding, tune};
use crate::flow::{Error, Join};
use crate::media::{Codec, Format};
use crate::webrtc::sdp::Agreed;
use crate::webrtc::{Peer, Track};

/// Outgoing video.
pub(super) struct VideoBranch {
    /// The encoder. `None` if video passes through.
    encoder: Option<gst::Element>,
    size: Option<gst::Element>,
    format: Format,
    codecs: Arc<dyn EncoderFactory>,
    /// Minimum interval between frames in nanoseconds; closer frames are dropped.
    closest: Arc<AtomicU64>,
    /// The applied level and bit rate in kbit/s.
    applied: (Level, u32),
    /// Whether video has flowed before.
    joined: bool,
}

impl VideoBranch {
    /// Builds the negotiated branch, with nothing flowing yet. Video is encoded if the other end
    /// accepts another codec than that of the feed, or if the feed is raw.
    ///
    /// # Errors
    /// If an element is missing.
    pub(super) fn add(
        peer: &Peer,
        agreed: &Agreed,
        track: &Track,
        source: &Source,
        codecs: &Arc<dyn EncoderFactory>,
        kbps: u32,
    ) -> Result<Self, Error> {
        let codec = agreed.payload.codec().unwrap_or(Codec::H264);
        let format = source.format.clone();
        let payloader = whep::payloader(codec)
            .ok_or_else(|| Error::build("pictures", format!("{codec} has no payloader")))?;
        let payloader = payloader.split_once(' ').map_or_else(
            || format!("{payloader} name=pay"),
            |(factory, properties)| format!("{factory} name=pay {properties}"),
        );
        let description = match codec == format.codec {
            true => payloader,
            false => {
                let decoder = match format.codec.is_raw() {
                    true => "identity silent=true".to_owned(),
                    false => Decoding::of(format.codec)?.description,
                };
                let encoder = codecs.describe(codec, &format, kbps)?;
                format!(
                    "{decoder} ! queue name=thin max-size-buffers=3 leaky=downstream \
                     ! videoscale ! capsfilter name=size ! videoconvert ! {encoder} ! {payloader}"
                )
            }
        };
        let bin = branch::add(peer, agreed, track, &description)?.bin;
        let closest = Arc::new(AtomicU64::new(0));
        if let Some(decoder) = bin.by_name(DECODER) {
            tune(&decoder);
        }
        if let Some(pad) = bin.by_name("thin").and_then(|thin| thin.static_pad("sink")) {
            thin_out(&pad, &closest);
        }
        let (encoder, size) = (bin.by_name("encoder"), bin.by_name("size"));
        let (codecs, applied) = (Arc::clone(codecs), (Level::Off, kbps));
        Ok(Self { encoder, size, format, codecs, closest, applied, joined: false })
    }

    /// Whether video is encoded for the path.
    pub(super) fn is_encoded(&self) -> bool {
        self.encoder.is_some()
    }

    /// Applies a level and a bit rate in bit/s. Returns true if the level changes.
    ///
    /// # Errors
    /// If the feed cannot be joined.
    pub(super) fn apply(
        &mut self,
        peer: &Peer,
        source: &Source,
        level: Level,
        bits: f64,
    ) -> Result<bool, Error> {
        let (before, kbps_before) = self.applied;
        let kbps = (bits / 1000.0).max(10.0) as u32;
        let name = source.kind.as_str();
        if let Some(encoder) = &self.encoder
            && kbps.abs_diff(kbps_before) * 20 > kbps_before
        {
            self.codecs.retune(encoder, kbps);
            self.applied.1 = kbps;
        }
        if level == before {
            return Ok(false);
        }
        self.applied.0 = level;
        if level == Level::Off {
            peer.node().release(name);
            return Ok(true);
        }
        self.resize(level);
        if before == Level::Off {
            // The first time, the other end gets a frame at once. Later the path was short of
            // bandwidth and must be spared.
            let join = if std::mem::replace(&mut self.joined, true) {
                Join::Live
            } else {
                Join::FastForward
            };
            peer.node().input(name, &source.feed, join)?;
        }
        Ok(true)
    }

    fn resize(&self, level: Level) {
        let (divisor, closest) = match level {
            Level::Stills => (3, 900_000_000),
            Level::Half => (2, 0),
            Level::Off | Level::Full => (1, 0),
        };
        self.closest.store(closest, Ordering::Relaxed);
        let Some(size) = &self.size else { return };
        let even = |pixels: u32| i32::try_from((pixels / divisor).max(2) & !1).unwrap_or(2);
        let (width, height) = (even(self.format.video.width), even(self.format.video.height));
        let caps = gst::Caps::builder("video/x-raw").field("width", width).field("height", height);
        size.set_property("caps", caps.build());
    }
}

/// Drops frames that follow the previous one too closely.
fn thin_out(pad: &gst::Pad, closest: &Arc<AtomicU64>) {
    let (closest, last) = (Arc::clone(closest), AtomicU64::new(0));
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(pts) = info.buffer().and_then(|b| b.pts()) else { return gst::PadProbeReturn::Ok };
        let (pts, before) = (pts.nseconds(), last.load(Ordering::Relaxed));
        if pts > before && pts - before < closest.load(Ordering::Relaxed) {
            return gst::PadProbeReturn::Drop;
        }
        last.store(pts, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
}
