//! What lies on a shelf.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::h264::H264;
use super::master::{self, ClosedCaptions, Rendition};
use super::subtitles::Subtitles;
use super::track::Track;
use super::{Settings, TrackId};
use crate::egress::fmp4::Chunk;
use crate::flow;
use crate::media::Language;

/// Segments older than this and one target duration are no longer the live stream: after a pause
/// players begin with what comes then.
const STALE_AFTER: Duration = Duration::from_secs(10);

/// How far a derived track may be behind the originals at a break and still belong before it.
const BREAK_TOLERANCE: Duration = Duration::from_millis(500);

/// What lies on a shelf.
pub(super) struct State {
    /// The tracks that the node has said will come.
    pub(super) expected: Vec<TrackId>,
    /// The other languages that it has sound in. They are offered before they are there, since
    /// players ask only once which languages there are.
    pub(super) dubs: Vec<Language>,
    pub(super) tracks: BTreeMap<TrackId, Track>,
    pub(super) subtitles: Subtitles,
    pub(super) closed_captions: Vec<ClosedCaptions>,
    /// Counts breaks of the originals. All tracks have the same number of discontinuities in the
    /// same order: one that is behind this number makes its discontinuity as soon as it can.
    epoch: u64,
    /// Running time of the newest break.
    broke_at: Duration,
    /// The whole seconds that no segment exceeds; never goes down.
    pub(super) target: u32,
    /// The longest part; never goes down.
    pub(super) part_target: Duration,
    pub(super) ended: bool,
    /// When the newest chunk of an original came.
    pushed: Option<Instant>,
    /// The pictures as H.264, where they are offered beside the original.
    pub(super) h264: Option<H264>,
}

impl State {
    /// Nothing.
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            expected: Vec::new(),
            dubs: Vec::new(),
            tracks: BTreeMap::new(),
            subtitles: Subtitles::default(),
            closed_captions: Vec::new(),
            epoch: 0,
            broke_at: Duration::ZERO,
            target: settings.segment_s.max(1),
            part_target: settings.part().unwrap_or_default(),
            ended: false,
            pushed: None,
            h264: None,
        }
    }

    /// Whether what lies here is from before a pause: nobody watched, or nothing was published.
    fn stale(&self) -> bool {
        !self.ended && self.pushed.is_some_and(|at| at.elapsed() > self.stale_after())
    }

    fn stale_after(&self) -> Duration {
        STALE_AFTER + Duration::from_secs(u64::from(self.target))
    }

    /// Whether a track has something to play. One that is made of an original and has stopped while
    /// the originals go on has not.
    pub(super) fn ready(&self, id: &TrackId) -> bool {
        self.track(id).is_some_and(Track::ready) && !self.stale() && !self.has_stopped(id)
    }

    fn has_stopped(&self, id: &TrackId) -> bool {
        let age = self.track(id).filter(|_| id.is_derived() && !self.ended).and_then(Track::age);
        age.is_some_and(|age| age > self.stale_after())
    }

    /// Whether a track will come, as far as is known.
    pub(super) fn coming(&self, id: &TrackId) -> bool {
        match id {
            TrackId::H264 => self.h264.is_some(),
            TrackId::Dub(language) if self.dubs.contains(language) => true,
            _ => self.expected.is_empty() || self.expected.contains(id),
        }
    }

    pub(super) fn track(&self, id: &TrackId) -> Option<&Track> {
        self.tracks.get(id)
    }

    pub(super) fn track_mut(&mut self, id: &TrackId) -> &mut Track {
        // Numbers begin at the time of day, so that a player which still knows an older track of
        // that name, or an older shelf of the stream, never meets a number twice.
        let first = || flow::wall_clock(flow::now()).as_secs();
        self.tracks.entry(id.clone()).or_insert_with(|| Track::new(first()))
    }

    pub(super) fn bytes(&self) -> usize {
        self.tracks.values().map(|track| track.bytes).sum()
    }

    /// The track whose segments captions follow.
    pub(super) fn lead(&self) -> Option<&Track> {
        self.track(self.expected.first()?).filter(|track| track.ready())
    }

    /// Settles what the segments say that have all their captions.
    pub(super) fn settle(&mut self) {
        let Some(complete) = self.lead().map(Track::complete) else { return };
        self.subtitles.settle(&complete, Duration::from_nanos(flow::now().nseconds()));
    }

    /// Puts a chunk of an original on its track; returns the length of the part that it became.
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
        self.track_mut(id).push(chunk, epoch, limit)
    }

    /// The same for a track that is made of an original: its breaks are its own and leave no trace in
    /// the originals.
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

    /// A track as the master playlist shows it, once there is something to play.
    pub(super) fn rendition(&self, id: &TrackId) -> Option<Rendition> {
        self.track(id).and_then(Track::rendition)
    }

    /// The master playlist; `query` goes behind every URI.
    pub(super) fn master(&self, query: &str) -> String {
        let offered = |language: &&Language| !self.has_stopped(&TrackId::Dub((*language).clone()));
        let dub = |language: &Language| {
            (language.clone(), self.rendition(&TrackId::Dub(language.clone())))
        };
        let video = self.rendition(&TrackId::Video);
        let h264 = self.h264.as_ref().zip(video.as_ref());
        let made = self.rendition(&TrackId::H264);
        let contents = master::Contents {
            h264: h264.map(|(h264, video)| made.unwrap_or_else(|| h264.expected(&video.info))),
            video,
            audio: self.rendition(&TrackId::Audio),
            dubs: self.dubs.iter().filter(offered).map(dub).collect(),
            captions: self.subtitles.offered().cloned().collect(),
            closed_captions: &self.closed_captions,
        };
        master::text(&contents, query)
    }
}
