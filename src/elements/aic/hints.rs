//! SECTION:element-rtphdrextaichints
//!
//! The RTP header extension `aic-hints`: class of the audio, predicted and achieved compression
//! ratio, loudness, model and a checksum of the payload, on every fifth packet. It is written from
//! the buffer meta of `auralinkaicenc` and read into the same meta (`auralink-aic-hints`), which
//! `auralinkaicdec` posts as an element message.
//!
//! Since: auralink-0.1.0

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::subclass::prelude::*;
use gst_rtp::subclass::prelude::*;

use super::HINTS;
use crate::aic::hints::{HINTS_BYTES, Hints, Kind, URI, checksum};
use crate::aic::weights::{self, ModelId, NO_MODEL};
use crate::media::IgnorePoison;

/// Distance of packets with hints.
const HINTS_INTERVAL_PACKETS: u32 = 5;

/// Implementation of [`super::AicHints`].
#[derive(Default)]
pub struct AicHints {
    packets: AtomicU32,
    model: Mutex<Option<ModelId>>,
}

#[glib::object_subclass]
impl ObjectSubclass for AicHints {
    const NAME: &'static str = "AuralinkAicHints";
    type Type = super::AicHints;
    type ParentType = gst_rtp::RTPHeaderExtension;
}

impl ObjectImpl for AicHints {}

impl GstObjectImpl for AicHints {}

impl ElementImpl for AicHints {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "AuraLink AIC hints",
                // GStreamer requires exactly these words.
                gst_rtp::RTP_HDREXT_ELEMENT_CLASS,
                "Content class, compression ratio, loudness and checksum of AIC-A packets",
                "AuraLink",
            )
        });
        Some(&METADATA)
    }
}

impl RTPHeaderExtensionImpl for AicHints {
    const URI: &'static str = URI;

    fn supported_flags(&self) -> gst_rtp::RTPHeaderExtensionFlags {
        gst_rtp::RTPHeaderExtensionFlags::ONE_BYTE | gst_rtp::RTPHeaderExtensionFlags::TWO_BYTE
    }

    fn max_size(&self, _input: &gst::BufferRef) -> usize {
        HINTS_BYTES
    }

    fn set_non_rtp_sink_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let model = caps.structure(0).and_then(|s| s.get::<&str>("model").ok());
        *self.model.lock().ignore_poison() = model.and_then(weights::parse);
        Ok(())
    }

    fn write(
        &self,
        input: &gst::BufferRef,
        _flags: gst_rtp::RTPHeaderExtensionFlags,
        _output: &gst::BufferRef,
        output_data: &mut [u8],
    ) -> Result<usize, gst::LoggableError> {
        if !self.packets.fetch_add(1, Ordering::Relaxed).is_multiple_of(HINTS_INTERVAL_PACKETS) {
            return Ok(0);
        }
        let Ok(meta) = gst::meta::CustomMeta::from_buffer(input, HINTS) else { return Ok(0) };
        let said = meta.structure();
        let number = |name| said.get::<f64>(name).unwrap_or(0.0);
        let hints = Hints {
            kind: Kind::named(said.get::<&str>("class").unwrap_or_default()),
            predicted: number("predicted-ratio"),
            achieved: number("achieved-ratio"),
            loudness: number("loudness-dbfs"),
            model: self.model.lock().ignore_poison().unwrap_or(NO_MODEL),
            checksum: said.get::<u32>("checksum").map_or(0, |c| c as u16),
        };
        let Some(room) = output_data.get_mut(..HINTS_BYTES) else { return Ok(0) };
        room.copy_from_slice(&hints.write());
        Ok(HINTS_BYTES)
    }

    fn read(
        &self,
        _flags: gst_rtp::RTPHeaderExtensionFlags,
        input_data: &[u8],
        output: &mut gst::BufferRef,
    ) -> Result<(), gst::LoggableError> {
        // A later version of the extension is ignored, not an error.
        let Some(hints) = Hints::read(input_data) else { return Ok(()) };
        let right = output.map_readable().is_ok_and(|p| checksum(&p) == hints.checksum);
        let said = gst::Structure::builder(HINTS)
            .field("class", hints.kind.name())
            .field("predicted-ratio", hints.predicted)
            .field("achieved-ratio", hints.achieved)
            .field("loudness-dbfs", hints.loudness)
            .field("model", weights::text(hints.model))
            .field("checksum-right", right)
            .build();
        let fill = |to: &mut gst::StructureRef| {
            for (name, value) in said.iter() {
                to.set_value(name, value.clone());
            }
        };
        // If sender and receiver share a process, the sender's meta may still be there.
        if let Ok(mut meta) = gst::meta::CustomMeta::from_mut_buffer(output, HINTS) {
            fill(meta.mut_structure());
        } else if let Ok(mut meta) = gst::meta::CustomMeta::add(output, HINTS) {
            fill(meta.mut_structure());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use gst::prelude::*;
    use gst_check::Harness;
    use gst_rtp::prelude::*;

    use super::*;
    use crate::elements::aic::testing::{MONO, child, encode, start, voice};

    #[test]
    fn hints_are_on_every_fifth_packet_and_their_checksum_is_right() {
        start();
        let mut harness =
            Harness::new_parse("auralinkaicenccore codec=opus ! rtpaicpay name=pay ! rtpaicdepay");
        let hints = gst_rtp::RTPHeaderExtension::create_from_uri(URI).expect("registered");
        hints.set_id(3);
        child(&harness, "pay").emit_by_name::<()>("add-extension", &[&hints]);
        harness.set_src_caps_str(MONO);
        let got = encode(&mut harness, &voice(1.0));
        assert!(got.len() >= 50);
        for (at, buffer) in got.iter().enumerate() {
            let meta = gst::meta::CustomMeta::from_buffer(buffer, HINTS).ok();
            let right =
                meta.as_ref().and_then(|m| m.structure().get::<bool>("checksum-right").ok());
            assert_eq!(right, (at % 5 == 0).then_some(true), "packet {at}");
            if let Some(meta) = meta.filter(|_| right.is_some()) {
                let said = meta.structure();
                assert_eq!(said.get::<&str>("class"), Ok("speech"));
                assert!(said.get::<f64>("loudness-dbfs").is_ok_and(|l| (-90.0..-3.0).contains(&l)));
            }
        }
    }
}
