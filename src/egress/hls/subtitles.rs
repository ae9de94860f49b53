//! Captions beside the segments: WebVTT, one rendition for each language.
//!
//! Captions are known some seconds after the voice, so their playlists end some seconds before
//! those of the media: a segment is listed when nothing more is expected for its time. Players are
//! told to stay far enough behind the live edge ([`hold_back`]).

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use crate::captions::{FileClock, Shaper, Shown, vtt};
use crate::media::{Cue, Language};

/// Committed captions follow the voice by less than this: their target is 2 s, and a worse moment
/// shall not cost a caption.
const DELAY: Duration = Duration::from_secs(4);

/// Translations follow when the sentence has ended.
const DELAY_TRANSLATED: Duration = Duration::from_secs(7);

/// Texts kept for each language: some minutes of speech, more than any window has.
const TEXTS_MAX: usize = 512;

/// Languages kept; more are left out.
const LANGUAGES_MAX: usize = 32;

/// Ticks of an MPEG transport stream a second.
const TICKS: u64 = 90_000;

/// All captions of a stream, as far back as the media go.
#[derive(Default)]
pub(super) struct Subtitles {
    /// In the order in which the stream has them, the original first.
    languages: Vec<Texts>,
}

struct Texts {
    language: Language,
    translated: bool,
    shaper: Shaper,
    shown: VecDeque<Shown>,
}

impl Texts {
    fn delay(&self) -> Duration {
        if self.translated { DELAY_TRANSLATED } else { DELAY }
    }
}

impl Subtitles {
    /// A language that the stream has captions in, although nothing may have been said yet.
    pub(super) fn announce(&mut self, language: &Language, translated: bool) {
        let known = self.languages.iter().any(|texts| texts.language == *language);
        if !known && self.languages.len() < LANGUAGES_MAX {
            let (shaper, shown) = (Shaper::default(), VecDeque::new());
            let language = language.clone();
            self.languages.push(Texts { language, translated, shaper, shown });
        }
    }

    /// Adds a committed cue.
    pub(super) fn add(&mut self, language: &Language, translated: bool, cue: &Cue) {
        self.announce(language, translated);
        let Some(texts) = self.languages.iter_mut().find(|t| t.language == *language) else {
            return;
        };
        texts.shown.extend(texts.shaper.shape(cue));
        while texts.shown.len() > TEXTS_MAX {
            texts.shown.pop_front();
        }
    }

    /// The languages that there are, the original first.
    pub(super) fn languages(&self) -> impl Iterator<Item = &Language> {
        self.languages.iter().map(|texts| &texts.language)
    }

    /// How long after its end a segment has all its captions; `None` for a language that is not
    /// there.
    pub(super) fn delay(&self, language: &Language) -> Option<Duration> {
        self.languages.iter().find(|t| t.language == *language).map(Texts::delay)
    }

    /// How far behind the live edge a player must stay to see captions in time, in seconds: until
    /// a segment of the target length is complete and has its captions, and a second for
    /// fetching them. `None` without captions.
    pub(super) fn hold_back(&self, target: u32) -> Option<Duration> {
        let delay = self.languages.iter().map(Texts::delay).max()?;
        Some(delay + Duration::from_secs(u64::from(target) + 1))
    }

    /// The captions of a segment that is shown within `window`, running time. Times in it are
    /// running time too, as those of the media are.
    pub(super) fn segment(&self, language: &Language, window: &Range<Duration>) -> Option<String> {
        let texts = self.languages.iter().find(|t| t.language == *language)?;
        let ticks = window.start.as_nanos() * u128::from(TICKS) / 1_000_000_000;
        let map = vtt::TimestampMap {
            mpegts: u64::try_from(ticks).unwrap_or_default(),
            local: window.start,
        };
        let (clock, style) = (FileClock::default(), vtt::Style::default());
        Some(vtt::segment(&texts.shown, window, map, clock, &style))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::media::{Origin, Stage};

    #[test]
    fn a_segment_has_the_captions_of_its_time_in_its_language() {
        let mut subtitles = Subtitles::default();
        let (english, spanish) = (Language::english(), "es".parse().expect("a language"));
        let cue = |at: u64, text: &str| Cue {
            id: at,
            language: Language::english(),
            stage: Stage::Committed,
            start: Duration::from_secs(at),
            end: Duration::from_secs(at + 1),
            text: text.into(),
            words: Arc::default(),
            ends_sentence: true,
            origin: Arc::new(Origin { engine: "test".into(), model: None }),
        };
        assert_eq!(subtitles.hold_back(2), None);
        subtitles.announce(&english, false);
        subtitles.add(&english, false, &cue(3, "three"));
        subtitles.add(&english, false, &cue(7, "seven"));
        assert_eq!(subtitles.hold_back(2), Some(Duration::from_secs(7)));
        subtitles.add(&spanish, true, &cue(3, "tres"));
        assert_eq!(subtitles.hold_back(2), Some(Duration::from_secs(10)));
        assert_eq!(subtitles.languages().collect::<Vec<_>>(), [&english, &spanish]);
        let window = Duration::from_secs(2)..Duration::from_secs(4);
        assert_eq!(
            subtitles.segment(&english, &window).as_deref(),
            Some(
                "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:180000,LOCAL:00:00:02.000\n\n\
                 3\n00:00:03.000 --> 00:00:04.000\nthree\n\n"
            )
        );
        assert_eq!(subtitles.segment(&"fr".parse().expect("a language"), &window), None);
    }
}
