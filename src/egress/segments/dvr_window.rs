//! The DVR window of a segment store: what the stream asks for, and what its thread reports.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::dvr::{Dvr, FileId, Place, Series, Warning, WindowOwner};
use super::{SegmentStore, TrackId};
use crate::media::IgnorePoison;

impl SegmentStore {
    /// Lets viewers go back as far as `window`; `None` ends that, and the files are deleted.
    pub fn set_dvr(self: &Arc<Self>, window: Option<Duration>, place: Place<'_>) {
        let mut state = self.state.lock().ignore_poison();
        match (window, &mut state.dvr) {
            (Some(window), Some(dvr)) => dvr.window = window,
            (Some(window), none) => {
                let owner = Arc::downgrade(self) as Weak<dyn WindowOwner>;
                match Dvr::start(owner, window, place, self.settings.dvr_bytes()) {
                    Ok(dvr) => *none = Some(dvr),
                    Err(error) => {
                        tracing::warn!(stream = %place.stream, %error, "no thread for a DVR window");
                    }
                }
            }
            (None, some) => {
                if some.take().is_some() {
                    state.tracks.values_mut().for_each(|track| track.drop_history());
                }
            }
        }
    }

    /// Why the DVR window is shorter than wanted; the newest reason, once.
    pub fn take_dvr_warning(&self) -> Option<Warning> {
        self.state.lock().ignore_poison().dvr.as_mut()?.take_warning()
    }

    /// How far back viewers can go, in seconds, and the bytes that it takes on the disk. `None` without a
    /// DVR window.
    pub(super) fn dvr(&self) -> Option<(f64, u64)> {
        let state = self.state.lock().ignore_poison();
        let bytes = state.dvr.as_ref()?.bytes;
        Some((state.kept_s(), bytes))
    }

    /// Whether segments are still being written.
    #[cfg(test)]
    pub(in crate::egress) fn is_writing(&self) -> bool {
        let state = self.state.lock().ignore_poison();
        state.tracks.values().any(super::track::Track::is_being_written)
    }

    /// As if nothing had come for a minute.
    #[cfg(test)]
    pub(in crate::egress) fn pause(&self) {
        self.state.lock().ignore_poison().pause(Duration::from_secs(60));
    }
}

impl WindowOwner for SegmentStore {
    fn wants(&self, folder: &Path) -> bool {
        self.state.lock().ignore_poison().dvr.as_ref().is_some_and(|dvr| dvr.folder() == folder)
    }

    fn kept(&self, file: &FileId, written: bool) {
        let Series::Track(id) = &file.series else { return };
        if let Some(track) = self.state.lock().ignore_poison().tracks.get_mut(id) {
            track.kept(file.sequence, written);
        }
    }

    fn oldest(&self, id: &TrackId) -> Option<u64> {
        self.state.lock().ignore_poison().track(id).map(|track| track.index.oldest())
    }

    fn move_window(&self) {
        self.state.lock().ignore_poison().move_window();
    }

    fn give_up_oldest(&self) -> bool {
        self.state.lock().ignore_poison().give_up_oldest()
    }

    fn warn(&self, message: String, hint: &'static str) {
        if let Some(dvr) = &mut self.state.lock().ignore_poison().dvr {
            dvr.warn(message, hint);
        }
    }

    fn set_bytes(&self, bytes: u64) {
        if let Some(dvr) = &mut self.state.lock().ignore_poison().dvr {
            dvr.bytes = bytes;
        }
    }
}
