//! What a shard keeps of a session.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::Delivery;
use super::channel::{ChannelCommand, ChannelState, MESSAGES_MAX};
use super::command::ConnectionEvent;
use super::error::{Ended, Path};
use super::id::SessionId;
use super::session::{Happening, Session};
use super::source::Batch;
use super::{Channel, Packet, Source};

/// How long after a track has begun its viewer may not have been ready for it: Firefox drops what comes
/// before it has finished the handshake on its side.
const UNREADY_MAX: Duration = Duration::from_secs(2);

/// Least time between two replays for one viewer.
const REPLAY_DISTANCE: Duration = Duration::from_secs(1);

/// A session with what belongs to it.
pub(super) struct Entry {
    pub(super) session: Session,
    /// Its time in the list of timers.
    pub(super) due: Instant,
    pub(super) events: mpsc::Sender<ConnectionEvent>,
    pub(super) delivery: watch::Sender<Delivery>,
    pub(super) playing: Vec<Playing>,
    pub(super) channels: Vec<(Arc<ChannelState>, mpsc::Sender<String>)>,
}

/// What one track plays.
pub(super) struct Playing {
    pub(super) track: usize,
    pub(super) source: Source,
    /// Number of the last packet that the viewer got when it joined.
    pub(super) joined_at: Option<u64>,
    /// Video begins with a packet at which decoding can start.
    pub(super) needs_start: bool,
    /// Another source plays on the track until then.
    pub(super) takes_over: bool,
    /// When the viewer joined.
    pub(super) begun: Instant,
    /// When it got the group of pictures once more.
    pub(super) replayed: Option<Instant>,
}

impl Playing {
    /// Whether a viewer that asks for a key frame gets the current group of pictures once more.
    fn may_replay(&self, now: Instant) -> bool {
        let again = |at: Instant| now.saturating_duration_since(at) >= REPLAY_DISTANCE;
        let is_new = now.saturating_duration_since(self.begun) <= UNREADY_MAX;
        !self.needs_start && is_new && self.replayed.is_none_or(again)
    }

    /// Hands packets to the session, from the first that it can decode.
    fn feed(
        &mut self,
        session: &mut Session,
        packets: &[Packet],
        now: Instant,
        out: &mut impl FnMut(Path, &[u8]),
    ) -> Result<(), Ended> {
        for packet in packets {
            if self.joined_at.is_some_and(|last| packet.number <= last) {
                continue;
            }
            self.needs_start &= !packet.is_start;
            if self.needs_start {
                continue;
            }
            if std::mem::take(&mut self.takes_over) {
                session.take_over(self.track);
            }
            session.send(now, self.track, packet, out)?;
        }
        Ok(())
    }
}

impl Entry {
    /// What plays on the track of a viewer that asks for a key frame, if it gets the current group of
    /// pictures once more.
    pub(super) fn replayed(&mut self, track: usize, now: Instant) -> Option<&mut Playing> {
        self.playing.iter_mut().find(|p| p.track == track && p.may_replay(now))
    }

    /// Hands the packets of a source to the tracks that play it. Returns the sources that tracks no
    /// longer play.
    pub(super) fn feed(
        &mut self,
        batch: &Batch,
        now: Instant,
        mut out: impl FnMut(Path, &[u8]),
    ) -> Result<Vec<Source>, Ended> {
        let source = batch.source;
        let mut replaced = Vec::new();
        for at in 0..self.playing.len() {
            let Some(playing) = self.playing.get_mut(at).filter(|p| p.source.id() == source) else {
                continue;
            };
            let waited = playing.takes_over;
            playing.feed(&mut self.session, &batch.packets, now, &mut out)?;
            if waited && !playing.takes_over {
                replaced.push((playing.track, source));
            }
        }
        let mut left = Vec::new();
        for (track, by) in replaced {
            let gone = |p: &mut Playing| p.track == track && p.source.id() != by;
            left.extend(self.playing.extract_if(.., gone).map(|p| p.source));
        }
        Ok(left)
    }

    /// Passes on what has happened; false if the viewer's task does not listen.
    pub(super) fn tell(
        &mut self,
        id: SessionId,
        what: Happening,
        commands: &mpsc::Sender<ChannelCommand>,
    ) -> bool {
        match what {
            Happening::Connected => {
                return self.events.try_send(ConnectionEvent::Connected).is_ok();
            }
            Happening::KeyframeWanted(track) => {
                let playing = self.playing.iter().filter(|p| p.track == track);
                playing.for_each(|p| p.source.request_keyframe());
            }
            Happening::ChannelOpened(number, label) => {
                let (tell, messages) = mpsc::channel(MESSAGES_MAX);
                let state = Arc::new(ChannelState::default());
                self.channels.push((Arc::clone(&state), tell));
                let commands = commands.clone();
                let channel = Channel { session: id, number, label, commands, messages, state };
                return self.events.try_send(ConnectionEvent::Opened(channel)).is_ok();
            }
            Happening::ChannelText(number, text) => {
                if let Some((_, tell)) = self.channels.get(number) {
                    // A viewer that writes faster than it is read loses messages.
                    let _ = tell.try_send(text);
                }
            }
            Happening::ChannelReady(number) => self.update(number),
            Happening::ChannelClosed(number) => {
                if let Some((state, _)) = self.channels.get(number) {
                    state.is_closed.store(true, Ordering::Relaxed);
                    state.changed.notify_one();
                }
            }
        }
        true
    }

    fn update(&mut self, number: usize) {
        let buffered = self.session.buffered(number);
        if let Some((state, _)) = self.channels.get(number) {
            state.buffered.store(buffered, Ordering::Relaxed);
            state.changed.notify_one();
        }
    }
}
