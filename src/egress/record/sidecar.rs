//! Captions beside a recording: `<recording>.<language>.vtt`, `.srt` and `.json`.
//!
//! Each cue is appended when it is committed, so the files are valid after each and a sudden death
//! costs the cue that was being said. A cue belongs to the recording in which it begins. The JSON
//! file has one object a line.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::captions::{FileClock, Shaper, json, srt, vtt};
use crate::flow::{BoardReader, CueBoard, Status};
use crate::media::{Cue, Language};

/// Recordings that cues may still be for: the one being written and those before it.
const RECENT_MAX: usize = 3;

/// After the last recording its last words are waited for, at most this long.
const LATE_MAX: Duration = Duration::from_secs(2);

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
    let _ = tokio::time::timeout(LATE_MAX, last_words(desk, &mut cues, &status)).await;
}

async fn last_words(mut desk: Desk, cues: &mut BoardReader, status: &Status) {
    loop {
        let (feed, cue) = cues.next().await;
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
        let begins_in = |r: &&mut Recording| r.begun.base <= cue.start;
        // What began before the oldest is heard at its beginning.
        let Some(recording) = self.recordings.iter_mut().rfind(begins_in) else { return Ok(()) };
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
    vtt: File,
    srt: File,
    json: File,
}

impl Texts {
    fn create(stem: &Path, language: &Language, clock: FileClock) -> io::Result<Self> {
        let create = |ending: &str| {
            let path = with_ending(stem, &format!("{language}.{ending}"));
            File::options().create(true).append(true).open(path)
        };
        let mut vtt = create("vtt")?;
        if vtt.metadata()?.len() == 0 {
            vtt.write_all(vtt::HEADER.as_bytes())?;
        }
        let (srt, json) = (create("srt")?, create("json")?);
        let srt_writer = srt::Writer::new(clock);
        Ok(Self { shaper: Shaper::default(), srt_writer, vtt, srt, json })
    }

    fn append(&mut self, cue: &Cue, clock: FileClock) -> io::Result<()> {
        let style = vtt::Style::default();
        let (mut as_vtt, mut as_srt) = (String::new(), String::new());
        for shown in self.shaper.shape(cue) {
            as_vtt.push_str(&vtt::cue(&shown, clock, &style));
            as_srt.push_str(&self.srt_writer.cue(&shown));
        }
        self.vtt.write_all(as_vtt.as_bytes())?;
        self.srt.write_all(as_srt.as_bytes())?;
        self.json.write_all(json::line(cue, clock).as_bytes())
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
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::flow::CueFeed;
    use crate::media::{Origin, Stage};

    fn cue(id: u64, at_ms: u64, text: &str) -> Cue {
        Cue {
            id,
            language: Language::english(),
            stage: Stage::Committed,
            start: Duration::from_millis(at_ms),
            end: Duration::from_millis(at_ms + 1000),
            text: text.into(),
            words: Arc::default(),
            ends_sentence: true,
            origin: Arc::new(Origin { engine: "test".into(), model: None }),
        }
    }

    #[tokio::test]
    async fn cues_lie_beside_the_recording_in_which_they_begin() {
        crate::flow::init().expect("GStreamer starts");
        let folder = tempfile::tempdir().expect("a folder");
        let stem = |name: &str| folder.path().join(name);
        let names = ["2026-11-23T16-03-16.250Z", "2026-11-23T16-04-16.250Z"];
        let (board, (tell, heard)) = (CueBoard::default(), channel());
        let feed = CueFeed::new("captions.en", Language::english());
        board.set(vec![feed.clone()]);
        let status = Status::default();
        let writing = tokio::spawn(write(board, heard, status.clone()));
        while feed.readers() == 0 {
            tokio::task::yield_now().await;
        }
        for (n, name) in names.iter().enumerate() {
            std::fs::write(stem(&format!("{name}.mp4")), "x").expect("written");
            let base = Duration::from_secs(10 + 60 * n as u64);
            tell.send(Begun { stem: stem(name), base }).await.expect("heard");
        }
        while tell.capacity() < BEGUN_MAX {
            tokio::task::yield_now().await;
        }
        feed.publish(cue(1, 12_000, "in the first"));
        feed.publish(cue(2, 69_500, "begins in the first"));
        feed.publish(cue(3, 71_000, "in the second"));
        feed.publish(cue(4, 5_000, "before both"));
        while status.facts().get("captions").and_then(serde_json::Value::as_u64) != Some(3) {
            tokio::task::yield_now().await;
        }
        drop(tell);
        writing.await.expect("it ends by itself");
        let read = |name: &str, ending: &str| {
            let path = path(folder.path(), name, &Language::english(), ending);
            std::fs::read_to_string(path).expect("there")
        };
        assert_eq!(
            read(names[0], "srt"),
            "1\n00:00:02,000 --> 00:00:03,000\nin the first\n\n\
             2\n00:00:59,500 --> 00:01:00,500\nbegins in the first\n\n"
        );
        assert!(read(names[1], "vtt").starts_with("WEBVTT\n\n3\n00:00:01.000 --> "));
        assert_eq!(read(names[1], "json").lines().count(), 1);
        let endings: Vec<_> = of(folder.path(), names[1]).into_iter().map(|(_, e)| e).collect();
        assert_eq!(endings, ["json", "srt", "vtt"]);
    }
}
