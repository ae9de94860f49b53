//! The segments of a stream, made while a player requests them, and always with captions or a DVR window.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Stream;
use crate::egress::SEGMENT_PROTOCOLS;
use crate::egress::segments::{self, ClosedCaptions, DvrPlace, SegmentStore, TrackId, Warning};
use crate::flow::{Refusal, RefusalKind};
use crate::media::{Codec, Language, Protocol, Rung};
use crate::runtime::fault::Fault;
use crate::runtime::job::Job;
use crate::runtime::{Event, StreamState};

/// Segments are no longer made after this time without a request.
const SEGMENTS_IDLE_TIMEOUT: Duration = Duration::from_secs(45);

/// Name of the worker that fills the segment store: part of the API, older than DASH.
pub(super) const SEGMENTS: &str = "hls";

/// Name of the worker that adds an encoded rendition: `hls.h264`, `hls.480p`.
pub(super) fn encoded_worker(id: &TrackId) -> String {
    let name = id.to_string();
    format!("{SEGMENTS}.{}", name.strip_prefix("video-").unwrap_or(&name))
}

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
    /// first player connects: with captions segments are always made. The same holds for a DVR window.
    pub(super) fn pin_segments(&mut self) {
        if SEGMENT_PROTOCOLS.iter().any(|protocol| self.preset.play.allows(*protocol)) {
            let closed_captions = self.closed_captions();
            self.segment_store().set_closed_captions(closed_captions);
            self.segments_wanted = true;
        }
    }

    fn segment_store(&mut self) -> Arc<SegmentStore> {
        let settings = self.shared.options.segments;
        let made = self.segment_store.is_none();
        let segment_store =
            self.segment_store.get_or_insert_with(|| SegmentStore::new(settings)).clone();
        if made {
            self.follow_dvr();
        }
        segment_store
    }

    /// Gives the segment store the DVR window that is wanted.
    pub(super) fn follow_dvr(&self) {
        let Some(segment_store) = &self.segment_store else { return };
        let seconds = Some(self.spec.dvr_s).filter(|seconds| *seconds > 0);
        let place = DvrPlace { root: &self.shared.options.dvr, stream: &self.spec.name };
        segment_store.set_dvr(seconds.map(|s| Duration::from_secs(s.into())), place);
    }

    /// Reports a DVR window that is shorter than wanted.
    pub(super) fn report_dvr(&mut self) {
        let warning = self.segment_store.as_ref().and_then(|store| store.take_dvr_warning());
        let Some(Warning { message, hint }) = warning else { return };
        let fault = Fault::now(message, hint);
        self.emit(Event::NodeFailed {
            stream: self.spec.name.to_string(),
            node: SEGMENTS.into(),
            error: fault.message.clone(),
            hint: fault.hint.clone(),
        });
        self.last_fault = Some((SEGMENTS.into(), fault));
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

    /// What is offered beside the original video and encoded while a player requests it: H.264 in
    /// its size, because segments carry some codecs that not every browser decodes, and the rungs
    /// of the ladder.
    pub(super) fn offer_encoded(&self) {
        let Some(segment_store) = &self.segment_store else { return };
        let Some(video) = self.encodable_video() else { return segment_store.offer_encoded(&[]) };
        let untouched = segments::accepts().video;
        let passes = untouched.is_some_and(|accept| accept.objection(video).is_none());
        let mut offered = Vec::new();
        if passes && video.codec != Codec::H264 {
            let kbps = self.encoded_kbps(video);
            offered.push((TrackId::H264, None, u64::from(kbps) * 1000));
        }
        offered.extend(self.encoded_rungs().into_iter().map(|rung| {
            let kbps = u64::from(rung.kbps.unwrap_or_default());
            (TrackId::Rung(rung.height), Some(rung), kbps * 1000)
        }));
        segment_store.offer_encoded(&offered);
    }

    pub(super) fn wanted_encoded(&self) -> Vec<(TrackId, Option<Rung>)> {
        self.segment_store.as_ref().map(|store| store.wanted_encoded()).unwrap_or_default()
    }

    /// Starts or stops what is encoded for the segments as players need it.
    pub(super) fn follow_encoded(&mut self) {
        let wanted = self.wanted_encoded();
        let made = self.workers.values().filter(|worker| worker.idle_since.is_none());
        let made: Vec<&TrackId> = made
            .filter_map(|worker| match &worker.job {
                Job::SegmentsEncoded { id, .. } => Some(id),
                _ => None,
            })
            .collect();
        let same = made.len() == wanted.len() && wanted.iter().all(|(id, _)| made.contains(&id));
        if self.segments_wanted && !same {
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

    /// When segments stop without further requests. `None` with captions or a DVR window: then they never
    /// stop.
    pub(super) fn segments_due(&self, now: Instant) -> Option<Instant> {
        let captioned = self.caption_settings().is_some_and(|settings| settings.enabled);
        let pinned = captioned || self.spec.dvr_s > 0;
        let segment_store =
            self.segment_store.as_ref().filter(|_| self.segments_wanted && !pinned)?;
        Some(now + SEGMENTS_IDLE_TIMEOUT.saturating_sub(segment_store.idle()))
    }
}
