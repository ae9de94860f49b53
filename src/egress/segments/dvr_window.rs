//! The DVR window of a segment store: what the stream asks for, and what its thread reports.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::dvr::{Dvr, FileId, Place, Series, Warning};
use super::{SegmentStore, TrackId};
use crate::media::IgnorePoison;

impl SegmentStore {
    /// Lets viewers go back as far as `window`; `None` ends that, and the files are deleted.
    pub fn set_dvr(self: &Arc<Self>, window: Option<Duration>, place: Place<'_>) {
        let mut state = self.state.lock().ignore_poison();
        match (window, &mut state.dvr) {
            (Some(window), Some(dvr)) => dvr.window = window,
            (Some(window), none) => {
                let store = Arc::downgrade(self);
                match Dvr::start(store, window, place, self.settings.dvr_bytes()) {
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

    /// Whether its DVR window is in this folder.
    pub(super) fn has_dvr(&self, folder: &Path) -> bool {
        self.state.lock().ignore_poison().dvr.as_ref().is_some_and(|dvr| dvr.folder() == folder)
    }

    /// Why the DVR window is shorter than wanted; the newest reason, once.
    pub fn take_dvr_warning(&self) -> Option<Warning> {
        self.state.lock().ignore_poison().dvr.as_mut()?.take_warning()
    }

    /// How far back viewers can go, in seconds, and the bytes that it takes on the disk. `None` without a
    /// DVR window.
    pub(in crate::egress) fn dvr(&self) -> Option<(f64, u64)> {
        let state = self.state.lock().ignore_poison();
        let bytes = state.dvr.as_ref()?.bytes;
        Some((state.kept_s(), bytes))
    }

    /// Notes whether a segment has been written.
    pub(super) fn kept(&self, file: &FileId, written: bool) {
        let Series::Track(id) = &file.series else { return };
        if let Some(track) = self.state.lock().ignore_poison().tracks.get_mut(id) {
            track.kept(file.sequence, written);
        }
    }

    /// Number of the oldest segment of a track; files with lower numbers are no longer needed. `None`
    /// without that track.
    pub(super) fn oldest(&self, id: &TrackId) -> Option<u64> {
        self.state.lock().ignore_poison().track(id).map(|track| track.index.oldest())
    }

    /// Moves the window although nothing comes.
    pub(super) fn move_window(&self) {
        self.state.lock().ignore_poison().move_window();
    }

    /// Gives up the oldest segments that only the disk has. Returns false if there are none.
    pub(super) fn give_up_oldest(&self) -> bool {
        self.state.lock().ignore_poison().give_up_oldest()
    }

    /// Notes why the window is shorter than wanted.
    pub(super) fn warn_dvr(&self, message: String, hint: &'static str) {
        if let Some(dvr) = &mut self.state.lock().ignore_poison().dvr {
            dvr.warn(message, hint);
        }
    }

    /// Notes the size of the window on the disk.
    pub(super) fn set_dvr_bytes(&self, bytes: u64) {
        if let Some(dvr) = &mut self.state.lock().ignore_poison().dvr {
            dvr.bytes = bytes;
        }
    }
}
