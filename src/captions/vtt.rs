//! WebVTT (W3C) files and HLS segments.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use super::shape::{FileClock, Shown};
use super::tokens::Token;

/// Beginning of every file.
pub const HEADER: &str = "WEBVTT\n\n";

/// Separates right-to-left text from what surrounds it, so that a full stop or a Latin word at its
/// beginning does not reverse the line.
const RIGHT_TO_LEFT_MARK: &str = "&rlm;";

/// Options for writing cues.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Cue settings after the times, such as `line:85% align:center`; with empty settings the
    /// player decides. Use [`Style::with_settings`] for external input.
    settings: String,
    /// Whether words carry timestamps, so that players can show them as they are spoken.
    pub word_times: bool,
}

/// Why cue settings are refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{}` are no WebVTT cue settings: use name:value pairs such as line:85% align:center",
    .0.chars().take(80).collect::<String>().escape_debug())]
pub struct SettingsError(String);

impl Style {
    /// A style with cue settings.
    ///
    /// # Errors
    /// If they are not `name:value` pairs of WebVTT's names.
    pub fn with_settings(settings: &str) -> Result<Self, SettingsError> {
        let fits = |pair: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "%,.-".contains(c);
            pair.split_once(':').is_some_and(|(name, value)| {
                ["vertical", "line", "position", "size", "align", "region"].contains(&name)
                    && !value.is_empty()
                    && value.chars().all(plain)
                    && !value.contains("--")
            })
        };
        if !settings.split_ascii_whitespace().all(fits) {
            return Err(SettingsError(settings.to_owned()));
        }
        let settings = settings.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        Ok(Self { settings, word_times: false })
    }
}

/// A cue to append to a file; empty if it ends before the file begins.
pub fn cue(shown: &Shown, clock: FileClock, style: &Style) -> String {
    let (start, end) = (clock.at(shown.start), clock.at(shown.end));
    if end.as_millis() <= start.as_millis() {
        return String::new();
    }
    let mut out = format!("{}\n{} --> {}", shown.name(), time(start), time(end));
    if !style.settings.is_empty() {
        out.push(' ');
        out.push_str(&style.settings);
    }
    out.push('\n');
    if let Some(speaker) = &shown.speaker {
        // The span ends with the cue.
        out.push_str("<v ");
        escape(&mut out, speaker);
        out.push('>');
    }
    let mut said = start;
    for line in &shown.lines {
        if shown.right_to_left {
            out.push_str(RIGHT_TO_LEFT_MARK);
        }
        for (n, token) in line.iter().enumerate() {
            if n > 0 && token.spaced {
                out.push(' ');
            }
            if style.word_times {
                word_time(&mut out, token, clock, &mut said, end);
            }
            escape(&mut out, &token.text);
        }
        if shown.right_to_left {
            out.push_str(RIGHT_TO_LEFT_MARK);
        }
        out.push('\n');
    }
    out.push('\n');
    out
}

/// Writes a timestamp inside the text, if it is later than the previous one and within the cue.
fn word_time(
    out: &mut String,
    token: &Token,
    clock: FileClock,
    said: &mut Duration,
    end: Duration,
) {
    let at = clock.at(token.start);
    if at.as_millis() > said.as_millis() && at.as_millis() < end.as_millis() {
        // Writing into a String cannot fail.
        let _ = write!(out, "<{}>", time(at));
        *said = at;
    }
}

/// Maps local time to a time of the transport stream (RFC 8216 section 3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampMap {
    /// Media time in 90 kHz ticks; only 33 bits of it count.
    pub mpegts: u64,
    /// The same moment in the cues of the segment.
    pub local: Duration,
}

/// One segment of an HLS subtitle rendition: every text on screen within the window, so that a
/// player that joins here shows the current text. A text that crosses a border is in both segments,
/// with the same name and times.
pub fn segment<'a>(
    shown: impl IntoIterator<Item = &'a Shown>,
    window: &Range<Duration>,
    map: TimestampMap,
    clock: FileClock,
    style: &Style,
) -> String {
    let ticks = map.mpegts & 0x1_ffff_ffff;
    let local = time(map.local);
    let mut out = format!("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:{ticks},LOCAL:{local}\n\n");
    for one in shown.into_iter().filter(|s| s.start < window.end && s.end > window.start) {
        out.push_str(&cue(one, clock, style));
    }
    out
}

/// `00:00:01.500`; hours have as many digits as needed.
fn time(at: Duration) -> String {
    let ms = at.as_millis();
    let (s, m, h) = (ms / 1000 % 60, ms / 60_000 % 60, ms / 3_600_000);
    format!("{h:02}:{m:02}:{s:02}.{:03}", ms % 1000)
}

/// Escapes text for WebVTT. With `>` escaped, `-->` cannot appear.
fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::captions::Shaper;
    use crate::captions::testing::{cue as text_cue, language, spoken};
    use crate::media::Cue;

    fn shown(cue: &Cue) -> Shown {
        Shaper::default().shape(cue).remove(0)
    }

    #[test]
    fn a_cue_is_escaped_and_dated_in_the_time_of_the_file() {
        let one = shown(&text_cue(3, 3661.5, 3663.0, "R&D <b> -->"));
        let clock = FileClock { origin: Duration::from_secs(1) };
        assert_eq!(
            cue(&one, clock, &Style::default()),
            "3\n01:01:00.500 --> 01:01:02.000\nR&amp;D &lt;b&gt; --&gt;\n\n"
        );
        let later = FileClock { origin: Duration::from_secs(4000) };
        assert_eq!(cue(&one, later, &Style::default()), "");
    }

    #[test]
    fn words_carry_their_times_where_asked() {
        let one = shown(&spoken(
            1,
            "one two three",
            &[("one", 1.0, 1.4), ("two", 1.5, 1.9), ("three", 1.9, 2.4)],
        ));
        let style = Style { word_times: true, ..Style::with_settings("line:85%").expect("valid") };
        assert_eq!(
            cue(&one, FileClock::default(), &style),
            "1\n00:00:01.000 --> 00:00:02.400 line:85%\n\
             one <00:00:01.500>two <00:00:01.900>three\n\n"
        );
    }

    #[test]
    fn right_to_left_lines_keep_their_direction() {
        let hebrew = Cue { language: language("he"), ..text_cue(1, 0.0, 2.0, "שלום.") };
        let written = cue(&shown(&hebrew), FileClock::default(), &Style::default());
        assert!(written.ends_with("\n&rlm;שלום.&rlm;\n\n"), "{written}");
    }

    #[test]
    fn a_speaker_is_a_voice() {
        let said = Cue { speaker: Some("Ann & <Bob>".into()), ..text_cue(1, 0.0, 2.0, "Yes.") };
        let written = cue(&shown(&said), FileClock::default(), &Style::default());
        assert!(written.ends_with("\n<v Ann &amp; &lt;Bob&gt;>Yes.\n\n"), "{written}");
    }

    #[test]
    fn a_segment_has_what_is_on_screen_within_it() {
        let mut shaper = Shaper::default();
        let all: Vec<Shown> = [(1, 0.0, 1.5), (2, 3.0, 7.0), (3, 7.5, 9.0)]
            .iter()
            .flat_map(|(id, start, end)| shaper.shape(&text_cue(*id, *start, *end, "text")))
            .collect();
        let window = Duration::from_secs(2)..Duration::from_secs(6);
        let map = TimestampMap { mpegts: (1 << 33) + 900_000, local: Duration::ZERO };
        assert_eq!(
            segment(&all, &window, map, FileClock::default(), &Style::default()),
            "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n\n\
             2\n00:00:03.000 --> 00:00:07.000\ntext\n\n"
        );
        let empty = 20..21;
        let window = Duration::from_secs(empty.start)..Duration::from_secs(empty.end);
        let written = segment(&all, &window, map, FileClock::default(), &Style::default());
        assert!(written.ends_with("LOCAL:00:00:00.000\n\n"), "{written}");
    }

    #[test]
    fn only_cue_settings_are_cue_settings() {
        for (text, good) in [
            ("", true),
            ("line:85% align:center", true),
            ("line:-1", true),
            ("colour:red", false),
            ("line", false),
            ("line:1-->2", false),
            ("line:\u{2028}", false),
        ] {
            assert_eq!(Style::with_settings(text).is_ok(), good, "{text}");
        }
    }
}
