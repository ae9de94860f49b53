//! The bin for any rate and format.
//!
//! SECTION:element-auralinkdenoise
//!
//! Removes noise from speech by DeepFilterNet 3 where it is installed, else by RNNoise. Audio of other
//! rates, formats and channel counts is converted to 48 kHz, mono or stereo, and back if downstream
//! requires it. RNNoise adds 20 ms of latency, DeepFilterNet 40 ms, enabled or not; changes of the
//! properties are crossfaded, and a change of the latency is posted. At the end of the stream the
//! element sends everything buffered: as many samples as came in.
//!
//! DeepFilterNet loads while RNNoise is heard already. When the processor is late with it, RNNoise
//! takes over for some time, at the latency of DeepFilterNet.
//!
//! ## Example
//!
//! ```text
//! gst-launch-1.0 filesrc location=speech.wav ! decodebin ! auralinkdenoise max-attenuation-db=24 \
//!     ! audioconvert ! wavenc ! filesink location=clean.wav
//! ```
//!
//! Since: auralink-0.1.0

use std::sync::LazyLock;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

/// Implementation of [`super::Denoise`].
pub struct Denoise {
    core: super::DenoiseCore,
    sink: gst::GhostPad,
    src: gst::GhostPad,
}

#[glib::object_subclass]
impl ObjectSubclass for Denoise {
    const NAME: &'static str = "AuralinkDenoise";
    type Type = super::Denoise;
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

impl ObjectImpl for Denoise {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(super::properties::specs);
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

impl GstObjectImpl for Denoise {}

impl ElementImpl for Denoise {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "AuraLink noise suppression",
                "Filter/Effect/Audio",
                "Removes noise from speech of any rate and format",
                "AuraLink",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = gst::Caps::new_empty_simple("audio/x-raw");
            [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
                .map(|(name, way)| {
                    gst::PadTemplate::new(name, way, gst::PadPresence::Always, &caps)
                        .expect("name, direction and caps are valid")
                })
                .into()
        });
        &TEMPLATES
    }
}

impl BinImpl for Denoise {}

impl Denoise {
    fn assemble(&self) -> Result<(), glib::BoolError> {
        let make = |factory| gst::ElementFactory::make(factory).build();
        let chain = [
            make("audioconvert")?,
            make("audioresample")?,
            self.core.clone().upcast(),
            make("audioconvert")?,
            make("audioresample")?,
        ];
        let bin = self.obj();
        bin.add_many(&chain)?;
        gst::Element::link_many(&chain)?;
        self.sink.set_target(chain[0].static_pad("sink").as_ref())?;
        self.src.set_target(chain[4].static_pad("src").as_ref())?;
        bin.add_pad(&self.sink)?;
        bin.add_pad(&self.src)
    }
}
