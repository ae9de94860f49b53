//! What happens to a frame under the feed's lock: which writer's frames go through, and how the
//! first frames of a writer follow those of another.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::inner::{Feed, Lane, State, WriterInner};
use crate::flow::gop::{Frame, Gop, squeeze_behind};
use crate::flow::{clock, format_of};
use crate::media::{Codec, Format, H264Profile, Kind};

/// Decode times that step back by more than this are a new time base: the feed continues after its
/// last frame, with a key frame.
const STEP_BACK_MAX: gst::ClockTime = gst::ClockTime::from_mseconds(500);

/// What remains to be done after the feed's lock is released.
#[derive(Default)]
struct Outcome {
    format: Option<Format>,
    /// A consumer waits for a key frame.
    starved: bool,
}

impl Feed {
    /// Adds a lane for a new writer.
    pub(super) fn enter(&self, id: u64, writer: &Arc<WriterInner>) {
        let mut state = self.0.lock();
        let active = state.active;
        state.writers.retain(|lane| lane.id == active || lane.writer.strong_count() > 0);
        state.writers.push(Lane { id, writer: Arc::downgrade(writer), gop: Gop::default() });
    }

    /// Makes a writer the active one, beginning with its recent frames.
    pub(super) fn activate(&self, id: u64) {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        if state.active == id {
            return;
        }
        state.writers.retain(|lane| lane.writer.strong_count() > 0);
        state.active = id;
        state.is_ending = false;
        state.needs_key = true;
        state.keyframe_asked = None;
        let outcome = self.begin(state, clock::now());
        let waits = state.needs_key;
        drop(guard);
        self.finish(outcome);
        if waits {
            self.request_keyframe();
        }
    }

    /// Takes a frame of a writer: it goes to all consumers if the writer is active, else it is kept
    /// for a while. True if the feed's format has changed.
    pub(super) fn take(&self, id: u64, frame: Frame) -> bool {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        if state.active != id {
            let given_up = state.lane(id).map_or(1, |lane| lane.gop.push(frame));
            self.0.stats.dropped_standby.fetch_add(given_up, Ordering::Relaxed);
            return false;
        }
        let outcome = self.follow(state, frame);
        drop(guard);
        self.finish(outcome)
    }

    /// Does what must not be done under the lock. True if the format has changed.
    fn finish(&self, outcome: Outcome) -> bool {
        let changed = outcome.format.is_some();
        if outcome.format.is_some() {
            self.0.format.send_replace(outcome.format);
        }
        if outcome.starved {
            self.request_keyframe();
        }
        changed
    }

    /// Takes a frame of the active writer.
    fn follow(&self, state: &mut State, frame: Frame) -> Outcome {
        let steps_back =
            frame.dts().zip(state.last_dts).is_some_and(|(d, last)| d + STEP_BACK_MAX < last);
        if !state.needs_key && !steps_back {
            return self.deliver(state, frame);
        }
        let now = frame.arrived;
        let mut given_up = 0;
        if let Some(gop) = state.gop() {
            given_up = if steps_back { gop.clear() } else { 0 };
            given_up += gop.push(frame);
        }
        state.needs_key = true;
        self.0.stats.dropped_switch.fetch_add(given_up, Ordering::Relaxed);
        self.begin(state, now)
    }

    /// Lets through the frames of a writer that has just become active, if decoding can start and
    /// time does not step back.
    fn begin(&self, state: &mut State, now: gst::ClockTime) -> Outcome {
        let last = state.last_dts;
        let Some(gop) = state.gop() else { return Outcome::default() };
        let mut frames = gop.to_send(now, last.is_none());
        if self.0.kind == Kind::Audio {
            frames.retain(|f| !f.sent && last.is_none_or(|last| f.dts().is_some_and(|t| t > last)));
        } else if last.is_some_and(|last| !squeeze_behind(&mut frames, last)) {
            return Outcome::default();
        }
        let new = frames.iter().filter(|f| !f.sent).count() as u64;
        let given_up = gop.clear().saturating_sub(new);
        self.0.stats.dropped_switch.fetch_add(given_up, Ordering::Relaxed);
        let mut outcome = Outcome::default();
        for frame in frames {
            if std::mem::take(&mut state.needs_key) {
                state.last_pts = None;
                // Another source may differ in kind despite equal caps.
                state.caps = None;
            }
            let next = self.deliver(state, frame);
            outcome.format = next.format.or(outcome.format);
            outcome.starved |= next.starved;
        }
        outcome
    }

    /// Sends one frame of the active writer to all consumers.
    fn deliver(&self, state: &mut State, mut frame: Frame) -> Outcome {
        let (buffer, dts) = (&frame.buffer, frame.dts());
        let reordered = state.last_pts.zip(buffer.pts()).is_some_and(|(last, pts)| pts < last);
        state.last_dts = dts;
        state.last_pts = buffer.pts();
        let format = self.follow_format(state, &frame, reordered);

        let age = dts.map_or(gst::ClockTime::ZERO, |dts| clock::now().saturating_sub(dts));
        let stats = &self.0.stats;
        stats.age_us.store(age.useconds(), Ordering::Relaxed);
        stats.buffers.fetch_add(1, Ordering::Relaxed);
        stats.bytes.fetch_add(buffer.size() as u64, Ordering::Relaxed);
        if frame.is_key {
            stats.keyframes.fetch_add(1, Ordering::Relaxed);
        }
        let mut starved = false;
        for consumer in &mut state.consumers {
            starved |= consumer.push(&frame);
        }
        frame.sent = true;
        let is_kept = state.keeps_frames();
        if let Some(gop) = state.gop() {
            if is_kept {
                gop.push(frame);
            } else {
                gop.clear();
            }
        }
        Outcome { format, starved }
    }

    /// Records new caps; returns the format if it has changed.
    fn follow_format(&self, state: &mut State, frame: &Frame, reordered: bool) -> Option<Format> {
        let caps = &frame.caps;
        let known_caps = state.caps.as_ref() == Some(caps);
        // What was once learned about these caps stays true.
        let known = state.format.as_ref().filter(|_| known_caps).map(|format| &format.video);
        let (reorders, recovers) =
            known.map_or((false, false), |v| (v.reorders, v.recovery_points));
        let recovery_point = !recovers && frame.recovers;
        if known_caps && (reorders || !reordered) && !recovery_point {
            return None;
        }
        if !known_caps {
            state.caps = Some(caps.clone());
            if let Some(gop) = state.gop() {
                gop.clear();
            }
        }
        let key = frame.is_key.then_some(frame.buffer.as_ref());
        let mut format = format_of(caps, key)?;
        format.video.reorders |= reorders || (reordered && may_reorder(&format));
        format.video.recovery_points = recovers || recovery_point;
        if state.format.as_ref() == Some(&format) {
            return None;
        }
        state.format = Some(format.clone());
        Some(format)
    }
}

/// Whether timestamps that step back can mean B-frames. In audio, VP8 and baseline H.264 they
/// cannot: there it is jitter of the sender's clock.
fn may_reorder(format: &Format) -> bool {
    match format.codec {
        Codec::H264 => !matches!(
            format.video.profile,
            Some(H264Profile::ConstrainedBaseline | H264Profile::Baseline)
        ),
        Codec::H265 => true,
        _ => false,
    }
}
