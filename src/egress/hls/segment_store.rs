//! Holds the segments of a stream between the pipeline that produces them and the requests that
//! fetch them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::h264::H264;
use super::master::{ClosedCaptions, Rendition};
use super::playlist::{Form, Report, Standing};
use super::state::State;
use super::track::Track;
use super::viewers::Viewers;
use super::{SegmentError, Settings, TrackId};
use crate::egress::segments::fmp4::{Chunk, TrackInfo};
use crate::media::{Cue, Language};

/// Maximum wait of a request for something that is expected shortly.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The segments and playlists of one stream, in bounded memory. It outlives the node that fills it:
/// numbering continues after a restart.
pub struct SegmentStore {
    settings: Settings,
    /// Locked by streaming threads and requests while they copy references or write a playlist of
    /// some kilobytes. No other lock is taken while it is held.
    state: Mutex<State>,
    /// Counts changes, so that requests can wait for one.
    version: watch::Sender<u64>,
    viewers: Viewers,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SegmentStore {
    /// An empty segment store.
    pub fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            state: Mutex::new(State::new(&settings)),
            version: watch::Sender::new(0),
            viewers: Viewers::default(),
        })
    }

    /// The settings of the segment store.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Sets the original tracks that will come, video first.
    pub(super) fn expect(&self, tracks: Vec<TrackId>) {
        let mut state = lock(&self.state);
        if state.expected.first() != tracks.first() {
            state.subtitles.forget();
        }
        state.expected = tracks;
    }

    /// Sets the other languages with audio. Earlier languages that are not among them are removed.
    pub(super) fn expect_dubs(&self, languages: Vec<Language>) {
        let mut state = lock(&self.state);
        let stays = |id: &TrackId| match id {
            TrackId::Dub(language) => languages.contains(language),
            TrackId::Video | TrackId::H264 | TrackId::Audio => true,
        };
        state.tracks.retain(|id, _| stays(id));
        state.dubs = languages;
    }

    /// Sets whether the video is also offered as H.264, with its approximate bit rate in bit/s.
    /// `None` if the original is H.264 or cannot be transcoded.
    pub fn offer_h264(&self, bitrate: Option<u64>) {
        let mut state = lock(&self.state);
        let asked = state.h264.take().and_then(|h264| h264.asked);
        state.h264 = bitrate.map(|bitrate| H264 { bitrate, asked });
        if bitrate.is_none() {
            state.tracks.remove(&TrackId::H264);
        }
    }

    /// Whether a player requests the video as H.264, so that it must be encoded.
    pub fn wants_h264(&self) -> bool {
        lock(&self.state).h264.as_ref().is_some_and(H264::is_wanted)
    }

    /// Sets the caption languages of the stream as configured, the original first; `und` for a
    /// language that is detected.
    pub(super) fn follow_captions(&self, asked: &[Language]) {
        lock(&self.state).subtitles.follow(asked);
    }

    /// Adds a committed cue to the captions with this configured language.
    pub(super) fn add_cue(&self, name: &Language, cue: &Cue) {
        lock(&self.state).subtitles.add(name, cue);
    }

    /// Sets the captions that are embedded in the video.
    pub fn set_closed_captions(&self, inside: Vec<ClosedCaptions>) {
        lock(&self.state).closed_captions = inside;
    }

    /// A track begins, or its decoder configuration has changed.
    pub(super) fn begin_track(&self, id: &TrackId, info: TrackInfo) {
        lock(&self.state).track_mut(id).set_info(info);
    }

    /// Puts the next chunk of a track into the segment store.
    pub(super) fn push(&self, id: &TrackId, chunk: &Chunk) {
        let mut state = lock(&self.state);
        let (limit, window) = ((self.settings.memory_mib as usize) << 20, self.settings.window());
        let part = if id.is_derived() {
            state.push_derived(id, chunk, (limit, window))
        } else {
            state.push(id, chunk, limit)
        };
        let longest = state.track_mut(id).playlist.longest().as_secs_f64().round();
        state.part_target = state.part_target.max(part);
        state.target = state.target.max(longest as u32);
        let target = state.target;
        state.track_mut(id).trim(window, target);
        while state.bytes() > limit {
            let largest = state.tracks.values_mut().max_by_key(|track| track.bytes);
            if !largest.is_some_and(Track::drop_oldest) {
                break;
            }
        }
        state.settle();
        drop(state);
        self.version.send_modify(|v| *v = v.wrapping_add(1));
    }

    /// Ends the stream: playlists are marked as ended, and waiting requests are answered.
    pub fn end(&self) {
        let mut state = lock(&self.state);
        state.ended = true;
        state.tracks.values_mut().for_each(|track| track.playlist.end());
        drop(state);
        self.version.send_modify(|v| *v = v.wrapping_add(1));
    }

    /// Notes a request of the player at this address.
    pub fn touch(&self, viewer: &str) {
        self.viewers.touch(viewer);
    }

    /// Time since the last request.
    pub fn idle(&self) -> Duration {
        self.viewers.idle()
    }

    /// Number of players, distinguished by address.
    pub fn viewers(&self) -> usize {
        self.viewers.count()
    }

    /// Bytes of memory in use.
    pub fn bytes(&self) -> usize {
        lock(&self.state).bytes()
    }

    /// The master playlist, once every track has a segment. `query` is appended to every URI.
    ///
    /// # Errors
    /// [`SegmentError::Late`] if the stream is stalled.
    pub async fn master(&self, query: &str) -> Result<String, SegmentError> {
        let all = |state: &State| {
            !state.expected.is_empty() && state.expected.iter().all(|id| state.ready(id))
        };
        let found = self.wait_for(WAIT_MAX, |s| all(s).then(|| Ok(s.master(query)))).await;
        // One track alone is better than none.
        found.or_else(|e| {
            let state = lock(&self.state);
            let any = state.expected.iter().any(|id| state.ready(id));
            if any { Ok(state.master(query)) } else { Err(e) }
        })
    }

    /// The playlist of a track. With `at_least` it waits until that segment or part is listed:
    /// rfc8216bis 6.2.5.2.
    ///
    /// # Errors
    /// [`SegmentError::Unknown`] for an unknown track or a number too far ahead, [`SegmentError::Late`] if
    /// the stream is stalled.
    pub async fn playlist(
        &self,
        id: &TrackId,
        query: &str,
        at_least: Option<(u64, Option<usize>)>,
    ) -> Result<String, SegmentError> {
        if *id == TrackId::H264 {
            lock(&self.state).h264.iter_mut().for_each(H264::ask);
        }
        self.wait_for(WAIT_MAX, |state| {
            let Some(track) = state.track(id).filter(|_| state.ready(id)) else {
                return if state.coming(id) { None } else { Some(Err(SegmentError::Unknown)) };
            };
            let standing =
                at_least.map(|(sequence, part)| track.playlist.standing_in_list(sequence, part));
            match standing {
                Some(Standing::Unknown) if !state.ended => Some(Err(SegmentError::Unknown)),
                Some(Standing::Soon) => None,
                _ => Some(Ok(self.write(state, id, track, query))),
            }
        })
        .await
    }

    fn write(&self, state: &State, id: &TrackId, track: &Track, query: &str) -> String {
        let others = state.tracks.iter().filter(|(other, _)| *other != id && state.ready(other));
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
            hold_back: self.hold_back(state),
            reports: &reports,
        };
        track.playlist.text(self.settings.window(), &form)
    }

    /// The distance from the live edge that captions need, limited by the number of segments.
    fn hold_back(&self, state: &State) -> Option<Duration> {
        let segments = u32::try_from(self.settings.window() - 1).unwrap_or(u32::MAX);
        let window = Duration::from_secs(u64::from(self.settings.segment_s)) * segments;
        state.subtitles.hold_back(state.target).map(|wanted| wanted.min(window))
    }

    /// The playlist of the captions with this configured language, once a segment has its captions.
    ///
    /// # Errors
    /// [`SegmentError::Unknown`] for unknown captions, [`SegmentError::Late`] if the stream is stalled.
    pub async fn captions(&self, name: &Language, query: &str) -> Result<String, SegmentError> {
        // After the end nothing else settles the last segments.
        lock(&self.state).settle();
        self.wait_for(WAIT_MAX, |state| {
            let Some(settled) = state.subtitles.settled(name) else {
                return Some(Err(SegmentError::Unknown));
            };
            let (last, lead) = settled.last_key_value().zip(state.lead())?;
            let form = Form {
                name: &format!("captions-{name}"),
                query,
                target: state.target,
                part_target: None,
                hold_back: None,
                reports: &[],
            };
            Some(Ok(lead.playlist.captions(self.settings.window(), *last.0, &form)))
        })
        .await
    }

    /// The captions of a segment as WebVTT; they never change.
    ///
    /// # Errors
    /// [`SegmentError::Unknown`] for unknown captions, an unknown segment, or a segment whose captions
    /// are not complete; [`SegmentError::Gone`] for a segment that has left the window.
    pub fn captions_segment(&self, name: &Language, sequence: u64) -> Result<String, SegmentError> {
        let state = lock(&self.state);
        let settled = state.subtitles.settled(name).ok_or(SegmentError::Unknown)?;
        let gone = settled.first_key_value().is_some_and(|(first, _)| sequence < *first);
        let missing = if gone { SegmentError::Gone } else { SegmentError::Unknown };
        settled.get(&sequence).cloned().ok_or(missing)
    }

    /// An initialisation section.
    ///
    /// # Errors
    /// [`SegmentError::Gone`] if no segment needs it any more, else [`SegmentError::Unknown`].
    pub async fn init(&self, id: &TrackId, number: u64) -> Result<Bytes, SegmentError> {
        lock(&self.state).track(id).ok_or(SegmentError::Unknown)?.init(number)
    }

    /// A whole segment as its parts; waits for the open segment.
    ///
    /// # Errors
    /// [`SegmentError::Gone`] if it has left the window, [`SegmentError::Unknown`] if it is too far ahead,
    /// [`SegmentError::Late`] if the stream is stalled.
    pub async fn segment(
        &self,
        id: &TrackId,
        sequence: u64,
    ) -> Result<VecDeque<Bytes>, SegmentError> {
        let limit = WAIT_MAX + Duration::from_secs(u64::from(lock(&self.state).target));
        self.fetch(limit, id, sequence, None).await
    }

    /// One part of a segment; waits for the next one.
    ///
    /// # Errors
    /// As [`Self::segment`].
    pub async fn part(
        &self,
        id: &TrackId,
        sequence: u64,
        part: usize,
    ) -> Result<Bytes, SegmentError> {
        let found = self.fetch(WAIT_MAX, id, sequence, Some(part)).await?;
        found.into_iter().next().ok_or(SegmentError::Unknown)
    }

    async fn fetch(
        &self,
        limit: Duration,
        id: &TrackId,
        sequence: u64,
        part: Option<usize>,
    ) -> Result<VecDeque<Bytes>, SegmentError> {
        self.wait_for(limit, |state| {
            let Some(track) = state.track(id) else { return Some(Err(SegmentError::Unknown)) };
            match track.playlist.standing(sequence, part) {
                Standing::Here => Some(track.data(sequence, part)),
                Standing::Gone => Some(Err(SegmentError::Gone)),
                Standing::Unknown => Some(Err(SegmentError::Unknown)),
                Standing::Soon => None,
            }
        })
        .await
    }

    async fn wait_for<T>(
        &self,
        limit: Duration,
        mut find: impl FnMut(&State) -> Option<Result<T, SegmentError>>,
    ) -> Result<T, SegmentError> {
        let mut version = self.version.subscribe();
        let found = async {
            loop {
                version.borrow_and_update();
                if let Some(found) = find(&lock(&self.state)) {
                    return found;
                }
                if version.changed().await.is_err() {
                    return Err(SegmentError::Late);
                }
            }
        };
        tokio::time::timeout(limit, found).await.unwrap_or(Err(SegmentError::Late))
    }

    /// The original tracks as master playlist entries.
    pub fn renditions(&self) -> Vec<Rendition> {
        let state = lock(&self.state);
        let tracks = [TrackId::Video, TrackId::Audio];
        tracks.iter().filter_map(|id| state.rendition(id)).collect()
    }
}

#[cfg(test)]
#[path = "segment_store_tests.rs"]
mod tests;
