//! The encoder itself: cuts sound into frames, dates what the sender makes of them.

use std::collections::VecDeque;
use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::{CODEC, HINTS, aic_caps, frames, lock, properties, raw_caps, template};
use crate::aic::engine::Codec;
use crate::aic::fallback::{BEHIND, WIDE_FRAME, WIDE_RATE};
use crate::aic::hints;
use crate::aic::ratio::Ratio;
use crate::aic::send::{Sender, Sent, Settings, Used, Wish};
use crate::aic::weights::{self, ModelId, NO_MODEL};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("auralinkaicenc", gst::DebugColorFlags::empty(), Some("AIC-A encoder"))
});

/// A step in the timestamps of more than this is a gap, not jitter.
const JUMP_MIN: gst::ClockTime = gst::ClockTime::from_mseconds(40);

/// What exists from the first caps until the element stops.
struct State {
    sender: Sender,
    channels: usize,
    /// Interleaved samples of a frame that is not complete.
    pending: Vec<f32>,
    /// Where the next input should start, if it continues what came before.
    expected: Option<gst::ClockTime>,
    /// Number and time of frames that have not left.
    times: VecDeque<(u64, gst::ClockTime)>,
    at: u64,
    discont: bool,
    used: Option<Used>,
    ratio: Ratio,
}

/// See [`super::AicEncCore`].
pub struct AicEncCore {
    sink: gst::Pad,
    src: gst::Pad,
    /// Lock order: settings before state before model; none is held while anything is pushed or
    /// posted.
    settings: Mutex<Settings>,
    state: Mutex<Option<State>>,
    codec: Mutex<Option<Codec>>,
    /// Model of the caps downstream has.
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
        let mut settings = lock(&self.settings);
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
        let settings = *lock(&self.settings);
        let state = lock(&self.state);
        match pspec.name() {
            "codec-in-use" => state.as_ref().and_then(|s| s.used).map(Used::name).to_value(),
            "stats" => stats(state.as_ref()).to_value(),
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

fn stats(state: Option<&State>) -> gst::Structure {
    let sent = state.map(|s| s.sender.stats()).unwrap_or_default();
    let ratio = state.map(|s| &s.ratio);
    gst::Structure::builder("auralink-aic-stats")
        .field("frames", sent.frames)
        .field("aic", sent.aic)
        .field("opus", sent.opus)
        .field("fallback", sent.fallback)
        .field("misses", sent.misses)
        .field("bytes", sent.bytes)
        .field("codec", state.and_then(|s| s.used).map_or("none", Used::name))
        .field("reason", state.and_then(|s| s.sender.why()).map_or("", |why| why.code()))
        .field("predicted-ratio", ratio.map_or(0.0, Ratio::predicted))
        .field("achieved-ratio", ratio.map_or(0.0, Ratio::achieved))
        .build()
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
            // It warms up while the rest of the pipeline gets ready.
            *lock(&self.codec) = Some(Codec::shared());
        }
        let success = self.parent_change_state(transition)?;
        match transition {
            gst::StateChange::PausedToReady => {
                *lock(&self.state) = None;
                *lock(&self.model) = None;
            }
            gst::StateChange::ReadyToNull => *lock(&self.codec) = None,
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
                if let Some(state) = &mut *lock(&self.state) {
                    state.pending.clear();
                    state.times.clear();
                    state.expected = None;
                    state.discont = true;
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
            let settings = *lock(&self.settings);
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
        let codec = lock(&self.codec).get_or_insert_with(Codec::shared).clone();
        let sender = Sender::new(codec, channels)
            .map_err(|e| glib::bool_error!("libopus does not start: {e}"))?;
        *lock(&self.state) = Some(State {
            sender,
            channels,
            pending: Vec::with_capacity(2 * WIDE_FRAME * channels),
            expected: None,
            times: VecDeque::new(),
            at: 0,
            discont: true,
            used: None,
            ratio: Ratio::default(),
        });
        Ok(())
    }

    /// Tells downstream the model, if it does not know it.
    fn push_caps(&self) -> bool {
        let codec = lock(&self.codec).clone();
        let model = codec.and_then(|c| c.model()).unwrap_or(NO_MODEL);
        if lock(&self.model).replace(model) == Some(model) {
            return true;
        }
        let caps = aic_caps(Some(&weights::text(model)));
        self.src.push_event(gst::event::Caps::new(&caps))
    }

    fn chain(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let settings = *lock(&self.settings);
        let jumped = lock(&self.state).as_ref().is_some_and(|s| s.jumps(buffer));
        if jumped {
            self.drain();
        }
        let made = {
            let mut guard = lock(&self.state);
            let state = guard.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
            state.take(buffer, &settings).map_err(|error| {
                gst::error!(CAT, imp = self, "{error}");
                gst::FlowError::Error
            })?
        };
        self.push(made)
    }

    fn push(&self, made: Made) -> Result<gst::FlowSuccess, gst::FlowError> {
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

    /// Sends everything that is inside, silence behind it.
    fn drain(&self) {
        let settings = *lock(&self.settings);
        let made = match &mut *lock(&self.state) {
            Some(state) if state.expected.is_some() => state.drain(&settings),
            _ => return,
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

#[derive(Default)]
struct Made {
    buffers: Vec<gst::Buffer>,
    change: Option<gst::Structure>,
}

impl State {
    fn jumps(&self, buffer: &gst::Buffer) -> bool {
        match (buffer.pts(), self.expected) {
            (Some(start), Some(expected)) => {
                start.saturating_sub(expected).max(expected.saturating_sub(start)) > JUMP_MIN
            }
            _ => false,
        }
    }

    fn duration(&self, samples: usize) -> gst::ClockTime {
        let count = (samples / self.channels) as u64;
        gst::ClockTime::SECOND.mul_div_round(count, WIDE_RATE as u64).unwrap_or_default()
    }

    fn take(&mut self, buffer: &gst::Buffer, settings: &Settings) -> Result<Made, String> {
        let start = buffer.pts().or(self.expected).unwrap_or_default();
        // Dating frames from each buffer follows a source whose clock is not quite ours.
        let mut first = start.saturating_sub(self.duration(self.pending.len()));
        let map = buffer.map_readable().map_err(|e| e.to_string())?;
        let sample = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        let before = self.pending.len();
        self.pending.extend(map.chunks_exact(4).map(sample));
        self.expected = Some(start + self.duration(self.pending.len() - before));
        let size = WIDE_FRAME * self.channels;
        let pending = std::mem::take(&mut self.pending);
        let (mut made, mut sent) = (Made::default(), Vec::new());
        for frame in pending.chunks(size) {
            if frame.len() < size {
                self.pending.extend_from_slice(frame);
                break;
            }
            self.frame(frame, first, settings, &mut sent)?;
            first += frames(1);
        }
        self.wrap(sent, settings, &mut made);
        Ok(made)
    }

    fn frame(
        &mut self,
        frame: &[f32],
        at: gst::ClockTime,
        settings: &Settings,
        sent: &mut Vec<Sent>,
    ) -> Result<(), String> {
        self.times.push_back((self.at, at));
        self.at += 1;
        self.sender.frame(frame, settings, sent).map_err(|e| format!("{e}"))
    }

    fn drain(&mut self, settings: &Settings) -> Result<Made, String> {
        let size = WIDE_FRAME * self.channels;
        let held = self.duration(self.pending.len());
        let mut first = self.expected.take().unwrap_or_default().saturating_sub(held);
        // The receiver is behind: that much silence brings the end out.
        let mut rest = std::mem::take(&mut self.pending);
        let whole = (rest.len() + BEHIND * self.channels).div_ceil(size) * size;
        rest.resize(whole, 0.0);
        let mut sent = Vec::new();
        for frame in rest.chunks(size) {
            self.frame(frame, first, settings, &mut sent)?;
            first += frames(1);
        }
        self.sender.finish(settings, &mut sent).map_err(|e| format!("{e}"))?;
        let mut made = Made::default();
        self.wrap(sent, settings, &mut made);
        self.discont = true;
        Ok(made)
    }

    fn wrap(&mut self, sent: Vec<Sent>, settings: &Settings, made: &mut Made) {
        for sent in sent {
            while self.times.front().is_some_and(|(at, _)| *at < sent.first) {
                self.times.pop_front();
            }
            let pts = self.times.front().map(|(_, at)| *at);
            if self.used.replace(sent.used) != Some(sent.used) {
                made.change = Some(self.change(sent.used, settings));
            }
            self.ratio.sent(sent.payload.len(), self.at, settings);
            let checksum = hints::checksum(&sent.payload);
            let mut buffer = gst::Buffer::from_mut_slice(sent.payload);
            let writable = buffer.get_mut().expect("a new buffer has one owner");
            writable.set_pts(pts);
            writable.set_duration(frames(sent.frames));
            if std::mem::take(&mut self.discont) {
                writable.set_flags(gst::BufferFlags::DISCONT);
            }
            if sent.spurt {
                writable.set_flags(gst::BufferFlags::MARKER);
            }
            if let Ok(mut meta) = gst::meta::CustomMeta::add(writable, HINTS) {
                let class = match self.sender.class() {
                    _ if sent.comfort => "background",
                    crate::aic::content::Class::Speech => "speech",
                    crate::aic::content::Class::Other => "other",
                };
                let said = meta.mut_structure();
                said.set("class", class);
                said.set("loudness-dbfs", f64::from(self.sender.level_dbfs()));
                said.set("predicted-ratio", self.ratio.predicted());
                said.set("achieved-ratio", self.ratio.achieved());
                // The base class shows the extension this meta, but not the payload.
                said.set("checksum", u32::from(checksum));
            }
            made.buffers.push(buffer);
        }
    }

    fn change(&self, to: Used, settings: &Settings) -> gst::Structure {
        let why = self.sender.why();
        let reason = match (why, settings.wish) {
            (Some(why), _) => why.code(),
            (None, Wish::Auto) => "content",
            (None, _) => "asked",
        };
        gst::Structure::builder(CODEC)
            .field("codec", to.name())
            .field("reason", reason)
            .field("detail", why.map(ToString::to_string).unwrap_or_default())
            .build()
    }
}
