//! Speakers told apart by turns, in read speech.

use std::collections::BTreeMap;
use std::time::Duration;

use auralink::speech::stt::{Config, Models, Options};

use crate::support::{self, Listener, RATE, committed, english};

/// A woman and a man, reading by turns.
const TURNS: [(&str, &str); 6] = [
    ("woman", "19-198-0002"),
    ("man", "26-495-0000"),
    ("woman", "19-198-0004"),
    ("man", "26-495-0006"),
    ("woman", "19-198-0008"),
    ("man", "26-495-0014"),
];

/// Lowest share of words with the right label. Usual is 0.88: a voice that has just begun belongs to
/// the speaker before it until half a second of it is known.
const RIGHT_RATIO_MIN: f64 = 0.8;

#[test]
fn a_woman_and_a_man_have_labels_of_their_own() {
    let Some(folder) = support::data("speech/librispeech") else { return };
    let engines = support::engines(&Config::default(), Models::default());
    let wanted = english(&["basic"]);
    let options = Options { wanted, speakers: true, wait: true, ..Options::default() };
    let listener = Listener::with(&engines, options);
    let (mut at, mut ends) = (Duration::from_secs(1), Vec::new());
    for (who, clip) in TURNS {
        at = listener.push(at, &support::load(&folder.join(format!("{clip}.flac"))));
        at = listener.push(at, &vec![0.0; RATE]);
        ends.push((at, who));
    }
    let cues = committed(&listener.finish());
    let mut words: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for cue in &cues {
        let (_, who) = ends.iter().find(|(end, _)| cue.end <= *end).expect("within a turn");
        let label = cue.speaker.as_deref().unwrap_or_default();
        *words.entry((who, label)).or_default() += cue.words.len();
    }
    eprintln!("{words:?}");
    let total: usize = words.values().sum();
    let right = words[&("woman", "Speaker 1")] + words[&("man", "Speaker 2")];
    assert!(right as f64 > RIGHT_RATIO_MIN * total as f64, "{right} of {total}: {words:?}");
}

#[test]
fn nobody_is_labelled_unasked() {
    let Some((sound, _)) = support::read_speech() else { return };
    let engines = support::engines(&Config::default(), Models::default());
    let listener = Listener::new(&engines, english(&["basic"]), true);
    listener.push(Duration::from_secs(1), &sound);
    let cues = committed(&listener.finish());
    assert!(!cues.is_empty() && cues.iter().all(|cue| cue.speaker.is_none()), "{cues:#?}");
}
