//! Where the segments of a stream lie between the pipeline that makes them and the requests that
//! fetch them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use super::master::{self, ClosedCaptions, Rendition};
use super::playlist::{Form, Report, Standing};
use super::subtitles::Subtitles;
use super::track::Track;
use super::{Settings, TrackId};
use crate::egress::fmp4::{Chunk, TrackInfo};
use crate::flow;
use crate::media::{Cue, Language};

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
    expected: Vec<TrackId>,
    tracks: BTreeMap<TrackId, Track>,
    /// Number of the first segment of a track.
    first: u64,
    subtitles: Subtitles,
    closed_captions: Vec<ClosedCaptions>,
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

    fn ready(&self, id: &TrackId) -> bool {
        self.track(id).is_some_and(Track::ready) && !self.stale()
    }

    fn track(&self, id: &TrackId) -> Option<&Track> {
        self.tracks.get(id)
    }

    fn track_mut(&mut self, id: &TrackId) -> &mut Track {
        let first = self.first;
        self.tracks.entry(id.clone()).or_insert_with(|| Track::new(first))
    }

    fn bytes(&self) -> usize {
        self.tracks.values().map(|track| track.bytes).sum()
    }

    /// The track whose segments captions follow.
    fn lead(&self) -> Option<&Track> {
        [TrackId::Video, TrackId::Audio].iter().filter_map(|id| self.track(id)).find(|t| t.ready())
    }

    /// The newest segment that has all its captions in a language.
    fn captioned(&self, language: &Language) -> Option<u64> {
        let delay = self.subtitles.delay(language)?;
        let now = Duration::from_nanos(flow::now().nseconds());
        self.lead()?.over_at(now.saturating_sub(delay))
    }
}

/// The master playlist.
fn written(state: &State, query: &str) -> String {
    let rendition = |id: &TrackId| state.track(id).and_then(Track::rendition);
    let dub = |(id, track): (&TrackId, &Track)| match id {
        TrackId::Dub(language) => Some((language.clone(), track.rendition()?)),
        TrackId::Video | TrackId::Audio => None,
    };
    let contents = master::Contents {
        video: rendition(&TrackId::Video),
        audio: rendition(&TrackId::Audio),
        dubs: state.tracks.iter().filter_map(dub).collect(),
        captions: state.subtitles.languages().cloned().collect(),
        closed_captions: &state.closed_captions,
    };
    master::text(&contents, query)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shelf {
    /// An empty shelf. Its numbers begin at the time of day, so that a player which still knows
    /// an older shelf of the same stream never meets a number twice.
    pub fn new(settings: Settings) -> Arc<Self> {
        let first = flow::wall_clock(flow::now()).as_secs();
        Arc::new(Self {
            settings,
            state: Mutex::new(State {
                expected: Vec::new(),
                tracks: BTreeMap::new(),
                first,
                subtitles: Subtitles::default(),
                closed_captions: Vec::new(),
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
    pub(super) fn expect(&self, tracks: Vec<TrackId>) {
        lock(&self.state).expected = tracks;
    }

    /// A language that the stream has captions in.
    pub(super) fn announce_captions(&self, language: &Language, translated: bool) {
        lock(&self.state).subtitles.announce(language, translated);
    }

    /// A cue was committed.
    pub(super) fn add_cue(&self, language: &Language, translated: bool, cue: &Cue) {
        lock(&self.state).subtitles.add(language, translated, cue);
    }

    /// Which captions are inside the pictures.
    pub fn set_closed_captions(&self, inside: Vec<ClosedCaptions>) {
        lock(&self.state).closed_captions = inside;
    }

    /// A track begins, or what its decoder needs has changed.
    pub(super) fn begin_track(&self, id: &TrackId, info: TrackInfo) {
        lock(&self.state).track_mut(id).set_info(info);
    }

    /// Puts the next chunk of a track on the shelf.
    pub(super) fn push(&self, id: &TrackId, chunk: &Chunk) {
        let mut state = lock(&self.state);
        if state.stale() {
            state.tracks.values_mut().for_each(Track::forget);
        }
        state.pushed = Some(Instant::now());
        let epoch = state.epoch;
        let limit = (self.settings.memory_mib as usize) << 20;
        let track = state.track_mut(id);
        let breaks = track.breaks(chunk);
        let epoch = if breaks && track.epoch == epoch { epoch + 1 } else { epoch };
        let part = track.push(chunk, epoch, limit);
        let longest = track.playlist.longest().as_secs_f64().round();
        state.epoch = epoch;
        state.part_target = state.part_target.max(part);
        state.target = state.target.max(longest as u32);
        let (window, target) = (self.settings.window(), state.target);
        state.track_mut(id).trim(window, target);
        while state.bytes() > limit {
            let largest = state.tracks.values_mut().max_by_key(|track| track.bytes);
            if !largest.is_some_and(Track::drop_oldest) {
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
        state.tracks.values_mut().for_each(|track| track.playlist.end());
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
        lock(&self.state).bytes()
    }

    /// The master playlist, once every track has a segment. `query` goes behind every URI.
    ///
    /// # Errors
    /// [`Missing::Late`] when the stream does not flow.
    pub async fn master(&self, query: &str) -> Result<String, Missing> {
        let all = |state: &State| {
            !state.expected.is_empty() && state.expected.iter().all(|id| state.ready(id))
        };
        let found = self.wait_for(WAIT_MAX, |s| all(s).then(|| Ok(written(s, query)))).await;
        // One track without the other is better than nothing.
        found.or_else(|e| {
            let state = lock(&self.state);
            let any = state.tracks.keys().any(|id| state.ready(id));
            if any { Ok(written(&state, query)) } else { Err(e) }
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
        id: &TrackId,
        query: &str,
        at_least: Option<(u64, Option<usize>)>,
    ) -> Result<String, Missing> {
        self.wait_for(WAIT_MAX, |state| {
            let Some(track) = state.track(id).filter(|_| state.ready(id)) else {
                let coming = state.expected.is_empty() || state.expected.contains(id);
                return if coming { None } else { Some(Err(Missing::Unknown)) };
            };
            let standing =
                at_least.map(|(sequence, part)| track.playlist.standing_in_list(sequence, part));
            match standing {
                Some(Standing::Unknown) if !state.ended => Some(Err(Missing::Unknown)),
                Some(Standing::Soon) => None,
                _ => Some(Ok(self.write(state, id, track, query))),
            }
        })
        .await
    }

    fn write(&self, state: &State, id: &TrackId, track: &Track, query: &str) -> String {
        let others = state.tracks.iter().filter(|(other, track)| *other != id && track.ready());
        let reports: Vec<_> = others
            .filter_map(|(other, track)| {
                let (sequence, parts) = track.playlist.edge()?;
                let part = parts.checked_sub(1)?;
                Some(Report { uri: format!("{other}.m3u8"), sequence, part })
            })
            .collect();
        let form = Form {
            name: &id.to_string(),
            query,
            target: state.target,
            part_target: self.settings.part().map(|_| state.part_target),
            hold_back: state.subtitles.hold_back(state.target),
            reports: &reports,
        };
        track.playlist.text(self.settings.window(), &form)
    }

    /// The playlist of the captions in a language, once a segment has its captions.
    ///
    /// # Errors
    /// [`Missing::Unknown`] for a language that is not there, [`Missing::Late`] when the stream
    /// stands still.
    pub async fn captions(&self, language: &Language, query: &str) -> Result<String, Missing> {
        self.wait_for(WAIT_MAX, |state| {
            if state.subtitles.delay(language).is_none() {
                return Some(Err(Missing::Unknown));
            }
            let (last, lead) = state.captioned(language).zip(state.lead())?;
            let form = Form {
                name: &format!("captions-{language}"),
                query,
                target: state.target,
                part_target: None,
                hold_back: None,
                reports: &[],
            };
            Some(Ok(lead.playlist.captions(self.settings.window(), last, &form)))
        })
        .await
    }

    /// The captions of a segment in a language, as WebVTT.
    ///
    /// # Errors
    /// [`Missing::Unknown`] for a language or a segment that is not there or has not all its
    /// captions yet, [`Missing::Gone`] for a segment that has left the window.
    pub fn captions_segment(&self, language: &Language, sequence: u64) -> Result<String, Missing> {
        let state = lock(&self.state);
        let lead = state.lead().ok_or(Missing::Unknown)?;
        if lead.playlist.standing(sequence, None) == Standing::Gone {
            return Err(Missing::Gone);
        }
        let listed = state.captioned(language).is_some_and(|last| sequence <= last);
        let window = lead.window(sequence).filter(|_| listed).ok_or(Missing::Unknown)?;
        state.subtitles.segment(language, &window).ok_or(Missing::Unknown)
    }

    /// An initialisation section.
    ///
    /// # Errors
    /// [`Missing::Gone`] when no segment needs it any more, [`Missing::Unknown`] otherwise.
    pub async fn init(&self, id: &TrackId, number: u64) -> Result<Bytes, Missing> {
        lock(&self.state).track(id).ok_or(Missing::Unknown)?.init(number)
    }

    /// A whole segment, as the parts that it consists of; one that is being made is waited for.
    ///
    /// # Errors
    /// [`Missing::Gone`] when it has left the window, [`Missing::Unknown`] when it is too far
    /// ahead, [`Missing::Late`] when the stream stands still.
    pub async fn segment(&self, id: &TrackId, sequence: u64) -> Result<VecDeque<Bytes>, Missing> {
        let limit = WAIT_MAX + Duration::from_secs(u64::from(lock(&self.state).target));
        self.fetch(limit, id, sequence, None).await
    }

    /// One part of a segment; the one that comes next is waited for.
    ///
    /// # Errors
    /// As [`Self::segment`].
    pub async fn part(&self, id: &TrackId, sequence: u64, part: usize) -> Result<Bytes, Missing> {
        let found = self.fetch(WAIT_MAX, id, sequence, Some(part)).await?;
        found.into_iter().next().ok_or(Missing::Unknown)
    }

    async fn fetch(
        &self,
        limit: Duration,
        id: &TrackId,
        sequence: u64,
        part: Option<usize>,
    ) -> Result<VecDeque<Bytes>, Missing> {
        self.wait_for(limit, |state| {
            let Some(track) = state.track(id) else { return Some(Err(Missing::Unknown)) };
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
        lock(&self.state).tracks.values().filter_map(Track::rendition).collect()
    }
}
