//! A file in progress: `NAME.part`, which gets its final name when it is complete and verified.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Error;
use super::digest::{self, Sha256Hex};
use super::stamp::{FileStamp, look};

/// Space that is left free on the disk of models, for the appliance itself.
const FREE_BYTES_MIN: u64 = 64 << 20;

/// A file in progress.
pub(super) struct Part {
    target: PathBuf,
    path: PathBuf,
    file: fs::File,
    hash: Sha256,
    written: u64,
}

/// Path of the unfinished file.
pub(super) fn part_path(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

impl Part {
    /// Continues what an earlier attempt has left, or starts anew. Reads the existing bytes.
    pub(super) fn open(target: &Path, resume: bool) -> Result<Self, Error> {
        let path = part_path(target);
        let mut hash = Sha256::new();
        let written = match resume && path.exists() {
            true => digest::feed(&mut hash, &path, |_| ())?,
            false => 0,
        };
        let mut open = OpenOptions::new();
        let open = if written > 0 { open.append(true) } else { open.write(true).truncate(true) };
        let file = open.create(true).open(&path).map_err(Error::io("write", &path))?;
        Ok(Self { target: target.to_owned(), path, file, hash, written })
    }

    /// Bytes so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Discards the existing bytes.
    pub(super) fn restart(self) -> Result<Self, Error> {
        Self::open(&self.target, false)
    }

    /// Appends bytes. On an error the earlier bytes stay on the disk.
    pub(super) fn write(mut self, bytes: &[u8]) -> Result<Self, Error> {
        self.file.write_all(bytes).map_err(Error::io("write", &self.path))?;
        self.hash.update(bytes);
        self.written += bytes.len() as u64;
        Ok(self)
    }

    /// Gives the file its final name if it is as expected; deletes it otherwise.
    pub(super) fn finish(
        self,
        size: Option<u64>,
        sha256: Option<&Sha256Hex>,
    ) -> Result<FileStamp, Error> {
        let Self { target, path, file, hash, written } = self;
        let got = Sha256Hex::of(hash);
        let wrong = match (size, sha256) {
            (Some(expected), _) if expected != written => {
                Some(Error::WrongSize { path: target.clone(), expected, got: written })
            }
            (_, Some(expected)) if *expected != got => Some(Error::WrongHash {
                path: target.clone(),
                expected: expected.to_string(),
                got: got.to_string(),
            }),
            _ => None,
        };
        if let Some(wrong) = wrong {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            return Err(wrong);
        }
        file.sync_all().map_err(Error::io("write", &path))?;
        drop(file);
        fs::rename(&path, &target).map_err(Error::io("rename", &path))?;
        if let Some(folder) = target.parent() {
            sync_folder(folder)?;
        }
        let (size, changed_ns) = look(&target).map_err(Error::io("read", &target))?;
        Ok(FileStamp { size, changed_ns, sha256: got })
    }
}

/// Makes file names in a folder survive a power cut.
pub(super) fn sync_folder(folder: &Path) -> Result<(), Error> {
    let opened = fs::File::open(folder).map_err(Error::io("read", folder))?;
    opened.sync_all().map_err(Error::io("write", folder))
}

/// Creates a folder; fails if the disk has no space for this many more bytes.
pub(super) fn make_room(folder: &Path, bytes: u64) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let Some(disk) = crate::telemetry::disk(folder) else { return Ok(()) };
    let needed = bytes.saturating_add(FREE_BYTES_MIN);
    if disk.free < needed {
        return Err(Error::DiskFull {
            folder: folder.to_owned(),
            needed_mib: needed >> 20,
            free_mib: disk.free >> 20,
        });
    }
    Ok(())
}

/// Reserves a folder for this process while it exists.
pub(super) struct Hold(#[expect(dead_code, reason = "the lock ends with the file")] fs::File);

/// Name of the lock file.
pub(super) const LOCK: &str = ".lock";

impl Hold {
    /// Reserves a folder.
    pub(super) fn take(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(LOCK);
        let mut open = OpenOptions::new();
        let file = open.create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(Error::io("write", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(fs::TryLockError::WouldBlock) => Err(Error::Busy(folder.to_owned())),
            Err(fs::TryLockError::Error(e)) => Err(Error::io("lock", path)(e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gets_its_name_only_when_it_is_right() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let target = folder.path().join("w.bin");
        let right = digest::of_file(&write(folder.path(), "abcdef"), |_| ()).expect("reads");
        let part = Part::open(&target, true).expect("opens");
        drop(part.write(b"abc").expect("writes"));
        let part = Part::open(&target, true).expect("goes on");
        assert_eq!(part.written(), 3);
        let part = part.write(b"def").expect("writes");
        let seen = part.finish(Some(6), Some(&right)).expect("right");
        assert_eq!((seen.size, &seen.sha256), (6, &right));
        assert_eq!(fs::read(&target).expect("there"), b"abcdef");

        let part = Part::open(&target, false).expect("opens");
        let part = part.write(b"abcdeX").expect("writes");
        let error = part.finish(Some(6), Some(&right)).expect_err("wrong").to_string();
        assert!(error.contains(right.as_str()) && error.contains("expected"), "{error}");
        assert!(!part_path(&target).exists(), "what is wrong is deleted");
        assert_eq!(fs::read(&target).expect("untouched"), b"abcdef");
    }

    fn write(folder: &Path, text: &str) -> PathBuf {
        let path = folder.join("known");
        fs::write(&path, text).expect("writes");
        path
    }

    #[test]
    fn room_is_asked_for_before_anything_is_written() {
        let folder = tempfile::tempdir().expect("temporary folder");
        assert!(make_room(folder.path(), 1).is_ok());
        let error = make_room(folder.path(), u64::MAX).expect_err("no disk is so large");
        assert!(matches!(error, Error::DiskFull { .. }), "{error}");
    }

    #[test]
    fn two_do_not_work_on_one_folder() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let held = Hold::take(folder.path()).expect("free");
        assert!(matches!(Hold::take(folder.path()), Err(Error::Busy(_))));
        drop(held);
        assert!(Hold::take(folder.path()).is_ok());
    }
}
