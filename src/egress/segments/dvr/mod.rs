//! The DVR window: complete segments as files, so that viewers can go back further than memory reaches.
//!
//! A stream has a folder `<state>/dvr/<stream>.<time>/`, and a thread `dvr-<stream>` that alone writes and
//! deletes there ([`writer`]). Streaming threads hand it segments over a bounded queue. What does not fit
//! the queue or the disk is not kept, and the window begins behind it.
//!
//! Nothing of it is used again after a restart: running times and numbers begin anew.

mod file_id;
mod queue;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::{Duration, Instant};

use crate::flow;
use crate::media::StreamName;
pub(super) use file_id::{FileId, Series};
pub(super) use queue::Queue;
pub(super) use writer::WindowOwner;
use writer::Writer;

/// Shortest DVR window that can be asked for, in seconds.
pub const WINDOW_MIN_S: u32 = 10;

/// Longest DVR window that can be asked for, in seconds: six hours, of which a playlist is about 1 MB.
pub const WINDOW_MAX_S: u32 = 21_600;

/// A cause that persists is reported once in this time.
const WARNING_DISTANCE: Duration = Duration::from_secs(60);

/// Where the DVR window of a stream is.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Folder of all DVR windows.
    pub root: &'a Path,
    /// The stream.
    pub stream: &'a StreamName,
}

/// Why a DVR window is shorter than wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The reason, as text.
    pub message: String,
    /// What the admin can do about it.
    pub hint: &'static str,
}

/// The DVR window of a stream, as its segment store has it.
pub(super) struct Dvr {
    /// How far back viewers may go.
    pub(super) window: Duration,
    /// Running time before which nothing is listed: what the disk did not take is before it.
    pub(super) floor: Duration,
    /// Bytes on the disk.
    pub(super) bytes: u64,
    pub(super) queue: Queue,
    folder: PathBuf,
    warning: Option<Warning>,
    warned: Option<Instant>,
}

impl Dvr {
    /// An empty window of at most `bytes_max` on the disk, with its thread.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(super) fn start(
        owner: Weak<dyn WindowOwner>,
        window: Duration,
        place: Place<'_>,
        bytes_max: u64,
    ) -> std::io::Result<Self> {
        // A name that no other window has or had, so that a leftover is never taken for a segment.
        let name = format!("{}.{}", place.stream, flow::wall_clock(flow::now()).as_nanos());
        let folder = place.root.join(name);
        let (queue, items) = queue::queue();
        let writer = Writer::new(owner, folder.clone(), items, bytes_max);
        let thread = std::thread::Builder::new().name(format!("dvr-{}", place.stream));
        thread.spawn(move || writer.run())?;
        let (floor, bytes, warning, warned) = (Duration::ZERO, 0, None, None);
        Ok(Self { window, floor, bytes, queue, folder, warning, warned })
    }

    /// Its folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Path of a file.
    pub(super) fn path(&self, file: &FileId) -> PathBuf {
        self.folder.join(file.to_string())
    }

    /// Nothing that ends by this running time can be listed.
    pub(super) fn shorten(&mut self, until: Duration) {
        self.floor = self.floor.max(until);
    }

    /// Notes why the window is shorter than wanted.
    pub(super) fn warn(&mut self, message: String, hint: &'static str) {
        if self.warned.is_none_or(|at| at.elapsed() >= WARNING_DISTANCE) {
            tracing::warn!(folder = %self.folder.display(), hint, "{message}");
            self.warning = Some(Warning { message, hint });
            self.warned = Some(Instant::now());
        }
    }

    /// The newest warning, once.
    pub(super) fn take_warning(&mut self) -> Option<Warning> {
        self.warning.take()
    }
}

/// Deletes what a run that did not end properly has left in the folder of all DVR windows. Blocks.
pub fn sweep(root: &Path) {
    let Ok(entries) = std::fs::read_dir(root) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if let Err(error) = std::fs::remove_dir_all(&path) {
            tracing::warn!(path = %path.display(), %error, "an old DVR window cannot be deleted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::segments::TrackId;

    #[test]
    fn leftovers_are_swept_and_the_folder_stays() {
        let root = tempfile::tempdir().expect("a folder");
        let old = root.path().join("studio-1.17");
        std::fs::create_dir(&old).expect("made");
        std::fs::write(old.join("video.1.m4s"), "x").expect("written");
        sweep(root.path());
        assert!(root.path().exists() && !old.exists());
        sweep(&root.path().join("never"));
    }

    #[test]
    fn a_disk_that_stands_still_costs_bounded_memory() {
        let (queue, items) = queue::queue();
        let file = |sequence| FileId { series: Series::Track(TrackId::Video), sequence };
        let mebibyte = || vec![bytes::Bytes::from(vec![0; 1 << 20])];
        let taken = (0..100).filter(|n| queue.offer(file(*n), mebibyte())).count();
        assert_eq!(taken, 64);
        let next = || items.next(Duration::from_secs(5)).expect("open").expect("there");
        assert_eq!(next().file, file(0));
        assert!(queue.offer(file(100), mebibyte()), "there is room for one more");
        let rest: Vec<u64> = (0..64).map(|_| next().file.sequence).collect();
        assert_eq!((rest[0], rest[62], rest[63]), (1, 63, 100), "what was refused is missing");
        drop(queue);
        assert!(items.next(Duration::from_secs(5)).is_err());
    }
}
