//! The encoders of this machine, for outputs that build their own pipelines.

use std::collections::BTreeMap;

use crate::egress::trunk::EncoderFactory;
use crate::flow::Error;
use crate::media::{Codec, Format};
use crate::process::encode;
use crate::process::encoders::Encoder;

/// The best encoder of each codec.
pub(super) struct TrunkEncoders(pub(super) BTreeMap<Codec, String>);

impl EncoderFactory for TrunkEncoders {
    fn available(&self) -> Vec<Codec> {
        self.0.keys().copied().collect()
    }

    fn describe(&self, codec: Codec, format: &Format, kbps: u32) -> Result<String, Error> {
        let factory = self.0.get(&codec).cloned();
        let factory = factory
            .ok_or_else(|| Error::build("video", format!("no encoder works for {codec}")))?;
        encode::branch(&Encoder { codec, factory }, format, kbps)
    }

    fn retune(&self, encoder: &gst::Element, kbps: u32) {
        encode::retune(encoder, kbps);
    }

    fn default_kbps(&self, codec: Codec, format: &Format) -> u32 {
        encode::default_video_kbps(codec, &format.video)
    }
}
