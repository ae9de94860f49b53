//! A separate wall clock for one process, by libfaketime. The monotonic clock is unchanged.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::Variable;

/// How long the process may use the offset that it read last, s.
const REREAD_S: &str = "1";

/// A wall clock at some offset from the machine's.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    library: PathBuf,
    /// File with the offset, which the process reads repeatedly.
    offset: PathBuf,
}

impl Clock {
    /// A clock that is `seconds` ahead (negative: behind); `folder` keeps its setting.
    pub(crate) fn ahead_by(folder: &Path, seconds: i64) -> Self {
        let clock = Self { library: library(), offset: folder.join("clock-offset") };
        clock.jump_to(seconds);
        clock
    }

    /// Sets how far it is ahead, effective within [`REREAD_S`].
    pub(crate) fn jump_to(&self, seconds: i64) {
        // Renamed into place, so that the process never reads an incomplete number.
        let unfinished = self.offset.with_extension("new");
        fs::write(&unfinished, format!("{seconds:+}\n")).expect("the folder is writable");
        fs::rename(&unfinished, &self.offset).expect("the folder is writable");
    }

    pub(super) fn environment(&self) -> [Variable; 5] {
        [
            ("LD_PRELOAD", self.library.clone().into_os_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.offset.clone().into_os_string()),
            ("FAKETIME_CACHE_DURATION", OsString::from(REREAD_S)),
            ("FAKETIME_DONT_FAKE_MONOTONIC", OsString::from("1")),
            // Files keep their timestamps, as when a machine's clock is set.
            ("NO_FAKE_STAT", OsString::from("1")),
        ]
    }
}

/// Debian keeps it in a folder per architecture.
fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    folders
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
        .find(|path| path.exists())
        .expect("libfaketime is installed: run `make setup` first")
}
