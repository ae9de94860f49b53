//! The encoder for any rate and format.
//!
//! SECTION:element-auralinkaicenc
//!
//! Encodes speech by AIC-A, at 2.5 to 9 kbit/s, and everything else (music, or without an engine)
//! as Opus inside the same packets. It adds one frame (20 ms) of latency per frame in a packet.
//! Properties may change while it plays. It posts an element message, `aic-codec`, when the codec
//! changes.
//!
//! `AURALINK_AIC_WEIGHTS` is the path of weights outside the usual folders.
//!
//! ## Example
//!
//! ```text
//! GST_PLUGIN_PATH=target/plugins gst-launch-1.0 \
//!     filesrc location=speech.wav ! decodebin ! auralinkaicenc codec=aic stages=33 wait=true \
//!     ! rtpaicpay ! rtpaicdepay ! auralinkaicdec wait=true ! audioconvert ! wavenc \
//!     ! filesink location=out.wav
//! ```
//!
//! Since: auralink-0.1.0

use std::sync::LazyLock;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

/// Implementation of [`super::AicEnc`].
pub struct AicEnc {
    core: super::AicEncCore,
    sink: gst::GhostPad,
    src: gst::GhostPad,
}

#[glib::object_subclass]
impl ObjectSubclass for AicEnc {
    const NAME: &'static str = "AuralinkAicEnc";
    type Type = super::AicEnc;
    type ParentType = gst::Bin;

    fn with_class(class: &Self::Class) -> Self {
        let ghost = |name| {
            let template = class.pad_template(name).expect("registered with the class");
            gst::GhostPad::builder_from_template(&template).name(name).build()
        };
        let core = glib::Object::builder().property("name", "core").build();
        Self { core, sink: ghost("sink"), src: ghost("src") }
    }
}

impl ObjectImpl for AicEnc {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> =
            LazyLock::new(super::properties::encoder);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        self.core.set_property_from_value(pspec.name(), value);
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        self.core.property_value(pspec.name())
    }

    fn constructed(&self) {
        self.parent_constructed();
        if let Err(error) = self.assemble() {
            // The pads have no target, so linking to them fails.
            gst::error!(gst::CAT_RUST, imp = self, "not assembled: {error}");
        }
    }
}

impl GstObjectImpl for AicEnc {}

impl ElementImpl for AicEnc {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "AuraLink AIC-A encoder",
                "Codec/Encoder/Audio",
                "Encodes speech by a neural codec at 1.5 to 6 kbit/s, and the rest as Opus",
                "AuraLink",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let raw = gst::Caps::new_empty_simple("audio/x-raw");
            vec![
                super::template("sink", gst::PadDirection::Sink, &raw),
                super::template("src", gst::PadDirection::Src, &super::aic_caps(None)),
            ]
        });
        &TEMPLATES
    }
}

impl BinImpl for AicEnc {}

impl AicEnc {
    fn assemble(&self) -> Result<(), glib::BoolError> {
        let make = |factory| gst::ElementFactory::make(factory).build();
        let chain = [make("audioconvert")?, make("audioresample")?, self.core.clone().upcast()];
        let bin = self.obj();
        bin.add_many(&chain)?;
        gst::Element::link_many(&chain)?;
        self.sink.set_target(chain[0].static_pad("sink").as_ref())?;
        self.src.set_target(chain[2].static_pad("src").as_ref())?;
        bin.add_pad(&self.sink)?;
        bin.add_pad(&self.src)
    }
}
