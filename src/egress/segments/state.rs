//! The content of a segment store.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::dvr::{Dvr, FileId, Series};
use super::encoded::Encoded;
use super::fmp4::Chunk;
use super::index::{SegmentIndex, grace};
use super::subtitles::Subtitles;
use super::track::Track;
use super::webvtt;
use super::{ClosedCaptions, LiveEdge, Presentation, Rendition, Settings, Timeline, TrackId};
use crate::flow;
use crate::media::Language;

/// After a pause of this plus one target duration the old segments are no longer live: players then
/// start with the new ones.
const STALE_AFTER: Duration = Duration::from_secs(10);

/// How far tracks may be apart at a break: a derived one that lags behind the originals by more
/// belongs before it.
const BREAK_TOLERANCE: Duration = Duration::from_millis(500);

/// Breaks that are remembered: more than segments are listed. With a DVR window there are as many more as
/// it has seconds.
const BREAKS_MAX: usize = 128;

/// Why segments cannot be kept, when the disk is too slow.
const BEHIND: (&str, &str) = (
    "the disk of the DVR window is too slow: segments are not kept",
    "viewers cannot go back as far as `dvr_s` says: use a faster disk, or fewer DVR windows on it",
);

/// The content of a segment store.
pub(super) struct State {
    /// The original tracks that the node has announced.
    pub(super) expected: Vec<TrackId>,
    /// The other languages with audio. They are offered before they are available, because players
    /// read the list of languages only once.
    pub(super) dubs: Vec<Language>,
    pub(super) tracks: BTreeMap<TrackId, Track>,
    pub(super) subtitles: Subtitles,
    pub(super) closed_captions: Vec<ClosedCaptions>,
    /// Counts breaks of the originals. All tracks have the same discontinuities in the same order:
    /// a track that is behind this number makes its discontinuity as soon as it can.
    epoch: u64,
    /// Running time of the newest break.
    broke_at: Duration,
    pub(super) timeline: Timeline,
    /// Target duration in seconds; no segment exceeds it. Never decreases.
    pub(super) target: u32,
    /// Duration of the longest part. Never decreases.
    pub(super) part_target: Duration,
    pub(super) ended: bool,
    /// When the newest chunk of an original arrived.
    pushed: Option<Instant>,
    /// Running time at which the newest chunk of the originals ends.
    newest: Duration,
    /// The DVR window, if viewers may go back.
    pub(super) dvr: Option<Dvr>,
    /// The video as H.264 beside the original, as far as it is offered.
    pub(super) encoded: BTreeMap<TrackId, Encoded>,
}

impl State {
    /// An empty state.
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            expected: Vec::new(),
            dubs: Vec::new(),
            tracks: BTreeMap::new(),
            subtitles: Subtitles::default(),
            closed_captions: Vec::new(),
            epoch: 0,
            broke_at: Duration::ZERO,
            timeline: Timeline::default(),
            target: settings.segment_s.max(1),
            part_target: settings.part().unwrap_or_default(),
            ended: false,
            pushed: None,
            newest: Duration::ZERO,
            dvr: None,
            encoded: BTreeMap::new(),
        }
    }

    /// Whether the content is from before a pause without viewers or publisher.
    fn stale(&self) -> bool {
        !self.ended && self.pushed.is_some_and(|at| at.elapsed() > self.stale_after())
    }

    fn stale_after(&self) -> Duration {
        STALE_AFTER + Duration::from_secs(u64::from(self.target))
    }

    /// Whether a track can be played. A derived track that has stopped while the originals continue
    /// cannot.
    pub(super) fn ready(&self, id: &TrackId) -> bool {
        self.track(id).is_some_and(Track::ready) && !self.stale() && !self.has_stopped(id)
    }

    fn has_stopped(&self, id: &TrackId) -> bool {
        let age = self.track(id).filter(|_| id.is_derived() && !self.ended).and_then(Track::age);
        age.is_some_and(|age| age > self.stale_after())
    }

    /// Whether a track is expected, as far as is known.
    pub(super) fn coming(&self, id: &TrackId) -> bool {
        match id {
            TrackId::H264 | TrackId::Rung(_) => self.encoded.contains_key(id),
            TrackId::Dub(language) if self.dubs.contains(language) => true,
            _ => self.expected.is_empty() || self.expected.contains(id),
        }
    }

    pub(super) fn track(&self, id: &TrackId) -> Option<&Track> {
        self.tracks.get(id)
    }

    pub(super) fn track_mut(&mut self, id: &TrackId) -> &mut Track {
        // Numbers start at the wall-clock time in seconds, so that a player which knows an older
        // track of the same name, or an older segment store of the stream, never sees a number twice.
        let first = || flow::wall_clock(flow::now()).as_secs();
        self.tracks.entry(id.clone()).or_insert_with(|| Track::new(first()))
    }

    pub(super) fn bytes(&self) -> usize {
        self.tracks.values().map(|track| track.bytes).sum()
    }

    /// The track whose segments the captions follow.
    pub(super) fn lead(&self) -> Option<&Track> {
        self.track(self.expected.first()?).filter(|track| track.ready())
    }

    /// Settles the captions of segments for which no more cues are expected, and keeps them.
    pub(super) fn settle(&mut self) {
        let Some(recent) = self.lead().map(Track::recent) else { return };
        let now = Duration::from_nanos(flow::now().nseconds());
        let settled = self.subtitles.settle(&recent, now);
        let (Some(dvr), Some(lead)) = (&self.dvr, self.expected.first()) else { return };
        for (name, sequence) in settled {
            let found = self.subtitles.settled(&name).and_then(|all| all.get(&sequence));
            let Some(segment) = found else { continue };
            let file = FileId { series: Series::Captions(name, lead.clone()), sequence };
            // Captions that the disk does not take are missing when a viewer goes back.
            dvr.queue.offer(file, vec![webvtt::text(segment).into()]);
        }
    }

    /// Running time since which segments are listed, with a DVR window.
    fn since(&self) -> Option<Duration> {
        let dvr = self.dvr.as_ref()?;
        Some(dvr.floor.max(self.newest.saturating_sub(dvr.window)))
    }

    /// Maximum number of listed segments of a track. `window` is that of the live window.
    pub(super) fn listed(&self, index: &SegmentIndex, window: usize) -> usize {
        self.since().map_or(window, |since| window.max(index.complete_after(since)))
    }

    /// Seconds between the oldest listed segment and the newest; 0 without a DVR window.
    pub(super) fn kept_s(&self) -> f64 {
        let oldest = self.since().zip(self.lead()).and_then(|(since, lead)| {
            let kept = lead.index.newest_first().take_while(|s| s.end() > since);
            kept.last().map(|s| s.start)
        });
        oldest.map_or(0.0, |oldest| self.newest.saturating_sub(oldest).as_secs_f64())
    }

    /// Keeps what has been completed of a track, and removes what has left the windows. `limit` is the
    /// memory limit in bytes.
    pub(super) fn trim(&mut self, id: &TrackId, window: usize, limit: usize) {
        let target = self.target;
        let lost = match (&mut self.dvr, self.tracks.get_mut(id)) {
            (Some(dvr), Some(track)) => {
                let mut behind = false;
                track.keep(|sequence, data| {
                    let file = FileId { series: Series::Track(id.clone()), sequence };
                    let queued = dvr.queue.offer(file, data);
                    behind |= !queued;
                    queued
                });
                if behind {
                    dvr.warn(BEHIND.0.to_owned(), BEHIND.1);
                }
                track.leave_memory(window, target)
            }
            (None, Some(track)) => {
                track.trim(window, target);
                None
            }
            (_, None) => None,
        };
        self.shorten(lost);
        while self.bytes() > limit {
            let largest = self.tracks.values_mut().max_by_key(|track| track.bytes);
            let left = match &self.dvr {
                Some(_) => largest.and_then(Track::leave_oldest),
                None => largest.filter(|track| track.complete() > 0).map(|track| {
                    track.drop_oldest();
                    None
                }),
            };
            let Some(lost) = left else { break };
            self.shorten(lost);
        }
        self.drop_old();
    }

    fn shorten(&mut self, lost: Option<Duration>) {
        if let (Some(dvr), Some(lost)) = (&mut self.dvr, lost) {
            dvr.shorten(lost);
        }
    }

    /// Removes what has left the DVR window and its grace period.
    fn drop_old(&mut self) {
        let (Some(since), Some(dvr)) = (self.since(), &self.dvr) else { return };
        let end = dvr.floor.max(since.saturating_sub(grace(self.target)));
        self.tracks.values_mut().for_each(|track| track.drop_until(end));
    }

    /// As if nothing had come for this time.
    #[cfg(test)]
    pub(super) fn pause(&mut self, time: Duration) {
        self.pushed = self.pushed.and_then(|at| at.checked_sub(time));
    }

    /// Moves the DVR window although nothing comes.
    pub(super) fn move_window(&mut self) {
        let now = Duration::from_nanos(flow::now().nseconds());
        self.newest = self.newest.max(now.saturating_sub(self.stale_after()));
        self.drop_old();
    }

    /// Gives up the oldest segments of the DVR window. Returns false if there are none.
    pub(super) fn give_up_oldest(&mut self) -> bool {
        let oldest = self.tracks.values().filter_map(Track::oldest_end).min();
        self.shorten(oldest);
        self.drop_old();
        oldest.is_some()
    }

    /// Adds a chunk to an original track. Returns the duration of the resulting part.
    pub(super) fn push(&mut self, id: &TrackId, chunk: &Chunk, limit: usize) -> Duration {
        if self.stale() {
            self.leave_past();
        }
        self.pushed = Some(Instant::now());
        let track = self.track(id);
        if track.is_some_and(|track| track.breaks(chunk) && track.epoch == self.epoch) {
            self.broke_at = track.map(|track| track.time_of(chunk)).unwrap_or_default();
            self.epoch += 1;
        }
        let epoch = self.epoch;
        self.note_break(chunk.shown_at);
        let track = self.track_mut(id);
        let part = track.push(chunk, epoch, limit);
        self.newest = self.newest.max(self.track(id).map(Track::end).unwrap_or_default());
        part
    }

    /// What is from before a pause is no longer live. With a DVR window viewers can go back to what there
    /// was up to the pause, of the tracks that will go on.
    fn leave_past(&mut self) {
        let until = self.newest.saturating_sub(self.stale_after());
        for (id, track) in &mut self.tracks {
            let goes_on = self.expected.contains(id) || (id.is_derived() && track.end() > until);
            if self.dvr.is_none() || !goes_on {
                track.forget();
            }
        }
    }

    /// Notes the running time at which the epoch begins, if it does: that of the track that begins
    /// first, because players leave out pictures from before.
    fn note_break(&mut self, shown_at: Duration) {
        if self.timeline.breaks.is_empty() {
            self.timeline.zero = flow::wall_clock(gst::ClockTime::ZERO);
        }
        let start = self.timeline.breaks.entry(self.epoch).or_insert(shown_at);
        if shown_at + BREAK_TOLERANCE > *start {
            *start = shown_at.min(*start);
        }
        let seconds = self.dvr.as_ref().map_or(0, |dvr| dvr.window.as_secs() as usize);
        while self.timeline.breaks.len() > BREAKS_MAX + seconds {
            self.timeline.breaks.pop_first();
        }
    }

    /// Adds a chunk to a derived track. Its breaks do not affect the originals.
    pub(super) fn push_derived(
        &mut self,
        id: &TrackId,
        chunk: &Chunk,
        (limit, window): (usize, usize),
    ) -> Duration {
        let (epoch, target, broke_at) = (self.epoch, self.target, self.broke_at);
        let longest = Duration::from_secs(u64::from(target)) * u32::try_from(window).unwrap_or(3);
        let track = self.track_mut(id);
        let before = track.time_of(chunk) + BREAK_TOLERANCE < broke_at;
        if before || track.epoch == epoch {
            track.bridge(chunk, longest, target);
        }
        self.mirror(id, chunk);
        let track = self.track_mut(id);
        let epoch = if before { track.epoch } else { epoch };
        track.push(chunk, epoch, limit)
    }

    /// Gives a derived track that begins within a DVR window the window's length, in gaps: players take
    /// another track there.
    fn mirror(&mut self, id: &TrackId, chunk: &Chunk) {
        let (Some(since), Some(lead)) = (self.since(), self.expected.first().cloned()) else {
            return;
        };
        if self.track(id).is_none_or(|track| !track.index.is_empty()) {
            return;
        }
        let Some(lead) = self.track(&lead) else { return };
        let mut list = lead.index.list(lead.index.complete_after(since));
        list.complete.retain(|s| s.end() <= chunk.shown_at + BREAK_TOLERANCE);
        self.track_mut(id).mirror(&list);
    }

    /// A track as players select it, once it can be played.
    pub(super) fn rendition(&self, id: &TrackId) -> Option<Rendition> {
        self.track(id).and_then(Track::rendition)
    }

    /// The live edges of the tracks that can be played.
    pub(super) fn edges(&self) -> impl Iterator<Item = LiveEdge> {
        self.tracks.iter().filter(|(id, _)| self.ready(id)).filter_map(|(id, track)| {
            let (sequence, parts) = track.index.edge()?;
            Some(LiveEdge { id: id.clone(), sequence, part: parts.checked_sub(1)? })
        })
    }

    /// Everything that players can select now.
    pub(super) fn presentation(&self, hold_back: Option<Duration>) -> Presentation {
        let offered = |language: &&Language| !self.has_stopped(&TrackId::Dub((*language).clone()));
        let dub = |language: &Language| {
            (language.clone(), self.rendition(&TrackId::Dub(language.clone())))
        };
        let video = self.rendition(&TrackId::Video);
        let encoded = video.iter().flat_map(|video| {
            self.encoded.iter().rev().map(|(id, encoded)| {
                let made = self.rendition(id);
                (id.clone(), made.unwrap_or_else(|| encoded.expected(&video.info)))
            })
        });
        Presentation {
            encoded: encoded.collect(),
            video,
            audio: self.rendition(&TrackId::Audio),
            dubs: self.dubs.iter().filter(offered).map(dub).collect(),
            captions: self.subtitles.offered().cloned().collect(),
            closed_captions: self.closed_captions.clone(),
            target_s: self.target,
            hold_back,
            timeline: self.timeline.clone(),
        }
    }
}
