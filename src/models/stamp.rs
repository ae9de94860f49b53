//! The result of the last complete reading of a file, so that gigabytes are not hashed at every
//! start.
//!
//! Stored in `.ID.stamp.json` beside the files of a model. Valid while size and modification time
//! are the same. It protects against damage, not against an attacker who can write into the folder.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::Error;
use super::digest::{self, Sha256Hex};
use crate::media::IgnorePoison;

/// A file at the time of hashing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileStamp {
    /// Size in bytes.
    pub(super) size: u64,
    /// Modification time, in nanoseconds since 1970.
    pub(super) changed_ns: i64,
    /// Hash of the contents.
    pub(super) sha256: Sha256Hex,
}

/// Size and modification time of a file.
pub(super) fn look(path: &Path) -> std::io::Result<(u64, i64)> {
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::metadata(path)?;
    if !meta.is_file() {
        return Err(std::io::Error::other("it is not a file"));
    }
    Ok((meta.len(), meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec())))
}

/// The stamps of one model in one folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    /// Hashed files, by name.
    pub(super) seen: BTreeMap<String, FileStamp>,
    /// Hashes of first downloads, for files without a published hash.
    #[serde(default)]
    pub(super) pinned: BTreeMap<String, Sha256Hex>,
}

impl Stamp {
    /// Path of a model's stamp.
    pub(super) fn path(folder: &Path, id: &str) -> PathBuf {
        folder.join(format!(".{id}.stamp.json"))
    }

    /// Reads the stamp; a missing or damaged one counts as empty.
    pub(super) fn read(folder: &Path, id: &str) -> Self {
        let text = std::fs::read_to_string(Self::path(folder, id)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Writes the stamp atomically.
    pub(super) fn write(&self, folder: &Path, id: &str) -> Result<(), Error> {
        let path = Self::path(folder, id);
        let half = path.with_extension("json.new");
        let text = serde_json::to_string(self).unwrap_or_default();
        std::fs::write(&half, text).map_err(Error::io("write", &half))?;
        std::fs::rename(&half, &path).map_err(Error::io("rename", &half))
    }

    /// The entry of a file, if the file has not changed since.
    pub(super) fn fresh(&self, name: &str, (size, changed_ns): (u64, i64)) -> Option<&FileStamp> {
        self.seen.get(name).filter(|s| s.size == size && s.changed_ns == changed_ns)
    }
}

/// Hashes remembered by this process, for folders that are not writable.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<HashMap<PathBuf, FileStamp>>);

impl Cache {
    /// The hash of a file that has not changed since, from memory or from its stamp.
    pub(super) fn get(&self, path: &Path, name: &str, stamp: &Stamp) -> Option<Sha256Hex> {
        let now = look(path).ok()?;
        let cached = self.0.lock().ignore_poison();
        let same = |s: &&FileStamp| (s.size, s.changed_ns) == now;
        let found = cached.get(path).filter(same).or_else(|| stamp.fresh(name, now));
        found.map(|s| s.sha256.clone())
    }

    /// Hashes a file and remembers the result.
    pub(super) fn hash(&self, path: &Path, told: impl FnMut(u64)) -> Result<FileStamp, Error> {
        // Read before the contents: a file that changes meanwhile is hashed again next time.
        let (size, changed_ns) = look(path).map_err(Error::io("read", path))?;
        let sha256 = digest::of_file(path, told)?;
        let seen = FileStamp { size, changed_ns, sha256 };
        let mut cached = self.0.lock().ignore_poison();
        cached.insert(path.to_owned(), seen.clone());
        Ok(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_holds_until_the_file_changes() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("w.bin");
        std::fs::write(&path, "weights").expect("writes");
        let cache = Cache::default();
        let seen = cache.hash(&path, |_| ()).expect("reads");
        let stamp = Stamp { seen: [("w.bin".into(), seen.clone())].into(), ..Stamp::default() };
        stamp.write(folder.path(), "m").expect("writes");
        let read = Stamp::read(folder.path(), "m");
        assert_eq!(read, stamp);
        let other = Cache::default();
        assert_eq!(other.get(&path, "w.bin", &read), Some(seen.sha256.clone()));
        std::fs::write(&path, "wEights, longer").expect("writes");
        assert_eq!(other.get(&path, "w.bin", &read), None);
        assert_eq!(cache.get(&path, "w.bin", &read), None);
    }

    #[test]
    fn a_damaged_stamp_is_none() {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::write(Stamp::path(folder.path(), "m"), "{\"seen\": 3").expect("writes");
        assert_eq!(Stamp::read(folder.path(), "m"), Stamp::default());
    }
}
