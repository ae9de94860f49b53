//! Captions beside a recording: `<recording>.<language>.vtt`, `.srt` and `.json`.
//!
//! Each cue is written when it is committed, in one piece, so the files are valid after each and a
//! sudden death costs the cue that was being said. A cue belongs to the recording in which it
//! begins. The JSON file is a whole document at any moment, with one cue a line.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::captions::{FileClock, Shaper, json, srt, vtt};
use crate::flow::{self, BoardReader, CueBoard, Status};
use crate::media::{Cue, Language};

/// Recordings that cues may still be for: the one being written and those before it.
const RECENT_MAX: usize = 3;

/// After the last recording its last words are waited for, at most this long: translations come
/// when a sentence has ended.
const LATE_MAX: Duration = Duration::from_secs(10);

/// Recordings that may be begun before the first of them is noticed.
const BEGUN_MAX: usize = 16;

/// Endings of sidecars.
pub(super) const EXTENSIONS: [&str; 3] = ["vtt", "srt", "json"];

/// A recording has been begun.
#[derive(Debug)]
pub(super) struct Begun {
    /// Its file without the extension.
    pub(super) stem: PathBuf,
    /// Running time that is zero in it.
    pub(super) base: Duration,
}

/// Where the writer tells of recordings that it begins, and where that is heard.
pub(super) fn channel() -> (mpsc::Sender<Begun>, mpsc::Receiver<Begun>) {
    mpsc::channel(BEGUN_MAX)
}

/// Writes captions beside recordings until the writer is gone and the last words have come.
/// Reports `captions` (cues written) and `captions_error`; no error of it touches the recording.
pub(super) async fn write(captions: CueBoard, mut begun: mpsc::Receiver<Begun>, status: Status) {
    let mut cues = captions.read();
    let mut desk = Desk::default();
    loop {
        tokio::select! {
            biased;
            new = begun.recv() => match new {
                Some(new) => desk.begin(new),
                None => break,
            },
            (feed, cue) = cues.next() => desk = keep(desk, feed.language(), cue, &status).await,
        }
    }
    if captions.feeds().is_empty() {
        return;
    }
    desk.ended_at = Some(Duration::from_nanos(flow::now().nseconds()));
    let words = last_words(desk, &mut cues, captions.ended(), &status);
    let _ = tokio::time::timeout(LATE_MAX, words).await;
}

/// Writes what still comes, until nothing can come any more.
async fn last_words(
    mut desk: Desk,
    cues: &mut BoardReader,
    ended: CancellationToken,
    status: &Status,
) {
    loop {
        let (feed, cue) = tokio::select! {
            biased;
            found = cues.next() => found,
            () = ended.cancelled() => return,
        };
        desk = keep(desk, feed.language(), cue, status).await;
    }
}

/// Disks may stall: what is written is written on a thread that may wait.
async fn keep(mut desk: Desk, asked: &Language, cue: Cue, status: &Status) -> Desk {
    if !cue.is_committed() {
        return desk;
    }
    // A language that is being detected is called by what was found.
    let detected = *asked == Language::undetermined();
    let language = if detected { cue.language.clone() } else { asked.clone() };
    let written = tokio::task::spawn_blocking(move || {
        let outcome = desk.keep(&language, &cue);
        (desk, outcome)
    });
    let Ok((desk, outcome)) = written.await else { return Desk::default() };
    match outcome {
        Ok(()) => status.set("captions", desk.written),
        Err(error) => {
            tracing::debug!(%error, "captions beside a recording");
            status.set("captions_error", error.to_string());
        }
    }
    desk
}

/// The recordings that cues may be for.
#[derive(Default)]
struct Desk {
    recordings: VecDeque<Recording>,
    /// Running time at which the last one ended; what is said later is in none of them.
    ended_at: Option<Duration>,
    written: u64,
}

struct Recording {
    begun: Begun,
    texts: BTreeMap<Language, Texts>,
}

impl Desk {
    fn begin(&mut self, begun: Begun) {
        if self.recordings.len() == RECENT_MAX {
            self.recordings.pop_front();
        }
        self.recordings.push_back(Recording { begun, texts: BTreeMap::new() });
    }

    fn keep(&mut self, language: &Language, cue: &Cue) -> io::Result<()> {
        if self.ended_at.is_some_and(|end| cue.start >= end) {
            return Ok(());
        }
        let begins_in = self.recordings.iter().rposition(|r| r.begun.base <= cue.start);
        // The end of what was being said when the oldest began is heard at its beginning.
        let recording = self.recordings.get_mut(begins_in.unwrap_or(0));
        let Some(recording) = recording.filter(|r| r.begun.base < cue.end) else { return Ok(()) };
        let clock = FileClock { origin: recording.begun.base };
        let stem = &recording.begun.stem;
        // A recording that was deleted in the meantime gets nothing new beside it.
        if !with_ending(stem, super::file::EXTENSION).exists() {
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

/// A file beside the recording. The recording's name has a dot in its time, so that what is behind
/// that is no extension to be replaced.
fn with_ending(stem: &Path, ending: &str) -> PathBuf {
    let mut name = stem.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

/// The three files of one language.
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

    /// What one file refuses does not keep it from the others.
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

/// A file that is whole after each piece that is put before its tail.
struct Growing {
    file: File,
    tail: &'static str,
    head: u64,
    /// Where the tail is.
    end: u64,
}

impl Growing {
    /// What was there before under that name belonged to a recording that is gone.
    fn create(path: &Path, head: &str, tail: &'static str) -> io::Result<Self> {
        let mut new = Self { file: File::create(path)?, tail, head: head.len() as u64, end: 0 };
        new.append(head)?;
        Ok(new)
    }

    fn is_empty(&self) -> bool {
        self.end == self.head
    }

    /// Adds a piece as a whole, or leaves the file as it was.
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

/// The sidecars of a recording that are there: language and ending, sorted.
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

/// The file of a sidecar.
pub(super) fn path(folder: &Path, name: &str, language: &Language, ending: &str) -> PathBuf {
    folder.join(format!("{name}.{language}.{ending}"))
}

#[cfg(test)]
#[path = "sidecar_tests.rs"]
mod tests;
