//! What takes media out of a stream: outputs that run without viewers (recordings, pushes, trunks),
//! thumbnails, the archive and segments.

use std::time::Instant;

use super::Stream;
use super::segments::{SEGMENTS, encoded_worker};
use crate::graph::{PlanConsumer, Route};
use crate::media::StreamName;
use crate::runtime::job::Job;
use crate::runtime::worker::Worker;
use crate::runtime::{OutputSpec, StreamState};

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
            if words.is_some() || self.spec.dvr_s > 0 {
                self.pin_segments();
            }
            if let Some(settings) = words.filter(|_| self.shared.speech.cue_sink.is_some()) {
                wanted.push(("archive".into(), Job::Archive { days: settings.keep_days }));
            }
            if self.segments_wanted {
                wanted.push((SEGMENTS.into(), Job::Segments));
                self.offer_encoded();
                wanted.extend(
                    self.wanted_encoded()
                        .into_iter()
                        .map(|(id, rung)| (encoded_worker(&id), Job::SegmentsEncoded { id, rung })),
                );
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
}
