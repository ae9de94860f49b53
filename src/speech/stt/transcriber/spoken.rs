//! The language of a stream: known, or followed from one utterance to the next.

use std::time::Duration;

use crate::media::Language;
use crate::speech::language::{Guess, LanguageTracker, identify};
use crate::speech::stt::engines::Wanted;
use crate::speech::stt::recognizer::Hypothesis;

/// Speech in which the language is detected at first. Less is unreliable, more delays the captions.
const SETTLED_AFTER: Duration = Duration::from_secs(6);

/// From this certainty on an engine is told the language instead of detecting it.
const SETTLED_PROBABILITY: f32 = 0.6;

/// Audio after which the language is detected again, in the next utterance: another person may
/// speak after a pause. A detection costs Whisper about as much as a window.
const CHECK_INTERVAL: Duration = Duration::from_secs(8);

/// Speech of an utterance in which the language is detected again.
const CHECK_SPEECH_MIN: Duration = Duration::from_secs(2);

/// Follows the language of one stream. Pure: times come from outside.
pub(super) struct SpokenLanguage {
    /// The language set by the admin; nothing is followed then.
    known: Option<Language>,
    /// The languages that may be spoken; empty: any.
    among: Vec<Language>,
    tracker: LanguageTracker,
    /// Speech of the longest utterance in which the engine detected the language.
    detected_in: Duration,
    /// Running time of the engine's last detection.
    detected_at: Duration,
    /// Number of the utterance.
    utterance: u64,
}

impl SpokenLanguage {
    pub(super) fn new(wanted: &Wanted) -> Self {
        Self {
            known: wanted.language.clone(),
            among: wanted.spoken.clone(),
            tracker: LanguageTracker::default(),
            detected_in: Duration::ZERO,
            detected_at: Duration::ZERO,
            utterance: 0,
        }
    }

    /// An utterance begins.
    pub(super) fn begin_utterance(&mut self) {
        self.utterance += 1;
    }

    /// The language of what an engine writes; `only`: the one language that it hears, which text
    /// cannot disprove.
    pub(super) fn of_engine(&self, only: Option<Language>) -> Language {
        let followed = || self.tracker.current().or(self.among.first()).cloned();
        let language = self.known.clone().or(only).or_else(followed);
        language.unwrap_or_else(Language::undetermined)
    }

    /// The language to give to the engine for an utterance with this much speech, whose end is
    /// `edge` and of which `last` is the end. `None`: the engine detects it.
    pub(super) fn asked(&self, speech: Duration, last: bool, edge: Duration) -> Option<Language> {
        if self.known.is_some() {
            return self.known.clone();
        }
        let settled =
            self.detected_in >= SETTLED_AFTER && self.tracker.certainty() >= SETTLED_PROBABILITY;
        let due = edge >= self.detected_at + CHECK_INTERVAL && (last || speech >= CHECK_SPEECH_MIN);
        if settled && !due { self.tracker.current().cloned() } else { None }
    }

    /// Takes the answer of an engine that hears several languages: the language that it detected,
    /// or else that of its text. Returns the new language if that has changed.
    pub(super) fn hear(
        &mut self,
        hypothesis: &Hypothesis,
        speech: Duration,
        edge: Duration,
    ) -> Option<Guess> {
        if self.known.is_some() {
            return None;
        }
        let guess = match &hypothesis.language {
            Some((language, probability)) => {
                self.detected_at = edge;
                self.detected_in = self.detected_in.max(speech);
                let language = self.allowed(language)?;
                Guess { language, probability: *probability }
            }
            None => identify(&text(hypothesis), &self.among)?,
        };
        self.tracker.hear(self.utterance, &guess).then_some(guess)
    }

    /// A detected language as the admin writes it; `None` if it cannot be spoken here.
    fn allowed(&self, language: &Language) -> Option<Language> {
        let asked = self.among.iter().find(|l| l.same_language(language));
        asked.or_else(|| self.among.is_empty().then_some(language)).cloned()
    }
}

fn text(hypothesis: &Hypothesis) -> String {
    let words: Vec<&str> = hypothesis.words.iter().map(|w| w.text.as_str()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::stt::recognizer::Recognition;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn spoken(known: Option<&str>, among: &str) -> SpokenLanguage {
        let parse = |tag: &str| tag.parse().expect("a language");
        SpokenLanguage::new(&Wanted {
            language: known.map(parse),
            spoken: among.split_whitespace().map(parse).collect(),
            ..Wanted::default()
        })
    }

    /// The answer of an engine: its text and what it detected.
    fn answer(text: &str, detected: Option<(&str, f32)>) -> Hypothesis {
        let word = |text: &str| Recognition {
            text: text.into(),
            start: Duration::ZERO,
            end: Duration::ZERO,
            confidence: 1.0,
        };
        let parse = |(tag, sure): (&str, f32)| (tag.parse().expect("a language"), sure);
        Hypothesis {
            words: text.split_whitespace().map(word).collect(),
            language: detected.map(parse),
        }
    }

    fn now(stream: &SpokenLanguage) -> String {
        stream.of_engine(None).to_string()
    }

    #[test]
    fn a_language_that_is_set_is_never_doubted() {
        let mut stream = spoken(Some("en-GB"), "de es");
        assert_eq!(stream.hear(&answer("", Some(("de", 0.99))), s(9), s(9)), None);
        assert_eq!(stream.hear(&answer("Die Regierung hat beschlossen.", None), s(9), s(9)), None);
        assert_eq!(
            (now(&stream).as_str(), stream.asked(s(0), false, s(0)).is_some()),
            ("en-GB", true)
        );
    }

    #[test]
    fn what_an_engine_of_one_language_writes_is_in_that_language() {
        let mut stream = spoken(None, "");
        assert_eq!(now(&stream), "und");
        stream.hear(&answer("", Some(("de", 0.99))), s(9), s(9));
        assert_eq!(stream.of_engine(Some(Language::english())), Language::english());
        assert_eq!(now(&stream), "de");
    }

    #[test]
    fn an_engine_that_is_told_the_language_detects_it_again_after_a_pause() {
        let mut stream = spoken(None, "en de-CH");
        stream.begin_utterance();
        assert_eq!(stream.asked(s(1), false, s(1)), None, "it is not known yet");
        stream.hear(&answer("", Some(("en", 0.95))), s(6), s(6));
        assert_eq!(stream.asked(s(7), false, s(7)), Some(Language::english()));
        stream.begin_utterance();
        assert_eq!(stream.asked(s(1), false, s(15)).as_ref(), Some(&Language::english()));
        assert_eq!(stream.asked(s(2), false, s(16)), None, "it is checked again");
        let changed = stream.hear(&answer("", Some(("de", 0.97))), s(2), s(16));
        assert_eq!(changed.map(|guess| guess.language.to_string()).as_deref(), Some("de-CH"));
        assert_eq!(
            stream.asked(s(3), false, s(17)).map(|l| l.to_string()).as_deref(),
            Some("de-CH")
        );
        stream.hear(&answer("", Some(("cy", 0.99))), s(3), s(30));
        assert_eq!(now(&stream), "de-CH", "nobody speaks Welsh here");
    }

    #[test]
    fn text_tells_what_the_engine_does_not() {
        let mut stream = spoken(None, "en de es");
        let turns = [
            ("The government has decided to wait.", "en"),
            ("Die Regierung hat beschlossen zu warten.", "de"),
            ("Ja.", "de"),
            ("El gobierno ha decidido esperar un poco.", "es"),
            ("And that is all for today, good night.", "en"),
        ];
        for (text, expect) in turns {
            stream.begin_utterance();
            stream.hear(&answer(text, None), s(3), s(3));
            assert_eq!(now(&stream), expect, "{text}");
        }
    }
}
