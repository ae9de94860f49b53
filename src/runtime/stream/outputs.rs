//! Outputs that run without viewers (recordings, pushes, trunks), and HLS, which runs while a
//! player requests it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Stream;
use crate::egress::segments::{self, ClosedCaptions};
use crate::flow::{Refusal, RefusalKind};
use crate::graph::{PlanConsumer, Route};
use crate::media::{Codec, Format, Language, Protocol, StreamName};
use crate::process::{decode, encode};
use crate::runtime::job::Job;
use crate::runtime::worker::Worker;
use crate::runtime::{OutputSpec, StreamState};

/// HLS stops after this time without a request.
const HLS_IDLE: Duration = Duration::from_secs(45);

/// Name of the worker that transcodes the video of HLS to H.264.
const HLS_H264: &str = "hls.h264";

/// Name of the worker of an output.
pub(super) fn worker_name(id: &StreamName) -> String {
    format!("output.{id}")
}

impl Stream {
    /// The outputs of the preset and the stream's own.
    pub(super) fn outputs(&self) -> Vec<OutputSpec> {
        self.spec.outputs_with(&self.preset)
    }

    /// Adds, changes and removes the workers of outputs as the spec, the preset and the state
    /// require.
    pub(super) fn sync_outputs(&mut self) {
        let on_air = self.state != StreamState::Idle && self.is_planned();
        let mut wanted: Vec<(String, Job)> = Vec::new();
        if on_air {
            let enabled = self.outputs().into_iter().filter(|o| o.enabled);
            wanted.extend(enabled.map(|o| (worker_name(&o.id), Job::Output(o.kind))));
            wanted.push(("thumbnail".into(), Job::Thumbnail));
            let words = self.caption_settings().filter(|settings| settings.enabled);
            self.pin_hls(words.is_some());
            if let Some(settings) = words.filter(|_| self.shared.speech.cue_sink.is_some()) {
                wanted.push(("archive".into(), Job::Archive { days: settings.keep_days }));
            }
            if self.hls_wanted {
                wanted.push(("hls".into(), Job::Hls));
                self.offer_h264();
            }
            if self.hls_wanted && self.wants_h264() {
                wanted.push((HLS_H264.into(), Job::HlsH264));
            }
        }
        let is_wanted = |name: &String| wanted.iter().any(|(n, _)| n == name);
        for (name, worker) in &mut self.workers {
            if worker.job.is_egress() && !is_wanted(name) {
                worker.stop();
                worker.idle_since = Some(Instant::now());
            }
        }
        for (name, job) in wanted {
            match self.workers.get_mut(&name) {
                Some(worker) => {
                    if worker.job != job {
                        worker.change(job);
                    }
                    worker.idle_since = None;
                    worker.want();
                }
                None => {
                    let mut worker = Worker::new(job, "the stream wants it", Route::default());
                    // The plan sets its route.
                    worker.desired = false;
                    self.workers.insert(name, worker);
                }
            }
        }
        self.replan();
    }

    /// What the outputs accept, for the plan.
    pub(super) fn output_wants(&self) -> Vec<PlanConsumer> {
        let live = self.workers.iter().filter(|(_, w)| w.job.is_egress() && w.idle_since.is_none());
        live.map(|(name, w)| PlanConsumer { id: name.clone(), accepts: w.job.accepts() }).collect()
    }

    /// Gives the outputs the feeds that the plan assigns to them.
    pub(super) fn route_outputs(&mut self) {
        for (name, worker) in &mut self.workers {
            if !worker.job.is_egress() || worker.idle_since.is_some() {
                continue;
            }
            let Some(route) = self.plan.routes.get(name) else { continue };
            if route.is_empty() {
                let problem = route.problems.first().map(String::as_str);
                worker.cannot(problem.unwrap_or("the stream has nothing that it can take"));
                worker.route = route.clone();
            } else {
                if !worker.route.same_media(route) {
                    worker.cancel();
                }
                worker.route = route.clone();
                worker.want();
            }
        }
    }

    /// Starts HLS if needed and returns the segment store on which its segments appear.
    pub(super) fn open_hls(&mut self) -> Result<Arc<segments::SegmentStore>, Refusal> {
        if !self.preset.play.allows(Protocol::Hls) {
            return Err(super::viewers::not_offered(&self.preset, Protocol::Hls));
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
        let settings = &self.shared.options.hls;
        let segment_store = self
            .segment_store
            .get_or_insert_with(|| segments::SegmentStore::new(*settings))
            .clone();
        if !self.hls_wanted {
            self.hls_wanted = true;
            self.sync_outputs();
        }
        Ok(segment_store)
    }

    /// A player of captions starts some seconds in the past, so these seconds must exist before the
    /// first player connects: with captions HLS always runs.
    fn pin_hls(&mut self, words: bool) {
        if words && self.preset.play.allows(Protocol::Hls) {
            let inside = self.closed_captions();
            let settings = &self.shared.options.hls;
            let segment_store =
                self.segment_store.get_or_insert_with(|| segments::SegmentStore::new(*settings));
            segment_store.set_closed_captions(inside);
            self.hls_wanted = true;
        }
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

    /// HLS passes through some codecs that not every browser decodes. H.264 is offered beside them
    /// and encoded while a player requests it.
    fn offer_h264(&self) {
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

    fn wants_h264(&self) -> bool {
        self.segment_store.as_ref().is_some_and(|segment_store| segment_store.wants_h264())
    }

    /// Starts or stops the H.264 video of HLS as players need it.
    pub(super) fn follow_h264(&mut self) {
        let made = self.workers.get(HLS_H264).is_some_and(|w| w.idle_since.is_none());
        if self.hls_wanted && made != self.wants_h264() {
            self.sync_outputs();
        }
    }

    /// Stops HLS without requests.
    pub(super) fn close_idle_hls(&mut self, now: Instant) {
        if self.hls_due(now).is_some_and(|due| due <= now) {
            self.hls_wanted = false;
            self.sync_outputs();
        }
    }

    /// When HLS stops without further requests. `None` with captions: then it never stops.
    pub(super) fn hls_due(&self, now: Instant) -> Option<Instant> {
        let pinned = self.caption_settings().is_some_and(|settings| settings.enabled);
        let segment_store = self.segment_store.as_ref().filter(|_| self.hls_wanted && !pinned)?;
        Some(now + HLS_IDLE.saturating_sub(segment_store.idle()))
    }
}
