//! The transcriber's output as buffers and messages.

use std::time::Duration;

use super::{CUE, ENGINE};
use crate::media::Cue;
use crate::speech::stt::{Event, Status};

/// Shorter gaps are not sent.
const GAP_MIN: gst::ClockTime = gst::ClockTime::from_mseconds(200);

/// Output of the source pad, in order.
pub(super) enum Item {
    /// An event from upstream.
    Event(gst::Event),
    /// The segment that maps times, also as an event.
    Segment(gst::Event, gst::FormattedSegment<gst::ClockTime>),
    /// A committed cue.
    Cue(Cue),
    /// No later cue begins before this running time.
    HeardUntil(Duration),
    /// The end of the stream; everything is transcribed.
    Ended(gst::Event),
}

/// Places cues on the time line of the source pad.
pub(super) struct Placer {
    segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    lateness: gst::ClockTime,
    /// Running time up to which text or gaps were sent.
    until: gst::ClockTime,
}

impl Placer {
    pub(super) fn new(lateness: gst::ClockTime) -> Self {
        Self { segment: None, lateness, until: gst::ClockTime::ZERO }
    }

    pub(super) fn set_segment(&mut self, segment: gst::FormattedSegment<gst::ClockTime>) {
        self.segment = Some(segment);
    }

    /// The buffer of a cue, with the gap before it.
    pub(super) fn cue(&mut self, cue: &Cue) -> (Option<gst::Event>, gst::Buffer) {
        let (start, end) = (self.shown(cue.start), self.shown(cue.end));
        let gap = self.gap(start);
        let mut buffer = gst::Buffer::from_slice(cue.text.clone().into_bytes());
        {
            let buffer = buffer.make_mut();
            buffer.set_pts(self.position(start));
            buffer.set_duration(end.saturating_sub(start));
        }
        self.until = self.until.max(end);
        (gap, buffer)
    }

    /// The gap up to a running time of the audio.
    pub(super) fn heard(&mut self, at: Duration) -> Option<gst::Event> {
        let at = self.shown(at);
        if at < self.until + GAP_MIN { None } else { self.gap(at) }
    }

    fn gap(&mut self, to: gst::ClockTime) -> Option<gst::Event> {
        let length = to.checked_sub(self.until).filter(|l| !l.is_zero())?;
        let from = self.position(self.until)?;
        self.until = to;
        Some(gst::event::Gap::builder(from).duration(length).build())
    }

    fn shown(&self, at: Duration) -> gst::ClockTime {
        gst::ClockTime::from_nseconds(at.as_nanos() as u64) + self.lateness
    }

    fn position(&self, at: gst::ClockTime) -> Option<gst::ClockTime> {
        self.segment.as_ref()?.position_from_running_time(at)
    }
}

/// The message for an event, if it concerns the application.
pub(super) fn message(element: &gst::Element, event: &Event) -> Option<gst::Message> {
    let structure = match event {
        Event::Partial(cue) | Event::Committed(cue) => gst::Structure::builder(CUE)
            .field("cue", serde_json::to_string(cue).ok()?)
            .field("committed", cue.is_committed())
            .build(),
        Event::State(status) => {
            let text = |s: &str| Some(s.to_owned());
            let (state, engine, why) = match status {
                Status::Starting => ("starting", None, None),
                Status::Listening { engine, .. } => ("listening", text(engine), None),
                Status::Off { why } => ("off", None, text(why)),
            };
            engine_message(state, engine, why)
        }
        Event::Switched { to, why, .. } => {
            engine_message("switched", Some(to.clone()), Some(why.clone()))
        }
        Event::Language(..) | Event::HeardUntil(_) | Event::Ended => return None,
    };
    Some(gst::message::Element::builder(structure).src(element).build())
}

fn engine_message(state: &str, engine: Option<String>, why: Option<String>) -> gst::Structure {
    gst::Structure::builder(ENGINE)
        .field("state", state)
        .field_if_some("engine", engine)
        .field_if_some("why", why)
        .build()
}
