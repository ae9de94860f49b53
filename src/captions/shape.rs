//! Divides cues into displayed texts: lines and times.

use std::sync::Arc;
use std::time::Duration;

use super::tokens::{Token, columns, is_wide, join, tokens};
use crate::media::{Cue, Language};

/// Columns of a line: 42 as in EBU-TT-D profiles and large streaming services; the BBC requires 37
/// for teletext.
const COLUMNS_MAX: usize = 42;

/// Columns of a line with full-width characters: 20 of them.
const WIDE_COLUMNS_MAX: usize = 40;

/// Most lines that are displayed at once.
const LINES_MAX: usize = 2;

/// Shortest readable time.
const SHOWN_MIN: Duration = Duration::from_millis(1000);

/// Shortest time for a late text.
const SHOWN_LATE_MIN: Duration = Duration::from_millis(300);

/// Longest time; by then a text has been read.
const SHOWN_MAX: Duration = Duration::from_secs(7);

/// Languages that are written from right to left.
const RIGHT_TO_LEFT: [&str; 10] = ["ar", "arc", "ckb", "dv", "fa", "he", "ps", "sd", "ur", "yi"];

/// Maps running time to the time of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileClock {
    /// Running time at which the file begins.
    pub origin: Duration,
}

impl FileClock {
    /// Time in the file; zero for times before its beginning.
    pub fn at(self, running: Duration) -> Duration {
        running.saturating_sub(self.origin)
    }
}

/// Text that is displayed at once: at most 2 lines of at most 42 columns (20 full-width
/// characters).
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Number of its cue.
    pub cue: u64,
    /// Number of this part of the cue, from 1.
    pub part: u32,
    /// Running time at which it appears.
    pub start: Duration,
    /// Running time at which it disappears; never after the next text appears.
    pub end: Duration,
    /// Whether it is written from right to left.
    pub right_to_left: bool,
    /// Label of who speaks, if it is told.
    pub speaker: Option<Arc<str>>,
    /// Its lines, as tokens.
    pub(super) lines: Vec<Vec<Token>>,
}

impl Shown {
    /// Its lines as text.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.lines.iter().map(|line| join(line))
    }

    /// A name that is unique within a stream and language: `12`, or `12.2` for a second part.
    pub fn name(&self) -> String {
        match self.part {
            1 => self.cue.to_string(),
            part => format!("{}.{part}", self.cue),
        }
    }
}

/// Breaks cues into lines and gives them readable times that do not overlap.
///
/// It handles one language, with cues in order. Its output never changes later, so it can be
/// appended to a file at once: a text that must be displayed longer than it was spoken delays the
/// next one a little, which makes up for it.
#[derive(Debug, Default)]
pub struct Shaper {
    shown_until: Duration,
}

impl Shaper {
    /// The texts of a cue. Partial and empty cues have none.
    pub fn shape(&mut self, cue: &Cue) -> Vec<Shown> {
        if !cue.is_committed() {
            return Vec::new();
        }
        let pieces: Vec<Token> = tokens(cue).into_iter().flat_map(cut).collect();
        let mut parts = Vec::new();
        let mut rest = pieces.as_slice();
        while !rest.is_empty() {
            let count = fitting(rest);
            let (now, later) = rest.split_at(count);
            parts.push((now, later.first().map(|token| token.start)));
            rest = later;
        }
        let rtl = is_right_to_left(&cue.language);
        let show = |(n, (part, next)): (usize, (&[Token], Option<Duration>))| {
            let (start, end) = self.times(part, next);
            self.shown_until = end;
            let lines = balanced(part);
            let (part, speaker) = (n as u32 + 1, cue.speaker.clone());
            Shown { cue: cue.id, part, start, end, right_to_left: rtl, speaker, lines }
        };
        parts.into_iter().enumerate().map(show).collect()
    }

    /// Times of a part; `next` is the begin of the cue's next part.
    fn times(&self, part: &[Token], next: Option<Duration>) -> (Duration, Duration) {
        let said = part.first().map_or(Duration::ZERO, |t| t.start);
        let said_until = part.last().map_or(said, |t| t.end);
        let start = said.max(self.shown_until);
        let least = if start > said { SHOWN_LATE_MIN } else { SHOWN_MIN };
        let end = said_until.max(start + least);
        let end = next.filter(|next| *next >= start + SHOWN_LATE_MIN).map_or(end, |n| end.min(n));
        (start, end.min(start + SHOWN_MAX))
    }
}

/// Whether a language is written from right to left.
fn is_right_to_left(language: &Language) -> bool {
    RIGHT_TO_LEFT.contains(&language.primary())
}

/// Most columns of a line with these tokens.
fn columns_max(line: &[Token]) -> usize {
    let wide = line.iter().any(|t| t.text.chars().any(is_wide));
    if wide { WIDE_COLUMNS_MAX } else { COLUMNS_MAX }
}

fn width(line: &[Token]) -> usize {
    columns(&join(line))
}

/// Cuts a token that is longer than a line.
fn cut(token: Token) -> Vec<Token> {
    if columns(&token.text) <= columns_max(std::slice::from_ref(&token)) {
        return vec![token];
    }
    let mut parts: Vec<Token> = Vec::new();
    for c in token.text.chars() {
        match parts.last_mut() {
            Some(part) if columns(&part.text) + 2 <= WIDE_COLUMNS_MAX => part.text.push(c),
            _ => parts.push(Token {
                text: c.into(),
                spaced: token.spaced && parts.is_empty(),
                ..token.clone()
            }),
        }
    }
    parts
}

/// Number of tokens that fill one line.
fn line_of(tokens: &[Token]) -> usize {
    let fits = |count: &usize| width(&tokens[..*count]) <= columns_max(&tokens[..*count]);
    (1..=tokens.len()).take_while(fits).last().unwrap_or(1)
}

/// Number of tokens in one text: as many as fit, preferably up to a punctuation mark.
fn fitting(tokens: &[Token]) -> usize {
    let mut count = 0;
    for _ in 0..LINES_MAX {
        if count < tokens.len() {
            count += line_of(&tokens[count..]);
        }
    }
    if count == tokens.len() {
        return count;
    }
    let ends = |t: &Token| t.text.ends_with([',', '.', ';', ':', '?', '!', '。', '、', '？', '！']);
    let at_mark = tokens[..count].iter().rposition(ends).map(|at| at + 1);
    at_mark.filter(|mark| *mark * 2 > count).unwrap_or(count)
}

/// The tokens in as few lines as possible, of equal length as far as possible.
fn balanced(tokens: &[Token]) -> Vec<Vec<Token>> {
    if line_of(tokens) == tokens.len() {
        return vec![tokens.to_vec()];
    }
    let widest = |at: &usize| width(&tokens[..*at]).max(width(&tokens[*at..]));
    let at = (1..tokens.len()).min_by_key(widest).unwrap_or(1);
    vec![tokens[..at].to_vec(), tokens[at..].to_vec()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::captions::testing::{cue, language, spoken};
    use crate::media::Stage;

    fn lines(text: &str) -> Vec<Vec<String>> {
        let shown = Shaper::default().shape(&cue(1, 0.0, 5.0, text));
        shown.iter().map(|s| s.lines().collect()).collect()
    }

    #[test]
    fn lines_are_even_and_parts_end_at_marks() {
        let check = |text: &str, expect: &[&[&str]]| assert_eq!(lines(text), expect);
        check("Hello.", &[&["Hello."]]);
        check(
            "And so my fellow Americans, ask not what your country can do for you",
            &[&["And so my fellow Americans, ask not", "what your country can do for you"]],
        );
        check(
            "And so my fellow Americans, ask not what your country can do for you, \
             ask what you can do for your country.",
            &[
                &["And so my fellow Americans, ask not", "what your country can do for you,"],
                &["ask what you can do for your country."],
            ],
        );
        check("", &[]);
    }

    #[test]
    fn full_width_text_breaks_after_twenty_characters() {
        let shown = lines(&"漢".repeat(45));
        let lengths: Vec<Vec<usize>> =
            shown.iter().map(|s| s.iter().map(|l| l.chars().count()).collect()).collect();
        assert_eq!(lengths, [vec![20, 20], vec![5]]);
    }

    #[test]
    fn words_give_parts_their_times() {
        let words: Vec<String> = (0..20).map(|n| format!("word{n:03}")).collect();
        let timed = words.iter().enumerate().map(|(n, w)| (&**w, n as f64, n as f64 + 0.9));
        let timed: Vec<_> = timed.collect();
        let shown = Shaper::default().shape(&spoken(7, &words.join(" "), &timed));
        let times: Vec<_> =
            shown.iter().map(|s| (s.name(), s.start.as_secs_f64(), s.end.as_secs_f64())).collect();
        // Ten words take ten seconds to speak, but a text is displayed for at most seven.
        assert_eq!(times, [("7".into(), 0.0, 7.0), ("7.2".into(), 10.0, 17.0)]);
    }

    #[test]
    fn a_short_cue_can_be_read_and_the_next_waits_for_it() {
        let mut shaper = Shaper::default();
        let times = |shown: Vec<Shown>| (shown[0].start.as_millis(), shown[0].end.as_millis());
        assert_eq!(times(shaper.shape(&cue(1, 1.0, 1.2, "No."))), (1000, 2000));
        assert_eq!(times(shaper.shape(&cue(2, 1.3, 2.4, "Yes, indeed."))), (2000, 2400));
        assert_eq!(times(shaper.shape(&cue(3, 2.5, 4.0, "On time."))), (2500, 4000));
    }

    #[test]
    fn partial_cues_are_not_shown() {
        let partial = Cue { stage: Stage::Partial, ..cue(1, 0.0, 1.0, "may change") };
        assert_eq!(Shaper::default().shape(&partial), []);
    }

    #[test]
    fn arabic_is_known_as_right_to_left() {
        let arabic = Cue { language: language("ar-EG"), ..cue(1, 0.0, 1.0, "مرحبا") };
        assert!(Shaper::default().shape(&arabic)[0].right_to_left);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_too_long_or_at_once(
            texts in proptest::collection::vec(("[a-z漢字。 ,.]{0,150}", 0.0..5.0, 0.0..9.0), 1..8),
        ) {
            let (mut shaper, mut at, mut until) = (Shaper::default(), 0.0, Duration::ZERO);
            for (n, (text, gap, length)) in texts.into_iter().enumerate() {
                at += gap;
                let mut all = String::new();
                for shown in shaper.shape(&cue(n as u64, at, at + length, &text)) {
                    prop_assert!(shown.start >= until && shown.end > shown.start);
                    prop_assert!(shown.end - shown.start <= SHOWN_MAX);
                    until = shown.end;
                    let lines: Vec<String> = shown.lines().collect();
                    prop_assert!(!lines.is_empty() && lines.len() <= LINES_MAX);
                    for line in lines {
                        prop_assert!(columns(&line) <= COLUMNS_MAX, "{line}");
                        all.push_str(&line);
                    }
                }
                let bare = |text: &str| text.replace(' ', "");
                prop_assert_eq!(bare(&all), bare(&text));
            }
        }
    }
}
