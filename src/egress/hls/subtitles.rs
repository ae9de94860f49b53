//! Captions beside the segments: WebVTT, one rendition for each language.
//!
//! Captions are known some seconds after the voice, so their playlists end some seconds before
//! those of the media: a segment is listed when nothing more is expected for its time, and what it
//! says is settled with that ([`Subtitles::settle`]). Players are told to stay far enough behind
//! the live edge ([`Subtitles::hold_back`]).

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use crate::captions::{FileClock, Shaper, Shown, vtt};
use crate::media::{Cue, Language};

/// Committed captions follow the voice by less than this: their target is 2 s, and a worse moment
/// shall not cost a caption.
const DELAY: Duration = Duration::from_secs(4);

/// Translations follow when the sentence has ended.
const DELAY_TRANSLATED: Duration = Duration::from_secs(7);

/// What comes later than that is shown late, unless it is later than this too: then it would only
/// mislead.
const LATE_MAX: Duration = Duration::from_secs(15);

/// Texts kept for each language: some minutes of speech, more than any window has.
const TEXTS_MAX: usize = 512;

/// Languages kept; more are left out.
const LANGUAGES_MAX: usize = 32;

/// Ticks of an MPEG transport stream a second.
const TICKS: u64 = 90_000;

/// A rendition as the master playlist shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offered {
    /// What its files are called by: the language that was asked for, `und` for one that is
    /// detected. It stays, so that players may hold on to it.
    pub(super) name: Language,
    /// The language of its captions, `und` until it is known.
    pub(super) language: Language,
}

/// All captions of a stream, as far back as the media go.
#[derive(Default)]
pub(super) struct Subtitles {
    /// Those that the stream has now in its order, the original first; then those it has no more.
    languages: Vec<Texts>,
}

/// One rendition.
struct Texts {
    offered: Offered,
    /// Whether the stream has it now. Players that still follow one that is gone find it empty.
    present: bool,
    translated: bool,
    shaper: Shaper,
    shown: VecDeque<Shown>,
    /// Start and number of the newest cue: they come in order, and what comes again is known.
    newest: Option<(Duration, u64)>,
    /// Segments that never change again, by number.
    settled: BTreeMap<u64, String>,
    /// Running time up to which they go.
    settled_until: Duration,
}

impl Texts {
    fn new(name: Language) -> Self {
        Self {
            offered: Offered { language: name.clone(), name },
            present: true,
            translated: false,
            shaper: Shaper::default(),
            shown: VecDeque::new(),
            newest: None,
            settled: BTreeMap::new(),
            settled_until: Duration::ZERO,
        }
    }

    fn delay(&self) -> Duration {
        if self.translated { DELAY_TRANSLATED } else { DELAY }
    }

    fn add(&mut self, cue: &Cue) {
        let at = (cue.start, cue.id);
        if self.newest.is_some_and(|newest| at <= newest) {
            return;
        }
        self.newest = Some(at);
        self.offered.language = cue.language.clone();
        let parts = self.shaper.shape(cue);
        self.shown.extend(parts.into_iter().filter_map(|part| late(part, self.settled_until)));
        while self.shown.len() > TEXTS_MAX {
            self.shown.pop_front();
        }
    }

    /// Whether nothing more comes for what ends at this running time: a later cue is there, or the
    /// time has passed.
    fn is_over(&self, end: Duration, now: Duration) -> bool {
        let later = self.newest.is_some_and(|(start, _)| start >= end);
        later || end + self.delay() <= now
    }
}

/// A text that comes when the segments of its time are settled is shown in the next one instead,
/// for as long as it would have been: late rather than never.
fn late(mut text: Shown, settled_until: Duration) -> Option<Shown> {
    if text.end > settled_until {
        return Some(text);
    }
    let (behind, length) =
        (settled_until.saturating_sub(text.start), text.end.saturating_sub(text.start));
    (text.start, text.end) = (settled_until, settled_until + length);
    (behind <= LATE_MAX).then_some(text)
}

impl Subtitles {
    /// The captions that the stream has now, by the language that was asked for, the original
    /// first.
    pub(super) fn follow(&mut self, asked: &[Language]) {
        let mut before = std::mem::take(&mut self.languages);
        for (index, name) in asked.iter().take(LANGUAGES_MAX).enumerate() {
            let known = before.iter().position(|texts| texts.offered.name == *name);
            let texts = known.map_or_else(|| Texts::new(name.clone()), |at| before.remove(at));
            let translated = index > 0;
            self.languages.push(Texts { present: true, translated, ..texts });
        }
        let gone = before.into_iter().map(|texts| Texts { present: false, ..texts });
        self.languages.extend(gone);
        self.languages.truncate(LANGUAGES_MAX);
    }

    /// Adds a committed cue of the captions called by this language.
    pub(super) fn add(&mut self, name: &Language, cue: &Cue) {
        if let Some(texts) = self.languages.iter_mut().find(|t| t.offered.name == *name) {
            texts.add(cue);
        }
    }

    /// The captions that there are now, the original first.
    pub(super) fn offered(&self) -> impl Iterator<Item = &Offered> {
        self.languages.iter().filter(|texts| texts.present).map(|texts| &texts.offered)
    }

    /// How far behind the live edge a player must stay to see captions in time, in seconds: until
    /// a segment of the target length is complete and has its captions, and a second for
    /// fetching them. `None` without captions.
    pub(super) fn hold_back(&self, target: u32) -> Option<Duration> {
        let present = self.languages.iter().filter(|texts| texts.present);
        let delay = present.map(Texts::delay).max()?;
        Some(delay + Duration::from_secs(u64::from(target) + 1))
    }

    /// Settles what segments say that are over at the running time `now`. `complete` are the
    /// media's complete segments with the running time within which they are shown, in order.
    pub(super) fn settle(&mut self, complete: &[(u64, Range<Duration>)], now: Duration) {
        let oldest = complete.first().map_or(u64::MAX, |(sequence, _)| *sequence);
        for texts in &mut self.languages {
            texts.settled = texts.settled.split_off(&oldest);
            let newest = texts.settled.last_key_value().map(|(sequence, _)| *sequence);
            let unsettled = complete.iter().filter(|(s, _)| newest.is_none_or(|n| *s > n));
            for (sequence, window) in unsettled {
                if !texts.is_over(window.end, now) {
                    break;
                }
                texts.settled.insert(*sequence, written(&texts.shown, window));
                texts.settled_until = texts.settled_until.max(window.end);
            }
        }
    }

    /// The segments are others from now on, under other numbers.
    pub(super) fn forget(&mut self) {
        self.languages.iter_mut().for_each(|texts| texts.settled.clear());
    }

    /// The settled segments of the captions called by this language; `None` when there are no such
    /// captions.
    pub(super) fn settled(&self, name: &Language) -> Option<&BTreeMap<u64, String>> {
        self.languages.iter().find(|t| t.offered.name == *name).map(|t| &t.settled)
    }
}

/// The captions of a segment that is shown within `window`. Times in it are running time, as those
/// of the media are.
fn written(shown: &VecDeque<Shown>, window: &Range<Duration>) -> String {
    // Whole seconds are the same in milliseconds and in ticks.
    let second = window.start.as_secs();
    let map = vtt::TimestampMap { mpegts: second * TICKS, local: Duration::from_secs(second) };
    vtt::segment(shown, window, map, FileClock::default(), &vtt::Style::default())
}

#[cfg(test)]
#[path = "subtitles_tests.rs"]
mod tests;
