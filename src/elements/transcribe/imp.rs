//! The implementation of the element.
//!
//! SECTION:element-auralinktranscribe
//!
//! Transcribes speech in 16 kHz mono audio. Committed cues leave as timestamped text, silence as
//! gaps. Partial cues and changes of the engine are element messages (`auralink-cue`,
//! `auralink-engine`). It never delays audio, unless `wait` is set: audio that arrives faster than
//! the engine works is skipped.
//!
//! Engines run in child processes. `AURALINK_ENGINE` is the path of the program `auralink`.
//!
//! ## Example
//!
//! ```text
//! AURALINK_ENGINE=target/debug/auralink GST_PLUGIN_PATH=target/plugins gst-launch-1.0 -q \
//!     filesrc location=speech.flac ! decodebin ! audioconvert ! audioresample \
//!     ! auralinktranscribe wait=true language-code=en ! fdsink
//! ```
//!
//! Since: auralink-0.1.0

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::output::{self, Item, Placer};
use super::properties::{self, Properties};
use crate::media::IgnorePoison;
use crate::speech::stt::{Event, Transcriber};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("auralinktranscribe", gst::DebugColorFlags::empty(), Some("Captions"))
});

/// Items that may wait for downstream; further ones are dropped.
const WAITING_ITEMS_MAX: usize = 1024;

/// How often the task of the source pad checks whether it should stop.
const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Samples per second.
const RATE_HZ: i32 = 16_000;

/// State while the element runs.
struct State {
    transcriber: Arc<Transcriber>,
    items: SyncSender<Item>,
    /// Present until the task of the source pad takes it.
    queue: Option<Receiver<Item>>,
    segment: gst::FormattedSegment<gst::ClockTime>,
    /// Whether samples are 16-bit integers instead of floats.
    integers: bool,
    /// The end-of-stream event, held until everything is transcribed.
    ending: Arc<Mutex<Option<gst::Event>>>,
}

/// Implementation of [`super::Transcribe`].
pub struct Transcribe {
    sink: gst::Pad,
    src: gst::Pad,
    /// Lock order: properties before state; none is held while anything is pushed.
    properties: Mutex<Properties>,
    state: Mutex<Option<State>>,
}

#[glib::object_subclass]
impl ObjectSubclass for Transcribe {
    const NAME: &'static str = "AuralinkTranscribe";
    type Type = super::Transcribe;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let template = |name| class.pad_template(name).expect("registered with the class");
        let sink = gst::Pad::builder_from_template(&template("sink"))
            .chain_function(|pad, parent, buffer| {
                Transcribe::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |imp| imp.chain(pad, &buffer),
                )
            })
            .event_function(|pad, parent, event| {
                Transcribe::catch_panic_pad_function(parent, || false, |imp| imp.event(pad, event))
            })
            .build();
        let src = gst::Pad::builder_from_template(&template("src"))
            .activatemode_function(|pad, parent, _mode, active| {
                Transcribe::catch_panic_pad_function(
                    parent,
                    || Err(gst::loggable_error!(CAT, "panicked")),
                    |imp| imp.activate(pad, active),
                )
            })
            .query_function(|pad, parent, query| {
                Transcribe::catch_panic_pad_function(parent, || false, |imp| imp.query(pad, query))
            })
            .flags(gst::PadFlags::FIXED_CAPS)
            .build();
        Self { sink, src, properties: Mutex::default(), state: Mutex::default() }
    }
}

impl ObjectImpl for Transcribe {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(properties::specs);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        self.properties.lock().ignore_poison().set(pspec.name(), value);
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        self.properties.lock().ignore_poison().get(pspec.name())
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

impl GstObjectImpl for Transcribe {}

impl ElementImpl for Transcribe {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "AuraLink speech to text",
                "Audio/Text/Filter",
                "Writes down what is said, live, by Whisper, PocketSphinx or a server",
                "AuraLink",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let audio = gst::Caps::builder("audio/x-raw")
                .field("format", gst::List::new(["F32LE", "S16LE"]))
                .field("rate", RATE_HZ)
                .field("channels", 1)
                .field("layout", "interleaved")
                .build();
            let text = gst::Caps::builder("text/x-raw").field("format", "utf8").build();
            [("sink", gst::PadDirection::Sink, &audio), ("src", gst::PadDirection::Src, &text)]
                .map(|(name, way, caps)| {
                    gst::PadTemplate::new(name, way, gst::PadPresence::Always, caps)
                        .expect("name, direction and caps are valid")
                })
                .into()
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::ReadyToPaused => self.start()?,
            // A blocked chain function must return before its pad can be stopped.
            gst::StateChange::PausedToReady => self.close(),
            _ => {}
        }
        let success = self.parent_change_state(transition)?;
        if transition == gst::StateChange::PausedToReady {
            *self.state.lock().ignore_poison() = None;
        }
        Ok(success)
    }
}

impl Transcribe {
    fn start(&self) -> Result<(), gst::StateChangeError> {
        let properties = self.properties.lock().ignore_poison().clone();
        let options = properties.options().map_err(|reason| {
            gst::element_imp_error!(self, gst::ResourceError::Settings, ["{reason}"]);
            gst::StateChangeError
        })?;
        let (items, queue) = mpsc::sync_channel(WAITING_ITEMS_MAX);
        let ending: Arc<Mutex<Option<gst::Event>>> = Arc::default();
        let (to, end, element) = (items.clone(), Arc::clone(&ending), self.obj().downgrade());
        let told = move |event: Event| {
            let Some(element) = element.upgrade() else { return };
            if let Some(message) = output::message(element.upcast_ref(), &event) {
                // The bus may be gone with the pipeline.
                let _ = element.post_message(message);
            }
            let item = match event {
                Event::Committed(cue) => Item::Cue(cue),
                Event::HeardUntil(at) => Item::HeardUntil(at),
                Event::Ended => match end.lock().ignore_poison().take() {
                    Some(event) => Item::Ended(event),
                    None => return,
                },
                _ => return,
            };
            if to.try_send(item).is_err() {
                gst::warning!(CAT, obj = element, "downstream is too slow: text is dropped");
            }
        };
        let transcriber =
            Transcriber::new(properties.engines(), options, told).map_err(|error| {
                gst::element_imp_error!(self, gst::ResourceError::NoSpaceLeft, ["{error}"]);
                gst::StateChangeError
            })?;
        *self.state.lock().ignore_poison() = Some(State {
            transcriber: Arc::new(transcriber),
            items,
            queue: Some(queue),
            segment: gst::FormattedSegment::new(),
            integers: false,
            ending,
        });
        Ok(())
    }

    fn activate(&self, pad: &gst::Pad, active: bool) -> Result<(), gst::LoggableError> {
        if !active {
            return pad.stop_task().map_err(|e| gst::loggable_error!(CAT, "{e}"));
        }
        let placer = Placer::new(self.properties.lock().ignore_poison().lateness);
        let queue = self.state.lock().ignore_poison().as_mut().and_then(|state| state.queue.take());
        let Some(queue) = queue else { return Ok(()) };
        run(pad, queue, placer).map_err(|e| gst::loggable_error!(CAT, "{e}"))
    }

    fn close(&self) {
        if let Some(state) = &*self.state.lock().ignore_poison() {
            state.transcriber.close();
        }
    }

    fn chain(
        &self,
        _pad: &gst::Pad,
        buffer: &gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let (transcriber, at, integers) = {
            let state = self.state.lock().ignore_poison();
            let state = state.as_ref().ok_or(gst::FlowError::Flushing)?;
            let at = buffer.pts().and_then(|pts| state.segment.to_running_time(pts));
            (Arc::clone(&state.transcriber), at, state.integers)
        };
        // Audio before the segment, or without a timestamp, is not played either.
        let Some(at) = at else { return Ok(gst::FlowSuccess::Ok) };
        let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
        let samples: Vec<f32> = if integers {
            let sample = |b: &[u8; 2]| f32::from(i16::from_le_bytes(*b)) / 32_768.0;
            map.as_chunks::<2>().0.iter().map(sample).collect()
        } else {
            map.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
        };
        transcriber.push(Duration::from_nanos(at.nseconds()), &samples);
        Ok(gst::FlowSuccess::Ok)
    }

    fn event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        use gst::EventView;
        let mut state = self.state.lock().ignore_poison();
        let Some(state) = state.as_mut() else { return false };
        let send = |item| state.items.try_send(item).is_ok();
        match event.view() {
            EventView::Caps(caps) => {
                let structure = caps.caps().structure(0);
                let format = structure.and_then(|s| s.get::<&str>("format").ok());
                state.integers = format == Some("S16LE");
                let text = gst::Caps::builder("text/x-raw").field("format", "utf8").build();
                send(Item::Event(gst::event::Caps::builder(&text).seqnum(event.seqnum()).build()))
            }
            EventView::Segment(segment) => {
                let Some(time) = segment.segment().downcast_ref::<gst::ClockTime>() else {
                    gst::error!(CAT, imp = self, "segments must be in time");
                    return false;
                };
                let time = time.clone();
                state.segment = time.clone();
                send(Item::Segment(event, time))
            }
            EventView::Eos(_) => {
                *state.ending.lock().ignore_poison() = Some(event);
                state.transcriber.end();
                true
            }
            EventView::Gap(_) => true,
            _ if event.is_serialized() => send(Item::Event(event)),
            _ => gst::Pad::event_default(pad, Some(&*self.obj()), event),
        }
    }

    fn query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        let gst::QueryViewMut::Latency(latency) = query.view_mut() else {
            return gst::Pad::query_default(pad, Some(&*self.obj()), query);
        };
        let mut upstream = gst::query::Latency::new();
        if !self.sink.peer_query(&mut upstream) {
            return false;
        }
        let (live, least, most) = upstream.result();
        let own = {
            let properties = self.properties.lock().ignore_poison();
            properties.latency + properties.lateness
        };
        latency.set(live, least + own, most.map(|m| m + own));
        true
    }
}

/// The task of the source pad.
fn run(src: &gst::Pad, queue: Receiver<Item>, mut placer: Placer) -> Result<(), glib::BoolError> {
    let pad = src.downgrade();
    let task = move || {
        let Some(pad) = pad.upgrade() else { return };
        let flow = match queue.recv_timeout(STOP_CHECK_INTERVAL) {
            Ok(Item::Cue(cue)) => {
                let (gap, buffer) = placer.cue(&cue);
                if let Some(gap) = gap {
                    pad.push_event(gap);
                }
                pad.push(buffer)
            }
            Ok(item) => {
                let event = match item {
                    Item::HeardUntil(at) => placer.heard(at),
                    Item::Segment(event, segment) => {
                        placer.set_segment(segment);
                        Some(event)
                    }
                    Item::Event(event) | Item::Ended(event) => Some(event),
                    Item::Cue(_) => None,
                };
                if let Some(event) = event {
                    pad.push_event(event);
                }
                Ok(gst::FlowSuccess::Ok)
            }
            Err(mpsc::RecvTimeoutError::Timeout) => Ok(gst::FlowSuccess::Ok),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(gst::FlowError::Flushing),
        };
        if matches!(flow, Err(gst::FlowError::Flushing | gst::FlowError::Eos)) {
            // A pad that has a task can pause it.
            let _ = pad.pause_task();
        }
    };
    src.start_task(task)
}
