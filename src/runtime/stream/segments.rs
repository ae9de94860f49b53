//! The segments of a stream, made while a player requests them, and always with captions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Stream;
use crate::egress::SEGMENT_PROTOCOLS;
use crate::egress::segments::{self, ClosedCaptions, SegmentStore};
use crate::flow::{Refusal, RefusalKind};
use crate::media::{Codec, Format, Language, Protocol};
use crate::process::{decode, encode};
use crate::runtime::StreamState;

/// Segments are no longer made after this time without a request.
const SEGMENTS_IDLE_TIMEOUT: Duration = Duration::from_secs(45);

/// Name of the worker that fills the segment store: part of the API, which has only HLS so far.
pub(super) const SEGMENTS: &str = "hls";

/// Name of the worker that adds the video as H.264.
pub(super) const SEGMENTS_H264: &str = "hls.h264";

impl Stream {
    /// Starts segments if needed and returns the segment store on which they appear.
    pub(super) fn open_segments(
        &mut self,
        protocol: Protocol,
    ) -> Result<Arc<SegmentStore>, Refusal> {
        if !self.preset.play.allows(protocol) {
            return Err(super::viewers::not_offered(&self.preset, protocol));
        }
        if self.state == StreamState::Idle {
            return Err(super::viewers::not_live(&self.spec.name));
        }
        if self.shared.is_stopping() {
            return Err(Refusal::new(
                RefusalKind::Busy,
                "the appliance is shutting down",
                "try again in a minute",
            ));
        }
        let segment_store = self.segment_store();
        if !self.segments_wanted {
            self.segments_wanted = true;
            self.sync_outputs();
        }
        Ok(segment_store)
    }

    /// A player of captions starts some seconds in the past, so these seconds must exist before the
    /// first player connects: with captions segments are always made.
    pub(super) fn pin_segments(&mut self) {
        if SEGMENT_PROTOCOLS.iter().any(|protocol| self.preset.play.allows(*protocol)) {
            let closed_captions = self.closed_captions();
            self.segment_store().set_closed_captions(closed_captions);
            self.segments_wanted = true;
        }
    }

    fn segment_store(&mut self) -> Arc<SegmentStore> {
        let settings = self.shared.options.segments;
        self.segment_store.get_or_insert_with(|| SegmentStore::new(settings)).clone()
    }

    /// The captions that are embedded in the video.
    fn closed_captions(&self) -> Vec<ClosedCaptions> {
        let settings = self.caption_settings().unwrap_or_default();
        let spoken = settings.language.language();
        let carried = |(service, language): (&str, Option<Language>)| {
            // Settings with another service are refused.
            let service = service.parse().ok()?;
            Some(ClosedCaptions { service, language: language.or_else(|| spoken.cloned()) })
        };
        settings.embed.by_service().filter_map(carried).collect()
    }

    /// Segments carry some codecs that not every browser decodes. H.264 is offered beside them and
    /// encoded while a player requests it.
    pub(super) fn offer_h264(&self) {
        let Some(segment_store) = &self.segment_store else { return };
        let video = self.planned_for.as_ref().and_then(|(video, _)| video.as_ref());
        let untouched = segments::accepts().video;
        let other = video.filter(|video| {
            let passes = untouched.as_ref().is_some_and(|a| a.objection(video).is_none());
            passes && video.codec != Codec::H264 && decode::can_decode(video.codec)
        });
        let other = other.filter(|_| self.shared.best_encoders.contains_key(&Codec::H264));
        let kbps = |video: &Format| {
            let set = self.shared.options.encode.video_kbps;
            set.unwrap_or_else(|| encode::default_video_kbps(Codec::H264, &video.video))
        };
        segment_store.offer_h264(other.map(|video| u64::from(kbps(video)) * 1000));
    }

    pub(super) fn wants_h264(&self) -> bool {
        self.segment_store.as_ref().is_some_and(|segment_store| segment_store.wants_h264())
    }

    /// Starts or stops the H.264 video of the segments as players need it.
    pub(super) fn follow_h264(&mut self) {
        let made = self.workers.get(SEGMENTS_H264).is_some_and(|w| w.idle_since.is_none());
        if self.segments_wanted && made != self.wants_h264() {
            self.sync_outputs();
        }
    }

    /// Stops segments without requests.
    pub(super) fn close_idle_segments(&mut self, now: Instant) {
        if self.segments_due(now).is_some_and(|due| due <= now) {
            self.segments_wanted = false;
            self.sync_outputs();
        }
    }

    /// When segments stop without further requests. `None` with captions: then they never stop.
    pub(super) fn segments_due(&self, now: Instant) -> Option<Instant> {
        let pinned = self.caption_settings().is_some_and(|settings| settings.enabled);
        let segment_store =
            self.segment_store.as_ref().filter(|_| self.segments_wanted && !pinned)?;
        Some(now + SEGMENTS_IDLE_TIMEOUT.saturating_sub(segment_store.idle()))
    }
}
