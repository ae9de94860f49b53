//! What a trunk needs besides its feeds: settings, configuration and video encoders.

use std::sync::Arc;

use super::Settings;
use crate::flow::Error;
use crate::media::{Codec, Format};
use crate::webrtc::Config;

/// Dependencies of a trunk besides its feeds.
pub struct Trunk {
    /// Settings by the admin.
    pub settings: Settings,
    /// WebRTC configuration of the appliance.
    pub config: Config,
    /// Video encoders.
    pub codecs: Arc<dyn EncoderFactory>,
}

/// Video encoders for trunks.
pub trait EncoderFactory: Send + Sync {
    /// Codecs that this machine can encode.
    fn available(&self) -> Vec<Codec>;

    /// Converts raw video of this format to the codec, in `gst-launch-1.0` notation. The encoder is
    /// named `encoder`.
    ///
    /// # Errors
    /// If it cannot be encoded.
    fn describe(&self, codec: Codec, format: &Format, kbps: u32) -> Result<String, Error>;

    /// Changes the bit rate of a running encoder.
    fn retune(&self, encoder: &gst::Element, kbps: u32);

    /// Default bit rate of video in this format, in kbit/s.
    fn default_kbps(&self, codec: Codec, format: &Format) -> u32;
}
