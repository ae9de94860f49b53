//! The writer thread: disks may stall for seconds, media must not.

use std::io;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::file::Recording;
use super::policy::Pace;
use super::queue::{Item, Receiver};
use super::sidecar::Begun;
use super::thread::Output;
use super::{Settings, rotate};
use crate::egress::segments::fmp4::{Chunk, Cut, TrackInfo};
use crate::flow::{self, Blame, Error};
use crate::media::Kind;

/// How long audio waits for the video of its time, so that a split cuts both at the same time. If
/// video stalls, audio is written without it.
const HELD_MAX: Duration = Duration::from_secs(2);

/// Chunks of the leading track that wait for the configuration of the other track: three seconds.
const WAITING_CHUNKS_MAX: usize = 6;

/// Maximum number of held chunks, whatever their duration.
const HELD_CHUNKS_MAX: usize = 64;

/// A longer gap in the video begins a new file.
const VIDEO_GAP_MAX: Duration = Duration::from_secs(10);

/// A larger step of the wall clock begins a new file.
pub(super) const CLOCK_STEP_MAX: Duration = Duration::from_secs(1);

/// How often free space and age are checked.
pub(super) const ROTATE_EVERY: Duration = Duration::from_secs(5);

/// Writes queued items into files until the queue ends.
pub(super) struct Writer {
    pub(super) output: Output,
    /// The expected kinds of track, video first; the first one decides where files are split.
    pub(super) expected: Vec<Kind>,
    pub(super) state: State,
}

/// State of the writer.
#[derive(Default)]
pub(super) struct State {
    tracks: Vec<TrackInfo>,
    open: Option<Recording>,
    waiting: Vec<Chunk>,
    held: Vec<Chunk>,
    /// Running time at which the newest chunk of the leading track ends.
    lead_end: Duration,
    /// Running time at which the last written audio ends.
    audio_end: Option<Duration>,
    rotated: Option<Instant>,
    pace: Pace,
    /// Wall-clock time of running time zero when the open file was named.
    epoch: Duration,
    files: u64,
    bytes_before: u64,
}

impl Writer {
    /// Runs on its own thread until every sender of the queue is gone, then ends the file.
    pub(super) fn run(mut self, queue: &Receiver) -> Result<(), Error> {
        let result = self.write_all(queue);
        let lead = self.expected.first().copied().unwrap_or(Kind::Video);
        let waiting = std::mem::take(&mut self.state.waiting);
        let late = waiting.into_iter().try_for_each(|chunk| self.lead_now(lead, chunk));
        let result = result.and(late);
        let held = std::mem::take(&mut self.state.held);
        let finished = match self.state.open.take() {
            None => Ok(()),
            Some(mut open) => {
                let rest = held.iter().try_for_each(|chunk| open.append(Kind::Audio, chunk));
                rest.and_then(|()| open.finish())
            }
        };
        result.and(finished.map_err(|e| self.explain("end", &e)))
    }

    fn write_all(&mut self, queue: &Receiver) -> Result<(), Error> {
        self.rotate()?;
        while let Some(item) = queue.next() {
            match item {
                Item::Track(info) => {
                    // Audio that waits for its video belongs to the previous tracks.
                    self.release(Duration::MAX)?;
                    self.state.tracks.retain(|t| t.kind() != info.kind());
                    self.state.tracks.push(info);
                    self.state.tracks.sort_by_key(|t| t.kind() == Kind::Audio);
                }
                Item::Chunk(kind, chunk) if self.leads(kind) => self.lead(kind, chunk)?,
                Item::Chunk(_, chunk) => self.follow(chunk)?,
            }
            if self.state.rotated.is_none_or(|at| at.elapsed() > ROTATE_EVERY) {
                self.rotate()?;
            }
            self.output.status.set("dropped", queue.dropped());
        }
        Ok(())
    }

    fn leads(&self, kind: Kind) -> bool {
        self.expected.first().is_none_or(|lead| *lead == kind)
    }

    /// Takes a chunk of the track that decides about splits.
    fn lead(&mut self, kind: Kind, chunk: Chunk) -> Result<(), Error> {
        let missing = self.state.tracks.len() < self.expected.len();
        if self.state.open.is_none() && missing && self.state.waiting.len() < WAITING_CHUNKS_MAX {
            self.state.waiting.push(chunk);
            return Ok(());
        }
        for waiting in std::mem::take(&mut self.state.waiting) {
            self.lead_now(kind, waiting)?;
        }
        self.lead_now(kind, chunk)
    }

    fn lead_now(&mut self, kind: Kind, chunk: Chunk) -> Result<(), Error> {
        let Some(info) = self.state.tracks.iter().find(|t| t.kind() == kind) else { return Ok(()) };
        let (start, end) = (info.time(chunk.start), info.time(chunk.start + chunk.duration));
        if self.must_split(start, &chunk) {
            self.split(start, &chunk)?;
        }
        self.write(kind, &chunk)?;
        self.state.lead_end = end;
        self.release(end)
    }

    /// Takes audio beside video; it is written once the video of its time is.
    fn follow(&mut self, chunk: Chunk) -> Result<(), Error> {
        self.state.held.push(chunk);
        let newest = self.state.held.last().map_or(Duration::ZERO, |c| self.audio_time(c.start));
        let oldest = self.state.held.first().map_or(newest, |c| self.audio_time(c.start));
        let long = newest.saturating_sub(oldest) > HELD_MAX;
        if self.state.open.is_some() && (long || newest < self.state.lead_end) {
            let until = if long { newest } else { self.state.lead_end };
            self.release(until)?;
        }
        if self.state.held.len() > HELD_CHUNKS_MAX {
            self.state.held.remove(0);
        }
        Ok(())
    }

    fn audio_time(&self, ticks: u64) -> Duration {
        let audio = self.state.tracks.iter().find(|t| t.kind() == Kind::Audio);
        audio.map_or(Duration::ZERO, |t| t.time(ticks))
    }

    /// Writes held audio that begins before `until`, unless its track is not in this file.
    fn release(&mut self, until: Duration) -> Result<(), Error> {
        if self.outdated() {
            return Ok(());
        }
        while self.state.held.first().is_some_and(|c| self.audio_time(c.start) < until) {
            let chunk = self.state.held.remove(0);
            self.write(Kind::Audio, &chunk)?;
            self.state.audio_end = Some(self.audio_time(chunk.start + chunk.duration));
        }
        Ok(())
    }

    /// Whether the tracks of the open file differ from the current ones.
    fn outdated(&self) -> bool {
        let same = |open: &Recording| {
            let now = self.state.tracks.iter().map(|t| &t.entry);
            open.tracks().iter().map(|t| &t.entry).eq(now)
        };
        !self.state.open.as_ref().is_some_and(same)
    }

    fn must_split(&self, start: Duration, chunk: &Chunk) -> bool {
        if !chunk.key() {
            return false;
        }
        let Some(open) = &self.state.open else { return true };
        let age = start.saturating_sub(open.base());
        let Settings { split_s, split_mib, .. } = self.output.settings;
        let old = split_s > 0 && age >= Duration::from_secs(u64::from(split_s));
        let large = split_mib > 0 && open.bytes() >= u64::from(split_mib) << 20;
        let hole =
            chunk.cut == Cut::Break && start.saturating_sub(self.state.lead_end) > VIDEO_GAP_MAX;
        // The name of a file gives its times: after a clock step a new file is needed.
        let set =
            flow::wall_clock(gst::ClockTime::ZERO).abs_diff(self.state.epoch) > CLOCK_STEP_MAX;
        old || large || hole || set || self.outdated()
    }

    fn split(&mut self, start: Duration, chunk: &Chunk) -> Result<(), Error> {
        if let Some(open) = self.state.open.take() {
            self.state.bytes_before += open.bytes();
            open.finish().map_err(|e| self.explain("end", &e))?;
        }
        self.rotate()?;
        // Pending audio begins where that of the last file ended. The new file's time zero is the
        // earlier of both starts, so that no time is negative.
        let near = |end: &Duration| start.saturating_sub(*end) < HELD_MAX;
        let audio_end = self.state.audio_end.filter(near).unwrap_or(start);
        let held = self.state.held.first().map_or(start, |c| self.audio_time(c.start));
        let base = start.min(audio_end).min(held);
        self.state.epoch = flow::wall_clock(gst::ClockTime::ZERO);
        let shown_at = u64::try_from(chunk.shown_at.as_nanos()).unwrap_or(0);
        let wall = flow::wall_clock(gst::ClockTime::from_nseconds(shown_at));
        let date = DateTime::<Utc>::from(std::time::UNIX_EPOCH + wall);
        let tracks = self.state.tracks.clone();
        let open = Recording::create(&self.output.folder, date, base, tracks)
            .map_err(|e| self.explain("create a file in", &e))?;
        let name = open.path().file_name().map(|n| n.to_string_lossy().into_owned());
        self.state.files += 1;
        self.output.status.set("file", name.unwrap_or_default());
        self.output.status.set("files", self.state.files);
        let stem = open.path().with_file_name(open.path().file_stem().unwrap_or_default());
        // If the reader is too far behind, captions are lost, never the recording.
        let _ = self.output.begins.try_send(Begun { stem, base });
        self.state.open = Some(open);
        Ok(())
    }

    fn write(&mut self, kind: Kind, chunk: &Chunk) -> Result<(), Error> {
        let Some(open) = &mut self.state.open else { return Ok(()) };
        let written = open.append(kind, chunk);
        let bytes = open.bytes();
        written.map_err(|e| self.explain("write to", &e))?;
        self.output.status.set("bytes", self.state.bytes_before + bytes);
        self.output.status.set_running();
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), Error> {
        self.state.rotated = Some(Instant::now());
        let (open, bytes) = match &self.state.open {
            Some(open) => (Some(open.path()), open.bytes()),
            None => (None, 0),
        };
        let pace = &mut self.state.pace;
        rotate::rotate(
            &self.output.folder,
            open,
            bytes,
            &self.output.settings,
            pace,
            &self.output.status,
        )
        .map_err(|e| self.explain("look through", &e))?
    }

    fn explain(&self, doing: &str, error: &io::Error) -> Error {
        explain(&self.output.folder, doing, error)
    }
}

/// Explains a disk error, with advice.
pub(super) fn explain(folder: &std::path::Path, doing: &str, error: &io::Error) -> Error {
    use io::ErrorKind as K;
    let hint = match error.kind() {
        K::StorageFull | K::QuotaExceeded => {
            "the disk is full: delete recordings, or set `keep_hours` or `keep_mib` so that old \
             ones go by themselves"
        }
        K::FileTooLarge => "the file system allows no larger file: set `split_mib`",
        K::PermissionDenied | K::ReadOnlyFilesystem => {
            "let the user that runs auralink write there, or choose another folder"
        }
        K::NotADirectory | K::NotFound => "choose another folder for recordings",
        _ => "look at the disk",
    };
    let message = format!("cannot {doing} {}: {error}", folder.display());
    Error::refused(Blame::Destination, message, hint)
}
