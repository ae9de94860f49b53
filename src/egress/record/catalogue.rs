//! The catalogue of recordings. The disk is the only source of truth.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::file::start_of;
use super::scan::{Scan, scan};
use super::{Format, VoiceWav, Wav, WavError, picture, rotate, sidecar};
use crate::aic::engine::Codec;
use crate::egress::heard::WEIGHTS_WAIT_MAX;
use crate::media::{IgnorePoison, Language, StreamName};

/// Maximum number of files whose duration and state are cached; further ones are read each time.
const KNOWN_FILES_MAX: usize = 20_000;

/// Maximum number of concurrent thumbnail decodes.
const CONCURRENT_THUMBNAILS_MAX: usize = 1;

/// Threads that decode voices at once, each a block in some tens of ms.
const DECODING_THREADS_MAX: usize = 2;

/// Recordings of a stream that are checked for one time: as many may overlap.
const OVERLAPPING_RECORDINGS_MAX: usize = 8;

/// Delay after which current media is in the file of an open recording.
const FILE_DELAY_MAX: Duration = Duration::from_secs(10);

/// One recording.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Entry {
    /// The recorded stream.
    #[schema(value_type = String, example = "studio-1")]
    pub stream: StreamName,
    /// Unique within the stream: the time of its start.
    #[schema(example = "2026-11-23T16-03-16.250Z")]
    pub id: String,
    /// Container and codecs.
    pub format: Format,
    /// Time of its start.
    pub started: DateTime<Utc>,
    /// Duration in seconds.
    pub duration_s: f64,
    /// Size in bytes.
    pub bytes: u64,
    /// Whether it is finished, open or interrupted.
    pub state: EntryState,
    /// Languages of its captions.
    #[schema(value_type = Vec<String>)]
    pub captions: Vec<Language>,
}

/// Whether a recording is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EntryState {
    /// It is still being written.
    Writing,
    /// It ended properly.
    Complete,
    /// The process or machine failed while it was written; the existing part plays.
    Interrupted,
}

/// Why an operation on a recording fails.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// There is no such recording.
    #[error("there is no recording `{0}/{1}`")]
    Unknown(StreamName, String),
    /// It is being written.
    #[error("recording `{0}/{1}` is being written")]
    Writing(StreamName, String),
    /// It has no captions in that language and format.
    #[error("recording `{0}/{1}` has no captions `{2}`")]
    NoCaptions(StreamName, String, String),
    /// It has no video frame that can be decoded.
    #[error("recording `{0}/{1}` has no picture: {2}")]
    NoPicture(StreamName, String, String),
    /// It is no voice, or one that this appliance cannot decode.
    #[error("recording `{0}/{1}` cannot be decoded: {2}")]
    NoVoice(StreamName, String, String),
    /// A file operation failed.
    #[error("cannot read {}: {error}", path.display())]
    Disk {
        /// Path of the file or folder.
        path: PathBuf,
        /// The I/O error.
        #[source]
        error: io::Error,
    },
}

/// All recordings in a folder. Cheap to clone. Non-`async` calls read the disk, so they must run on
/// threads that may block.
#[derive(Clone)]
pub struct Catalogue(Arc<Inner>);

struct Inner {
    root: PathBuf,
    /// Cached state of files by path, with the file size for which it is valid.
    known: Mutex<HashMap<PathBuf, (u64, Scan)>>,
    pictures: Semaphore,
    decodes: Semaphore,
}

impl Catalogue {
    /// The recordings in this folder, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let (known, pictures) = (Mutex::default(), Semaphore::new(CONCURRENT_THUMBNAILS_MAX));
        let decodes = Semaphore::new(DECODING_THREADS_MAX);
        Self(Arc::new(Inner { root: root.into(), known, pictures, decodes }))
    }

    /// Recordings of one or all streams, newest first. Returns the requested page and the total
    /// number.
    ///
    /// # Errors
    /// [`CatalogueError::Disk`] if a folder cannot be read.
    pub fn list(
        &self,
        stream: Option<&StreamName>,
        offset: usize,
        limit: usize,
    ) -> Result<(Vec<Entry>, usize), CatalogueError> {
        let streams = match stream {
            Some(stream) => vec![stream.clone()],
            None => self.streams()?,
        };
        let mut found = Vec::new();
        for stream in streams {
            let folder = self.0.root.join(stream.as_str());
            let names = names_in(&folder)?;
            found.extend(names.into_iter().map(|name| (name, stream.clone())));
        }
        found.sort_by(|a, b| b.cmp(a));
        let total = found.len();
        let page = found.into_iter().skip(offset).take(limit);
        // Recordings deleted since the folder was read are omitted.
        let entries = page.filter_map(|(id, stream)| self.get(&stream, &id).ok()).collect();
        Ok((entries, total))
    }

    fn streams(&self) -> Result<Vec<StreamName>, CatalogueError> {
        let folders = names_in_any(&self.0.root)?;
        Ok(folders.into_iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// One recording.
    ///
    /// # Errors
    /// [`CatalogueError::Unknown`], [`CatalogueError::Disk`].
    pub fn get(&self, stream: &StreamName, id: &str) -> Result<Entry, CatalogueError> {
        let path = self.path(stream, id)?;
        let disk = |error| CatalogueError::Disk { path: path.clone(), error };
        let bytes = path.metadata().map_err(disk)?.len();
        let known = self.lock_known().get(&path).filter(|(size, _)| *size == bytes).cloned();
        let scan = match known {
            Some((_, scan)) => scan,
            None => {
                let fresh = scan(&path).map_err(disk)?;
                let mut known = self.lock_known();
                if known.len() >= KNOWN_FILES_MAX {
                    known.clear();
                }
                known.insert(path.clone(), (bytes, fresh.clone()));
                fresh
            }
        };
        let state = match (scan.ended, is_writing(&path)) {
            (true, _) => EntryState::Complete,
            (false, true) => EntryState::Writing,
            (false, false) => EntryState::Interrupted,
        };
        Ok(Entry {
            stream: stream.clone(),
            id: id.to_owned(),
            format: Format::of(&path).unwrap_or_default(),
            started: start_of(id).unwrap_or_default(),
            duration_s: scan.duration.as_secs_f64(),
            bytes,
            state,
            captions: self.captions(stream, id),
        })
    }

    /// The recording of a stream that covers each of these times, with the offset in it. If several
    /// do, the one that began last.
    ///
    /// # Errors
    /// [`CatalogueError::Disk`] if the folder cannot be read.
    pub fn covering(
        &self,
        stream: &StreamName,
        times: &[DateTime<Utc>],
    ) -> Result<Vec<Option<(String, Duration)>>, CatalogueError> {
        let mut ids = names_in(&self.0.root.join(stream.as_str()))?;
        ids.sort();
        let covers = |id: &String, at: DateTime<Utc>| {
            let offset = (at - start_of(id)?).to_std().ok()?;
            let entry = self.get(stream, id).ok()?;
            let behind =
                if entry.state == EntryState::Writing { FILE_DELAY_MAX } else { Duration::ZERO };
            let length = Duration::try_from_secs_f64(entry.duration_s).ok()? + behind;
            (offset <= length).then(|| (id.clone(), offset))
        };
        let find = |at: &DateTime<Utc>| {
            let begun = ids.partition_point(|id| start_of(id).is_some_and(|start| start <= *at));
            ids[..begun]
                .iter()
                .rev()
                .take(OVERLAPPING_RECORDINGS_MAX)
                .find_map(|id| covers(id, *at))
        };
        Ok(times.iter().map(find).collect())
    }

    fn lock_known(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, (u64, Scan)>> {
        self.0.known.lock().ignore_poison()
    }

    /// Path of a recording.
    ///
    /// # Errors
    /// [`CatalogueError::Unknown`]. Only ids in the format of recordings are accepted, so that no
    /// id leads out of the stream's folder.
    pub fn path(&self, stream: &StreamName, id: &str) -> Result<PathBuf, CatalogueError> {
        let unknown = || CatalogueError::Unknown(stream.clone(), id.chars().take(80).collect());
        if !is_id(id) {
            return Err(unknown());
        }
        let folder = self.0.root.join(stream.as_str());
        let regular = |path: &PathBuf| path.symlink_metadata().is_ok_and(|m| m.is_file());
        let of = |format: Format| folder.join(format!("{id}.{}", format.extension()));
        Format::ALL.into_iter().map(of).find(regular).ok_or_else(unknown)
    }

    fn captions(&self, stream: &StreamName, id: &str) -> Vec<Language> {
        let found = sidecar::of(&self.0.root.join(stream.as_str()), id);
        let mut languages: Vec<_> = found.into_iter().map(|(language, _)| language).collect();
        languages.dedup();
        languages
    }

    /// Path of the captions of a recording, in a language and a format: `vtt`, `srt` or `json`.
    ///
    /// # Errors
    /// [`CatalogueError::Unknown`], [`CatalogueError::NoCaptions`].
    pub fn captions_path(
        &self,
        stream: &StreamName,
        id: &str,
        language: &Language,
        form: &str,
    ) -> Result<PathBuf, CatalogueError> {
        self.path(stream, id)?;
        let folder = self.0.root.join(stream.as_str());
        let there = sidecar::of(&folder, id).iter().any(|(l, e)| l == language && *e == form);
        if !there {
            let wanted = format!("{language}.{form}").chars().take(80).collect();
            return Err(CatalogueError::NoCaptions(stream.clone(), id.to_owned(), wanted));
        }
        Ok(sidecar::path(&folder, id, language, form))
    }

    /// Deletes a recording, its thumbnail and its captions. An open recording is deleted only with
    /// `force`; its recorder then writes to an unlinked file until the next split.
    ///
    /// # Errors
    /// [`CatalogueError::Unknown`], [`CatalogueError::Writing`], [`CatalogueError::Disk`].
    pub fn delete(&self, stream: &StreamName, id: &str, force: bool) -> Result<(), CatalogueError> {
        let path = self.path(stream, id)?;
        if !force && self.get(stream, id)?.state == EntryState::Writing {
            return Err(CatalogueError::Writing(stream.clone(), id.to_owned()));
        }
        self.lock_known().remove(&path);
        let folder = self.0.root.join(stream.as_str());
        let format = Format::of(&path).unwrap_or_default();
        rotate::remove(&folder, id, format).map_err(|error| CatalogueError::Disk { path, error })
    }

    /// A turn to decode a block of a voice.
    pub async fn decoding_turn(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed, so this cannot fail.
        self.0.decodes.acquire().await.ok()
    }

    /// A voice as WAV.
    ///
    /// # Errors
    /// [`CatalogueError::Unknown`], [`CatalogueError::NoVoice`], [`CatalogueError::Disk`].
    pub fn wav(&self, stream: &StreamName, id: &str) -> Result<VoiceWav, CatalogueError> {
        let path = self.path(stream, id)?;
        let no_voice = |why: String| CatalogueError::NoVoice(stream.clone(), id.to_owned(), why);
        if Format::of(&path) != Some(Format::Aic) {
            return Err(no_voice("it is no voice".into()));
        }
        let codec = Codec::shared();
        let loaded = codec.wait(WEIGHTS_WAIT_MAX).and_then(|()| codec.loaded_with_id());
        let model = loaded.map_err(|error| no_voice(error.to_string()))?;
        Wav::open(&path, model).map_err(|error| match error {
            WavError::Read(error) => CatalogueError::Disk { path, error },
            other => no_voice(other.to_string()),
        })
    }

    /// The first frame of a recording as JPEG, 320 pixels wide; made once and stored beside it.
    ///
    /// # Errors
    /// [`CatalogueError::Unknown`], [`CatalogueError::NoPicture`], [`CatalogueError::Disk`].
    pub async fn thumbnail(&self, stream: &StreamName, id: &str) -> Result<Bytes, CatalogueError> {
        let (this, of, named) = (self.clone(), stream.clone(), id.to_owned());
        let found = tokio::task::spawn_blocking(move || this.path(&of, &named)).await;
        let path = found.map_err(|panic| CatalogueError::Disk {
            path: self.0.root.clone(),
            error: io::Error::other(panic),
        })??;
        if Format::of(&path) == Some(Format::Aic) {
            let why = "it is a voice alone".to_owned();
            return Err(CatalogueError::NoPicture(stream.clone(), id.to_owned(), why));
        }
        let kept = path.with_extension("jpg");
        if let Ok(bytes) = tokio::fs::read(&kept).await {
            return Ok(bytes.into());
        }
        // The semaphore is never closed, so this cannot fail.
        let _turn = self.0.pictures.acquire().await;
        let picture = picture::first_picture(&path).await.map_err(|reason| {
            CatalogueError::NoPicture(stream.clone(), id.to_owned(), reason.to_string())
        })?;
        // If this fails, as on a full disk, it is made again at the next request.
        if let Err(error) = tokio::fs::write(&kept, &picture).await {
            tracing::debug!(path = %kept.display(), %error, "a thumbnail is not kept");
            let _ = tokio::fs::remove_file(&kept).await;
        }
        Ok(picture)
    }
}

/// Whether a text has the format of our ids: a time, optionally followed by a number.
fn is_id(id: &str) -> bool {
    let number = |digits: &str| {
        (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
    };
    let suffix = |rest: &str| rest.is_empty() || rest.strip_prefix('-').is_some_and(number);
    start_of(id).is_some() && id.is_ascii() && suffix(&id[24..])
}

/// Whether a recorder still holds its lock on the file.
fn is_writing(path: &Path) -> bool {
    let lock = File::open(path).map(|file| file.try_lock_shared());
    matches!(lock, Ok(Err(TryLockError::WouldBlock)))
}

/// Ids of the recordings in a stream's folder; empty if it does not exist.
fn names_in(folder: &Path) -> Result<Vec<String>, CatalogueError> {
    let id = |name: String| {
        let (id, _) = name.rsplit_once('.').filter(|_| Format::of(Path::new(&name)).is_some())?;
        is_id(id).then(|| id.to_owned())
    };
    Ok(names_in_any(folder)?.into_iter().filter_map(id).collect())
}

fn names_in_any(folder: &Path) -> Result<Vec<String>, CatalogueError> {
    let disk = |error| CatalogueError::Disk { path: folder.to_owned(), error };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(disk(error)),
    };
    Ok(entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_ids() {
        for good in ["2026-11-23T16-03-16.250Z", "2026-11-23T16-03-16.250Z-1"] {
            assert!(is_id(good), "{good}");
        }
        for bad in [
            "",
            "..",
            "../2026-11-23T16-03-16.250Z",
            "2026-11-23T16-03-16.250Z/../../x",
            "2026-11-23T16-03-16.250Z-",
            "2026-11-23T16-03-16.250Z-1/..",
            "2026-13-23T16-03-16.250Z",
            "2026-11-23T16-03-16.250Z\0",
        ] {
            assert!(!is_id(bad), "{bad}");
        }
    }

    #[test]
    fn garbage_on_disk_is_listed_or_left_out_but_never_fatal() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("studio-1");
        std::fs::create_dir(&folder).expect("created");
        std::fs::write(root.path().join("a file"), "x").expect("written");
        std::fs::write(folder.join("2026-11-23T16-03-16.250Z.mp4"), "garbage").expect("written");
        std::fs::write(folder.join("holiday.mp4"), "x").expect("written");
        std::fs::write(folder.join("2026-11-23T16-03-15.250Z.aic"), "garbage").expect("written");
        std::fs::create_dir(folder.join("2026-11-23T16-03-17.250Z.mp4")).expect("created");
        std::os::unix::fs::symlink("/etc/passwd", folder.join("2026-11-23T16-03-18.250Z.mp4"))
            .expect("linked");
        let catalogue = Catalogue::new(root.path());
        let (entries, _) = catalogue.list(None, 0, 10).expect("readable");
        assert_eq!(entries.len(), 2, "{entries:?}");
        assert_eq!((entries[1].format, entries[1].duration_s), (Format::Aic, 0.0));
        assert_eq!((entries[0].state, entries[0].bytes), (EntryState::Interrupted, 7));
        let stream = entries[0].stream.clone();
        assert!(catalogue.path(&stream, "2026-11-23T16-03-18.250Z").is_err(), "a link leads out");
        catalogue.delete(&stream, &entries[0].id, false).expect("deleted");
        assert!(catalogue.get(&stream, &entries[0].id).is_err());
        assert!(folder.join("holiday.mp4").exists());
    }
}
