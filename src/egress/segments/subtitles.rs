//! Captions as separate renditions, one per language, in the segments of the media.
//!
//! Captions are known some seconds after the speech, so their segments end some seconds before
//! those of the media. A segment is listed, and its captions settled, when no more cues are
//! expected for its time ([`Subtitles::settle`]). Players are told to stay far enough behind the
//! live edge ([`Subtitles::hold_back`]).

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use super::CaptionRendition;
use crate::captions::{Shaper, Shown};
use crate::media::{Cue, Language};

/// Maximum delay of committed captions after the speech. Their target is 2 s; the margin avoids
/// losing captions at peaks.
const CAPTION_DELAY_MAX: Duration = Duration::from_secs(4);

/// Maximum delay of translations, which wait for the end of the sentence.
const DELAY_TRANSLATED: Duration = Duration::from_secs(7);

/// Later cues are shown late, up to this delay; beyond it they would be misleading.
const LATE_MAX: Duration = Duration::from_secs(15);

/// Maximum number of texts per language: some minutes of speech, more than any window needs.
const TEXTS_MAX: usize = 512;

/// Maximum number of languages; further ones are ignored.
const LANGUAGES_MAX: usize = 32;

/// The captions of one segment.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::egress) struct CaptionSegment {
    /// Running times between which the segment is presented.
    pub(in crate::egress) window: Range<Duration>,
    /// The texts that are on screen within the window; they may begin before it and end after it.
    pub(in crate::egress) texts: Vec<Shown>,
}

/// All captions of a stream, as far back as the media.
#[derive(Default)]
pub(in crate::egress) struct Subtitles {
    /// The current languages in the order of the stream, the original first; then removed ones.
    languages: Vec<Texts>,
}

/// One rendition.
struct Texts {
    offered: CaptionRendition,
    /// Whether the stream has it now. Players of a removed one get empty segments.
    present: bool,
    translated: bool,
    shaper: Shaper,
    shown: VecDeque<Shown>,
    /// Start and number of the newest cue: cues arrive in order, so a repeated one is recognised.
    newest: Option<(Duration, u64)>,
    /// Settled segments by number; they never change.
    settled: BTreeMap<u64, CaptionSegment>,
    /// Running time up to which segments are settled.
    settled_until: Duration,
}

impl Texts {
    fn new(name: Language) -> Self {
        Self {
            offered: CaptionRendition { language: name.clone(), name },
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
        if self.translated { DELAY_TRANSLATED } else { CAPTION_DELAY_MAX }
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

    /// The captions of a segment that is presented within `window`.
    fn within(&self, window: &Range<Duration>) -> CaptionSegment {
        let on_screen = |text: &&Shown| text.start < window.end && text.end > window.start;
        let texts = self.shown.iter().filter(on_screen).cloned().collect();
        CaptionSegment { window: window.clone(), texts }
    }

    /// Whether no more cues are expected before this running time: a later cue has arrived, or the
    /// maximum delay has passed.
    fn is_over(&self, end: Duration, now: Duration) -> bool {
        let later = self.newest.is_some_and(|(start, _)| start >= end);
        later || end + self.delay() <= now
    }
}

/// A text that arrives after the segments of its time are settled is moved to the next one with its
/// full duration. `None` if it is too late.
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
    /// Sets the captions that the stream has now, by configured language, the original first.
    pub(in crate::egress) fn follow(&mut self, asked: &[Language]) {
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

    /// Adds a committed cue to the captions with this configured language.
    pub(in crate::egress) fn add(&mut self, name: &Language, cue: &Cue) {
        if let Some(texts) = self.languages.iter_mut().find(|t| t.offered.name == *name) {
            texts.add(cue);
        }
    }

    /// The current captions, the original first.
    pub(in crate::egress) fn offered(&self) -> impl Iterator<Item = &CaptionRendition> {
        self.languages.iter().filter(|texts| texts.present).map(|texts| &texts.offered)
    }

    /// How far behind the live edge a player must stay to see captions in time: until a segment of
    /// the target duration is complete and has its captions, plus a second for fetching them.
    /// `None` without captions. `target` is in seconds.
    pub(in crate::egress) fn hold_back(&self, target: u32) -> Option<Duration> {
        let present = self.languages.iter().filter(|texts| texts.present);
        let delay = present.map(Texts::delay).max()?;
        Some(delay + Duration::from_secs(u64::from(target) + 1))
    }

    /// Settles the captions of segments for which no more cues are expected at the running time
    /// `now`. `complete` lists the complete media segments with the running times of their
    /// presentation, in order. Returns those that have been settled now and have texts.
    pub(in crate::egress) fn settle(
        &mut self,
        complete: &[(u64, Range<Duration>)],
        now: Duration,
    ) -> Vec<(Language, u64)> {
        let mut new = Vec::new();
        let oldest = complete.first().map_or(u64::MAX, |(sequence, _)| *sequence);
        for texts in &mut self.languages {
            texts.settled = texts.settled.split_off(&oldest);
            let newest = texts.settled.last_key_value().map(|(sequence, _)| *sequence);
            let unsettled = complete.iter().filter(|(s, _)| newest.is_none_or(|n| *s > n));
            for (sequence, window) in unsettled {
                if !texts.is_over(window.end, now) {
                    break;
                }
                let segment = texts.within(window);
                if !segment.texts.is_empty() {
                    new.push((texts.offered.name.clone(), *sequence));
                }
                texts.settled.insert(*sequence, segment);
                texts.settled_until = texts.settled_until.max(window.end);
            }
        }
        new
    }

    /// Forgets the settled segments, because the segments are renumbered.
    pub(super) fn forget(&mut self) {
        self.languages.iter_mut().for_each(|texts| texts.settled.clear());
    }

    /// The settled segments of the captions with this configured language. `None` if there are no
    /// such captions.
    pub(in crate::egress) fn settled(
        &self,
        name: &Language,
    ) -> Option<&BTreeMap<u64, CaptionSegment>> {
        self.languages.iter().find(|t| t.offered.name == *name).map(|t| &t.settled)
    }
}
