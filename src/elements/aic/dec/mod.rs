//! SECTION:element-auralinkaicdec
//!
//! Decodes AIC-A packets and the Opus in them to 48 kHz floats, mono or stereo as downstream
//! accepts (stereo, if both, so that music keeps it). Missing frames are taken from redundant
//! frames, concealed, or filled with background noise after a comfort frame, so the audio has no
//! gaps and no jumps. It keeps the timestamps of the encoded audio and adds 12 ms, which are
//! reported as latency. While a live sender is silent, the noise comes by the clock of the pipeline,
//! also if a description of the background is lost or late.
//!
//! When AIC-A cannot be decoded (no engine, no weights, other weights than the sender's), it posts
//! `aic-unavailable` and conceals; the application should then ask the sender for Opus. It posts
//! `aic-available` when it can decode again.
//!
//! ## Example
//!
//! See `auralinkaicenc`.
//!
//! Since: auralink-0.1.0

mod clock;
mod state;

use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use clock::{Look, SilenceClock, Timing};
use state::{ElementOutput, State};

use super::{HINTS, aic_caps, frames, properties, raw_caps, template, wide};
use crate::aic::engine::Codec;
use crate::aic::engine_timeout::EngineTimeout;
use crate::aic::fallback::CODEC_DELAY_SAMPLES;
use crate::aic::weights;
use crate::media::IgnorePoison;

/// How much later than it should be heard a frame of silence is made: a packet that a jitter buffer
/// gives out at its deadline comes first. Sinks allow for as much (GStreamer, `processing-deadline`).
const SILENCE_GRACE: gst::ClockTime = gst::ClockTime::from_mseconds(20);

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("auralinkaicdec", gst::DebugColorFlags::empty(), Some("AIC-A decoder"))
});

/// Implementation of [`super::AicDec`].
pub struct AicDec {
    sink: gst::Pad,
    src: gst::Pad,
    /// Lock order: engine timeout before state; none is held while anything is pushed or posted.
    engine_timeout: Mutex<EngineTimeout>,
    state: Mutex<Option<State>>,
    codec: Mutex<Option<Codec>>,
    timing: Mutex<Timing>,
    silence_clock: Mutex<Option<SilenceClock>>,
}

#[glib::object_subclass]
impl ObjectSubclass for AicDec {
    const NAME: &'static str = "AuralinkAicDec";
    type Type = super::AicDec;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let template = |name| class.pad_template(name).expect("registered with the class");
        let sink = gst::Pad::builder_from_template(&template("sink"))
            .chain_function(|_, parent, buffer| {
                AicDec::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |imp| imp.chain(&buffer),
                )
            })
            .event_function(|pad, parent, event| {
                AicDec::catch_panic_pad_function(parent, || false, |imp| imp.event(pad, event))
            })
            .build();
        let src = gst::Pad::builder_from_template(&template("src"))
            .query_function(|pad, parent, query| {
                AicDec::catch_panic_pad_function(parent, || false, |imp| imp.query(pad, query))
            })
            .event_function(|pad, parent, event| {
                AicDec::catch_panic_pad_function(parent, || false, |imp| imp.src_event(pad, event))
            })
            .build();
        Self {
            sink,
            src,
            engine_timeout: Mutex::default(),
            state: Mutex::default(),
            codec: Mutex::default(),
            timing: Mutex::default(),
            silence_clock: Mutex::default(),
        }
    }
}

impl ObjectImpl for AicDec {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> =
            LazyLock::new(|| vec![properties::deadline(), properties::wait(), properties::stats()]);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        if !properties::set_engine_timeout(
            &mut self.engine_timeout.lock().ignore_poison(),
            pspec.name(),
            value,
        ) {
            gst::warning!(CAT, imp = self, "{} cannot be {value:?}", pspec.name());
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let engine_timeout = *self.engine_timeout.lock().ignore_poison();
        match pspec.name() {
            "stats" => state::stats(self.state.lock().ignore_poison().as_ref()).to_value(),
            name => properties::get_engine_timeout(&engine_timeout, name)
                .expect("every property is known"),
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

impl GstObjectImpl for AicDec {}

impl ElementImpl for AicDec {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "AuraLink AIC-A decoder",
                "Codec/Decoder/Audio",
                "Decodes AIC-A voice and the Opus inside it",
                "AuraLink",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            vec![
                template("sink", gst::PadDirection::Sink, &aic_caps(None)),
                template("src", gst::PadDirection::Src, &raw_caps()),
            ]
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::NullToReady {
            *self.codec.lock().ignore_poison() = Some(Codec::shared());
        }
        let mut clock = self.silence_clock.lock().ignore_poison().take();
        match transition {
            gst::StateChange::ReadyToPaused => clock = self.watch_silence(),
            gst::StateChange::PausedToReady => clock.iter().for_each(SilenceClock::stop),
            _ => {}
        }
        let success = self.parent_change_state(transition)?;
        match transition {
            gst::StateChange::PausedToReady => {
                // Pads are inactive, so its thread waits for nothing.
                drop(clock.take());
                *self.state.lock().ignore_poison() = None;
                *self.timing.lock().ignore_poison() = Timing::default();
            }
            gst::StateChange::ReadyToNull => *self.codec.lock().ignore_poison() = None,
            _ => {}
        }
        *self.silence_clock.lock().ignore_poison() = clock;
        Ok(success)
    }
}

impl AicDec {
    fn watch_silence(&self) -> Option<SilenceClock> {
        let element = self.obj().downgrade();
        let look = move || element.upgrade().map_or(Look::Gone, |e| e.imp().fill_silence());
        let started = SilenceClock::start(look);
        started.inspect_err(|e| gst::warning!(CAT, imp = self, "no thread: {e}")).ok()
    }

    /// Makes a frame of silence if one is due.
    fn fill_silence(&self) -> Look {
        // A packet that is being taken may end the silence.
        let _turn = self.sink.stream_lock();
        let now = self.obj().current_running_time();
        let made = {
            let mut guard = self.state.lock().ignore_poison();
            let Some(state) = guard.as_mut() else { return Look::Sound };
            let Some(start) = state.silence() else { return Look::Sound };
            let timing = self.timing.lock().ignore_poison();
            let heard = timing.segment.as_ref().and_then(|s| s.to_running_time(start));
            let latency = timing.latency.filter(|_| timing.is_live);
            let (Some(now), Some(heard), Some(latency)) = (now, heard, latency) else {
                return Look::Never;
            };
            let due = heard + latency + SILENCE_GRACE;
            if due > now {
                return Look::Due((due - now).into());
            }
            state.fill_silence()
        };
        self.push(made).map_or(Look::Never, |_| Look::Due(Duration::ZERO))
    }

    fn src_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        if let gst::EventView::Latency(latency) = event.view() {
            self.timing.lock().ignore_poison().latency = Some(latency.latency());
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    fn event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Caps(caps) => return self.set_caps(caps.caps()),
            gst::EventView::Gap(gap) => {
                let (start, length) = gap.get();
                let made = self
                    .state
                    .lock()
                    .ignore_poison()
                    .as_mut()
                    .and_then(|s| s.gap(start + length.unwrap_or(frames(1))));
                if let Some(made) = made {
                    return self.push(made).is_ok();
                }
            }
            gst::EventView::Segment(segment) => {
                let segment = segment.segment().downcast_ref::<gst::ClockTime>().cloned();
                self.timing.lock().ignore_poison().segment = segment;
            }
            gst::EventView::FlushStop(_) => {
                if let Some(state) = &mut *self.state.lock().ignore_poison() {
                    state.begin_anew();
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
            let own = wide(CODEC_DELAY_SAMPLES);
            let (live, min, max) = upstream.result();
            self.timing.lock().ignore_poison().is_live = live;
            latency.set(live, min + own, max.map(|max| max + own));
            return true;
        }
        gst::Pad::query_default(pad, Some(&*self.obj()), query)
    }

    fn set_caps(&self, caps: &gst::CapsRef) -> bool {
        let codec = self.codec.lock().ignore_poison().get_or_insert_with(Codec::shared).clone();
        let theirs = caps.structure(0).and_then(|s| s.get::<&str>("model").ok());
        let theirs = theirs.and_then(weights::parse);
        // A sender without a model sends no AIC-A; one that names none is assumed to have ours.
        let foreign = codec.model().is_some() && theirs.is_some_and(|t| Some(t) != codec.model());
        // Caps may be repeated without a change.
        if self.state.lock().ignore_poison().as_ref().is_some_and(|s| s.is_foreign() == foreign) {
            return true;
        }
        let mut wanted = self.src.allowed_caps().unwrap_or_else(raw_caps);
        if wanted.is_empty() {
            return false;
        }
        wanted.make_mut();
        wanted.truncate();
        if let Some(first) = wanted.make_mut().structure_mut(0) {
            first.fixate_field_nearest_int("channels", 2);
        }
        wanted.fixate();
        let Ok(info) = gst_audio::AudioInfo::from_caps(&wanted) else { return false };
        let channels = info.channels() as usize;
        match State::new(codec, channels, foreign) {
            Ok(state) => *self.state.lock().ignore_poison() = Some(state),
            Err(error) => {
                gst::error!(CAT, imp = self, "libopus does not start: {error}");
                return false;
            }
        }
        self.src.push_event(gst::event::Caps::new(&wanted))
    }

    fn chain(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let engine_timeout = *self.engine_timeout.lock().ignore_poison();
        let hints = gst::meta::CustomMeta::from_buffer(buffer, HINTS)
            .ok()
            .map(|meta| meta.structure().to_owned())
            .filter(|s| s.has_field("checksum-right"));
        if let Some(hints) = &hints {
            self.post(hints.clone());
        }
        let ours = self.codec.lock().ignore_poison().as_ref().and_then(Codec::model);
        let made = {
            let mut guard = self.state.lock().ignore_poison();
            let state = guard.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
            state.set_engine_timeout(engine_timeout);
            match hints.is_none_or(|hints| state.check(&hints, ours)) {
                true => state.take(buffer),
                false => state.refuse(),
            }
        };
        if made.silence
            && let Some(clock) = &*self.silence_clock.lock().ignore_poison()
        {
            clock.wake();
        }
        self.push(made)
    }

    fn post(&self, structure: gst::Structure) {
        let message = gst::message::Element::builder(structure).src(&*self.obj()).build();
        if self.obj().post_message(message).is_err() {
            gst::trace!(CAT, imp = self, "nobody listens to messages");
        }
    }

    fn push(&self, made: ElementOutput) -> Result<gst::FlowSuccess, gst::FlowError> {
        if let Some(news) = made.news {
            gst::info!(CAT, imp = self, "{news}");
            self.post(news);
        }
        match made.buffer {
            Some(buffer) => self.src.push(buffer),
            None => Ok(gst::FlowSuccess::Ok),
        }
    }
}

#[cfg(test)]
mod tests;
