//! Audio for the tests, and a transcriber whose events are collected.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use auralink::media::{Cue, Language};
use auralink::speech::stt::{Config, Engines, Event, Models, Options, Transcriber, Wanted};

/// Samples per second.
pub const RATE: usize = 16_000;

pub(crate) use crate::needs::test_data as data;
use crate::spelling::spelled;

/// An audio file as 16 kHz mono, by ffmpeg.
pub fn load(file: &Path) -> Vec<f32> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(["-f", "s16le", "-ac", "1", "-ar", "16000", "-"])
        .output()
        .expect("ffmpeg starts: `make setup` installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let sample = |b: &[u8]| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32_768.0;
    output.stdout.chunks_exact(2).map(sample).collect()
}

/// Files of a folder with this ending, sorted.
pub fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let list = std::fs::read_dir(folder).expect("a folder");
    let mut files: Vec<PathBuf> = list.filter_map(|e| e.ok().map(|e| e.path())).collect();
    files.retain(|f| f.to_string_lossy().ends_with(ending));
    files.sort();
    files
}

/// Every `step`th utterance of LibriSpeech with its transcript.
pub fn utterances(step: usize) -> Vec<(Vec<f32>, String)> {
    let Some(folder) = data("speech/librispeech") else { return Vec::new() };
    let list = std::fs::read_to_string(folder.join("transcripts.tsv")).expect("transcripts");
    let lines = list.lines().filter_map(|l| l.split_once('\t'));
    let there = lines.map(|(id, text)| (folder.join(format!("{id}.flac")), text));
    let chosen = there.filter(|(path, _)| path.exists()).step_by(step);
    chosen.map(|(path, text)| (load(&path), text.to_owned())).collect()
}

/// A transcriber and its events.
pub struct Listener {
    pub transcriber: Transcriber,
    pub events: Receiver<(Instant, Event)>,
    seen: Vec<(Instant, Event)>,
}

pub fn engines(config: &Config, models: Models) -> Arc<Engines> {
    Arc::new(Engines::new(config, models))
}

/// Read speech that the basic engine transcribes well, and its text.
pub fn read_speech() -> Option<(Vec<f32>, String)> {
    let folder = data("speech/librispeech")?;
    let list = std::fs::read_to_string(folder.join("transcripts.tsv")).expect("transcripts");
    let id = "27-123349-0020";
    let line = list.lines().find_map(|l| l.strip_prefix(id)).expect("it is listed");
    Some((load(&folder.join(format!("{id}.flac"))), line.trim().to_owned()))
}

pub fn english(names: &[&str]) -> Wanted {
    Wanted {
        language: Some(Language::english()),
        engines: names.iter().map(|n| (*n).to_owned()).collect(),
        ..Wanted::default()
    }
}

impl Listener {
    pub fn new(engines: &Arc<Engines>, wanted: Wanted, wait: bool) -> Self {
        Self::with(engines, Options { wanted, wait, ..Options::default() })
    }

    pub fn with(engines: &Arc<Engines>, options: Options) -> Self {
        let (sender, events) = mpsc::channel();
        let to = move |event| {
            let _ = sender.send((Instant::now(), event));
        };
        let transcriber = Transcriber::new(Arc::clone(engines), options, to).expect("a thread");
        Self { transcriber, events, seen: Vec::new() }
    }

    /// Pushes audio in pieces of 20 ms from this running time on; returns its end.
    pub fn push(&self, mut at: Duration, samples: &[f32]) -> Duration {
        for piece in samples.chunks(RATE / 50) {
            self.transcriber.push(at, piece);
            at += Duration::from_secs_f64(piece.len() as f64 / RATE as f64);
        }
        at
    }

    /// Waits for an event.
    pub fn wait_for(&mut self, what: &str, is: impl Fn(&Event) -> bool) -> Event {
        if let Some((_, event)) = self.seen.iter().find(|(_, e)| is(e)) {
            return event.clone();
        }
        let limit = Instant::now() + Duration::from_secs(120);
        loop {
            let left = limit.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok((when, event)) => {
                    self.seen.push((when, event.clone()));
                    if is(&event) {
                        return event;
                    }
                }
                Err(e) => panic!("{what} did not come ({e}); so far {:#?}", self.seen),
            }
        }
    }

    /// Whether an event has come.
    pub fn has_come(&mut self, is: impl Fn(&Event) -> bool) -> bool {
        self.seen.extend(self.events.try_iter());
        self.seen.iter().any(|(_, event)| is(event))
    }

    /// All events up to the end.
    pub fn finish(self) -> Vec<Event> {
        self.finish_timed().into_iter().map(|(_, event)| event).collect()
    }

    /// The same, with the time of each.
    pub fn finish_timed(mut self) -> Vec<(Instant, Event)> {
        self.transcriber.end();
        self.wait_for("the end", |e| *e == Event::Ended);
        self.seen
    }
}

pub fn committed(events: &[Event]) -> Vec<Cue> {
    let cue = |e: &Event| match e {
        Event::Committed(cue) => Some(cue.clone()),
        _ => None,
    };
    events.iter().filter_map(cue).collect()
}

/// Words without case and punctuation, numbers spelled out.
pub fn normal(text: &str) -> Vec<String> {
    let letters = |w: &str| -> String {
        w.chars()
            .filter(|c| c.is_alphanumeric() || *c == '\'')
            .flat_map(char::to_lowercase)
            .collect()
    };
    let words = text.split(|c: char| c.is_whitespace() || c == '-').map(letters);
    words.filter(|w| !w.is_empty()).flat_map(|word| spelled(&word)).collect()
}

/// Insertions, deletions and substitutions between the spoken and the written words.
pub fn errors(said: &[String], written: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=written.len()).collect();
    for (i, word) in said.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in written.iter().enumerate() {
            let cost = diagonal + usize::from(word != other);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[written.len()]
}

/// Synthetic music: chords of plucked strings that change twice a second, with a beat.
pub fn music(seconds: usize) -> Vec<f32> {
    const CHORDS: [[f32; 3]; 4] = [
        [220.0, 277.2, 329.6],
        [196.0, 246.9, 293.7],
        [174.6, 220.0, 261.6],
        [164.8, 207.7, 246.9],
    ];
    (0..seconds * RATE)
        .map(|n| {
            let t = n as f32 / RATE as f32;
            let within = t % 0.5;
            let chord = CHORDS[(t / 0.5) as usize % CHORDS.len()];
            let string = |f: &f32| {
                let overtones = (1..6).map(|k| {
                    let k = k as f32;
                    (std::f32::consts::TAU * f * k * t).sin() * (-within * 3.0 * k).exp() / k
                });
                overtones.sum::<f32>()
            };
            let noise =
                ((n as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0;
            let beat = noise * (-within * 40.0).exp();
            0.1 * chord.iter().map(string).sum::<f32>() + 0.15 * beat
        })
        .collect()
}

/// Samples at another rate, by ffmpeg.
pub fn resampled(samples: &[f32], from_hz: u32, to_hz: u32) -> Vec<f32> {
    let mut file = tempfile::NamedTempFile::new().expect("temporary file");
    let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    std::io::Write::write_all(&mut file, &bytes).expect("writes");
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "f32le", "-ac", "1", "-ar", &from_hz.to_string(), "-i"])
        .arg(file.path())
        .args(["-f", "f32le", "-ar", &to_hz.to_string(), "-"])
        .output()
        .expect("ffmpeg starts: `make setup` installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// What an engine has written of read speech.
pub struct Reading {
    /// Words that are wrong per word spoken.
    pub error_rate: f64,
    pub cues: Vec<Cue>,
}

/// Every `step`th utterance of LibriSpeech (`AURALINK_WER_STEP` is another step), a second apart,
/// through a transcriber with this engine; `None` without the test data.
pub fn read(engines: &Arc<Engines>, engine: &str, step: usize) -> Option<Reading> {
    let step = std::env::var("AURALINK_WER_STEP").ok().and_then(|s| s.parse().ok()).unwrap_or(step);
    let utterances = utterances(step);
    if utterances.is_empty() {
        return None;
    }
    let listener = Listener::new(engines, english(&[engine]), true);
    let stats = listener.transcriber.stats();
    let said: Vec<String> = utterances.iter().flat_map(|(_, text)| normal(text)).collect();
    let cues = hear(listener, utterances.iter().map(|(audio, _)| audio));
    let text: Vec<&str> = cues.iter().map(|c| c.text.as_str()).collect();
    let written = normal(&text.join(" "));
    let error_rate = errors(&said, &written) as f64 / said.len() as f64;
    eprintln!("{}", text.join("\n"));
    eprintln!(
        "{engine}: {:.1} % of {} words wrong, {} written, real-time factor {:.2}",
        error_rate * 100.0,
        said.len(),
        written.len(),
        stats.real_time_factor(),
    );
    Some(Reading { error_rate, cues })
}

/// The cues of clips of 16 kHz, a second apart.
fn hear<'a>(listener: Listener, clips: impl Iterator<Item = &'a Vec<f32>>) -> Vec<Cue> {
    let mut at = Duration::from_secs(5);
    for clip in clips {
        at = listener.push(at, clip);
        at = listener.push(at, &vec![0.0; RATE]);
    }
    committed(&listener.finish())
}

/// The words that the first engine which is there hears in clips of 16 kHz.
pub fn heard(engines: &Arc<Engines>, names: &[&str], clips: &[Vec<f32>]) -> Vec<String> {
    let cues = hear(Listener::new(engines, english(names), true), clips.iter());
    let text: Vec<&str> = cues.iter().map(|c| c.text.as_str()).collect();
    normal(&text.join(" "))
}
