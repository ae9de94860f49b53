//! Looks at the folder of a stream and lets the policy decide what goes.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::file::{EXTENSION, start_of};
use super::policy::{Kept, Space, judge};
use super::{Settings, sidecar};
use crate::flow::{Blame, Error};

/// Deletes what has to go. The inner error says that the disk is too full to go on.
pub(super) fn rotate(
    folder: &Path,
    open: Option<&Path>,
    open_bytes: u64,
    settings: &Settings,
) -> io::Result<Result<(), Error>> {
    let files = finished(folder, open)?;
    let stat = rustix::fs::statvfs(folder)?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let verdict = judge(files, Space { open: open_bytes, free }, settings);
    for name in &verdict.delete {
        remove(folder, name)?;
        tracing::info!(folder = %folder.display(), recording = name, "old recording deleted");
    }
    if !verdict.full {
        return Ok(Ok(()));
    }
    let message = format!(
        "the disk of {} has {} MiB left, and {} MiB are to stay free",
        folder.display(),
        free >> 20,
        settings.keep_free_mib
    );
    let hint = "delete recordings, set `keep_hours` or `keep_mib` so that old ones go by \
                themselves, or lower `keep_free_mib`";
    Ok(Err(Error::refused(Blame::Destination, message, hint)))
}

/// Deletes a recording, its thumbnail and its captions.
pub(super) fn remove(folder: &Path, name: &str) -> io::Result<()> {
    for (language, ending) in sidecar::of(folder, name) {
        let _ = std::fs::remove_file(sidecar::path(folder, name, &language, ending));
    }
    let _ = std::fs::remove_file(folder.join(format!("{name}.jpg")));
    std::fs::remove_file(folder.join(format!("{name}.{EXTENSION}")))
}

fn finished(folder: &Path, open: Option<&Path>) -> io::Result<Vec<Kept>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        let ours = path.extension().is_some_and(|e| e == EXTENSION) && start_of(&name).is_some();
        // Gone in the meantime: somebody else deleted it.
        let Ok(metadata) = path.symlink_metadata() else { continue };
        if !ours || Some(path.as_path()) == open || !metadata.is_file() {
            continue;
        }
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let age = modified.elapsed().unwrap_or(Duration::ZERO);
        files.push(Kept { name, bytes: metadata.len(), age });
    }
    Ok(files)
}
