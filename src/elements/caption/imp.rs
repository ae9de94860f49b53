//! The implementation of the element.
//!
//! SECTION:element-auralinkcaption
//!
//! Puts CEA-608 and CEA-708 captions into the SEI of H.264 and H.265 without decoding the video. It
//! adds no latency: due captions go into the frame that passes. Frames arrive in decoding order,
//! but captions follow the order of presentation. Captions of the source are kept, replaced or
//! moved.
//!
//! Text pads are requested by the name of a service: `text_cc1`, `text_s1`. Their text waits until
//! the video is within five seconds of it.
//!
//! ## Example
//!
//! ```text
//! gst-launch-1.0 auralinkcaption name=c services="cc1=en,s1=en" ! mpegtsmux ! filesink location=out.ts \
//!     filesrc location=in.mp4 ! qtdemux ! h264parse ! video/x-h264,stream-format=byte-stream ! c.sink \
//!     filesrc location=in.srt ! subparse ! text/x-raw,format=utf8 ! c.text_cc1
//! ```
//!
//! Since: auralink-0.1.0

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::properties::{self, Properties};
use super::text::{self, Gate};
use crate::captions::schedule::Frame;
use crate::captions::{Captioner, Service, VideoCodec};
use crate::media::{Cue, IgnorePoison, Language};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("auralinkcaption", gst::DebugColorFlags::empty(), Some("Captions"))
});

/// State while the element runs.
struct State {
    captioner: Captioner,
    segment: gst::FormattedSegment<gst::ClockTime>,
    /// Duration of a frame according to the caps.
    step: Option<Duration>,
}

/// Implementation of [`super::Caption`].
pub struct Caption {
    sink: gst::Pad,
    src: gst::Pad,
    /// Lock order: properties before state before the gate; none is held while anything is pushed.
    properties: Mutex<Properties>,
    state: Mutex<Option<State>>,
    gate: Gate,
    texts: AtomicU64,
}

#[glib::object_subclass]
impl ObjectSubclass for Caption {
    const NAME: &'static str = "AuralinkCaption";
    type Type = super::Caption;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let template = |name| class.pad_template(name).expect("registered with the class");
        let sink = gst::Pad::builder_from_template(&template("sink"))
            .chain_function(|pad, parent, buffer| {
                Caption::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |imp| imp.chain(pad, buffer),
                )
            })
            .event_function(|pad, parent, event| {
                Caption::catch_panic_pad_function(parent, || false, |imp| imp.event(pad, event))
            })
            .iterate_internal_links_function(|_, parent| {
                Caption::catch_panic_pad_function(
                    parent,
                    || gst::Iterator::from_vec(Vec::new()),
                    |imp| gst::Iterator::from_vec(vec![imp.src.clone()]),
                )
            })
            .flags(gst::PadFlags::PROXY_CAPS)
            .build();
        let src = gst::Pad::builder_from_template(&template("src"))
            // Text pads take no part in queries for the video: latency, seeking, caps.
            .iterate_internal_links_function(|_, parent| {
                Caption::catch_panic_pad_function(
                    parent,
                    || gst::Iterator::from_vec(Vec::new()),
                    |imp| gst::Iterator::from_vec(vec![imp.sink.clone()]),
                )
            })
            .flags(gst::PadFlags::PROXY_CAPS)
            .build();
        Self {
            sink,
            src,
            properties: Mutex::default(),
            state: Mutex::default(),
            gate: Gate::default(),
            texts: AtomicU64::new(0),
        }
    }
}

impl ObjectImpl for Caption {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(properties::specs);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut properties = self.properties.lock().ignore_poison();
        let text = || value.get::<Option<String>>().expect("type checked upstream");
        match pspec.name() {
            "services" => properties.services = text().unwrap_or_default(),
            "moves" => properties.moves = text().unwrap_or_default(),
            "mode" => properties.mode = value.get().expect("type checked upstream"),
            "existing" => properties.existing = value.get().expect("type checked upstream"),
            name => unreachable!("no writable property `{name}`"),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let properties = self.properties.lock().ignore_poison().clone();
        match pspec.name() {
            "services" => properties.services.to_value(),
            "moves" => properties.moves.to_value(),
            "mode" => properties.mode.to_value(),
            "existing" => properties.existing.to_value(),
            "stats" => {
                let counted =
                    self.state.lock().ignore_poison().as_ref().map(|state| state.captioner.stats());
                properties::stats(&counted.unwrap_or_default()).to_value()
            }
            name => unreachable!("no property `{name}`"),
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

impl GstObjectImpl for Caption {}

impl ElementImpl for Caption {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "AuraLink captions in video",
                "Filter/Video/ClosedCaption",
                "Puts CEA-608 and CEA-708 captions into H.264 and H.265 without decoding",
                "AuraLink",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let video = ["video/x-h264", "video/x-h265"].map(|name| {
                gst::Structure::builder(name)
                    .field("stream-format", "byte-stream")
                    .field("alignment", "au")
                    .build()
            });
            let video: gst::Caps = video.into_iter().collect();
            let text = gst::Caps::builder("text/x-raw").field("format", "utf8").build();
            use gst::PadDirection::{Sink, Src};
            use gst::PadPresence::{Always, Request};
            [
                ("sink", Sink, Always, &video),
                ("src", Src, Always, &video),
                ("text_%s", Sink, Request, &text),
            ]
            .map(|(name, way, presence, caps)| {
                gst::PadTemplate::new(name, way, presence, caps)
                    .expect("name, direction and caps are valid")
            })
            .into()
        });
        &TEMPLATES
    }

    fn request_new_pad(
        &self,
        template: &gst::PadTemplate,
        name: Option<&str>,
        _caps: Option<&gst::Caps>,
    ) -> Option<gst::Pad> {
        let name = name?;
        let service: Service = match name.strip_prefix("text_")?.parse() {
            Ok(service) => service,
            Err(error) => {
                gst::error!(CAT, imp = self, "pad {name}: {error}");
                return None;
            }
        };
        let pad = gst::Pad::builder_from_template(template)
            .name(name)
            .chain_function(move |pad, parent, buffer| {
                Caption::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |imp| imp.text(pad, service, &buffer),
                )
            })
            .event_function(|_, parent, event| {
                Caption::catch_panic_pad_function(parent, || false, |imp| imp.text_event(&event))
            })
            .iterate_internal_links_function(|_, _| gst::Iterator::from_vec(Vec::new()))
            .build();
        self.obj().add_pad(&pad).ok()?;
        Some(pad)
    }

    fn release_pad(&self, pad: &gst::Pad) {
        if let Err(error) = self.obj().remove_pad(pad) {
            gst::warning!(CAT, imp = self, "pad {}: {error}", pad.name());
        }
    }

    fn change_state(
        &self,
        change: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match change {
            gst::StateChange::ReadyToPaused => self.start()?,
            // Before pads are stopped, which waits for blocked text pads.
            gst::StateChange::PausedToReady => self.gate.set_open(true),
            _ => {}
        }
        let success = self.parent_change_state(change)?;
        if change == gst::StateChange::PausedToReady {
            *self.state.lock().ignore_poison() = None;
        }
        Ok(success)
    }
}

impl Caption {
    fn start(&self) -> Result<(), gst::StateChangeError> {
        let settings = self.properties.lock().ignore_poison().settings().map_err(|error| {
            gst::element_imp_error!(self, gst::LibraryError::Settings, ("{error}"));
            gst::StateChangeError
        })?;
        let captioner = Captioner::new(settings, VideoCodec::H264);
        let segment = gst::FormattedSegment::new();
        *self.state.lock().ignore_poison() = Some(State { captioner, segment, step: None });
        self.gate.advance(Duration::ZERO);
        self.gate.set_open(false);
        Ok(())
    }

    /// See [`super::Caption::push`].
    pub(super) fn push(&self, cue: &Cue) -> usize {
        self.state.lock().ignore_poison().as_mut().map_or(0, |state| state.captioner.push(cue))
    }

    /// See [`super::Caption::push_to`].
    pub(super) fn push_to(&self, service: Service, cue: &Cue) {
        if let Some(state) = &mut *self.state.lock().ignore_poison() {
            state.captioner.push_to(service, cue);
        }
    }

    fn chain(
        &self,
        _pad: &gst::Pad,
        buffer: gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let made = match &mut *self.state.lock().ignore_poison() {
            Some(state) => state.frame(&buffer),
            None => return Err(gst::FlowError::Flushing),
        };
        let (buffer, at) = match made {
            Ok((made, at)) => (made.unwrap_or(buffer), at),
            Err(error) => {
                gst::error!(CAT, imp = self, "a frame cannot be read: {error}");
                return Err(gst::FlowError::Error);
            }
        };
        if let Some(at) = at {
            self.gate.advance(at);
        }
        self.src.push(buffer)
    }

    fn event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Caps(caps) => {
                if let Some(state) = &mut *self.state.lock().ignore_poison() {
                    state.set_caps(caps.caps());
                }
            }
            gst::EventView::Segment(segment) => {
                let Some(segment) = segment.segment().downcast_ref::<gst::ClockTime>() else {
                    gst::error!(CAT, imp = self, "the segment is not one of time");
                    return false;
                };
                if let Some(state) = &mut *self.state.lock().ignore_poison() {
                    state.segment = segment.clone();
                }
            }
            gst::EventView::Eos(_) => self.gate.set_open(true),
            gst::EventView::StreamStart(_) => self.gate.set_open(false),
            _ => {}
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    /// Events of text end here; only those of the video are forwarded.
    fn text_event(&self, event: &gst::Event) -> bool {
        match event.view() {
            gst::EventView::FlushStart(_) => self.gate.set_open(true),
            gst::EventView::FlushStop(_) => self.gate.set_open(false),
            _ => {}
        }
        true
    }

    fn text(
        &self,
        pad: &gst::Pad,
        service: Service,
        buffer: &gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let segment = pad
            .sticky_event::<gst::event::Segment>(0)
            .and_then(|event| event.segment().downcast_ref::<gst::ClockTime>().cloned());
        let running = segment.zip(buffer.pts()).and_then(|(s, pts)| s.to_running_time(pts));
        let Some(start) = running.map(Duration::from) else {
            gst::warning!(CAT, imp = self, "text without a place in time is left out");
            return Ok(gst::FlowSuccess::Ok);
        };
        let map = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
        let words = String::from_utf8_lossy(&map);
        let language = self
            .properties
            .lock()
            .ignore_poison()
            .settings()
            .ok()
            .and_then(|s| s.services.iter().find(|(s, _)| *s == service).map(|(_, l)| l.clone()))
            .unwrap_or_else(Language::english);
        let id = self.texts.fetch_add(1, Ordering::Relaxed) + 1;
        let span = buffer.duration().map(Duration::from);
        let cue = text::cue(id, words.trim_end_matches('\0'), &language, start, span);
        self.gate.wait(start);
        self.push_to(service, &cue);
        Ok(gst::FlowSuccess::Ok)
    }
}

/// A frame with captions, if they have changed, and its running time.
type CaptionedFrame = (Option<gst::Buffer>, Option<Duration>);

impl State {
    fn set_caps(&mut self, caps: &gst::CapsRef) {
        let Some(structure) = caps.structure(0) else { return };
        self.captioner.set_codec(match structure.name().as_str() {
            "video/x-h265" => VideoCodec::H265,
            _ => VideoCodec::H264,
        });
        let rate = structure.get::<gst::Fraction>("framerate").ok();
        self.step = rate
            .filter(|rate| rate.numer() > 0 && rate.denom() > 0)
            .map(|rate| Duration::from_secs_f64(f64::from(rate.denom()) / f64::from(rate.numer())));
    }

    fn frame(&mut self, buffer: &gst::Buffer) -> Result<CaptionedFrame, glib::BoolError> {
        let running = |at: Option<gst::ClockTime>| {
            at.and_then(|at| self.segment.to_running_time(at)).map(Duration::from)
        };
        let Some(pts) = running(buffer.pts()) else { return Ok((None, None)) };
        let duration = buffer.duration().map(Duration::from).or(self.step);
        let frame = Frame { pts, dts: running(buffer.dts()), duration };
        let map = buffer.map_readable()?;
        let Some(made) = self.captioner.frame(&map, frame) else { return Ok((None, Some(pts))) };
        drop(map);
        // The memory of the picture is shared, not copied.
        let flags =
            gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::META | gst::BufferCopyFlags::MEMORY;
        let mut out = buffer.copy_region(flags, made.tail..)?;
        let writable = out.make_mut();
        writable.set_pts(buffer.pts());
        writable.set_dts(buffer.dts());
        writable.set_duration(buffer.duration());
        writable.set_offset(buffer.offset());
        writable.set_offset_end(buffer.offset_end());
        writable.prepend_memory(gst::Memory::from_mut_slice(made.head));
        Ok((Some(out), Some(pts)))
    }
}
