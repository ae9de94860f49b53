//! Which nodes run between the source and its consumers.

use std::time::{Duration, Instant};

use super::{Command, Stream};
use crate::flow::{Feed, Inputs, Intake, SourceReport, Task};
use crate::graph::{self, Ask, Op, PlanNode, Route, Want};
use crate::media::{Format, Kind};
use crate::process::denoise;
use crate::runtime::Event;
use crate::runtime::launch::{self, Job, Launch};
use crate::runtime::worker::Worker;

/// How long the plan waits for the second track after the first.
const SETTLE: Duration = Duration::from_millis(1500);

/// A process node that nobody needs is kept this long, in case somebody comes back.
const IDLE_KEPT: Duration = Duration::from_secs(5);

impl Stream {
    /// Plans when the programme's tracks become known, and again when they change.
    pub(super) fn follow_tracks(&mut self, now: Instant) {
        let formats = self.formats();
        if self.planned_for.as_ref() == Some(&formats) || formats == (None, None) {
            return;
        }
        if self.planned_for.is_none() {
            let since = *self.settling_since.get_or_insert(now);
            let complete = formats.0.is_some() && formats.1.is_some();
            if !complete && now.duration_since(since) < SETTLE {
                return;
            }
        }
        for kind in Kind::ALL {
            let before = self.planned_for.as_ref().and_then(|f| of(f, kind));
            let codec = |f: Option<&Format>| f.map(|f| f.codec);
            if before.is_some() && codec(before) != codec(of(&formats, kind)) {
                self.restart_consumers_of(kind.as_str());
            }
        }
        self.planned_for = Some(formats);
        self.sync_outputs();
        self.seat_waiting();
        self.changed();
    }

    fn formats(&self) -> (Option<Format>, Option<Format>) {
        let of = |kind| self.feed(kind).format().borrow().clone();
        (of(Kind::Video), of(Kind::Audio))
    }

    /// Whether the tracks of the programme are known.
    pub(super) fn is_planned(&self) -> bool {
        self.planned_for.is_some()
    }

    /// Noise suppression as it should be, if the graph has it.
    pub(super) fn denoise_settings(&self) -> Option<denoise::Settings> {
        self.spec.denoise.clone().or_else(|| self.preset.denoise.clone())
    }

    pub(super) fn set_denoise(&mut self, settings: denoise::Settings) {
        self.spec.denoise = Some(settings.clone());
        self.denoise.send_replace(settings);
        self.replan();
        self.changed();
    }

    /// What the plan depends on, now.
    pub(super) fn ask(&self) -> Ask {
        let (video, audio) = self.planned_for.clone().unwrap_or_default();
        let mut wants = self.output_wants();
        wants.extend(
            self.seats
                .values()
                .map(|seat| Want { id: seat.want.clone(), accepts: seat.accepts.clone() }),
        );
        Ask {
            video,
            audio,
            denoise: self.denoise_settings().is_some(),
            wants,
            encoders: self.shared.best_encoders.clone(),
        }
    }

    /// Plans anew and makes the difference: nodes appear, unneeded ones idle, consumers move.
    pub(super) fn replan(&mut self) {
        if !self.is_planned() {
            return;
        }
        self.plan = graph::plan(&self.ask());
        for node in self.plan.nodes.clone() {
            self.ensure_node(&node);
        }
        let now = Instant::now();
        for (name, worker) in &mut self.workers {
            if worker.job.is_process() {
                let needed = self.plan.nodes.iter().any(|n| n.name == *name);
                worker.idle_since = if needed { None } else { worker.idle_since.or(Some(now)) };
            }
        }
        self.route_outputs();
        self.route_seats();
        self.launch_due(now);
    }

    fn ensure_node(&mut self, node: &PlanNode) {
        let kind = self.feeds.get(&node.input).map_or(Kind::Video, Feed::kind);
        self.feeds.entry(node.output.clone()).or_insert_with(|| Feed::new(&node.output, kind));
        let mut route = Route::default();
        match kind {
            Kind::Video => route.video = Some(node.input.clone()),
            Kind::Audio => route.audio = Some(node.input.clone()),
        }
        let job = match &node.op {
            Op::Decode => Job::Decode,
            Op::Denoise => Job::Denoise,
            Op::Encode { codec, encoder } => {
                Job::Encode { codec: *codec, encoder: encoder.clone() }
            }
        };
        match self.workers.get_mut(&node.name) {
            Some(worker) if worker.job == job && worker.route == route => worker.want(),
            Some(worker) => {
                (worker.job, worker.route) = (job, route);
                worker.cancel();
                worker.want();
            }
            None => {
                let mut worker = Worker::new(job, &node.why, route);
                worker.outputs = vec![node.output.clone()];
                self.workers.insert(node.name.clone(), worker);
            }
        }
    }

    /// The programme's codec has changed: whoever was built for the old one starts again.
    fn restart_consumers_of(&mut self, feed: &str) {
        for worker in self.workers.values_mut() {
            let takes = [&worker.route.video, &worker.route.audio];
            if takes.into_iter().flatten().any(|name| name == feed) {
                worker.cancel();
            }
        }
    }

    /// Launches what is due and lets go of what nobody has needed for a while.
    pub(super) fn launch_due(&mut self, now: Instant) {
        let due: Vec<String> = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.is_due(now))
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            self.launch(&name, now);
        }
        for worker in self.workers.values_mut() {
            let idle = worker.idle_since.is_some_and(|t| now.duration_since(t) > IDLE_KEPT);
            if idle && worker.desired {
                worker.stop();
            }
        }
        let feeds = &mut self.feeds;
        self.workers.retain(|_, worker| {
            let gone = worker.idle_since.is_some() && !worker.desired && !worker.is_alive();
            if gone {
                worker.outputs.iter().for_each(|feed| drop(feeds.remove(feed)));
            }
            !gone
        });
    }

    fn launch(&mut self, name: &str, now: Instant) {
        let Some(worker) = self.workers.get(name) else { return };
        let (job, route) = (worker.job.clone(), worker.route.clone());
        let output = worker.outputs.first().and_then(|feed| self.feeds.get(feed)).cloned();
        let feed = |name: &Option<String>| name.as_ref().and_then(|n| self.feeds.get(n)).cloned();
        let inputs =
            Inputs { video: feed(&route.video), audio: feed(&route.audio), ..Inputs::default() };
        let intake = self.intake_of(&job);
        let run = self.id();
        let task = Task::new(name);
        let context = Launch {
            task: task.clone(),
            stream: self.spec.name.clone(),
            shared: self.shared.clone(),
            inputs,
            output,
            intake,
            denoise: self.denoise.subscribe(),
            programme: Kind::ALL.map(|kind| (self.feed(kind), self.last_format(kind))),
            shelf: self.shelf.clone(),
        };
        let commands = self.commands.clone();
        let worker_name = name.to_owned();
        tokio::spawn(async move {
            // A panic ends this run like an error does.
            let outcome = match tokio::spawn(launch::run(job, context)).await {
                Ok(outcome) => outcome.map_err(|e| e.to_string()),
                Err(panic) => Err(format!("the node panicked: {panic}")),
            };
            let exited = Command::Exited { worker: worker_name, run, outcome };
            let _ = commands.send(exited).await;
        });
        if let Some(worker) = self.workers.get_mut(name) {
            worker.launched(run, task, now);
        }
    }

    fn last_format(&self, kind: Kind) -> Option<Format> {
        self.planned_for.as_ref().and_then(|formats| of(formats, kind)).cloned()
    }

    /// The place of a source that is pulled; a place from an earlier run is given up.
    fn intake_of(&mut self, job: &Job) -> Option<Intake> {
        let Job::Pull { source, slot } = job else { return None };
        self.publishers.retain(|p| p.slot != *slot);
        let report = SourceReport::new(source.protocol(), source.shown());
        Some(self.seat_publisher(*slot, report.into()))
    }

    pub(super) fn worker_exited(&mut self, name: &str, run: u64, outcome: &Result<(), String>) {
        let Some(worker) = self.workers.get_mut(name) else { return };
        let jitter = rand::random::<f64>();
        if !worker.exited(run, outcome, Instant::now(), jitter) {
            return;
        }
        let Err(error) = outcome else { return };
        let restarts = worker.restarts;
        tracing::warn!(stream = %self.spec.name, node = name, %error, restarts,
            "node failed; it is tried again");
        self.last_error = Some(format!("{name}: {error}"));
        self.emit(Event::NodeFailed {
            stream: self.spec.name.to_string(),
            node: name.to_owned(),
            error: error.clone(),
        });
    }

    /// What viewers get while the source is gone.
    pub(super) fn show_slate(&mut self) {
        if self.is_planned() {
            let worker = Worker::new(Job::Slate, "the source is gone", Route::default());
            self.workers.insert("slate".into(), worker);
            self.launch_due(Instant::now());
        }
    }

    pub(super) fn hide_slate(&mut self) {
        if let Some(mut worker) = self.workers.remove("slate") {
            worker.stop();
        }
    }

    /// Nothing is on air any more: viewers are sent away and everything but the pulls ends.
    pub(super) fn go_off_air(&mut self) {
        self.send_viewers_away();
        self.planned_for = None;
        self.settling_since = None;
        self.plan = graph::Plan::default();
        for worker in self.workers.values_mut() {
            if worker.job.is_process() {
                worker.idle_since = worker.idle_since.or(Some(Instant::now()));
                worker.stop();
            }
        }
        for kind in Kind::ALL {
            self.feed(kind).clear();
        }
    }
}

fn of(formats: &(Option<Format>, Option<Format>), kind: Kind) -> Option<&Format> {
    match kind {
        Kind::Video => formats.0.as_ref(),
        Kind::Audio => formats.1.as_ref(),
    }
}
