//! One stream: a task that owns its publishers, feeds, nodes and viewers.
//!
//! Everything that happens to a stream arrives here as a [`Command`] or on the tick, and is
//! handled by one short function; nothing else changes a stream. The files beside this one are the
//! parts of that one owner: who is on air (`sources`), what runs (`nodes`), where it goes
//! (`outputs`), who watches (`seats`) and how it shows (`report`).

mod nodes;
mod outputs;
mod report;
mod seats;
mod sources;

pub(super) use sources::Slot;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::fault::Fault;
use super::launch::Shared;
use super::program::Program;
use super::supervisor::Error;
use super::worker::Worker;
use super::{Event, OutputSpec, Preset, StreamSnapshot, StreamSpec, StreamState};
use crate::egress::hls;
use crate::flow::{CueBoard, CueFeed, Feed, Hello, Intake, Refusal, Seat, SourceReport};
use crate::graph::Plan;
use crate::media::{Accepts, Format, Kind, StreamName};
use crate::process::{captions, denoise};

/// How often a stream looks at itself.
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
    /// A publisher has left.
    PublisherLeft(u64),
    /// A viewer wants in.
    Play { protocol: &'static str, accepts: Accepts, reply: oneshot::Sender<Result<Seat, Refusal>> },
    /// A viewer has left.
    SeatLeft(u64),
    /// Somebody wants HLS.
    OpenHls(oneshot::Sender<Result<Arc<hls::Shelf>, Refusal>>),
    /// A node's run has ended.
    Exited { worker: String, run: u64, outcome: Result<(), Fault> },
    /// The admin wants another spec of the same name.
    Update(Box<StreamSpec>, Box<Preset>, oneshot::Sender<()>),
    /// The admin wants another output.
    AddOutput(OutputSpec, oneshot::Sender<Result<(), Error>>),
    /// The admin wants an output to do something else.
    ChangeOutput(OutputSpec, oneshot::Sender<Result<(), Error>>),
    /// The admin wants an output gone.
    RemoveOutput(StreamName, oneshot::Sender<Result<(), Error>>),
    /// The admin starts or stops an output.
    EnableOutput(StreamName, bool, oneshot::Sender<Result<(), Error>>),
    /// The admin changes noise suppression.
    SetDenoise(denoise::Settings, oneshot::Sender<()>),
    /// The admin changes captions.
    SetCaptions(Box<captions::Settings>, oneshot::Sender<()>),
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
}

/// The owner of one stream.
pub(super) struct Stream {
    shared: Arc<Shared>,
    spec: StreamSpec,
    preset: Preset,
    /// Where its own tasks report to.
    commands: mpsc::Sender<Command>,
    /// Rung by media threads when a publisher has become ready, has come back or sends something
    /// else.
    media_changed: Arc<Notify>,
    next_id: u64,

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
    /// Starts the task of a stream.
    pub(super) fn spawn(
        shared: Arc<Shared>,
        spec: StreamSpec,
        preset: Preset,
    ) -> mpsc::Sender<Command> {
        let (tx, rx) = mpsc::channel(COMMANDS_MAX);
        let settings = spec.denoise.clone().or_else(|| preset.denoise.clone()).unwrap_or_default();
        let feeds = Kind::ALL.map(|kind| (kind.to_string(), Feed::new(kind.as_str(), kind)));
        let stream = Self {
            shared,
            spec,
            preset,
            commands: tx.clone(),
            media_changed: Arc::default(),
            next_id: 1,
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
        };
        tokio::spawn(stream.run(rx));
        tx
    }

    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let media_changed = self.media_changed.clone();
        self.start_sources();
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Stop(done)) => {
                        self.stop(&mut commands).await;
                        let _ = done.send(());
                        return;
                    }
                    Some(command) => self.handle_command(command),
                    None => return,
                },
                () = media_changed.notified() => self.handle_tick(),
                _ = tick.tick() => self.handle_tick(),
            }
        }
    }

    fn handle_command(&mut self, command: Command) {
        match command {
            Command::Publish { hello, report, reply } => {
                let _ = reply.send(self.take_publisher(&hello, report));
            }
            Command::PublisherLeft(id) => self.publisher_left(id),
            Command::Play { protocol, accepts, reply } => {
                self.take_viewer(protocol, accepts, reply);
            }
            Command::SeatLeft(id) => self.seat_left(id),
            Command::OpenHls(reply) => {
                let _ = reply.send(self.open_hls());
            }
            Command::Exited { worker, run, outcome } => self.worker_exited(&worker, run, &outcome),
            Command::Update(spec, preset, reply) => {
                self.change(reply, |stream| stream.update(*spec, *preset));
            }
            Command::AddOutput(output, reply) => {
                self.change(reply, |stream| stream.add_output(output));
            }
            Command::ChangeOutput(output, reply) => {
                self.change(reply, |stream| stream.change_output(output));
            }
            Command::RemoveOutput(id, reply) => {
                self.change(reply, |stream| stream.remove_output(&id));
            }
            Command::EnableOutput(id, enabled, reply) => {
                self.change(reply, |stream| stream.enable_output(&id, enabled));
            }
            Command::SetDenoise(settings, reply) => {
                self.change(reply, |stream| stream.set_denoise(settings));
            }
            Command::SetCaptions(settings, reply) => {
                self.change(reply, |stream| stream.set_captions(*settings));
            }
            Command::Cues(reply) => {
                let _ = reply.send(self.all_cues());
            }
            Command::Board(reply) => {
                let _ = reply.send(self.board.clone());
            }
            Command::Kick(reply) => self.change(reply, Self::kick),
            Command::Snapshot(reply) => {
                let _ = reply.send(self.snapshot());
            }
            Command::Dot(reply) => {
                let _ = reply.send(self.dot());
            }
            // Taken by the loop.
            Command::Stop(done) => drop(done),
        }
    }

    /// Changes the stream and shows its new spec before the caller hears of it.
    fn change<T>(&mut self, reply: oneshot::Sender<T>, act: impl FnOnce(&mut Self) -> T) {
        let outcome = act(self);
        self.shared.spec_changed(&self.spec);
        let _ = reply.send(outcome);
    }

    fn handle_tick(&mut self) {
        let now = Instant::now();
        self.decide(now);
        self.follow_tracks(now);
        self.show_cues();
        self.close_idle_hls();
        self.follow_h264();
        self.expire_waiting(now);
        self.launch_due(now);
        self.forget_faults(now);
        self.rates.update(&self.feeds, &mut self.publishers, now);
    }

    fn update(&mut self, spec: StreamSpec, preset: Preset) {
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
        self.replan();
        self.changed();
    }

    /// Cancels everything and waits for what has files or peers to finish, within four seconds.
    async fn stop(&mut self, commands: &mut mpsc::Receiver<Command>) {
        for publisher in &self.publishers {
            publisher.cancel.cancel();
        }
        for (_, seat) in std::mem::take(&mut self.seats) {
            seat.cancel.cancel();
            self.shared.viewers.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(shelf) = &self.shelf {
            shelf.end();
        }
        self.workers.values_mut().for_each(Worker::stop);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(4);
        while self.workers.values().any(Worker::is_alive) || !self.publishers.is_empty() {
            match tokio::time::timeout_at(deadline, commands.recv()).await {
                Ok(Some(Command::Exited { worker, run, outcome })) => {
                    self.worker_exited(&worker, run, &outcome);
                    self.end_captions();
                }
                Ok(Some(Command::PublisherLeft(id))) => self.publishers.retain(|p| p.id != id),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
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

    /// What tells this stream of somebody's leaving, from whatever thread a protocol ends on.
    fn tell(&self, command: Command) -> Box<dyn FnOnce() + Send + Sync> {
        let (commands, command) = (self.commands.clone(), std::sync::Mutex::new(command));
        Box::new(move || {
            let command = command.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Err(mpsc::error::TrySendError::Full(command)) = commands.try_send(command) {
                // The stream is behind; this thread may be one that must not wait for it.
                std::thread::spawn(move || drop(commands.blocking_send(command)));
            }
        })
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
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
