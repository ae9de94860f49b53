//! A thread with one socket that serves its share of the viewers.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::sync::mpsc;

use super::Source;
use super::channel::ChannelCommand;
use super::command::{Begin, Command, ConnectionEvent, Queues};
use super::demux::{Demux, Owner};
use super::entry::{Entry, Playing};
use super::error::{Ended, Path};
use super::id::SessionId;
use super::post::Post;
use super::session::Happening;
use super::socket::Socket;
use super::source::Batch;
use super::tcp::Arrival;

/// The other ends of the queues of a shard, and what comes by TCP.
pub(super) struct Inputs {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) texts: mpsc::Receiver<ChannelCommand>,
    pub(super) batches: mpsc::Receiver<Batch>,
    pub(super) arrivals: mpsc::Receiver<Arrival>,
}

pub(super) struct Shard {
    number: usize,
    post: Post,
    queues: Queues,
    demux: Demux,
    sessions: HashMap<SessionId, Entry>,
    timers: BTreeSet<(Instant, SessionId)>,
    /// The sessions that play a source, by its id.
    players: HashMap<u64, Vec<SessionId>>,
}

impl Shard {
    /// A shard without viewers.
    pub(super) fn new(number: usize, socket: Socket, queues: Queues) -> Self {
        Self {
            number,
            post: Post::new(socket),
            queues,
            demux: Demux::default(),
            sessions: HashMap::new(),
            timers: BTreeSet::new(),
            players: HashMap::new(),
        }
    }

    /// Serves viewers until `stop`. Each turn does a bounded amount of work of one kind, so that a
    /// flood of datagrams leaves half of the turns to media.
    pub(super) async fn run(
        mut self,
        mut inputs: Inputs,
        stop: tokio_util::sync::CancellationToken,
    ) {
        loop {
            let next = self.timers.first().map(|(due, _)| *due);
            let wait = async {
                match next {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                _ = self.post.readable() => self.receive(),
                Some(command) = inputs.commands.recv() => self.command(command),
                Some(text) = inputs.texts.recv() => self.text(text),
                Some(batch) = inputs.batches.recv() => self.send(&batch),
                Some(arrival) = inputs.arrivals.recv() => self.arrive(&arrival),
                () = wait => self.tick(),
            }
            self.post.flush();
        }
        let all: Vec<SessionId> = self.sessions.keys().copied().collect();
        all.into_iter().for_each(|id| self.close(id));
        self.post.flush();
    }

    fn receive(&mut self) {
        let now = Instant::now();
        let Self { post, demux, sessions, .. } = self;
        let mut touched: Vec<SessionId> = Vec::new();
        let mut ended = Vec::new();
        let received =
            post.receive(|path, datagram| match deliver(demux, sessions, now, path, datagram) {
                Some((id, Ok(()))) => touched.push(id),
                Some((id, Err(why))) => ended.push((id, why)),
                None => {}
            });
        if let Err(error) = received {
            tracing::debug!(%error, "a socket of WebRTC viewers reports");
        }
        touched.sort_unstable();
        touched.dedup();
        touched.into_iter().for_each(|id| self.step(id, now));
        ended.into_iter().for_each(|(id, why)| self.end(id, why));
    }

    fn arrive(&mut self, arrival: &Arrival) {
        let now = Instant::now();
        let Self { post, demux, sessions, .. } = self;
        match deliver(demux, sessions, now, arrival.path, &arrival.datagram) {
            Some((id, Ok(()))) => {
                post.connect(arrival);
                self.step(id, now);
            }
            Some((id, Err(why))) => self.end(id, why),
            None => {}
        }
    }

    fn command(&mut self, command: Command) {
        let now = Instant::now();
        let id = match command {
            Command::Open(id, session, ufrag, events, delivery) => {
                self.demux.insert(&ufrag, id);
                let (playing, channels) = (Vec::new(), Vec::new());
                let session = *session;
                let entry = Entry { session, due: now, events, delivery, playing, channels };
                self.timers.insert((now, id));
                self.sessions.insert(id, entry);
                id
            }
            Command::Play(id, track, source, begin) => {
                self.play(id, track, source, begin);
                id
            }
            Command::Desire(id, kbps) => {
                let Some(entry) = self.sessions.get_mut(&id) else { return };
                entry.session.desire(kbps);
                id
            }
            Command::Restart(id, own, remote) => {
                let Some(entry) = self.sessions.get_mut(&id) else { return };
                entry.session.restart(&own, &remote);
                self.demux.insert(&own.ufrag, id);
                id
            }
            Command::Close(id) => return self.close(id),
        };
        self.step(id, now);
    }

    fn text(&mut self, command: ChannelCommand) {
        let (ChannelCommand::Text(id, number, _) | ChannelCommand::Close(id, number)) = command;
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        if let ChannelCommand::Text(_, _, text) = command {
            if !entry.session.send_text(number, &text) {
                tracing::debug!(bytes = text.len(), "a message of a data channel is lost");
            }
            let buffered = entry.session.buffered(number);
            if let Some((state, _)) = entry.channels.get(number) {
                state.buffered.store(buffered, Ordering::Relaxed);
                state.handed.fetch_sub(text.len() as u64, Ordering::Relaxed);
            }
        } else {
            entry.session.close_channel(number);
        }
        self.step(id, Instant::now());
    }

    /// The track plays a source: the viewer gets its current group of pictures, or waits for a key
    /// frame, which is requested.
    fn play(&mut self, id: SessionId, track: usize, source: Source, begin: Begin) {
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        let Some((is_video, clock_rate_hz)) = entry.session.track(track) else { return };
        let plays = |p: &Playing| p.track == track && !p.needs_start;
        let waits = begin == Begin::AtKeyFrame && is_video;
        let takes_over = waits && entry.playing.iter().any(plays);
        // One that waits for its own key frame gives way to the newest.
        let goes = |p: &mut Playing| p.track == track && (!takes_over || p.needs_start);
        let before: Vec<Playing> = entry.playing.extract_if(.., goes).collect();
        let (mut group, joined_at) = source.join(self.number, &self.queues.batches, clock_rate_hz);
        if takes_over {
            group.clear();
        } else {
            entry.session.begin(track);
        }
        let needs_start = is_video && group.is_empty();
        if needs_start {
            source.request_keyframe();
        }
        let (now, post) = (Instant::now(), &mut self.post);
        let mut out = |path: Path, datagram: &[u8]| post.send(path, datagram);
        let sent =
            group.iter().try_for_each(|packet| entry.session.send(now, track, packet, &mut out));
        let players = self.players.entry(source.id()).or_default();
        if !players.contains(&id) {
            players.push(id);
        }
        let (begun, replayed) = (now, None);
        let playing =
            Playing { track, source, joined_at, needs_start, takes_over, begun, replayed };
        entry.playing.push(playing);
        before.iter().for_each(|before| self.leave(id, &before.source));
        if let Err(why) = sent {
            self.end(id, why);
        }
    }

    /// A viewer that has just joined and asks for a key frame was not ready for the group of pictures:
    /// it gets it once more, without a key frame for all. False if there is none.
    fn replay(&mut self, id: SessionId, track: usize, now: Instant) -> bool {
        let Self { sessions, queues, post, number, .. } = self;
        let Some(entry) = sessions.get_mut(&id) else { return false };
        let Some((true, clock_rate_hz)) = entry.session.track(track) else { return false };
        let Some(playing) = entry.replayed(track, now) else { return false };
        let (group, joined_at) = playing.source.join(*number, &queues.batches, clock_rate_hz);
        if group.is_empty() {
            return false;
        }
        (playing.joined_at, playing.replayed) = (joined_at, Some(now));
        entry.session.begin(track);
        let mut out = |path: Path, datagram: &[u8]| post.send(path, datagram);
        let sent =
            group.iter().try_for_each(|packet| entry.session.send(now, track, packet, &mut out));
        if let Err(why) = sent {
            self.end(id, why);
        }
        true
    }

    /// A session no longer plays a source, unless another of its tracks does.
    fn leave(&mut self, id: SessionId, source: &Source) {
        let still = |entry: &Entry| entry.playing.iter().any(|p| p.source.same_as(source));
        if self.sessions.get(&id).is_some_and(still) {
            return;
        }
        if let Some(players) = self.players.get_mut(&source.id()) {
            players.retain(|player| *player != id);
            if players.is_empty() {
                self.players.remove(&source.id());
                source.leave(self.number);
            }
        }
    }

    fn send(&mut self, batch: &Batch) {
        let now = Instant::now();
        for id in self.players.get(&batch.source).cloned().unwrap_or_default() {
            let Self { post, sessions, .. } = self;
            let Some(entry) = sessions.get_mut(&id) else { continue };
            match entry.feed(batch, now, |path, datagram| post.send(path, datagram)) {
                Ok(replaced) => {
                    replaced.iter().for_each(|source| self.leave(id, source));
                    self.step(id, now);
                }
                Err(why) => self.end(id, why),
            }
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        while let Some((due, id)) = self.timers.first().copied().filter(|(due, _)| *due <= now) {
            self.timers.remove(&(due, id));
            if self.sessions.get(&id).is_some_and(|entry| entry.events.is_closed()) {
                self.close(id);
            } else {
                self.step(id, now);
            }
        }
    }

    /// Sends what a session has to send, tells what has happened and sets its timer.
    fn step(&mut self, id: SessionId, now: Instant) {
        let Self { post, sessions, timers, .. } = self;
        let Some(entry) = sessions.get_mut(&id) else { return };
        let next = match entry.session.step(now, |path, datagram| post.send(path, datagram)) {
            Ok(next) => next,
            Err(why) => return self.end(id, why),
        };
        if entry.due != next {
            timers.remove(&(entry.due, id));
            entry.due = next;
            timers.insert((next, id));
        }
        if let Some(delivery) = entry.session.measured() {
            entry.delivery.send_replace(delivery);
        }
        let mut happenings = entry.session.happenings();
        let mut is_replayed = false;
        happenings.retain(|happening| match happening {
            Happening::KeyframeWanted(track) => {
                let replayed = self.replay(id, *track, now);
                is_replayed |= replayed;
                !replayed
            }
            _ => true,
        });
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        let told = happenings.into_iter().all(|h| entry.tell(id, h, &self.queues.texts));
        if !told {
            return self.end(id, Ended::Ours);
        }
        if is_replayed {
            self.step(id, now);
        }
    }

    /// Ends a session with a goodbye to the viewer.
    fn close(&mut self, id: SessionId) {
        if let Some(entry) = self.sessions.get_mut(&id) {
            entry.session.close();
            self.step(id, Instant::now());
        }
        self.end(id, Ended::Ours);
    }

    fn end(&mut self, id: SessionId, why: Ended) {
        let Some(entry) = self.sessions.remove(&id) else { return };
        self.timers.remove(&(entry.due, id));
        self.demux.remove(id);
        entry.playing.iter().for_each(|p| self.leave(id, &p.source));
        for (state, _) in &entry.channels {
            state.is_closed.store(true, Ordering::Relaxed);
            state.changed.notify_one();
        }
        // Nobody listens any more if the viewer's task has ended.
        let _ = entry.events.try_send(ConnectionEvent::Ended(why));
    }
}

/// Gives a datagram to its session; `None` for a stranger's.
fn deliver(
    demux: &mut Demux,
    sessions: &mut HashMap<SessionId, Entry>,
    now: Instant,
    path: Path,
    datagram: &[u8],
) -> Option<(SessionId, Result<(), Ended>)> {
    let owner = demux.find(path.remote, datagram)?;
    let (Owner::Known(id) | Owner::Claimed(id)) = owner;
    let entry = sessions.get_mut(&id)?;
    if owner == Owner::Claimed(id) {
        if !entry.session.accepts(now, path, datagram) {
            return None;
        }
        demux.learn(path.remote, id);
    }
    Some((id, entry.session.receive(now, path, datagram)))
}
