//! One stream: the task that owns its publishers, feeds, nodes and viewers.
//!
//! Every input arrives here: the wanted state, a [`Command`], a signal or a deadline. One short
//! function handles each; nothing else changes a stream. An idle stream sleeps. The other files of
//! this folder are parts of this owner: who is on air (`sources`), what runs (`nodes`), where media
//! goes (`outputs`, `segments`), who watches (`viewers`) and the snapshot (`report`). `supervise`
//! restarts it.

mod ladder;
mod layers;
mod nodes;
mod outputs;
mod publisher;
mod rates;
mod report;
mod segments;
mod signals;
mod slow_rungs;
mod sources;
mod supervise;
mod viewer;
mod viewers;

pub(super) use supervise::spawn;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, watch};

use self::publisher::Publisher;
use self::rates::Rates;
use self::signals::Signals;
use self::slow_rungs::SlowRungs;
use self::viewer::{PendingViewer, ViewerState};
use super::command::Command;
use super::fault::Fault;
use super::shared::{Shared, StreamEntry};
use super::switcher::Switcher;
use super::worker::{IDLE_KEPT, Worker};
use super::{Event, Preset, StreamSpec, StreamState, Wanted};
use crate::egress::segments::SegmentStore;
use crate::flow::{CaptionFeeds, CueFeed, Feed};
use crate::graph::{Plan, PlanLayer};
use crate::media::{Format, Kind, Ladder};
use crate::process::denoise;

/// How often a stream checks its publishers, whose age and notes are not signalled. Also the
/// minimum time between two checks for any other reason.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The state of one stream, owned by its task.
pub(super) struct Stream {
    shared: Arc<Shared>,
    /// The wanted state, and the part of it that is in force.
    wanted: watch::Receiver<Wanted>,
    spec: Arc<StreamSpec>,
    preset: Arc<Preset>,
    /// Its own tasks report here.
    commands: mpsc::Sender<Command>,
    signals: Signals,
    /// Time of the last check.
    looked: Instant,

    publishers: Vec<Publisher>,
    switcher: Switcher,
    state: StreamState,
    /// The same for those outside of the task.
    shown_state: watch::Sender<StreamState>,
    since: DateTime<Utc>,
    /// The node that failed last and its fault, until it is cleared.
    last_fault: Option<(String, Fault)>,

    feeds: BTreeMap<String, Feed>,
    cues: BTreeMap<String, CueFeed>,
    caption_feeds: CaptionFeeds,
    workers: BTreeMap<String, Worker>,
    plan: Plan,
    /// Formats of the programme that the plan is for. `None` before the first plan.
    planned_for: Option<(Option<Format>, Option<Format>)>,
    /// When the first track of the programme became known.
    settling_since: Option<Instant>,
    denoise: watch::Sender<denoise::Settings>,
    /// The qualities offered below the source.
    ladder: watch::Sender<Ladder>,
    slow_rungs: SlowRungs,
    /// The layers of the publisher on air that are below its video.
    layers: Vec<PlanLayer>,
    /// Names of the feeds of layers among the feeds.
    layer_feeds: BTreeSet<String>,

    viewers: BTreeMap<u64, ViewerState>,
    /// Viewers that wait until the tracks are known.
    pending: Vec<PendingViewer>,
    segment_store: Option<Arc<SegmentStore>>,
    segments_wanted: bool,
    rates: Rates,
}

impl Stream {
    /// A stream in which nothing runs yet.
    fn new(shared: Arc<Shared>, entry: &StreamEntry, now: Instant) -> Self {
        let mut wanted = entry.wanted.subscribe();
        let Wanted { spec, preset } = wanted.borrow_and_update().clone();
        let settings = spec.denoise_with(&preset).unwrap_or_default();
        entry.state.send_replace(StreamState::Idle);
        let feeds = Kind::ALL.map(|kind| (kind.to_string(), Feed::new(kind.as_str(), kind)));
        Self {
            shared,
            wanted,
            spec,
            preset,
            commands: entry.commands.clone(),
            signals: Signals::default(),
            looked: now,
            publishers: Vec::new(),
            switcher: Switcher::default(),
            state: StreamState::Idle,
            shown_state: entry.state.clone(),
            since: Utc::now(),
            last_fault: None,
            feeds: feeds.into_iter().collect(),
            cues: BTreeMap::new(),
            caption_feeds: CaptionFeeds::default(),
            workers: BTreeMap::new(),
            plan: Plan::default(),
            planned_for: None,
            settling_since: None,
            denoise: watch::Sender::new(settings),
            ladder: watch::Sender::default(),
            slow_rungs: SlowRungs::default(),
            layers: Vec::new(),
            layer_feeds: BTreeSet::new(),
            viewers: BTreeMap::new(),
            pending: Vec::new(),
            segment_store: None,
            segments_wanted: false,
            rates: Rates::default(),
        }
    }

    /// Runs until a stop command.
    async fn run(mut self, commands: &mut mpsc::Receiver<Command>) {
        self.start_sources();
        self.look(Instant::now());
        loop {
            let due = self.due(Instant::now());
            let command = tokio::select! {
                command = commands.recv() => command,
                _ = self.wanted.changed() => None,
                () = self.signals.woken() => {
                    self.look(Instant::now());
                    None
                }
                () = until(due) => {
                    self.look(Instant::now());
                    None
                }
            };
            // Before the command: a publisher that left and returns finds its place free, and a
            // caller that changed the stream sees the change in its next request.
            self.let_leave();
            self.follow_wanted();
            match command {
                Some(Command::Stop(done)) => {
                    self.stop(commands).await;
                    let _ = done.send(());
                    return;
                }
                Some(command) => self.handle_command(command),
                None => {}
            }
        }
    }

    /// Time of the next check if nothing happens before.
    fn due(&self, now: Instant) -> Option<Instant> {
        let busy = !self.publishers.is_empty() || self.state != StreamState::Idle;
        let soonest = self.looked + CHECK_INTERVAL;
        if busy {
            return Some(soonest);
        }
        let workers = self.workers.values();
        let workers = workers.filter_map(|worker| worker.due(now, IDLE_KEPT)).min();
        let due = [workers, self.pending_due(), self.segments_due(now)].into_iter().flatten().min();
        due.map(|due| due.max(soonest))
    }

    fn handle_command(&mut self, command: Command) {
        match command {
            Command::Publish { access_request, report, reply } => {
                let _ = reply.send(self.admit_publisher(&access_request, report));
            }
            Command::Play { protocol, accepts, reply } => {
                self.admit_viewer(protocol, accepts, reply);
            }
            Command::OpenSegments { protocol, reply } => {
                let _ = reply.send(self.open_segments(protocol));
            }
            Command::Exited { worker, run, outcome } => {
                self.worker_exited(&worker, run, &outcome);
                self.launch_due(Instant::now());
            }
            Command::Cues(reply) => {
                let _ = reply.send(self.all_cues());
            }
            Command::CaptionFeeds(reply) => {
                let _ = reply.send(self.caption_feeds.clone());
            }
            Command::Kick(reply) => {
                self.kick();
                let _ = reply.send(());
            }
            Command::Snapshot(reply) => {
                let _ = reply.send(self.snapshot());
            }
            Command::Dot(reply) => {
                let _ = reply.send(self.dot());
            }
            // Handled in the loop.
            Command::Stop(done) => drop(done),
            #[cfg(test)]
            Command::Panic => panic!("a fault of the stream's own code"),
        }
    }

    /// Checks everything that sends no signal.
    fn look(&mut self, now: Instant) {
        self.looked = now;
        self.let_leave();
        self.follow_choices();
        self.decide(now);
        self.follow_tracks(now);
        self.follow_layers();
        self.show_cues();
        self.close_idle_segments(now);
        self.follow_encoded();
        self.expire_pending(now);
        self.launch_due(now);
        self.forget_faults(now);
        self.rates.update(&self.feeds, &mut self.publishers, now);
        self.refuse_slow_rungs(now);
        self.report_dvr();
        self.update_ladder();
    }

    fn let_leave(&mut self) {
        for id in self.signals.take_left() {
            self.publisher_left(id);
            self.viewer_left(id);
        }
    }

    /// Applies the difference between the wanted and the running state. Unchanged parts continue.
    fn follow_wanted(&mut self) {
        let Wanted { spec, preset } = self.wanted.borrow_and_update().clone();
        if Arc::ptr_eq(&spec, &self.spec) {
            return;
        }
        let sources_differ = spec.source != self.spec.source
            || spec.backup != self.spec.backup
            || spec.tracks != self.spec.tracks;
        self.spec = spec;
        self.preset = preset;
        if let Some(settings) = self.denoise_settings() {
            self.denoise.send_replace(settings);
        }
        if sources_differ {
            self.restart_sources();
        }
        self.update_ladder();
        self.follow_dvr();
        self.sync_outputs();
        self.changed();
    }

    /// Cancels everything and waits up to four seconds for files and peers to finish.
    async fn stop(&mut self, commands: &mut mpsc::Receiver<Command>) {
        self.cancel_all();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(4);
        while self.workers.values().any(Worker::is_alive) || !self.publishers.is_empty() {
            tokio::select! {
                command = commands.recv() => {
                    if let Some(Command::Exited { worker, run, outcome }) = command {
                        self.worker_exited(&worker, run, &outcome);
                        self.end_captions();
                    }
                }
                () = self.signals.woken() => {
                    let left = self.signals.take_left();
                    self.publishers.retain(|publisher| !left.contains(&publisher.id));
                }
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        for (name, worker) in self.workers.iter().filter(|(_, w)| w.is_alive()) {
            tracing::warn!(stream = %self.spec.name, node = %name, state = ?worker.state(),
                "a node did not stop in time and is left behind");
        }
    }

    /// Ends the captions when no node makes any: recordings wait for the last words.
    fn end_captions(&self) {
        if !self.workers.values().any(|w| w.is_alive() && w.job.makes_captions()) {
            self.caption_feeds.end();
        }
    }

    /// Disconnects publishers and viewers and stops all nodes.
    fn cancel_all(&mut self) {
        for publisher in &self.publishers {
            publisher.cancel.cancel();
        }
        self.send_viewers_away();
        if let Some(segment_store) = &self.segment_store {
            segment_store.end();
        }
        self.workers.values_mut().for_each(Worker::stop);
    }

    /// An id that is unique in this process, so that leftovers of an earlier run of the stream are
    /// never attributed to this one.
    fn id(&self) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    fn feed(&self, kind: Kind) -> Feed {
        self.feeds[kind.as_str()].clone()
    }

    fn emit(&self, event: Event) {
        // An error means that there is no listener.
        let _ = self.shared.events.send(event);
    }

    fn changed(&self) {
        self.emit(Event::StreamChanged { stream: self.spec.name.to_string() });
    }
}

impl Drop for Stream {
    /// Also runs when the task panics: nothing may continue without its owner.
    fn drop(&mut self) {
        self.cancel_all();
    }
}

/// Waits for a deadline; forever if there is none.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
