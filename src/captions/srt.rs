//! SubRip files.

use std::time::Duration;

use super::shape::{FileClock, Shown};

/// SubRip players have no rule for the direction of a line; this mark sets it.
const RIGHT_TO_LEFT_MARK: char = '\u{200f}';

/// Writes a SubRip file piece by piece. The file is valid when empty and after each piece.
#[derive(Debug, Default)]
pub struct Writer {
    clock: FileClock,
    count: u64,
}

impl Writer {
    /// A writer for a file that begins at the clock's origin.
    pub fn new(clock: FileClock) -> Self {
        Self { clock, count: 0 }
    }

    /// The text to append; empty for a cue that ends before the file begins.
    pub fn cue(&mut self, shown: &Shown) -> String {
        let (start, end) = (self.clock.at(shown.start), self.clock.at(shown.end));
        if end.as_millis() <= start.as_millis() {
            return String::new();
        }
        self.count += 1;
        let mut out = format!("{}\n{} --> {}\n", self.count, time(start), time(end));
        for line in shown.lines() {
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
