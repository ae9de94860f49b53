//! The content of a segment store.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::encoded::Encoded;
use super::fmp4::Chunk;
use super::subtitles::Subtitles;
use super::track::Track;
use super::{ClosedCaptions, LiveEdge, Presentation, Rendition, Settings, Timeline, TrackId};
use crate::flow;
use crate::media::Language;

/// After a pause of this plus one target duration the old segments are no longer live: players then
/// start with the new ones.
const STALE_AFTER: Duration = Duration::from_secs(10);

/// How far tracks may be apart at a break: a derived one that lags behind the originals by more
/// belongs before it.
const BREAK_TOLERANCE: Duration = Duration::from_millis(500);

/// Breaks that are remembered: more than segments are listed.
const BREAKS_MAX: usize = 128;

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
    timeline: Timeline,
    /// Target duration in seconds; no segment exceeds it. Never decreases.
    pub(super) target: u32,
    /// Duration of the longest part. Never decreases.
    pub(super) part_target: Duration,
    pub(super) ended: bool,
    /// When the newest chunk of an original arrived.
    pushed: Option<Instant>,
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

    /// Settles the captions of segments for which no more cues are expected.
    pub(super) fn settle(&mut self) {
        let Some(complete) = self.lead().map(Track::complete) else { return };
        self.subtitles.settle(&complete, Duration::from_nanos(flow::now().nseconds()));
    }

    /// Adds a chunk to an original track. Returns the duration of the resulting part.
    pub(super) fn push(&mut self, id: &TrackId, chunk: &Chunk, limit: usize) -> Duration {
        if self.stale() {
            self.tracks.values_mut().for_each(Track::forget);
        }
        self.pushed = Some(Instant::now());
        let track = self.track(id);
        if track.is_some_and(|track| track.breaks(chunk) && track.epoch == self.epoch) {
            self.broke_at = track.map(|track| track.time_of(chunk)).unwrap_or_default();
            self.epoch += 1;
        }
        let epoch = self.epoch;
        self.note_break(chunk.shown_at);
        self.track_mut(id).push(chunk, epoch, limit)
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
        while self.timeline.breaks.len() > BREAKS_MAX {
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
        let epoch = if before { track.epoch } else { epoch };
        if track.epoch == epoch {
            track.bridge(chunk, longest, target);
        }
        track.push(chunk, epoch, limit)
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
