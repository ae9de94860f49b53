//! The thread that writes segments and deletes those that have left the window.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::file_id::{FileId, Series};
use super::queue::{Item, Items};
use crate::egress::segments::TrackId;

/// How often files are deleted while no segments come.
const TIDY_EVERY: Duration = Duration::from_secs(2);

/// Free space that stays on the disk, in bytes: the database lies there too.
const FREE_MIN_BYTES: u64 = 512 << 20;

/// The same for small disks, as a part of the disk: 1/10.
const FREE_MIN_DIVISOR: u64 = 10;

/// Segments that are given up for a new one at most; they have about the same size.
const GIVEN_UP_MAX_COUNT: usize = 16;

/// The segment store that a window belongs to.
pub(in crate::egress::segments) trait WindowOwner: Send + Sync {
    /// Whether its window is in this folder.
    fn wants(&self, folder: &Path) -> bool;

    /// Notes whether a segment has been written.
    fn kept(&self, file: &FileId, written: bool);

    /// Number of the oldest segment of a track; files with lower numbers are no longer needed. `None`
    /// without that track.
    fn oldest(&self, id: &TrackId) -> Option<u64>;

    /// Moves the window although nothing comes.
    fn move_window(&self);

    /// Gives up the oldest segments that only the disk has. Returns false if there are none.
    fn give_up_oldest(&self) -> bool;

    /// Notes why the window is shorter than wanted.
    fn warn(&self, message: String, hint: &'static str);

    /// Notes the size of the window on the disk.
    fn set_bytes(&self, bytes: u64);
}

/// Writes the segments of one stream.
pub(super) struct Writer {
    owner: Weak<dyn WindowOwner>,
    folder: PathBuf,
    items: Items,
    bytes_max: u64,
    /// Number and size of each file.
    files: BTreeMap<Series, VecDeque<(u64, u64)>>,
    bytes: u64,
}

/// Why a segment cannot be written.
enum Problem {
    /// There is no room for it.
    Full {
        message: String,
        hint: &'static str,
    },
    Disk(io::Error),
}

impl Writer {
    pub(super) fn new(
        owner: Weak<dyn WindowOwner>,
        folder: PathBuf,
        items: Items,
        bytes_max: u64,
    ) -> Self {
        Self { owner, folder, items, bytes_max, files: BTreeMap::new(), bytes: 0 }
    }

    /// Runs until its owner gives the window up, then deletes everything.
    pub(super) fn run(mut self) {
        while let Ok(item) = self.items.next(TIDY_EVERY) {
            match item {
                Some(item) => self.take(&item),
                None => self.owner().iter().for_each(|owner| owner.move_window()),
            }
            self.tidy();
        }
        if let Err(error) = fs::remove_dir_all(&self.folder)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %self.folder.display(), %error, "a DVR window cannot be deleted");
        }
    }

    /// Writes a segment, if need be in the place of the oldest ones.
    fn take(&mut self, item: &Item) {
        if self.owner().is_none() {
            return;
        }
        let mut given_up = 0;
        let outcome = loop {
            let outcome = self.write(item);
            if let Err(problem) = &outcome {
                self.explain(problem);
            }
            let full = matches!(outcome, Err(Problem::Full { .. }));
            let makes_room = || self.owner().is_some_and(|owner| owner.give_up_oldest());
            if !full || given_up == GIVEN_UP_MAX_COUNT || !makes_room() {
                break outcome;
            }
            given_up += 1;
            self.tidy();
        };
        if let Some(owner) = self.owner() {
            owner.kept(&item.file, outcome.is_ok());
        }
    }

    fn write(&mut self, item: &Item) -> Result<(), Problem> {
        let size = item.size() as u64;
        if self.bytes + size > self.bytes_max {
            let message = format!(
                "the DVR window needs more than the {} MiB that it may have on the disk",
                self.bytes_max >> 20
            );
            let hint = "viewers cannot go back as far as `dvr_s` says: raise `dvr_mib` of [hls], or \
                        lower `dvr_s`";
            return Err(Problem::Full { message, hint });
        }
        fs::create_dir_all(&self.folder).map_err(|e| self.problem(e))?;
        let (free, least) = self.space().map_err(Problem::Disk)?;
        if free < least + size {
            return Err(self.full());
        }
        let path = self.path(&item.file);
        let written = File::create(&path).and_then(|mut file| {
            item.data.iter().try_for_each(|part| file.write_all(part))?;
            file.flush()
        });
        if let Err(error) = written {
            // What was written of it is no segment.
            let _ = fs::remove_file(&path);
            return Err(self.problem(error));
        }
        let files = self.files.entry(item.file.series.clone()).or_default();
        files.push_back((item.file.sequence, size));
        self.set_bytes(self.bytes + size);
        Ok(())
    }

    /// Free bytes of the disk, and how many are to stay free.
    fn space(&self) -> io::Result<(u64, u64)> {
        let stat = rustix::fs::statvfs(&self.folder)?;
        let total = stat.f_blocks.saturating_mul(stat.f_frsize);
        let least = FREE_MIN_BYTES.min(total / FREE_MIN_DIVISOR);
        Ok((stat.f_bavail.saturating_mul(stat.f_frsize), least))
    }

    fn full(&self) -> Problem {
        let message = format!(
            "the disk of the DVR window is full: {}",
            self.folder.parent().unwrap_or(&self.folder).display()
        );
        let hint = "viewers cannot go back as far as `dvr_s` says: make room on the disk, or lower `dvr_s`";
        Problem::Full { message, hint }
    }

    fn problem(&self, error: io::Error) -> Problem {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => self.full(),
            _ => Problem::Disk(error),
        }
    }

    fn explain(&self, problem: &Problem) {
        let Some(owner) = self.owner() else { return };
        match problem {
            Problem::Full { message, hint } => owner.warn(message.clone(), hint),
            Problem::Disk(error) => {
                let message = format!(
                    "the DVR window cannot be written into {}: {error}",
                    self.folder.display()
                );
                let hint = "viewers can go back only as far as memory reaches: check the disk and its \
                            permissions";
                owner.warn(message, hint);
            }
        }
    }

    /// Deletes what is no longer listed.
    fn tidy(&mut self) {
        let Some(owner) = self.owner() else { return };
        let mut bytes = self.bytes;
        for (series, files) in &mut self.files {
            let oldest = owner.oldest(series.track());
            while let Some((sequence, size)) = files.front().copied() {
                if oldest.is_some_and(|oldest| sequence >= oldest) {
                    break;
                }
                let file = FileId { series: series.clone(), sequence };
                match fs::remove_file(self.folder.join(file.to_string())) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        let message =
                            format!("{file} of the DVR window cannot be deleted: {error}");
                        owner.warn(message, "check the disk and its permissions");
                        break;
                    }
                    _ => bytes -= size,
                }
                files.pop_front();
            }
        }
        self.files.retain(|_, files| !files.is_empty());
        if bytes != self.bytes {
            self.set_bytes(bytes);
        }
    }

    fn set_bytes(&mut self, bytes: u64) {
        self.bytes = bytes;
        self.owner().iter().for_each(|owner| owner.set_bytes(bytes));
    }

    /// The owner, as long as it wants this window.
    fn owner(&self) -> Option<Arc<dyn WindowOwner>> {
        self.owner.upgrade().filter(|owner| owner.wants(&self.folder))
    }

    fn path(&self, file: &FileId) -> PathBuf {
        self.folder.join(file.to_string())
    }
}
