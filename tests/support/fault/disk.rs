//! A file system of a few MiB in memory.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::needs::skip;

/// A small disk; it is unmounted when dropped.
pub(crate) struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts the disk; `None`, with a message, if mounting is not allowed.
    pub(crate) fn mount(at: &Path, mib: u32) -> Option<Self> {
        fs::create_dir_all(at).ok()?;
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(at);
        let mounted = command.stderr(Stdio::null()).status().is_ok_and(|s| s.success());
        if !mounted {
            skip("root, to mount a small file system");
            return None;
        }
        Some(Self { at: at.to_owned() })
    }

    /// Fills the free space except `spare_kib`.
    pub(crate) fn fill(&self, spare_kib: usize) {
        let mut file = File::create(self.filler()).expect("the disk is writable");
        let block = [0_u8; 4096];
        while file.write_all(&block).is_ok() {}
        let length = file.metadata().map_or(0, |m| m.len());
        file.set_len(length.saturating_sub((spare_kib as u64) << 10)).expect("a shorter file");
    }

    /// Frees the space that [`Self::fill`] took.
    pub(crate) fn empty(&self) {
        fs::remove_file(self.filler()).expect("the disk was filled");
    }

    fn filler(&self) -> PathBuf {
        self.at.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}
