//! Where the segments of a stream lie between the pipeline that makes them and the requests that
//! fetch them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use super::Settings;
use super::master::{self, Rendition};
use super::playlist::{Form, Report, Standing};
use super::track::Track;
use crate::egress::fmp4::{Chunk, TrackInfo};
use crate::media::Kind;

/// A request for something that is about to come waits at most this long.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Segments older than this and one target duration are no longer the live stream: after a pause
/// players begin with what comes then.
const STALE_AFTER: Duration = Duration::from_secs(10);

/// A player that has asked for nothing for this long has left.
const VIEWER_GONE: Duration = Duration::from_secs(15);

/// Addresses of players are remembered up to this many; more are served but not counted.
const VIEWERS_MAX: usize = 10_000;

/// Why something on the shelf cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// It has left the window.
    #[error("it has left the live window")]
    Gone,
    /// It was never there, or is too far ahead.
    #[error("there is no such segment")]
    Unknown,
    /// It should have come and has not: the stream stands still.
    #[error("nothing has come for 10 seconds")]
    Late,
}

/// The segments and playlists of one stream, kept in memory within bounds. It outlives the node
/// that fills it: after a restart the numbers go on.
pub struct Shelf {
    settings: Settings,
    /// Taken by the node's streaming threads and by requests, for copying references and for
    /// writing a playlist of some kilobytes; nothing else is locked while it is held.
    state: Mutex<State>,
    /// Counts changes, so that requests can wait for one.
    version: watch::Sender<u64>,
    seen: Mutex<Seen>,
}

struct State {
    /// The tracks that the node has said will come.
    expected: Vec<Kind>,
    video: Track,
    audio: Track,
    /// Counts breaks. Both tracks have the same number of discontinuities in the same order: one
    /// that is behind this number makes its discontinuity as soon as it can.
    epoch: u64,
    /// The whole seconds that no segment exceeds; never goes down.
    target: u32,
    /// The longest part; never goes down.
    part_target: Duration,
    ended: bool,
    /// When the newest chunk came.
    pushed: Option<Instant>,
}

struct Seen {
    last: Instant,
    viewers: HashMap<String, Instant>,
}

impl State {
    /// Whether what lies here is from before a pause: nobody watched, or nothing was published.
    fn stale(&self) -> bool {
        let max = STALE_AFTER + Duration::from_secs(u64::from(self.target));
        !self.ended && self.pushed.is_some_and(|at| at.elapsed() > max)
    }

    fn ready(&self, kind: Kind) -> bool {
        self.track(kind).ready() && !self.stale()
    }

    fn track(&self, kind: Kind) -> &Track {
        match kind {
            Kind::Video => &self.video,
            Kind::Audio => &self.audio,
        }
    }

    fn track_mut(&mut self, kind: Kind) -> &mut Track {
        match kind {
            Kind::Video => &mut self.video,
            Kind::Audio => &mut self.audio,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shelf {
    /// An empty shelf. Its numbers begin at the time of day, so that a player which still knows
    /// an older shelf of the same stream never meets a number twice.
    pub fn new(settings: Settings) -> Arc<Self> {
        let first = crate::flow::wall_clock(crate::flow::now()).as_secs();
        Arc::new(Self {
            settings,
            state: Mutex::new(State {
                expected: Vec::new(),
                video: Track::new(first),
                audio: Track::new(first),
                epoch: 0,
                target: settings.segment_s.max(1),
                part_target: settings.part().unwrap_or_default(),
                ended: false,
                pushed: None,
            }),
            version: watch::Sender::new(0),
            seen: Mutex::new(Seen { last: Instant::now(), viewers: HashMap::new() }),
        })
    }

    /// What it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The node says which tracks will come.
    pub(super) fn expect(&self, kinds: Vec<Kind>) {
        lock(&self.state).expected = kinds;
    }

    /// A track begins, or what its decoder needs has changed.
    pub(super) fn begin_track(&self, info: TrackInfo) {
        lock(&self.state).track_mut(info.kind()).set_info(info);
    }

    /// Puts the next chunk of a track on the shelf.
    pub(super) fn push(&self, kind: Kind, chunk: &Chunk) {
        let mut state = lock(&self.state);
        if state.stale() {
            state.video.forget();
            state.audio.forget();
        }
        state.pushed = Some(Instant::now());
        let epoch = state.epoch;
        let limit = (self.settings.memory_mib as usize) << 20;
        let breaks = state.track(kind).breaks(chunk);
        let epoch = if breaks && state.track(kind).epoch == epoch { epoch + 1 } else { epoch };
        state.epoch = epoch;
        let part = state.track_mut(kind).push(chunk, epoch, limit);
        state.part_target = state.part_target.max(part);
        let longest = state.track(kind).playlist.longest().as_secs_f64().round();
        state.target = state.target.max(longest as u32);
        let (window, target) = (self.settings.window(), state.target);
        state.track_mut(kind).trim(window, target);
        while state.video.bytes + state.audio.bytes > limit {
            let larger =
                if state.video.bytes > state.audio.bytes { Kind::Video } else { Kind::Audio };
            if !state.track_mut(larger).drop_oldest() {
                break;
            }
        }
        drop(state);
        self.version.send_modify(|v| *v = v.wrapping_add(1));
    }

    /// Nothing more will come: playlists say so, and whoever waits is answered.
    pub fn end(&self) {
        let mut state = lock(&self.state);
        state.ended = true;
        state.video.playlist.end();
        state.audio.playlist.end();
        drop(state);
        self.version.send_modify(|v| *v = v.wrapping_add(1));
    }

    /// Notes that a player at this address has asked for something.
    pub fn touch(&self, viewer: &str) {
        let now = Instant::now();
        let mut seen = lock(&self.seen);
        seen.last = now;
        if let Some(at) = seen.viewers.get_mut(viewer) {
            *at = now;
        } else if seen.viewers.len() < VIEWERS_MAX {
            seen.viewers.insert(viewer.to_owned(), now);
        }
    }

    /// How long ago somebody asked for something.
    pub fn idle(&self) -> Duration {
        lock(&self.seen).last.elapsed()
    }

    /// How many players there are, told apart by address.
    pub fn viewers(&self) -> usize {
        let mut seen = lock(&self.seen);
        seen.viewers.retain(|_, at| at.elapsed() < VIEWER_GONE);
        seen.viewers.len()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let state = lock(&self.state);
        state.video.bytes + state.audio.bytes
    }

    /// The master playlist, once every track has a segment. `query` goes behind every URI.
    ///
    /// # Errors
    /// [`Missing::Late`] when the stream does not flow.
    pub async fn master(&self, query: &str) -> Result<String, Missing> {
        let all = |state: &State| {
            let ready = |kind: &Kind| state.ready(*kind);
            !state.expected.is_empty() && state.expected.iter().all(ready)
        };
        let text = |state: &State| {
            let video = state.video.rendition();
            master::text(video.as_ref(), state.audio.rendition().as_ref(), query)
        };
        let found = self.wait_for(WAIT_MAX, |s| all(s).then(|| Ok(text(s)))).await;
        // One track without the other is better than nothing.
        found.or_else(|e| {
            let state = lock(&self.state);
            let any = Kind::ALL.iter().any(|k| state.ready(*k));
            if any { Ok(text(&state)) } else { Err(e) }
        })
    }

    /// The playlist of a track; with `at_least`, not before it lists that segment (and part of
    /// it): rfc8216bis 6.2.5.2.
    ///
    /// # Errors
    /// [`Missing::Unknown`] for a track that is not there or a number too far ahead,
    /// [`Missing::Late`] when the stream stands still.
    pub async fn playlist(
        &self,
        kind: Kind,
        query: &str,
        at_least: Option<(u64, Option<usize>)>,
    ) -> Result<String, Missing> {
        self.wait_for(WAIT_MAX, |state| {
            let track = state.track(kind);
            if !state.ready(kind) {
                let coming = state.expected.is_empty() || state.expected.contains(&kind);
                return if coming { None } else { Some(Err(Missing::Unknown)) };
            }
            let standing =
                at_least.map(|(sequence, part)| track.playlist.standing_in_list(sequence, part));
            match standing {
                Some(Standing::Unknown) if !state.ended => Some(Err(Missing::Unknown)),
                Some(Standing::Soon) => None,
                _ => Some(Ok(self.write(state, kind, query))),
            }
        })
        .await
    }

    fn write(&self, state: &State, kind: Kind, query: &str) -> String {
        let others = Kind::ALL.into_iter().filter(|k| *k != kind && state.track(*k).ready());
        let reports: Vec<_> = others
            .filter_map(|other| {
                let (sequence, parts) = state.track(other).playlist.edge()?;
                let part = parts.checked_sub(1)?;
                Some(Report { uri: format!("{other}.m3u8"), sequence, part })
            })
            .collect();
        let form = Form {
            name: kind.as_str(),
            query,
            target: state.target,
            part_target: self.settings.part().map(|_| state.part_target),
            reports: &reports,
        };
        state.track(kind).playlist.text(self.settings.window(), &form)
    }

    /// An initialisation section.
    ///
    /// # Errors
    /// [`Missing::Gone`] when no segment needs it any more, [`Missing::Unknown`] otherwise.
    pub async fn init(&self, kind: Kind, number: u64) -> Result<Bytes, Missing> {
        lock(&self.state).track(kind).init(number)
    }

    /// A whole segment, as the parts that it consists of; one that is being made is waited for.
    ///
    /// # Errors
    /// [`Missing::Gone`] when it has left the window, [`Missing::Unknown`] when it is too far
    /// ahead, [`Missing::Late`] when the stream stands still.
    pub async fn segment(&self, kind: Kind, sequence: u64) -> Result<VecDeque<Bytes>, Missing> {
        let limit = WAIT_MAX + Duration::from_secs(u64::from(lock(&self.state).target));
        self.fetch(limit, kind, sequence, None).await
    }

    /// One part of a segment; the one that comes next is waited for.
    ///
    /// # Errors
    /// As [`Self::segment`].
    pub async fn part(&self, kind: Kind, sequence: u64, part: usize) -> Result<Bytes, Missing> {
        let found = self.fetch(WAIT_MAX, kind, sequence, Some(part)).await?;
        found.into_iter().next().ok_or(Missing::Unknown)
    }

    async fn fetch(
        &self,
        limit: Duration,
        kind: Kind,
        sequence: u64,
        part: Option<usize>,
    ) -> Result<VecDeque<Bytes>, Missing> {
        self.wait_for(limit, |state| {
            let track = state.track(kind);
            match track.playlist.standing(sequence, part) {
                Standing::Here => Some(track.data(sequence, part)),
                Standing::Gone => Some(Err(Missing::Gone)),
                Standing::Unknown => Some(Err(Missing::Unknown)),
                Standing::Soon => None,
            }
        })
        .await
    }

    async fn wait_for<T>(
        &self,
        limit: Duration,
        mut find: impl FnMut(&State) -> Option<Result<T, Missing>>,
    ) -> Result<T, Missing> {
        let mut version = self.version.subscribe();
        let found = async {
            loop {
                version.borrow_and_update();
                if let Some(found) = find(&lock(&self.state)) {
                    return found;
                }
                if version.changed().await.is_err() {
                    return Err(Missing::Late);
                }
            }
        };
        tokio::time::timeout(limit, found).await.unwrap_or(Err(Missing::Late))
    }

    /// The tracks as the master playlist shows them.
    pub fn renditions(&self) -> Vec<Rendition> {
        let state = lock(&self.state);
        Kind::ALL.iter().filter_map(|k| state.track(*k).rendition()).collect()
    }
}
