//! SubRip files. The format has no field for a speaker: as transcription programs do, a text begins
//! with its speaker's label and a colon, here where another speaker begins.

use std::sync::Arc;
use std::time::Duration;

use super::shape::{FileClock, Shown};

/// SubRip players have no rule for the direction of a line; this mark sets it.
const RIGHT_TO_LEFT_MARK: char = '\u{200f}';

/// Writes a SubRip file piece by piece. The file is valid when empty and after each piece.
#[derive(Debug, Default)]
pub struct Writer {
    clock: FileClock,
    count: u64,
    /// The speaker of the last text.
    speaker: Option<Arc<str>>,
}

impl Writer {
    /// A writer for a file that begins at the clock's origin.
    pub fn new(clock: FileClock) -> Self {
        Self { clock, count: 0, speaker: None }
    }

    /// The text to append; empty for a cue that ends before the file begins.
    pub fn cue(&mut self, shown: &Shown) -> String {
        let (start, end) = (self.clock.at(shown.start), self.clock.at(shown.end));
        if end.as_millis() <= start.as_millis() {
            return String::new();
        }
        self.count += 1;
        let mut out = format!("{}\n{} --> {}\n", self.count, time(start), time(end));
        let label = shown.speaker.clone().filter(|s| self.speaker.as_ref() != Some(s));
        self.speaker.clone_from(&shown.speaker);
        let mut label = label.map(|speaker| format!("{speaker}: ")).unwrap_or_default();
        for line in shown.lines() {
            let line = std::mem::take(&mut label) + &line;
            let mark = shown.right_to_left.then_some(RIGHT_TO_LEFT_MARK);
            out.extend(mark);
            // The format has no escapes, so characters of tags are replaced.
            out.extend(line.chars().map(|c| match c {
                '<' => '\u{2039}',
                '>' => '\u{203a}',
                c => c,
            }));
            out.extend(mark);
            out.push('\n');
        }
        out.push('\n');
        out
    }
}

/// `00:00:01,500`.
fn time(at: Duration) -> String {
    let ms = at.as_millis();
    let (s, m, h) = (ms / 1000 % 60, ms / 60_000 % 60, ms / 3_600_000);
    format!("{h:02}:{m:02}:{s:02},{:03}", ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::captions::Shaper;
    use crate::captions::testing::cue;
    use crate::media::Cue;

    #[test]
    fn a_label_stands_where_another_speaker_begins() {
        let (mut shaper, mut writer) = (Shaper::default(), Writer::default());
        let mut said = Vec::new();
        for (id, speaker) in (1_u32..).zip(["A", "A", "B", "A"]) {
            let at = f64::from(id) * 2.0;
            let cue = Cue { speaker: Some(speaker.into()), ..cue(id.into(), at, at + 1.0, "yes") };
            for shown in shaper.shape(&cue) {
                said.extend(writer.cue(&shown).lines().nth(2).map(str::to_owned));
            }
        }
        assert_eq!(said, ["A: yes", "yes", "B: yes", "A: yes"]);
    }

    #[test]
    fn pieces_are_numbered_from_the_first_that_the_file_has() {
        let mut shaper = Shaper::default();
        let mut writer = Writer::new(FileClock { origin: Duration::from_secs(10) });
        let mut file = String::new();
        for (id, start, end, text) in [
            (1, 2.0, 4.0, "before the file"),
            (2, 9.0, 11.0, "over its beginning"),
            (
                3,
                12.25,
                14.0,
                "if a < b, \
             then this sentence is so long that it needs a second line",
            ),
        ] {
            for shown in shaper.shape(&cue(id, start, end, text)) {
                file.push_str(&writer.cue(&shown));
            }
        }
        assert_eq!(
            file,
            "1\n00:00:00,000 --> 00:00:01,000\nover its beginning\n\n\
             2\n00:00:02,250 --> 00:00:04,000\nif a \u{2039} b, then this sentence is so\n\
             long that it needs a second line\n\n"
        );
    }
}
