//! SECTION:element-rtpaicpay
//!
//! Puts payloads of `auralinkaicenc` into RTP packets, one each: encoding name `AIC-A`, clock rate
//! 16000, `model` and the receiver's preferences as format parameters (`docs/aic-rtp.md`). The
//! first packet after a silence that was not sent has the marker.
//!
//! ## Example
//!
//! ```text
//! gst-launch-1.0 audiotestsrc is-live=true ! auralinkaicenc ! rtpaicpay pt=102 ! udpsink port=5004
//! ```
//!
//! Since: auralink-0.1.0

use std::sync::LazyLock;

use gst::glib;
use gst::subclass::prelude::*;
use gst_rtp::prelude::*;
use gst_rtp::subclass::prelude::*;

use super::{aic_caps, template};
use crate::aic::RATE_HZ;
use crate::aic::packet::{FRAMES_MAX, RATE_STAGES, REDUNDANT_FRAMES_MAX};

/// Implementation of [`super::AicPay`].
#[derive(Default)]
pub struct AicPay;

#[glib::object_subclass]
impl ObjectSubclass for AicPay {
    const NAME: &'static str = "AuralinkRtpAicPay";
    type Type = super::AicPay;
    type ParentType = gst_rtp::RTPBasePayload;
}

impl ObjectImpl for AicPay {}

impl GstObjectImpl for AicPay {}

impl ElementImpl for AicPay {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "AuraLink RTP AIC-A payloader",
                "Codec/Payloader/Network/RTP",
                "Puts AIC-A voice into RTP packets",
                "AuraLink",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            vec![
                template("sink", gst::PadDirection::Sink, &aic_caps(None)),
                template("src", gst::PadDirection::Src, &rtp_caps()),
            ]
        });
        &TEMPLATES
    }
}

/// Caps of AIC-A in RTP.
pub(super) fn rtp_caps() -> gst::Caps {
    gst::Caps::builder("application/x-rtp")
        .field("media", "audio")
        .field("payload", gst::IntRange::new(96, 127))
        .field("clock-rate", RATE_HZ as i32)
        .field("encoding-name", "AIC-A")
        .build()
}

impl RTPBasePayloadImpl for AicPay {
    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let model = caps.structure(0).and_then(|s| s.get::<String>("model").ok());
        let model = model
            .ok_or_else(|| gst::loggable_error!(gst::CAT_RUST, "caps without a model: {caps}"))?;
        let pay = self.obj();
        pay.set_options("audio", true, "AIC-A", RATE_HZ);
        // All are strings, because they become the `fmtp` line of SDP.
        let parameters = gst::Structure::builder("application/x-rtp")
            .field("model", model)
            .field("maxstages", RATE_STAGES[3].to_string())
            .field("maxframes", FRAMES_MAX.to_string())
            .field("maxredundant", REDUNDANT_FRAMES_MAX.to_string())
            .build();
        pay.set_outcaps(Some(&parameters))
            .map_err(|e| gst::loggable_error!(gst::CAT_RUST, "downstream refuses: {e}"))
    }

    fn handle_buffer(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let pay = self.obj();
        let mut packet = pay.allocate_output_buffer(buffer.size() as u32, 0, 0);
        {
            let packet = packet.get_mut().ok_or(gst::FlowError::Error)?;
            packet.set_pts(buffer.pts());
            packet.set_duration(buffer.duration());
            if buffer.flags().contains(gst::BufferFlags::DISCONT) {
                packet.set_flags(gst::BufferFlags::DISCONT);
            }
            let payload = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
            let mut rtp = gst_rtp::RTPBuffer::from_buffer_writable(packet)
                .map_err(|_| gst::FlowError::Error)?;
            rtp.set_marker(buffer.flags().contains(gst::BufferFlags::MARKER));
            rtp.payload_mut().map_err(|_| gst::FlowError::Error)?.copy_from_slice(&payload);
        }
        pay.push(packet)
    }
}
