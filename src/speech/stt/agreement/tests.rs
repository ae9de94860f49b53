//! Hypotheses in, committed words out.

use std::time::Duration;

use proptest::prelude::*;

use super::{Agreement, Decision, Pace};
use crate::media::Word;

const PACE: Pace = Pace {
    step: Duration::from_millis(1000),
    steps_per_window: u32::MAX,
    trim: Duration::from_millis(600),
    cut_after: Duration::from_secs(8),
    window_max: Duration::from_secs(12),
};

/// Words of half a second each from `start` on, which is in seconds.
fn words(start: f64, text: &str) -> Vec<Word> {
    let at = |n: usize| Duration::from_secs_f64(start + 0.5 * n as f64);
    let word = |(n, text): (usize, &str)| Word {
        text: text.to_owned(),
        start: at(n),
        end: at(n + 1),
        confidence: 0.9,
    };
    text.split_whitespace().enumerate().map(word).collect()
}

fn secs(s: f64) -> Duration {
    Duration::from_secs_f64(s)
}

fn text(words: &[Word]) -> String {
    words.iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ")
}

/// Hypotheses at edges, for a window that begins at zero, and what each commits.
fn check(hypotheses: &[(f64, &str, bool)], expect: &[&str]) {
    let mut agreement = Agreement::new(PACE);
    let committed: Vec<String> = hypotheses
        .iter()
        .map(|(edge, heard, last)| {
            text(&agreement.update(words(0.0, heard), secs(0.0), secs(*edge), *last).committed)
        })
        .collect();
    assert_eq!(committed, expect);
}

#[test]
fn two_hypotheses_must_agree() {
    check(
        &[(2.0, "the quick brown", false), (3.0, "The quick, crown fox", false)],
        &["", "The quick,"],
    );
}

#[test]
fn nothing_near_the_edge_is_committed() {
    check(&[(2.0, "a b c d", false), (2.0, "a b c d", false)], &["", "a b"]);
}

#[test]
fn the_end_of_an_utterance_commits_all() {
    check(&[(1.0, "so it", false), (2.0, "so is this", true)], &["", "so is this"]);
}

#[test]
fn committed_words_are_never_repeated_or_changed() {
    check(
        &[
            (3.0, "one two three four", false),
            (4.0, "one two three four five", false),
            (5.0, "won two tree four five six", false),
            (5.0, "won two tree four five six", true),
        ],
        &["", "one two three four", "five", "six"],
    );
}

#[test]
fn a_word_that_moved_at_the_seam_is_known_by_its_text() {
    let mut agreement = Agreement::new(PACE);
    agreement.update(words(0.0, "ask not what"), secs(0.0), secs(3.0), true);
    // The window was cut at 1.5 s, but the engine repeats the end of the last words.
    let again = agreement.update(words(1.45, "not what your country"), secs(1.0), secs(5.0), true);
    assert_eq!(text(&again.committed), "your country");
    let twice = agreement.update(words(4.5, "country country"), secs(4.0), secs(6.0), true);
    assert_eq!(text(&twice.committed), "country country", "said again later, it is new");
}

#[test]
fn a_long_window_is_cut_at_committed_words() {
    let mut agreement = Agreement::new(PACE);
    let heard = "a b c d e f g h i j k l m n o p q r";
    agreement.update(words(0.0, heard), secs(0.0), secs(9.0), false);
    let Decision { committed, cut, .. } =
        agreement.update(words(0.0, heard), secs(0.0), secs(9.5), false);
    assert_eq!(committed.len(), 17);
    assert_eq!(cut, Some(secs(8.5)));
}

#[test]
fn a_window_without_agreement_does_not_grow_for_ever() {
    let mut agreement = Agreement::new(PACE);
    agreement.update(words(0.0, "x y"), secs(0.0), secs(11.0), false);
    let decision = agreement.update(words(0.0, "a b c"), secs(0.0), secs(12.0), false);
    assert_eq!(text(&decision.committed), "a b c");
    assert_eq!(decision.cut, Some(secs(9.0)));
    let silent = agreement.update(Vec::new(), secs(9.0), secs(21.0), false);
    assert_eq!(silent.cut, Some(secs(18.0)));
}

#[test]
fn another_engine_commits_nothing_on_the_word_of_the_first() {
    let mut agreement = Agreement::new(PACE);
    agreement.update(words(0.0, "one two three"), secs(0.0), secs(3.0), false);
    agreement.set_pace(PACE);
    let decision = agreement.update(words(0.0, "one two three"), secs(0.0), secs(3.0), false);
    assert_eq!(decision.committed, []);
}

proptest! {
    #[test]
    fn committed_words_stay_in_order_whatever_an_engine_says(
        hypotheses in prop::collection::vec(
            (prop::collection::vec((0_u64..15_000, 0_u64..900, "[abc]{1,2}"), 0..12), any::<bool>()),
            1..20,
        )
    ) {
        let mut agreement = Agreement::new(PACE);
        let (mut edge, mut from, mut newest) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        for (heard, last) in hypotheses {
            edge += Duration::from_millis(900);
            let mut heard: Vec<Word> = heard
                .into_iter()
                .map(|(start, length, text)| {
                    let start = from + Duration::from_millis(start);
                    Word { text, start, end: start + Duration::from_millis(length), confidence: 1.0 }
                })
                .collect();
            heard.sort_by_key(|w| w.start);
            let decision = agreement.update(heard, from, edge, last);
            for word in &decision.committed {
                let middle = word.start + (word.end - word.start) / 2;
                prop_assert!(middle >= newest, "{word:?} lies before {newest:?}");
            }
            newest = agreement.committed_until();
            if let Some(cut) = decision.cut {
                prop_assert!(cut >= from);
                from = cut.min(edge);
            }
            prop_assert!(edge - from <= PACE.window_max + Duration::from_millis(900));
        }
    }
}
