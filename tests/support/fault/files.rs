//! A file whose `open` does not return.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A FIFO without another end: a reader's `open` blocks, as on a mount whose server is gone.
/// Dropping it releases all readers.
pub(crate) struct HungFile {
    path: PathBuf,
}

impl HungFile {
    pub(crate) fn make(path: &Path) -> Self {
        let made = Command::new("mkfifo").arg(path).status();
        assert!(made.is_ok_and(|s| s.success()), "{} cannot be made", path.display());
        Self { path: path.to_owned() }
    }

    /// Path of the FIFO.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for HungFile {
    fn drop(&mut self) {
        // Opening both ends never blocks, and readers that wait for a writer get an end of file.
        let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let _ = OpenOptions::new().read(true).write(true).custom_flags(flags).open(&self.path);
        let _ = fs::remove_file(&self.path);
    }
}
