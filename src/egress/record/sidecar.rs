//! Caption files beside a recording: `<recording>.<language>.vtt`, `.srt` and `.json`.
//!
//! Each cue is written in one piece when it is committed. So the files are always valid, and a
//! crash loses only the cue in progress. A cue belongs to the recording in which it begins. The
//! JSON file is always a complete document, with one cue per line.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;

use super::Format;
use crate::captions::{FileClock, Shaper, json, srt, vtt};
use crate::flow::{self, CaptionFeeds, CaptionFeedsReader, Status};
use crate::media::{Cue, Language};

/// Recordings that may still get cues: the open one and the previous ones.
const RECENT_RECORDINGS_MAX: usize = 3;

/// How long the last captions are awaited after the last recording: translations come at the end of
/// a sentence.
const LAST_CUES_WAIT_MAX: Duration = Duration::from_secs(10);

/// Maximum number of begun recordings that are queued.
const BEGUN_RECORDINGS_MAX: usize = 16;

/// Extensions of the caption files.
pub(super) const EXTENSIONS: [&str; 3] = ["vtt", "srt", "json"];

/// A recording that has begun.
#[derive(Debug)]
pub(super) struct Begun {
    /// Path of its file without the extension.
    pub(super) stem: PathBuf,
    /// Running time of its time zero.
    pub(super) base: Duration,
}

/// The channel on which the writer announces new recordings.
pub(super) fn channel() -> (mpsc::Sender<Begun>, mpsc::Receiver<Begun>) {
    mpsc::channel(BEGUN_RECORDINGS_MAX)
}

/// Writes captions beside recordings until the writer is gone and the last captions have arrived.
/// Reports `captions` (cues written) and `captions_error`; its errors never affect the recording.
pub(super) async fn write(
    captions: CaptionFeeds,
    mut begun: mpsc::Receiver<Begun>,
    status: Status,
) {
    let mut cues = captions.read();
    let mut sidecar_writer = SidecarWriter::default();
    loop {
        tokio::select! {
            biased;
            new = begun.recv() => match new {
                Some(new) => sidecar_writer.begin(new),
                None => break,
            },
            (feed, cue) = cues.next() => if !captions.repeat(&feed, &cue) {
                sidecar_writer = keep(sidecar_writer, feed.language(), cue, &status).await;
            },
        }
    }
    if captions.feeds().is_empty() {
        return;
    }
    sidecar_writer.ended_at = Some(Duration::from_nanos(flow::now().nseconds()));
    let words = last_words(sidecar_writer, &mut cues, &captions, &status);
    let _ = tokio::time::timeout(LAST_CUES_WAIT_MAX, words).await;
}

/// Writes the remaining captions until none can come any more.
async fn last_words(
    mut sidecar_writer: SidecarWriter,
    cues: &mut CaptionFeedsReader,
    captions: &CaptionFeeds,
    status: &Status,
) {
    let ended = captions.ended();
    loop {
        let (feed, cue) = tokio::select! {
            biased;
            found = cues.next() => found,
            () = ended.cancelled() => return,
        };
        if !captions.repeat(&feed, &cue) {
            sidecar_writer = keep(sidecar_writer, feed.language(), cue, status).await;
        }
    }
}

/// Writes on a thread that may block, because disks may stall.
async fn keep(
    mut sidecar_writer: SidecarWriter,
    asked: &Language,
    cue: Cue,
    status: &Status,
) -> SidecarWriter {
    if !cue.is_committed() {
        return sidecar_writer;
    }
    // If the language is detected, the files are named after the detected one.
    let detected = *asked == Language::undetermined();
    let language = if detected { cue.language.clone() } else { asked.clone() };
    let written = tokio::task::spawn_blocking(move || {
        let outcome = sidecar_writer.keep(&language, &cue);
        (sidecar_writer, outcome)
    });
    let Ok((sidecar_writer, outcome)) = written.await else { return SidecarWriter::default() };
    match outcome {
        Ok(()) => status.set("captions", sidecar_writer.written),
        Err(error) => {
            tracing::debug!(%error, "captions beside a recording");
            status.set("captions_error", error.to_string());
        }
    }
    sidecar_writer
}

/// The recordings that may still get cues.
#[derive(Default)]
struct SidecarWriter {
    recordings: VecDeque<Recording>,
    /// Running time at which the last recording ended; later cues belong to none.
    ended_at: Option<Duration>,
    written: u64,
}

struct Recording {
    begun: Begun,
    texts: BTreeMap<Language, Texts>,
}

impl SidecarWriter {
    fn begin(&mut self, begun: Begun) {
        if self.recordings.len() == RECENT_RECORDINGS_MAX {
            self.recordings.pop_front();
        }
        self.recordings.push_back(Recording { begun, texts: BTreeMap::new() });
    }

    fn keep(&mut self, language: &Language, cue: &Cue) -> io::Result<()> {
        if self.ended_at.is_some_and(|end| cue.start >= end) {
            return Ok(());
        }
        let begins_in = self.recordings.iter().rposition(|r| r.begun.base <= cue.start);
        // A cue that began before the oldest recording but ends in it goes to its start.
        let recording = self.recordings.get_mut(begins_in.unwrap_or(0));
        let Some(recording) = recording.filter(|r| r.begun.base < cue.end) else { return Ok(()) };
        let clock = FileClock { origin: recording.begun.base };
        let stem = &recording.begun.stem;
        // A deleted recording gets no new caption files.
        if !Format::ALL.iter().any(|f| with_ending(stem, f.extension()).exists()) {
            return Ok(());
        }
        let texts = match recording.texts.entry(language.clone()) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(Texts::create(stem, language, clock)?)
            }
        };
        texts.append(cue, clock)?;
        self.written += 1;
        Ok(())
    }
}

/// Path of a file beside the recording. The name of the recording contains a dot in its time, so
/// `Path::set_extension` cannot be used.
fn with_ending(stem: &Path, ending: &str) -> PathBuf {
    let mut name = stem.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

/// The three caption files of one language.
struct Texts {
    shaper: Shaper,
    srt_writer: srt::Writer,
    vtt: Growing,
    srt: Growing,
    json: Growing,
}

impl Texts {
    fn create(stem: &Path, language: &Language, clock: FileClock) -> io::Result<Self> {
        let create = |ending: &str, head, tail| {
            Growing::create(&with_ending(stem, &format!("{language}.{ending}")), head, tail)
        };
        Ok(Self {
            shaper: Shaper::default(),
            srt_writer: srt::Writer::new(clock),
            vtt: create("vtt", vtt::HEADER, "")?,
            srt: create("srt", "", "")?,
            json: create("json", json::HEAD, json::TAIL)?,
        })
    }

    /// An error of one file does not stop the others.
    fn append(&mut self, cue: &Cue, clock: FileClock) -> io::Result<()> {
        let style = vtt::Style::default();
        let (mut as_vtt, mut as_srt) = (String::new(), String::new());
        for shown in self.shaper.shape(cue) {
            as_vtt.push_str(&vtt::cue(&shown, clock, &style));
            as_srt.push_str(&self.srt_writer.cue(&shown));
        }
        let first = self.json.is_empty();
        let as_json = json::element(cue, clock, first);
        let outcomes =
            [self.vtt.append(&as_vtt), self.srt.append(&as_srt), self.json.append(&as_json)];
        outcomes.into_iter().collect()
    }
}

/// A file that is complete after each append, because the tail is rewritten.
struct Growing {
    file: File,
    tail: &'static str,
    head: u64,
    /// Offset of the tail.
    end: u64,
}

impl Growing {
    /// An existing file of this name belonged to a deleted recording.
    fn create(path: &Path, head: &str, tail: &'static str) -> io::Result<Self> {
        let mut new = Self { file: File::create(path)?, tail, head: head.len() as u64, end: 0 };
        new.append(head)?;
        Ok(new)
    }

    fn is_empty(&self) -> bool {
        self.end == self.head
    }

    /// Appends a whole piece, or leaves the file unchanged.
    fn append(&mut self, piece: &str) -> io::Result<()> {
        if piece.is_empty() && self.end > 0 {
            return Ok(());
        }
        let bytes = [piece, self.tail].concat();
        if let Err(error) = self.file.write_all_at(bytes.as_bytes(), self.end) {
            let _ = self.file.write_all_at(self.tail.as_bytes(), self.end);
            let _ = self.file.set_len(self.end + self.tail.len() as u64);
            return Err(error);
        }
        self.end += piece.len() as u64;
        Ok(())
    }
}

/// The existing caption files of a recording: language and extension, sorted.
pub(super) fn of(folder: &Path, name: &str) -> Vec<(Language, &'static str)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut found: Vec<_> = names
        .filter_map(|file| {
            let (tag, ending) = file.strip_prefix(name)?.strip_prefix('.')?.rsplit_once('.')?;
            let ending = EXTENSIONS.into_iter().find(|known| *known == ending)?;
            Some((tag.parse().ok()?, ending))
        })
        .collect();
    found.sort();
    found
}

/// Path of a caption file.
pub(super) fn path(folder: &Path, name: &str, language: &Language, ending: &str) -> PathBuf {
    folder.join(format!("{name}.{language}.{ending}"))
}

#[cfg(test)]
mod tests;
