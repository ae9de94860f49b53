//! One stream: a task that owns its publishers, feeds, nodes and viewers.
//!
//! Everything that happens to a stream arrives here as what is wanted of it, a [`Command`], a signal
//! or a deadline, and is handled by one short function; nothing else changes a stream. A stream with
//! nothing to do sleeps. The files beside this one are the parts of that one owner: who is on air
//! (`sources`), what runs (`nodes`), where it goes (`outputs`), who watches (`seats`) and how it
//! shows (`report`); `supervise` keeps it alive.

mod nodes;
mod outputs;
mod report;
mod seats;
mod signals;
mod sources;
mod supervise;

pub(super) use sources::Slot;
pub(super) use supervise::spawn;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot, watch};

use self::signals::Signals;
use super::fault::Fault;
use super::launch::{Entry, Shared};
use super::program::Program;
use super::worker::Worker;
use super::{Event, Preset, StreamSnapshot, StreamSpec, StreamState, Wanted};
use crate::egress::hls;
use crate::flow::{CueBoard, CueFeed, Feed, Hello, Intake, Refusal, Seat, SourceReport};
use crate::graph::Plan;
use crate::media::{Accepts, Format, Kind};
use crate::process::denoise;

/// How often a stream looks at its publishers, whose age and notes nobody signals; and the shortest
/// time between two looks for any other reason.
const TICK: Duration = Duration::from_millis(100);

/// Commands that may wait for a stream; more are refused.
pub(super) const COMMANDS_MAX: usize = 256;

/// What others ask of a stream. Replies to callers that have left are dropped.
pub(super) enum Command {
    /// A publisher wants in.
    Publish {
        hello: Hello,
        report: Arc<SourceReport>,
        reply: oneshot::Sender<Result<Intake, Refusal>>,
    },
    /// A viewer wants in.
    Play { protocol: &'static str, accepts: Accepts, reply: oneshot::Sender<Result<Seat, Refusal>> },
    /// Somebody wants HLS.
    OpenHls(oneshot::Sender<Result<Arc<hls::Shelf>, Refusal>>),
    /// A node's run has ended.
    Exited { worker: String, run: u64, outcome: Result<(), Fault> },
    /// Somebody wants to read captions.
    Cues(oneshot::Sender<Vec<CueFeed>>),
    /// Somebody wants to follow captions, whatever feeds there will be.
    Board(oneshot::Sender<CueBoard>),
    /// The admin disconnects the publisher on air.
    Kick(oneshot::Sender<()>),
    /// How is it doing?
    Snapshot(oneshot::Sender<StreamSnapshot>),
    /// The graph as Graphviz.
    Dot(oneshot::Sender<String>),
    /// Finish everything and end.
    Stop(oneshot::Sender<()>),
    /// Panic, as a fault of the stream's own code would.
    #[cfg(test)]
    Panic,
}

/// The owner of one stream.
pub(super) struct Stream {
    shared: Arc<Shared>,
    /// What is wanted, and what of it is in force.
    wanted: watch::Receiver<Wanted>,
    spec: Arc<StreamSpec>,
    preset: Arc<Preset>,
    /// Where its own tasks report to.
    commands: mpsc::Sender<Command>,
    signals: Signals,
    /// When it last looked at itself.
    looked: Instant,

    publishers: Vec<sources::Publisher>,
    program: Program,
    state: StreamState,
    since: DateTime<Utc>,
    /// The node that failed last, and how, until that is over.
    last_fault: Option<(String, Fault)>,

    feeds: BTreeMap<String, Feed>,
    cues: BTreeMap<String, CueFeed>,
    board: CueBoard,
    workers: BTreeMap<String, Worker>,
    plan: Plan,
    /// Formats of the programme that the plan was made for; `None` before the first plan.
    planned_for: Option<(Option<Format>, Option<Format>)>,
    /// When the first track of the programme became known.
    settling_since: Option<Instant>,
    denoise: watch::Sender<denoise::Settings>,

    seats: BTreeMap<u64, seats::SeatState>,
    /// Viewers that came before the tracks were known.
    waiting: Vec<seats::Waiting>,
    shelf: Option<Arc<hls::Shelf>>,
    hls_wanted: bool,
    rates: report::Rates,
}

impl Stream {
    /// A stream of which nothing runs yet.
    fn new(shared: Arc<Shared>, entry: &Entry, now: Instant) -> Self {
        let mut wanted = entry.wanted.subscribe();
        let Wanted { spec, preset } = wanted.borrow_and_update().clone();
        let settings = spec.denoise_with(&preset).unwrap_or_default();
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
            program: Program::default(),
            state: StreamState::Idle,
            since: Utc::now(),
            last_fault: None,
            feeds: feeds.into_iter().collect(),
            cues: BTreeMap::new(),
            board: CueBoard::default(),
            workers: BTreeMap::new(),
            plan: Plan::default(),
            planned_for: None,
            settling_since: None,
            denoise: watch::Sender::new(settings),
            seats: BTreeMap::new(),
            waiting: Vec::new(),
            shelf: None,
            hls_wanted: false,
            rates: report::Rates::default(),
        }
    }

    /// Runs until it is told to stop.
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
            // Before the command: a publisher that has left and returns finds its place free, and
            // who has changed the stream and then asks sees the change.
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

    /// When it must look at itself, if nothing happens before.
    fn due(&self, now: Instant) -> Option<Instant> {
        let busy = !self.publishers.is_empty() || self.state != StreamState::Idle;
        let soonest = self.looked + TICK;
        if busy {
            return Some(soonest);
        }
        let workers = self.workers.values();
        let workers = workers.filter_map(|worker| worker.due(now, nodes::IDLE_KEPT)).min();
        let due = [workers, self.waiting_due(), self.hls_due(now)].into_iter().flatten().min();
        due.map(|due| due.max(soonest))
    }

    fn handle_command(&mut self, command: Command) {
        match command {
            Command::Publish { hello, report, reply } => {
                let _ = reply.send(self.take_publisher(&hello, report));
            }
            Command::Play { protocol, accepts, reply } => {
                self.take_viewer(protocol, accepts, reply);
            }
            Command::OpenHls(reply) => {
                let _ = reply.send(self.open_hls());
            }
            Command::Exited { worker, run, outcome } => {
                self.worker_exited(&worker, run, &outcome);
                self.launch_due(Instant::now());
            }
            Command::Cues(reply) => {
                let _ = reply.send(self.all_cues());
            }
            Command::Board(reply) => {
                let _ = reply.send(self.board.clone());
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
            // Taken by the loop.
            Command::Stop(done) => drop(done),
            #[cfg(test)]
            Command::Panic => panic!("a fault of the stream's own code"),
        }
    }

    /// Looks at everything that tells nothing by itself.
    fn look(&mut self, now: Instant) {
        self.looked = now;
        self.let_leave();
        self.decide(now);
        self.follow_tracks(now);
        self.show_cues();
        self.close_idle_hls(now);
        self.follow_h264();
        self.expire_waiting(now);
        self.launch_due(now);
        self.forget_faults(now);
        self.rates.update(&self.feeds, &mut self.publishers, now);
    }

    fn let_leave(&mut self) {
        for id in self.signals.take_left() {
            self.publisher_left(id);
            self.seat_left(id);
        }
    }

    /// Makes the difference between what is wanted and what runs. What is equal is left alone.
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
        self.sync_outputs();
        self.changed();
    }

    /// Cancels everything and waits for what has files or peers to finish, within four seconds.
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

    /// Ends the captions when nothing makes any more: recordings wait for the last words.
    fn end_captions(&self) {
        if !self.workers.values().any(|w| w.is_alive() && w.job.makes_captions()) {
            self.board.end();
        }
    }

    /// Disconnects publishers and viewers and ends all nodes.
    fn cancel_all(&mut self) {
        for publisher in &self.publishers {
            publisher.cancel.cancel();
        }
        self.send_viewers_away();
        if let Some(shelf) = &self.shelf {
            shelf.end();
        }
        self.workers.values_mut().for_each(Worker::stop);
    }

    /// A number that no other publisher, viewer or run of this process has: what an earlier life of
    /// the stream left behind is never taken for something of this one.
    fn id(&self) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    fn feed(&self, kind: Kind) -> Feed {
        self.feeds[kind.as_str()].clone()
    }

    fn emit(&self, event: Event) {
        // Nobody may be listening.
        let _ = self.shared.events.send(event);
    }

    fn changed(&self) {
        self.emit(Event::StreamChanged { stream: self.spec.name.to_string() });
    }
}

impl Drop for Stream {
    /// Also when its task panics: nothing of it may go on without an owner.
    fn drop(&mut self) {
        self.cancel_all();
    }
}

/// Waits for a deadline; for ever where there is none.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
