//! What a stream offers to players, as data for manifests: copies, so that nothing is locked while
//! a manifest is written.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::TrackId;
use super::fmp4::TrackInfo;
use crate::captions::Service;
use crate::media::Language;

/// A track that players can select.
#[derive(Clone, Debug)]
pub struct Rendition {
    /// Its decoder configuration.
    pub info: TrackInfo,
    /// Maximum bit rate of a segment so far, bit/s.
    pub peak: u64,
    /// Average bit rate so far, bit/s.
    pub average: u64,
}

/// Captions beside the media, in one language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptionRendition {
    /// The configured language, used in file names; `und` if it is detected. It never changes, so
    /// players can keep using it.
    pub name: Language,
    /// The actual language of the captions, `und` until it is known.
    pub language: Language,
}

/// Captions embedded in the video.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedCaptions {
    /// The CEA-608 channel or CEA-708 service that carries them.
    pub service: Service,
    /// Their language, if known.
    pub language: Option<Language>,
}

/// Everything that players of a stream can select.
#[derive(Clone, Debug)]
pub struct Presentation {
    /// The original video.
    pub video: Option<Rendition>,
    /// The video as H.264 beside the original, the largest first, whether or not it is being
    /// encoded.
    pub encoded: Vec<(TrackId, Rendition)>,
    /// The original audio.
    pub audio: Option<Rendition>,
    /// Audio in other languages, possibly not available yet.
    pub dubs: Vec<(Language, Option<Rendition>)>,
    /// Captions as separate renditions, the original first.
    pub captions: Vec<CaptionRendition>,
    /// Captions embedded in the video.
    pub closed_captions: Vec<ClosedCaptions>,
    /// As in [`TrackView`].
    pub target_s: u32,
    /// As in [`TrackView`].
    pub hold_back: Option<Duration>,
    /// Where its breaks are.
    pub timeline: Timeline,
}

/// The running times of the breaks of a stream, and what they are to clients.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// Unix time at which running time was zero, as it was when the first segment came. Setting the
    /// clock does not change it.
    pub zero: Duration,
    /// Running time of the first frame after each discontinuity, by its number; 0 is the start.
    pub breaks: BTreeMap<u64, Duration>,
}

/// A part of a segment: the smallest piece that players fetch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// Its duration.
    pub duration: Duration,
    /// Whether a player can start with it.
    pub independent: bool,
}

/// Ticks per second of the times by which manifests name segments, whatever the track has: that of
/// MPEG transport streams.
pub const TICKS_PER_S: u32 = 90_000;

/// A running time in ticks of [`TICKS_PER_S`], rounded.
pub fn ticks(time: Duration) -> u64 {
    let ticks = (time.as_nanos() * u128::from(TICKS_PER_S) + 500_000_000) / 1_000_000_000;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// One segment: complete, or still open.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Its number.
    pub sequence: u64,
    /// Wall-clock time of its first frame.
    pub date: DateTime<Utc>,
    /// Running time at which its first frame is presented.
    pub start: Duration,
    /// Whether it does not continue the segment before it.
    pub discontinuity: bool,
    /// Number of its initialisation section.
    pub init: u64,
    /// Its parts so far; none once it is out of memory.
    pub parts: Vec<Part>,
    /// Its duration so far.
    pub length: Duration,
    /// Whether it is a gap without media.
    pub gap: bool,
}

impl Segment {
    /// Running time at which its presentation ends, so far.
    pub fn end(&self) -> Duration {
        self.start + self.length
    }
}

/// The segments that a manifest lists.
#[derive(Clone, Debug)]
pub struct SegmentList {
    /// Complete segments within the window, oldest first.
    pub complete: Vec<Segment>,
    /// The segment that still grows.
    pub open: Option<Segment>,
    /// Number of the first one; of the next one if there is none.
    pub first: u64,
    /// Number of discontinuities up to the first one, its own included.
    pub discontinuities: u64,
    /// Whether nothing more will be added.
    pub ended: bool,
}

/// The live edge of a track: its newest part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveEdge {
    /// The track.
    pub id: TrackId,
    /// Its newest segment, complete or not.
    pub sequence: u64,
    /// Its newest part in that segment.
    pub part: usize,
}

/// One track, for players that follow it.
#[derive(Clone, Debug)]
pub struct TrackView {
    /// Its segments.
    pub list: SegmentList,
    /// Duration in seconds that no segment of any track exceeds when rounded. Never decreases.
    pub target_s: u32,
    /// Duration of the longest part of any track. `None` if players fetch only whole segments.
    pub part_target: Option<Duration>,
    /// Minimum distance of players from the live edge. `None` leaves it to the players.
    pub hold_back: Option<Duration>,
    /// Live edges of the other tracks, for players that switch to them.
    pub others: Vec<LiveEdge>,
    /// Whether the list is long, so that players may ask for its end alone.
    pub can_skip: bool,
}
