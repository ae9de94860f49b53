//! The parser.
//!
//! SECTION:element-auralinkloasparse
//!
//! Cuts AAC in LATM into timestamped LOAS frames. Frames before the first configuration are
//! dropped: they cannot be decoded.
//!
//! ## Example
//!
//! ```text
//! gst-launch-1.0 filesrc location=broadcast.ts ! tsdemux ! audio/mpeg,stream-format=loas \
//!     ! auralinkloasparse ! avdec_aac_latm ! audioconvert ! autoaudiosink
//! ```
//!
//! Since: auralink-0.1.0

use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;

use super::stream_mux::{self, Config, HEADER_BYTES, Head};
use crate::media::IgnorePoison;

/// Samples of a frame.
const FRAME_SAMPLES: i32 = 1024;

/// Implementation of [`super::LoasParse`].
#[derive(Default)]
pub struct LoasParse {
    config: Mutex<Option<Config>>,
}

#[glib::object_subclass]
impl ObjectSubclass for LoasParse {
    const NAME: &'static str = "AuralinkLoasParse";
    type Type = super::LoasParse;
    type ParentType = gst_base::BaseParse;
}

impl ObjectImpl for LoasParse {}

impl GstObjectImpl for LoasParse {}

impl ElementImpl for LoasParse {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "AAC in LATM",
                "Codec/Parser/Audio",
                "Cuts AAC in LATM into LOAS frames",
                "AuraLink",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let template = |name, direction, caps: &gst::Caps| {
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, caps)
                    .expect("the caps are valid")
            };
            let caps = || {
                gst::Caps::builder("audio/mpeg")
                    .field("mpegversion", 4)
                    .field("stream-format", "loas")
            };
            vec![
                template("sink", gst::PadDirection::Sink, &caps().build()),
                template("src", gst::PadDirection::Src, &caps().field("framed", true).build()),
            ]
        });
        &TEMPLATES
    }
}

impl BaseParseImpl for LoasParse {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        *self.config.lock().ignore_poison() = None;
        self.obj().set_min_frame_size(HEADER_BYTES as u32);
        self.parent_start()
    }

    fn handle_frame(
        &self,
        frame: gst_base::BaseParseFrame<'_>,
    ) -> Result<(gst::FlowSuccess, u32), gst::FlowError> {
        const MORE: Result<(gst::FlowSuccess, u32), gst::FlowError> = Ok((gst::FlowSuccess::Ok, 0));
        let parse = self.obj();
        let Some(map) = frame.buffer().and_then(|buffer| buffer.map_readable().ok()) else {
            return Err(gst::FlowError::Error);
        };
        let skip = |bytes: usize| Ok((gst::FlowSuccess::Ok, u32::try_from(bytes).unwrap_or(0)));
        let Some(size) = stream_mux::frame_bytes(&map) else {
            let rest = map.get(1..).unwrap_or_default();
            return skip(stream_mux::bytes_before_sync(rest) + 1);
        };
        // Two bytes may resemble a frame by chance: a real one is followed by another.
        let wanted =
            if parse.lost_sync() && !parse.is_draining() { size + HEADER_BYTES } else { size };
        if map.len() < wanted {
            parse.set_min_frame_size(u32::try_from(wanted).unwrap_or(u32::MAX));
            return MORE;
        }
        if wanted > size && stream_mux::frame_bytes(&map[size..]).is_none() {
            return skip(1);
        }
        let head = stream_mux::head(&map[..size]);
        drop(map);
        parse.set_min_frame_size(HEADER_BYTES as u32);
        if !self.is_decodable(head) {
            return skip(size);
        }
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        parse.finish_frame(frame, size).map(|success| (success, 0))
    }
}

impl LoasParse {
    /// Follows the configuration; returns false until there is one.
    fn is_decodable(&self, head: Head) -> bool {
        let mut known = self.config.lock().ignore_poison();
        let config = match head {
            Head::Configured(config) if *known != Some(config) => config,
            // The decoder may understand more than this parser.
            Head::Unknown | Head::AsBefore | Head::Configured(_) => return known.is_some(),
        };
        *known = Some(config);
        drop(known);
        let rate = i32::try_from(config.rate_hz).unwrap_or(i32::MAX);
        let caps = gst::Caps::builder("audio/mpeg")
            .field("mpegversion", 4)
            .field("stream-format", "loas")
            .field("framed", true)
            .field("rate", rate)
            .field("channels", i32::try_from(config.channels).unwrap_or(i32::MAX))
            .build();
        let parse = self.obj();
        parse.src_pad().push_event(gst::event::Caps::new(&caps));
        parse.set_frame_rate(gst::Fraction::new(rate, FRAME_SAMPLES), 1, 1);
        true
    }
}
