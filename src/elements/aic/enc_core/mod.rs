//! The encoder itself: pads, properties and events around [`state`].

mod state;

use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use state::{ElementOutput, State};

use super::{aic_caps, frames, properties, raw_caps, template};
use crate::aic::engine::Codec;
use crate::aic::send::{Settings, Used};
use crate::aic::weights::{self, ModelId, NO_MODEL};
use crate::media::IgnorePoison;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("auralinkaicenc", gst::DebugColorFlags::empty(), Some("AIC-A encoder"))
});

/// Implementation of [`super::AicEncCore`].
pub struct AicEncCore {
    sink: gst::Pad,
    src: gst::Pad,
    /// Lock order: settings before state before model; none is held while anything is pushed or
    /// posted.
    settings: Mutex<Settings>,
    state: Mutex<Option<State>>,
    codec: Mutex<Option<Codec>>,
    /// Model in the caps that were sent downstream.
    model: Mutex<Option<ModelId>>,
}

#[glib::object_subclass]
impl ObjectSubclass for AicEncCore {
    const NAME: &'static str = "AuralinkAicEncCore";
    type Type = super::AicEncCore;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let template = |name| class.pad_template(name).expect("registered with the class");
        let sink = gst::Pad::builder_from_template(&template("sink"))
            .chain_function(|_, parent, buffer| {
                AicEncCore::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |imp| imp.chain(&buffer),
                )
            })
            .event_function(|pad, parent, event| {
                AicEncCore::catch_panic_pad_function(parent, || false, |imp| imp.event(pad, event))
            })
            .build();
        let src = gst::Pad::builder_from_template(&template("src"))
            .query_function(|pad, parent, query| {
                AicEncCore::catch_panic_pad_function(parent, || false, |imp| imp.query(pad, query))
            })
            .flags(gst::PadFlags::FIXED_CAPS)
            .build();
        Self {
            sink,
            src,
            settings: Mutex::default(),
            state: Mutex::default(),
            codec: Mutex::default(),
            model: Mutex::default(),
        }
    }
}

impl ObjectImpl for AicEncCore {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(properties::encoder);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = self.settings.lock().ignore_poison();
        let longest = |s: &Settings| s.frames.max(s.opus_frames);
        let before = longest(&settings);
        if !properties::set(&mut settings, pspec.name(), value) {
            gst::warning!(CAT, imp = self, "{} cannot be {value:?}", pspec.name());
        }
        let longer = longest(&settings) != before;
        drop(settings);
        if longer {
            self.post(gst::message::Latency::builder().src(&*self.obj()).build());
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = *self.settings.lock().ignore_poison();
        let state = self.state.lock().ignore_poison();
        match pspec.name() {
            "codec-in-use" => state.as_ref().and_then(State::used).map(Used::name).to_value(),
            "stats" => state::stats(state.as_ref()).to_value(),
            name => properties::get(&settings, name).expect("every property is known"),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        for pad in [&self.sink, &self.src] {
            if let Err(error) = self.obj().add_pad(pad) {
                gst::error!(CAT, imp = self, "no pad: {error}");
            }
        }
    }
}

impl GstObjectImpl for AicEncCore {}

impl ElementImpl for AicEncCore {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "AuraLink AIC-A encoder (48 kHz)",
                "Codec/Encoder/Audio",
                "Encodes 48 kHz floats; `auralinkaicenc` takes any rate",
                "AuraLink",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            vec![
                template("sink", gst::PadDirection::Sink, &raw_caps()),
                template("src", gst::PadDirection::Src, &aic_caps(None)),
            ]
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::NullToReady {
            // The engine warms up while the rest of the pipeline gets ready.
            *self.codec.lock().ignore_poison() = Some(Codec::shared());
        }
        let success = self.parent_change_state(transition)?;
        match transition {
            gst::StateChange::PausedToReady => {
                *self.state.lock().ignore_poison() = None;
                *self.model.lock().ignore_poison() = None;
            }
            gst::StateChange::ReadyToNull => *self.codec.lock().ignore_poison() = None,
            _ => {}
        }
        Ok(success)
    }
}

impl AicEncCore {
    fn post(&self, message: gst::Message) {
        if self.obj().post_message(message).is_err() {
            gst::trace!(CAT, imp = self, "nobody listens to messages");
        }
    }

    fn event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Caps(caps) => {
                self.drain();
                if let Err(error) = self.set_caps(caps.caps()) {
                    gst::error!(CAT, imp = self, "{error}");
                    return false;
                }
                return self.push_caps();
            }
            gst::EventView::Eos(_) | gst::EventView::Gap(_) | gst::EventView::Segment(_) => {
                self.drain();
            }
            gst::EventView::FlushStop(_) => {
                if let Some(state) = &mut *self.state.lock().ignore_poison() {
                    state.flush();
                }
            }
            _ => {}
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    fn query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        if let gst::QueryViewMut::Latency(latency) = query.view_mut() {
            let mut upstream = gst::query::Latency::new();
            if !self.sink.peer_query(&mut upstream) {
                return false;
            }
            let settings = *self.settings.lock().ignore_poison();
            let own = frames(settings.frames.max(settings.opus_frames) as u64);
            let (live, min, max) = upstream.result();
            latency.set(live, min + own, max.map(|max| max + own));
            return true;
        }
        gst::Pad::query_default(pad, Some(&*self.obj()), query)
    }

    fn set_caps(&self, caps: &gst::CapsRef) -> Result<(), glib::BoolError> {
        let info = gst_audio::AudioInfo::from_caps(caps)?;
        let channels = info.channels() as usize;
        let codec = self.codec.lock().ignore_poison().get_or_insert_with(Codec::shared).clone();
        let state = State::new(codec, channels)
            .map_err(|e| glib::bool_error!("libopus does not start: {e}"))?;
        *self.state.lock().ignore_poison() = Some(state);
        Ok(())
    }

    /// Sends the model downstream in caps, if it has changed.
    fn push_caps(&self) -> bool {
        let codec = self.codec.lock().ignore_poison().clone();
        let model = codec.and_then(|c| c.model()).unwrap_or(NO_MODEL);
        if self.model.lock().ignore_poison().replace(model) == Some(model) {
            return true;
        }
        let caps = aic_caps(Some(&weights::text(model)));
        self.src.push_event(gst::event::Caps::new(&caps))
    }

    fn chain(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let settings = *self.settings.lock().ignore_poison();
        let jumped = self.state.lock().ignore_poison().as_ref().is_some_and(|s| s.jumps(buffer));
        if jumped {
            self.drain();
        }
        let made = {
            let mut guard = self.state.lock().ignore_poison();
            let state = guard.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
            state.take(buffer, &settings).map_err(|error| {
                gst::error!(CAT, imp = self, "{error}");
                gst::FlowError::Error
            })?
        };
        self.push(made)
    }

    fn push(&self, made: ElementOutput) -> Result<gst::FlowSuccess, gst::FlowError> {
        if let Some(change) = made.change {
            gst::info!(CAT, imp = self, "{change}");
            self.post(gst::message::Element::builder(change).src(&*self.obj()).build());
        }
        for buffer in made.buffers {
            if !self.push_caps() {
                gst::debug!(CAT, imp = self, "downstream does not take another model");
            }
            self.src.push(buffer)?;
        }
        Ok(gst::FlowSuccess::Ok)
    }

    /// Sends everything that is buffered, followed by silence.
    fn drain(&self) {
        let settings = *self.settings.lock().ignore_poison();
        let made = match &mut *self.state.lock().ignore_poison() {
            Some(state) => state.drain(&settings),
            None => return,
        };
        match made {
            Ok(made) => {
                if let Err(error) = self.push(made) {
                    gst::debug!(CAT, imp = self, "draining: {error}");
                }
            }
            Err(error) => gst::warning!(CAT, imp = self, "draining: {error}"),
        }
    }
}

#[cfg(test)]
mod tests;
