//! Holds the segments of a stream between the pipeline that produces them and the requests that
//! fetch them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::encoded::Encoded;
use super::fmp4::{Chunk, SegmentStarts, TrackInfo};
use super::state::State;
use super::viewers::Viewers;
use super::{ClosedCaptions, Rendition, Settings, TrackId};
use crate::media::{Cue, IgnorePoison, Language, Protocol, Rung};

/// The segments of one stream, in bounded memory. It outlives the node that fills it: numbering
/// continues after a restart.
pub struct SegmentStore {
    pub(super) settings: Settings,
    /// Locked by streaming threads and requests while they copy references and the list of
    /// segments. No other lock is taken while it is held.
    pub(super) state: Mutex<State>,
    /// Counts changes, so that requests can wait for one.
    pub(super) version: watch::Sender<u64>,
    /// Where the segments of the original video begin.
    pub(super) starts: Arc<SegmentStarts>,
    viewers: Viewers,
}

impl SegmentStore {
    /// An empty segment store.
    pub fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            state: Mutex::new(State::new(&settings)),
            version: watch::Sender::new(0),
            starts: Arc::default(),
            viewers: Viewers::default(),
        })
    }

    /// The settings of the segment store.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Sets the original tracks that will come, video first.
    pub(in crate::egress) fn expect(&self, tracks: Vec<TrackId>) {
        let mut state = self.state.lock().ignore_poison();
        if state.expected.first() != tracks.first() {
            state.subtitles.forget();
        }
        state.expected = tracks;
    }

    /// Sets the other languages with audio. Earlier languages that are not among them are removed.
    pub(in crate::egress) fn expect_dubs(&self, languages: Vec<Language>) {
        let mut state = self.state.lock().ignore_poison();
        let stays = |id: &TrackId| match id {
            TrackId::Dub(language) => languages.contains(language),
            TrackId::Video | TrackId::H264 | TrackId::Rung(_) | TrackId::Audio => true,
        };
        state.tracks.retain(|id, _| stays(id));
        state.dubs = languages;
    }

    /// Sets what is offered beside the original video as H.264: tracks with their rung of the ladder,
    /// if they have one, and their approximate bit rates in bit/s. Earlier ones that are not among
    /// them are removed.
    pub fn offer_encoded(&self, offered: &[(TrackId, Option<Rung>, u64)]) {
        let mut state = self.state.lock().ignore_poison();
        let mut before = std::mem::take(&mut state.encoded);
        for (id, rung, bitrate) in offered {
            let asked = before.remove(id).and_then(|encoded| encoded.asked);
            let encoded = Encoded { bitrate: *bitrate, rung: *rung, asked };
            state.encoded.insert(id.clone(), encoded);
        }
        for gone in before.keys() {
            state.tracks.remove(gone);
        }
    }

    /// What players request of that, so that it must be encoded.
    pub fn wanted_encoded(&self) -> Vec<(TrackId, Option<Rung>)> {
        let state = self.state.lock().ignore_poison();
        let wanted = state.encoded.iter().filter(|(_, encoded)| encoded.is_wanted());
        wanted.map(|(id, encoded)| (id.clone(), encoded.rung)).collect()
    }

    /// Sets the caption languages of the stream as configured, the original first; `und` for a
    /// language that is detected.
    pub(in crate::egress) fn follow_captions(&self, asked: &[Language]) {
        self.state.lock().ignore_poison().subtitles.follow(asked);
    }

    /// Adds a committed cue to the captions with this configured language.
    pub(in crate::egress) fn add_cue(&self, name: &Language, cue: &Cue) {
        self.state.lock().ignore_poison().subtitles.add(name, cue);
    }

    /// Sets the captions that are embedded in the video.
    pub fn set_closed_captions(&self, inside: Vec<ClosedCaptions>) {
        self.state.lock().ignore_poison().closed_captions = inside;
    }

    /// A track begins, or its decoder configuration has changed.
    pub(in crate::egress) fn begin_track(&self, id: &TrackId, info: TrackInfo) {
        self.state.lock().ignore_poison().track_mut(id).set_info(info);
    }

    /// Puts the next chunk of a track into the segment store.
    pub(in crate::egress) fn push(&self, id: &TrackId, chunk: &Chunk) {
        let mut state = self.state.lock().ignore_poison();
        let (limit, window) = ((self.settings.memory_mib as usize) << 20, self.settings.window());
        let part = if id.is_derived() {
            state.push_derived(id, chunk, (limit, window))
        } else {
            state.push(id, chunk, limit)
        };
        let longest = state.track_mut(id).index.longest_of_newest().as_secs_f64().round();
        state.part_target = state.part_target.max(part);
        state.target = state.target.max(longest as u32);
        state.trim(id, window, limit);
        state.settle();
        drop(state);
        self.version.send_modify(|v| *v = v.wrapping_add(1));
    }

    /// Ends the stream: its tracks are marked as ended, and waiting requests are answered.
    pub fn end(&self) {
        let mut state = self.state.lock().ignore_poison();
        state.ended = true;
        state.tracks.values_mut().for_each(|track| track.index.end());
        drop(state);
        self.version.send_modify(|v| *v = v.wrapping_add(1));
    }

    /// Notes a request of the player at this address.
    pub fn touch(&self, protocol: Protocol, address: &str) {
        self.viewers.touch(protocol, address);
    }

    /// Time since the last request.
    pub fn idle(&self) -> Duration {
        self.viewers.idle()
    }

    /// Number of players, distinguished by protocol and address.
    pub fn viewers(&self) -> usize {
        self.viewers.count(None)
    }

    /// Number of players by this protocol, distinguished by address.
    pub fn viewers_by(&self, protocol: Protocol) -> usize {
        self.viewers.count(Some(protocol))
    }

    /// Bytes of memory in use.
    pub fn bytes(&self) -> usize {
        self.state.lock().ignore_poison().bytes()
    }

    /// The original tracks.
    pub fn renditions(&self) -> Vec<Rendition> {
        let state = self.state.lock().ignore_poison();
        let tracks = [TrackId::Video, TrackId::Audio];
        tracks.iter().filter_map(|id| state.rendition(id)).collect()
    }
}
