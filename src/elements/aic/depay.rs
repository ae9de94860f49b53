//! SECTION:element-rtpaicdepay
//!
//! Extracts payloads from RTP packets of `AIC-A` for `auralinkaicdec`. Packets that a jitter buffer
//! reports as lost become gap events, which the decoder fills.
//!
//! ## Example
//!
//! ```text
//! gst-launch-1.0 udpsrc port=5004 caps="application/x-rtp,media=audio,payload=102,\
//!     clock-rate=16000,encoding-name=AIC-A,model=(string)4fd1c0de" ! rtpjitterbuffer do-lost=true \
//!     ! rtpaicdepay ! auralinkaicdec ! autoaudiosink
//! ```
//!
//! Since: auralink-0.1.0

use std::sync::LazyLock;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_rtp::prelude::*;
use gst_rtp::subclass::prelude::*;

use super::{aic_caps, template};
use crate::aic::RATE_HZ;
use crate::aic::payload::PAYLOAD_BYTES_MAX;
use crate::aic::weights::{self, NO_MODEL};

/// Implementation of [`super::AicDepay`].
#[derive(Default)]
pub struct AicDepay;

#[glib::object_subclass]
impl ObjectSubclass for AicDepay {
    const NAME: &'static str = "AuralinkRtpAicDepay";
    type Type = super::AicDepay;
    type ParentType = gst_rtp::RTPBaseDepayload;
}

impl ObjectImpl for AicDepay {}

impl GstObjectImpl for AicDepay {}

impl ElementImpl for AicDepay {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "AuraLink RTP AIC-A depayloader",
                "Codec/Depayloader/Network/RTP",
                "Takes AIC-A voice out of RTP packets",
                "AuraLink",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            // The payload type is optional, as with other depayloaders.
            let caps = gst::Caps::builder("application/x-rtp")
                .field("media", "audio")
                .field("clock-rate", RATE_HZ as i32)
                .field("encoding-name", "AIC-A")
                .build();
            vec![
                template("sink", gst::PadDirection::Sink, &caps),
                template("src", gst::PadDirection::Src, &aic_caps(None)),
            ]
        });
        &TEMPLATES
    }
}

impl RTPBaseDepayloadImpl for AicDepay {
    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let model = caps.structure(0).and_then(|s| s.get::<&str>("model").ok());
        let model = model.and_then(weights::parse).unwrap_or(NO_MODEL);
        let caps = aic_caps(Some(&weights::text(model)));
        let pushed = self.obj().src_pad().push_event(gst::event::Caps::new(&caps));
        if pushed {
            Ok(())
        } else {
            Err(gst::loggable_error!(gst::CAT_RUST, "downstream refuses {caps}"))
        }
    }

    fn process_rtp_packet(
        &self,
        packet: &gst_rtp::RTPBuffer<gst_rtp::rtp_buffer::Readable>,
    ) -> Option<gst::Buffer> {
        let payload = packet.payload().ok()?;
        if payload.is_empty() || payload.len() > PAYLOAD_BYTES_MAX {
            gst::debug!(gst::CAT_RUST, imp = self, "a payload of {} bytes", payload.len());
            return None;
        }
        // Copies the small payload, so that the whole packet can be freed.
        let mut buffer = gst::Buffer::from_mut_slice(payload.to_vec());
        if packet.is_marker() {
            buffer.get_mut()?.set_flags(gst::BufferFlags::MARKER);
        }
        Some(buffer)
    }
}
