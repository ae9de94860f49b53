//! Which nodes run between the source and its consumers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::Utc;

use super::Stream;
use crate::flow::{CaptionFeeds, CueFeed, Feed, Inputs, Intake, SourceReport, Task};
use crate::graph::{self, NodeOutput, Op, PlanConsumer, PlanInput, PlanNode, Route};
use crate::media::{Format, Kind, Language};
use crate::process::decode::Decode;
use crate::process::denoise::{self, Denoise};
use crate::process::encode::Encode;
use crate::process::encoders::Encoder;
use crate::process::transfer::{self, Transfer};
use crate::process::{ProcessNode, captions};
use crate::runtime::command::Command;
use crate::runtime::fault::Fault;
use crate::runtime::job::Job;
use crate::runtime::launch::{self, Launch};
use crate::runtime::worker::{IDLE_KEPT, Worker};
use crate::runtime::{Event, StreamState};

/// How long the plan waits for a second track that may not exist.
const SECOND_TRACK_WAIT: Duration = Duration::from_millis(1500);

/// How long the plan waits for a track that arrives but whose format is unknown. Video is known
/// from its first key frame on air, which many encoders send every two seconds, some every four.
const TRACK_FORMAT_WAIT: Duration = Duration::from_millis(4500);

impl Stream {
    /// Plans when the programme's tracks become known, and again when they change.
    pub(super) fn follow_tracks(&mut self, now: Instant) {
        let formats = self.formats();
        if self.planned_for.as_ref() == Some(&formats) || formats == (None, None) {
            return;
        }
        if self.planned_for.is_none() {
            let since = *self.settling_since.get_or_insert(now);
            let missing = Kind::ALL.into_iter().find(|kind| of(&formats, *kind).is_none());
            let coming = missing.is_some_and(|kind| self.comes_in(kind));
            let patience = if coming { TRACK_FORMAT_WAIT } else { SECOND_TRACK_WAIT };
            if missing.is_some() && now.duration_since(since) < patience {
                return;
            }
        }
        for kind in Kind::ALL {
            let before = self.planned_for.as_ref().and_then(|f| of(f, kind));
            let form = |f: Option<&Format>| f.map(|f| (f.codec, f.memory));
            if before.is_some() && form(before) != form(of(&formats, kind)) {
                self.restart_consumers_of(kind.as_str());
            }
        }
        self.note_what_browsers_miss(&formats);
        self.planned_for = Some(formats);
        self.update_ladder();
        self.sync_outputs();
        self.admit_pending();
        self.changed();
    }

    /// Notes for the publisher which part of its media browsers cannot play, and the cost.
    fn note_what_browsers_miss(&self, (video, _): &(Option<Format>, Option<Format>)) {
        if video.as_ref().is_some_and(|format| format.video.recovery_points) {
            self.publishers.iter().filter(|p| self.is_on_air(p)).for_each(|publisher| {
                publisher.tracks.report.note(
                    "the video has recovery points in the place of IDR pictures (intra refresh or \
                     open groups of pictures): browsers do not begin there, so WHEP and HLS get them \
                     encoded anew; let the encoder send IDR pictures to spare that",
                );
            });
        }
    }

    /// Whether the publisher on air sends this kind of track.
    fn comes_in(&self, kind: Kind) -> bool {
        let sends = |p: &super::publisher::Publisher| p.tracks.writer(kind).age().is_some();
        self.publishers.iter().any(|p| self.is_on_air(p) && sends(p))
    }

    fn formats(&self) -> (Option<Format>, Option<Format>) {
        let of = |kind| self.feed(kind).format().borrow().clone();
        (of(Kind::Video), of(Kind::Audio))
    }

    /// Whether the tracks of the programme are known.
    pub(super) fn is_planned(&self) -> bool {
        self.planned_for.is_some()
    }

    /// The noise suppression settings. `None` if the graph has none.
    pub(super) fn denoise_settings(&self) -> Option<denoise::Settings> {
        self.spec.denoise_with(&self.preset)
    }

    /// The caption settings. `None` if the graph has none.
    pub(super) fn caption_settings(&self) -> Option<captions::Settings> {
        self.spec.captions_with(&self.preset)
    }

    /// The current inputs of the plan.
    pub(super) fn ask(&self) -> PlanInput {
        let (video, audio) = self.planned_for.clone().unwrap_or_default();
        let mut wants = self.output_wants();
        wants.extend(self.viewers.values().map(|subscription| PlanConsumer {
            id: subscription.want.clone(),
            accepts: self.with_rung(&subscription.accepts),
        }));
        PlanInput {
            video,
            layers: self.layers.clone(),
            audio,
            denoise: self.denoise_settings().is_some(),
            words: self.caption_settings().as_ref().and_then(captions::Settings::words),
            wants,
            encoders: self.shared.best_encoders.clone(),
            cuda: transfer::is_installed(),
        }
    }

    /// Plans again and applies the difference: nodes are added, unneeded nodes become idle,
    /// consumers are rerouted.
    pub(super) fn replan(&mut self) {
        if !self.is_planned() {
            return;
        }
        self.plan = graph::plan(&self.ask());
        for node in self.plan.nodes.clone() {
            self.ensure_node(&node);
        }
        self.show_cues();
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

    /// Lists the planned caption feeds for consumers that follow them. Without planned ones, lists
    /// those that the publisher sends.
    pub(super) fn show_cues(&self) {
        let planned = self.plan.nodes.iter().filter_map(|node| self.cues.get(&node.output));
        let planned: Vec<CueFeed> = planned.cloned().collect();
        self.caption_feeds.set(match planned.is_empty() {
            true => self.captions_of_source(),
            false => planned,
        });
    }

    fn ensure_node(&mut self, node: &PlanNode) {
        let route = self.route_of(&node.inputs);
        let kind = if route.video.is_some() { Kind::Video } else { Kind::Audio };
        let output = node.output.clone();
        match node.op.fills(kind) {
            NodeOutput::Media(kind) => {
                self.feeds.entry(output).or_insert_with(|| Feed::new(&node.output, kind));
            }
            NodeOutput::Captions => {
                let language = self.language_of(&node.op);
                self.cues.entry(output).or_insert_with(|| CueFeed::new(&node.output, language));
            }
        }
        let job = self.job_of(&node.op);
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

    /// The job of a node, including its settings.
    fn job_of(&self, op: &Op) -> Job {
        let settings = self.caption_settings().unwrap_or_default();
        Job::Process(match op {
            Op::Decode => ProcessNode::Decode(Decode),
            Op::Denoise => ProcessNode::Denoise(Denoise),
            Op::Encode { codec, encoder, rung } => {
                let encoder = Encoder { codec: *codec, factory: encoder.clone() };
                ProcessNode::Encode(Encode { encoder, rung: *rung })
            }
            Op::Transfer { to } => ProcessNode::Transfer(Transfer { to: *to }),
            Op::Transcribe => ProcessNode::Transcribe(settings.hearing()),
            Op::Translate { to } => ProcessNode::Translate(settings.translation(to)),
            Op::Speak { language } => ProcessNode::Speak(settings.speech(language)),
            Op::Embed => ProcessNode::Embed(settings.embed),
        })
    }

    /// The language of the captions that a node makes.
    fn language_of(&self, op: &Op) -> Language {
        match op {
            Op::Translate { to } => to.clone(),
            _ => {
                let settings = self.caption_settings().unwrap_or_default();
                settings.language.language().cloned().unwrap_or_else(Language::undetermined)
            }
        }
    }

    /// The route for feeds given by name.
    fn route_of(&self, inputs: &[String]) -> Route {
        let mut route = Route::default();
        for input in inputs {
            match self.feeds.get(input).map(Feed::kind) {
                Some(Kind::Video) => route.video = Some(input.clone()),
                Some(Kind::Audio) => route.audio = Some(input.clone()),
                None => route.captions.push(input.clone()),
            }
        }
        route
    }

    /// Restarts the consumers of a feed whose codec or memory changed.
    fn restart_consumers_of(&mut self, feed: &str) {
        for worker in self.workers.values_mut() {
            if worker.route.feeds().any(|name| name == feed) {
                worker.cancel();
            }
        }
    }

    /// Launches workers that are due and stops those that have had no consumer for [`IDLE_KEPT`].
    pub(super) fn launch_due(&mut self, now: Instant) {
        let held = |job: &Job| job.reads_files() && self.shared.held.holds(&self.spec.name);
        let due: Vec<String> = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.is_due(now) && !held(&worker.job))
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            self.launch(&name, now);
        }
        for worker in self.workers.values_mut() {
            let idle = worker.idle_since.is_some_and(|t| now.duration_since(t) >= IDLE_KEPT);
            if idle && worker.desired {
                worker.stop();
            }
        }
        let (feeds, cues) = (&mut self.feeds, &mut self.cues);
        self.workers.retain(|_, worker| {
            let gone = worker.is_done();
            if gone {
                for feed in &worker.outputs {
                    feeds.remove(feed);
                    cues.remove(feed);
                }
            }
            !gone
        });
    }

    fn launch(&mut self, name: &str, now: Instant) {
        let Some(worker) = self.workers.get(name) else { return };
        let (job, route) = (worker.job.clone(), worker.route.clone());
        let output = worker.outputs.first().and_then(|feed| self.feeds.get(feed)).cloned();
        let inputs = inputs_of(&self.feeds, &self.caption_feeds, &route);
        let captions = route.captions.iter().filter_map(|name| self.cues.get(name).cloned());
        let captions = captions.collect();
        let captions_output = worker.outputs.first().and_then(|feed| self.cues.get(feed)).cloned();
        let intake = self.intake_of(&job);
        let run = self.id();
        let task = Task::new(name);
        let context = Launch {
            task: task.clone(),
            stream: self.spec.name.clone(),
            shared: self.shared.clone(),
            inputs,
            media_output: output,
            captions,
            captions_output,
            intake,
            denoise: self.denoise.subscribe(),
            programme: Kind::ALL.map(|kind| (self.feed(kind), self.last_format(kind))),
            segment_store: self.segment_store.clone(),
        };
        let Some(running) = launch::start(job, context) else { return };
        let commands = self.commands.clone();
        let worker_name = name.to_owned();
        tokio::spawn(async move {
            // A panic ends the run like an error.
            let outcome = match tokio::spawn(running).await {
                Ok(outcome) => outcome.map_err(Fault::from),
                Err(panic) => Err(Fault::now(
                    format!("the node panicked: {panic}"),
                    "tell the makers what you did; the log has the place",
                )),
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

    /// The intake of a pulled source. An intake of an earlier run is dropped.
    fn intake_of(&mut self, job: &Job) -> Option<Intake> {
        let Job::Pull { source, slot } = job else { return None };
        self.publishers.retain(|p| p.slot != *slot);
        let report = SourceReport::new(source.protocol()?, source.shown());
        Some(self.attach_publisher(*slot, report.into()))
    }

    pub(super) fn worker_exited(&mut self, name: &str, run: u64, outcome: &Result<(), Fault>) {
        let Some(worker) = self.workers.get_mut(name) else { return };
        let jitter = rand::random::<f64>();
        if !worker.exited(run, outcome, Instant::now(), jitter) {
            return;
        }
        let Err(fault) = outcome else { return };
        let (restarts, error) = (worker.restarts, &fault.message);
        tracing::warn!(stream = %self.spec.name, node = name, %error, restarts,
            "node failed; it is tried again");
        self.last_fault = Some((name.to_owned(), fault.clone()));
        self.emit(Event::NodeFailed {
            stream: self.spec.name.to_string(),
            node: name.to_owned(),
            error: error.clone(),
            hint: fault.hint.clone(),
        });
    }

    /// Clears old faults. A fault that took the stream off air is kept until it is on air again.
    pub(super) fn forget_faults(&mut self, now: Instant) {
        self.workers.values_mut().for_each(|worker| worker.look(now));
        let faulty = |name: &String| self.workers.get(name).is_some_and(|w| w.fault.is_some());
        let over = |(name, fault): &(String, Fault)| !faulty(name) && fault.is_old(Utc::now());
        if self.state != StreamState::Idle && self.last_fault.as_ref().is_some_and(over) {
            self.last_fault = None;
        }
    }

    /// Starts the slate, which viewers get while the source is gone.
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

    /// Takes the stream off air: disconnects viewers and stops everything except the pulls.
    pub(super) fn go_off_air(&mut self) {
        self.send_viewers_away();
        self.planned_for = None;
        self.settling_since = None;
        self.plan = graph::Plan::default();
        self.rates = super::rates::Rates::default();
        // Before the workers stop: consumers wait for the last buffers.
        self.feeds.values().for_each(Feed::end);
        for worker in self.workers.values_mut() {
            if worker.job.is_process() {
                worker.idle_since = worker.idle_since.or(Some(Instant::now()));
                worker.stop();
            }
        }
        for kind in Kind::ALL {
            self.feed(kind).clear();
        }
        self.follow_layers();
    }
}

/// The existing feeds that a route names.
pub(super) fn inputs_of(
    feeds: &BTreeMap<String, Feed>,
    caption_feeds: &CaptionFeeds,
    route: &Route,
) -> Inputs {
    let feed = |name: &String| feeds.get(name).cloned();
    let dub = |(language, name): &(Language, String)| Some((language.clone(), feed(name)?));
    Inputs {
        video: route.video.as_ref().and_then(feed),
        audio: route.audio.as_ref().and_then(feed),
        captions: caption_feeds.clone(),
        dubs: route.dubs.iter().filter_map(dub).collect(),
    }
}

fn of(formats: &(Option<Format>, Option<Format>), kind: Kind) -> Option<&Format> {
    match kind {
        Kind::Video => formats.0.as_ref(),
        Kind::Audio => formats.1.as_ref(),
    }
}
