//! Our pairs as read by an independent CEA-608 decoder.

use std::collections::BTreeMap;

use cea608_types::{Cea608, Cea608State};

use super::*;
use crate::captions::testing::{cue, spoken};

/// Pairs of a field over a period, 29.97 per second.
fn pairs(line: &mut Line21, field: Field, from: f64, to: f64) -> Vec<[u8; 2]> {
    let count = ((to - from) * 30_000.0 / 1001.0) as u32;
    let at = |n| Duration::from_secs_f64(from + f64::from(n) * 1001.0 / 30_000.0);
    (0..count).map(|n| line.pair(field, at(n)).unwrap_or(NOTHING)).collect()
}

/// Text of each channel: `|` for a row, `#` for an erased screen, `=` for a displayed one.
fn read(pairs: &[[u8; 2]]) -> BTreeMap<u8, String> {
    let (mut state, mut said) = (Cea608State::default(), BTreeMap::<u8, String>::new());
    for pair in pairs {
        let Some(code) = state.decode(*pair).expect("parity is right") else { continue };
        let text = said.entry(code.channel().id()).or_default();
        match code {
            Cea608::Text(part) => {
                if part.needs_backspace {
                    text.pop();
                }
                text.extend([part.char1, part.char2].into_iter().flatten());
            }
            Cea608::CarriageReturn(_) | Cea608::NewMode(_, cea608_types::Mode::PopOn) => {
                text.push('|');
            }
            Cea608::EraseDisplay(_) => text.push('#'),
            Cea608::EndOfCaption(_) => text.push('='),
            _ => {}
        }
    }
    said
}

fn line(services: &[u8], mode: Mode) -> Line21 {
    Line21::new(services.iter().map(|n| Service::Cc(*n)), mode)
}

#[test]
fn words_roll_up_in_rows_and_vanish_after_a_silence() {
    let mut captions = line(&[1], Mode::RollUp(2));
    captions.push(Service::Cc(1), &cue(1, 0.0, 2.0, "And so my fellow Americans, ask not what"));
    captions.push(Service::Cc(1), &cue(2, 2.0, 3.0, "you can do. ¡Épico!"));
    let sent = pairs(&mut captions, Field::One, 0.0, 6.0);
    let expect = "|And so my fellow Americans, ask|not what you can do. ¡Épico!";
    assert_eq!(read(&sent)[&1], expect);
    assert_eq!(read(&pairs(&mut captions, Field::One, 6.0, 8.0)).get(&1).map(|s| &**s), Some("#"));
    assert_eq!(captions.stats().next().map(|(_, s)| (s.words, s.late)), Some((12, 0)));
    assert_eq!(captions.pair(Field::Two, Duration::from_secs(9)), None);
}

#[test]
fn another_speaker_begins_a_row() {
    let say = |id: u64, at: f64, speaker: &str, text: &str| crate::media::Cue {
        speaker: Some(speaker.into()),
        ..cue(id, at, at + 0.5, text)
    };
    for (mode, expect) in [
        (Mode::RollUp(2), "|>> Who is it? A friend.|>> Come in.#"),
        (Mode::PopOn, "|>> Who is it?=|A friend.#=|>> Come in.#=#"),
    ] {
        let mut captions = line(&[1], mode);
        captions.push(Service::Cc(1), &say(1, 1.5, "Speaker 1", "Who is it?"));
        captions.push(Service::Cc(1), &say(2, 3.5, "Speaker 1", "A friend."));
        captions.push(Service::Cc(1), &say(3, 5.5, "Speaker 2", "Come in."));
        let sent = pairs(&mut captions, Field::One, 0.0, 12.0);
        assert_eq!(read(&sent)[&1], expect);
        assert_eq!(captions.stats().next().map(|(_, s)| s.words), Some(7));
    }
}

#[test]
fn the_first_pairs_are_those_of_the_standard() {
    let mut captions = line(&[1], Mode::RollUp(3));
    captions.push(Service::Cc(1), &cue(1, 0.0, 1.0, "Hi"));
    let sent = pairs(&mut captions, Field::One, 0.0, 0.3);
    // RU3 RU3, CR CR, PAC of row 15 twice, "Hi"; with odd parity.
    let expect =
        [0x94, 0x26, 0x94, 0x26, 0x94, 0xad, 0x94, 0xad, 0x94, 0x70, 0x94, 0x70, 0xc8, 0xe9];
    assert_eq!(sent[..7].concat(), expect);
    let mut second = line(&[3], Mode::RollUp(2));
    second.push(Service::Cc(3), &cue(1, 0.0, 1.0, "Hi"));
    let sent = pairs(&mut second, Field::Two, 0.0, 0.3);
    assert_eq!(sent[0], [0x15, 0x25], "codes of the second field differ");
}

#[test]
fn two_channels_share_a_field() {
    let mut captions = line(&[1, 2], Mode::RollUp(2));
    let english = "one two three four five six seven eight nine ten eleven twelve";
    let spanish = "uno dos tres cuatro cinco seis siete ocho nueve diez once doce";
    captions.push(Service::Cc(1), &cue(1, 0.0, 0.1, english));
    captions.push(Service::Cc(2), &cue(1, 0.0, 0.1, spanish));
    let said = read(&pairs(&mut captions, Field::One, 0.0, 4.0));
    let flat = |text: &String| text.trim_matches('|').replace('|', " ");
    assert_eq!((flat(&said[&1]), flat(&said[&2])), (english.into(), spanish.into()));
}

#[test]
fn a_flood_is_dropped_word_by_word_and_counted() {
    let mut captions = line(&[1], Mode::RollUp(4));
    let text: Vec<String> = (0..150).map(|n| format!("word{n:05}")).collect();
    captions.push(Service::Cc(1), &cue(1, 0.0, 0.1, &text.join(" ")));
    let said = read(&pairs(&mut captions, Field::One, 0.0, 8.0));
    let words: Vec<_> = said[&1].split(['|', ' ', '#']).filter(|w| !w.is_empty()).collect();
    assert!(words.iter().all(|w| text.iter().any(|t| t == w)), "{words:?}");
    let (_, stats) = captions.stats().next().expect("one channel");
    assert_eq!((stats.words as usize, (stats.words + stats.late) as usize), (words.len(), 150));
    assert!((15..30).contains(&words.len()), "{} words in four seconds", words.len());
}

#[test]
fn words_longer_than_a_row_and_scripts_without_letters() {
    let mut captions = line(&[1], Mode::RollUp(2));
    captions.push(Service::Cc(1), &cue(1, 0.0, 1.0, &format!("{} 日本 ♪♪", "a".repeat(40))));
    let said = read(&pairs(&mut captions, Field::One, 0.0, 3.0));
    assert_eq!(said[&1], format!("|{}|{} ♪♪", "a".repeat(32), "a".repeat(8)));
    assert_eq!(captions.stats().next().map(|(_, s)| s.unspelled), Some(2));
}

#[test]
fn pop_on_shows_a_text_when_it_is_said() {
    let mut captions = line(&[1], Mode::PopOn);
    let text = "This text is known before it is said";
    captions.push(Service::Cc(1), &spoken(1, text, &[(text, 3.0, 5.0)]));
    assert_eq!(
        read(&pairs(&mut captions, Field::One, 0.0, 2.9))[&1],
        format!("|{}", { "This text is known before it issaid" })
    );
    assert_eq!(read(&pairs(&mut captions, Field::One, 2.9, 4.9))[&1], "=");
    assert_eq!(read(&pairs(&mut captions, Field::One, 4.9, 6.0))[&1], "#");
}

#[test]
fn a_field_that_the_source_uses_is_left_to_it() {
    let mut captions = line(&[1], Mode::RollUp(2));
    captions.push(Service::Cc(1), &cue(1, 0.0, 1.0, "two words"));
    captions.give_way(Field::One, Duration::from_secs(1));
    assert_eq!(captions.pair(Field::One, Duration::from_secs(1)), None);
    assert_eq!(captions.stats().next().map(|(_, s)| s.yielded), Some(2));
}
