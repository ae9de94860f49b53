//! One recording on disk.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::Format;
use crate::egress::segments::fmp4::{
    Chunk, Header, RandomAccess, TrackInfo, fragment, header, random_access_index,
};
use crate::media::Kind;

/// How often data is synced to disk, against a power failure. If only the process dies, every
/// written fragment is safe.
pub(super) const SYNC_EVERY: Duration = Duration::from_secs(5);

/// The file name of a recording that starts at this time, without extension:
/// `2026-11-23T16-03-16.250Z`. Names sort by time and need no escaping.
pub(super) fn name_of(start: DateTime<Utc>) -> String {
    start.format("%Y-%m-%dT%H-%M-%S%.3fZ").to_string()
}

/// The start time in a name. `None` for other files.
pub(super) fn start_of(name: &str) -> Option<DateTime<Utc>> {
    let time = name.get(..24)?;
    chrono::NaiveDateTime::parse_from_str(time, "%Y-%m-%dT%H-%M-%S%.3fZ").ok().map(|t| t.and_utc())
}

/// An open recording: playable after every fragment, and locked to mark it as open.
pub(super) struct Recording {
    path: PathBuf,
    file: File,
    header: Header,
    tracks: Vec<TrackInfo>,
    /// Running time at the file's time zero.
    base: Duration,
    /// Running time at which the newest frame ends.
    end: Duration,
    written: u64,
    sequence: u32,
    places: Vec<RandomAccess>,
    synced: Instant,
}

impl Recording {
    /// Creates the file for these tracks. `base` is the running time of its time zero.
    pub(super) fn create(
        folder: &Path,
        start: DateTime<Utc>,
        base: Duration,
        tracks: Vec<TrackInfo>,
    ) -> io::Result<Self> {
        let (path, mut file) = create_new(folder, start, Format::Mp4)?;
        // No other process knows the file yet, so the lock is free. Without locks in the file
        // system, only the mark is missing.
        let _ = file.try_lock();
        let header = header(&tracks.iter().collect::<Vec<_>>());
        if let Err(error) = file.write_all(&header.bytes) {
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        let written = header.bytes.len() as u64;
        Ok(Self {
            path,
            file,
            header,
            tracks,
            base,
            end: base,
            written,
            sequence: 0,
            places: Vec::new(),
            synced: Instant::now(),
        })
    }

    /// Path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its size in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.written
    }

    /// Running time of the file's time zero.
    pub(super) fn base(&self) -> Duration {
        self.base
    }

    /// The recorded tracks.
    pub(super) fn tracks(&self) -> &[TrackInfo] {
        &self.tracks
    }

    /// Appends one chunk as a fragment. After an error the file ends with the previous fragment.
    pub(super) fn append(&mut self, kind: Kind, chunk: &Chunk) -> io::Result<()> {
        let Some(index) = self.tracks.iter().position(|t| t.kind() == kind) else { return Ok(()) };
        let track = &self.tracks[index];
        let track_id = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let base = track.ticks(self.base);
        self.sequence = self.sequence.wrapping_add(1);
        let bytes = fragment(self.sequence, track_id, kind, base, chunk);
        if let Err(error) = self.file.write_all(&bytes) {
            let _ = self.file.set_len(self.written);
            return Err(error);
        }
        if index == 0 && chunk.key() {
            let time = chunk.start.saturating_sub(base);
            self.places.push(RandomAccess { time, offset: self.written });
        }
        self.written += bytes.len() as u64;
        self.end = self.end.max(track.time(chunk.start + chunk.duration));
        if self.synced.elapsed() > SYNC_EVERY {
            self.file.sync_data()?;
            self.synced = Instant::now();
        }
        Ok(())
    }

    /// Ends the file: adds an index for seeking and sets the duration in the header. Removes an
    /// empty file.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.sequence == 0 {
            return std::fs::remove_file(&self.path);
        }
        self.file.write_all(&random_access_index(1, &self.places))?;
        let duration = self.end.saturating_sub(self.base).as_millis();
        let duration = u64::try_from(duration).unwrap_or(u64::MAX);
        self.file.seek(SeekFrom::Start(self.header.duration_at as u64))?;
        self.file.write_all(&duration.to_be_bytes())?;
        self.file.sync_all()
    }
}

/// Creates the file of a recording that starts at this time; no other one has its name, whatever
/// its format.
pub(super) fn create_new(
    folder: &Path,
    start: DateTime<Utc>,
    format: Format,
) -> io::Result<(PathBuf, File)> {
    let name = name_of(start);
    let mut attempt = 0;
    loop {
        let suffix = if attempt == 0 { String::new() } else { format!("-{attempt}") };
        let path = folder.join(format!("{name}{suffix}.{}", format.extension()));
        let taken = Format::ALL.iter().any(|f| path.with_extension(f.extension()).exists());
        let made = match taken {
            true => Err(io::ErrorKind::AlreadyExists.into()),
            false => File::options().write(true).create_new(true).open(&path),
        };
        match made {
            Ok(file) => return Ok((path, file)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && attempt < 100 => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}
