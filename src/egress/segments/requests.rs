//! Requests of players to a segment store: they wait for what is expected shortly.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::dvr::{FileId, Series};
use super::index::Standing;
use super::media::{Media, Place};
use super::segment_store::SegmentStore;
use super::state::State;
use super::subtitles::CaptionSegment;
use super::track::Track;
use super::{Presentation, SegmentError, SegmentList, TrackId, TrackView, ticks, webvtt};
use crate::media::{IgnorePoison, Language};

/// Maximum wait of a request for something that is expected shortly.
const WAIT_MAX: Duration = Duration::from_secs(10);

impl SegmentStore {
    /// Everything that players can select, once every original track has a segment.
    ///
    /// # Errors
    /// [`SegmentError::Late`] if the stream is stalled.
    pub async fn presentation(&self) -> Result<Presentation, SegmentError> {
        let all = |state: &State| {
            !state.expected.is_empty() && state.expected.iter().all(|id| state.ready(id))
        };
        let found = self
            .wait_for(WAIT_MAX, |s| all(s).then(|| Ok(s.presentation(self.hold_back(s)))))
            .await;
        // One track alone is better than none.
        found.or_else(|e| {
            let state = self.state.lock().ignore_poison();
            let any = state.expected.iter().any(|id| state.ready(id));
            if any { Ok(state.presentation(self.hold_back(&state))) } else { Err(e) }
        })
    }

    /// The segments of a track. With `at_least` it waits until that segment or part is there; a
    /// number that has left the window requires no wait.
    ///
    /// # Errors
    /// [`SegmentError::Unknown`] for an unknown track or a number too far ahead,
    /// [`SegmentError::Late`] if the stream is stalled.
    pub async fn track(
        &self,
        id: &TrackId,
        at_least: Option<(u64, Option<usize>)>,
    ) -> Result<TrackView, SegmentError> {
        if let Some(encoded) = self.state.lock().ignore_poison().encoded.get_mut(id) {
            encoded.ask();
        }
        self.wait_for(WAIT_MAX, |state| {
            let Some(track) = state.track(id).filter(|_| state.ready(id)) else {
                return if state.coming(id) { None } else { Some(Err(SegmentError::Unknown)) };
            };
            match at_least.map(|(sequence, part)| track.index.standing(sequence, part)) {
                Some(Standing::Unknown) if !state.ended => Some(Err(SegmentError::Unknown)),
                Some(Standing::Soon) => None,
                _ => Some(Ok(self.view(state, id, track))),
            }
        })
        .await
    }

    fn view(&self, state: &State, id: &TrackId, track: &Track) -> TrackView {
        TrackView {
            list: track.index.list(state.listed(&track.index, self.settings.window())),
            target_s: state.target,
            can_skip: state.dvr.is_some(),
            part_target: self.settings.part().map(|_| state.part_target),
            hold_back: self.hold_back(state),
            others: state.edges().filter(|edge| edge.id != *id).collect(),
        }
    }

    /// The distance from the live edge that captions need, limited by the number of segments.
    fn hold_back(&self, state: &State) -> Option<Duration> {
        let segments = u32::try_from(self.settings.window() - 1).unwrap_or(u32::MAX);
        let window = Duration::from_secs(u64::from(self.settings.segment_s)) * segments;
        state.subtitles.hold_back(state.target).map(|wanted| wanted.min(window))
    }

    /// The segments of the captions with this configured language, once one has its captions: those
    /// of the media, as far as their captions are complete.
    ///
    /// # Errors
    /// [`SegmentError::Unknown`] for unknown captions, [`SegmentError::Late`] if the stream is
    /// stalled.
    pub async fn captions(&self, name: &Language) -> Result<TrackView, SegmentError> {
        // After the end nothing else settles the last segments.
        self.state.lock().ignore_poison().settle();
        self.wait_for(WAIT_MAX, |state| {
            let Some(settled) = state.subtitles.settled(name) else {
                return Some(Err(SegmentError::Unknown));
            };
            let ((last, _), lead) = settled.last_key_value().zip(state.lead())?;
            let window = state.listed(&lead.index, self.settings.window());
            Some(Ok(TrackView {
                list: lead.index.list_until(*last, window),
                can_skip: state.dvr.is_some(),
                target_s: state.target,
                part_target: None,
                hold_back: None,
                others: Vec::new(),
            }))
        })
        .await
    }

    /// The segments of the captions with this configured language that are in memory; none until the first
    /// one has its captions.
    pub fn settled_captions(&self, name: &Language) -> Option<SegmentList> {
        let mut state = self.state.lock().ignore_poison();
        // After the end nothing else settles the last segments.
        state.settle();
        let settled = state.subtitles.settled(name)?;
        let ((last, _), lead) = settled.last_key_value().zip(state.lead())?;
        let window = state.listed(&lead.index, self.settings.window());
        Some(lead.index.list_until(*last, window.min(settled.len())))
    }

    /// The captions of such a segment as WebVTT with times of the presentation, by the time at which it
    /// begins there, in ticks of [`super::TICKS_PER_S`]; they never change.
    ///
    /// # Errors
    /// [`SegmentError::Unknown`] for unknown captions, [`SegmentError::Gone`] for a segment that is not in
    /// memory.
    pub fn captions_at(&self, name: &Language, start: u64) -> Result<Media, SegmentError> {
        let state = self.state.lock().ignore_poison();
        let (settled, zero) = (state.subtitles.settled(name), state.timeline.zero);
        let mut segments = settled.ok_or(SegmentError::Unknown)?.values();
        let found = segments.find(|segment| ticks(zero + segment.window.start) == start);
        let text = webvtt::presented(found.ok_or(SegmentError::Gone)?, zero);
        Ok(Media::Memory(VecDeque::from([Bytes::from(text)])))
    }

    /// The captions of a segment as WebVTT; they never change.
    ///
    /// # Errors
    /// [`SegmentError::Unknown`] for unknown captions, an unknown segment, or a segment whose
    /// captions are not complete; [`SegmentError::Gone`] for a segment that has left the window.
    pub async fn captions_segment(
        &self,
        name: &Language,
        sequence: u64,
    ) -> Result<Media, SegmentError> {
        let (place, empty) = self.captions_place(name, sequence)?;
        let written = |segment: &CaptionSegment| {
            Media::Memory(VecDeque::from([Bytes::from(webvtt::text(segment))]))
        };
        match place {
            None => Ok(written(&empty)),
            Some(path) => match path.open().await {
                // Only captions with text have a file.
                Err(SegmentError::Gone) => Ok(written(&empty)),
                found => found,
            },
        }
    }

    /// Where the captions of a segment are, if not in memory, and those that are; else empty ones.
    fn captions_place(
        &self,
        name: &Language,
        sequence: u64,
    ) -> Result<(Option<Place>, CaptionSegment), SegmentError> {
        let state = self.state.lock().ignore_poison();
        let settled = state.subtitles.settled(name).ok_or(SegmentError::Unknown)?;
        if let Some(segment) = settled.get(&sequence) {
            return Ok((None, segment.clone()));
        }
        let gone = settled.first_key_value().is_some_and(|(first, _)| sequence < *first);
        if !gone {
            return Err(SegmentError::Unknown);
        }
        let (dvr, lead) =
            state.dvr.as_ref().zip(state.expected.first()).ok_or(SegmentError::Gone)?;
        let segment = state.track(lead).and_then(|track| track.index.find(sequence));
        let segment = segment.ok_or(SegmentError::Gone)?;
        let series = Series::Captions(name.clone(), lead.clone());
        let path = dvr.path(&FileId { series, sequence });
        let window = segment.start..segment.end();
        Ok((Some(Place::Disk(path)), CaptionSegment { window, texts: Vec::new() }))
    }

    /// An initialisation section.
    ///
    /// # Errors
    /// [`SegmentError::Gone`] if no segment needs it any more, else [`SegmentError::Unknown`].
    pub async fn init(&self, id: &TrackId, number: u64) -> Result<Bytes, SegmentError> {
        self.state.lock().ignore_poison().track(id).ok_or(SegmentError::Unknown)?.init(number)
    }

    /// A whole segment; waits for the open segment.
    ///
    /// # Errors
    /// [`SegmentError::Gone`] if it has left the window, [`SegmentError::Unknown`] if it is too far ahead,
    /// [`SegmentError::Late`] if the stream is stalled, or the disk with the DVR window.
    pub async fn segment(&self, id: &TrackId, sequence: u64) -> Result<Media, SegmentError> {
        let limit =
            WAIT_MAX + Duration::from_secs(u64::from(self.state.lock().ignore_poison().target));
        self.fetch(limit, id, sequence, None).await?.open().await
    }

    /// Number of the complete segment with this initialisation section that is presented from this
    /// running time, in ticks of [`super::TICKS_PER_S`].
    ///
    /// # Errors
    /// [`SegmentError::Gone`] if it has left the window, else [`SegmentError::Unknown`].
    pub fn number_at(&self, id: &TrackId, init: u64, start: u64) -> Result<u64, SegmentError> {
        let state = self.state.lock().ignore_poison();
        state.track(id).ok_or(SegmentError::Unknown)?.index.number_at(init, start)
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
        match self.fetch(WAIT_MAX, id, sequence, Some(part)).await? {
            Place::Memory(parts) => parts.into_iter().next().ok_or(SegmentError::Unknown),
            Place::Disk(_) => Err(SegmentError::Gone),
        }
    }

    async fn fetch(
        &self,
        limit: Duration,
        id: &TrackId,
        sequence: u64,
        part: Option<usize>,
    ) -> Result<Place, SegmentError> {
        self.wait_for(limit, |state| {
            let Some(track) = state.track(id) else { return Some(Err(SegmentError::Unknown)) };
            match track.index.standing(sequence, part) {
                Standing::Here => Some(match (track.data(sequence, part), &state.dvr) {
                    (Err(SegmentError::Gone), Some(dvr)) => {
                        let series = Series::Track(id.clone());
                        Ok(Place::Disk(dvr.path(&FileId { series, sequence })))
                    }
                    (found, _) => found.map(Place::Memory),
                }),
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
                if let Some(found) = find(&self.state.lock().ignore_poison()) {
                    return found;
                }
                if version.changed().await.is_err() {
                    return Err(SegmentError::Late);
                }
            }
        };
        tokio::time::timeout(limit, found).await.unwrap_or(Err(SegmentError::Late))
    }
}
