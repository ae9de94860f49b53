//! Applies the policy to the folder of a stream.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::file::start_of;
use super::policy::{Ages, Kept, PACE_PERIOD, Pace, Space, judge};
use super::{Format, Settings, sidecar};
use crate::flow::{self, Blame, Error, Status};

/// Deletes old recordings of the format of the settings. The inner error means that the disk is too full to continue.
pub(super) fn rotate(
    folder: &Path,
    open: Option<&Path>,
    open_bytes: u64,
    settings: &Settings,
    pace: &mut Pace,
    status: &Status,
) -> io::Result<Result<(), Error>> {
    let files = finished(folder, settings.format, open)?;
    let now = Instant::now();
    let hour_ago = flow::written_at(PACE_PERIOD).unwrap_or(i64::MAX);
    let fresh = files.iter().filter(|file| file.written_ms >= hour_ago).count();
    let keep = Duration::from_secs(u64::from(settings.keep_hours) * 3600);
    let count_max = pace.count_max(now, files.len(), fresh);
    let ages = Ages { cutoff_ms: flow::written_at(keep), count_max };
    let stat = rustix::fs::statvfs(folder)?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let verdict = judge(files, Space { open: open_bytes, free }, ages, settings);
    pace.gone(now, verdict.by_age);
    status.set("over_age", verdict.over_age);
    for name in &verdict.delete {
        remove(folder, name, settings.format)?;
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
pub(super) fn remove(folder: &Path, name: &str, format: Format) -> io::Result<()> {
    for (language, ending) in sidecar::of(folder, name) {
        let _ = std::fs::remove_file(sidecar::path(folder, name, &language, ending));
    }
    let _ = std::fs::remove_file(folder.join(format!("{name}.jpg")));
    std::fs::remove_file(folder.join(format!("{name}.{}", format.extension())))
}

fn finished(folder: &Path, format: Format, open: Option<&Path>) -> io::Result<Vec<Kept>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        let ours = Format::of(&path) == Some(format) && start_of(&name).is_some();
        // Deleted meanwhile by another process.
        let Ok(metadata) = path.symlink_metadata() else { continue };
        if !ours || Some(path.as_path()) == open || !metadata.is_file() {
            continue;
        }
        let modified = metadata.modified().unwrap_or_else(|_| SystemTime::now());
        let written = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        let written_ms = i64::try_from(written.as_millis()).unwrap_or(i64::MAX);
        files.push(Kept { name, bytes: metadata.len(), written_ms });
    }
    Ok(files)
}
