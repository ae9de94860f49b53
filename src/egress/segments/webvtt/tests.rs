use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::*;
use crate::egress::segments::subtitles::Subtitles;
use crate::media::{Cue, Language, Origin, Stage};

fn seconds(range: Range<u64>) -> Range<Duration> {
    Duration::from_secs(range.start)..Duration::from_secs(range.end)
}

fn language(tag: &str) -> Language {
    tag.parse().expect("a language")
}

fn cue(at: u64, text: &str) -> Cue {
    Cue {
        id: at,
        language: Language::english(),
        stage: Stage::Committed,
        start: Duration::from_secs(at),
        end: Duration::from_secs(at + 1),
        text: text.into(),
        words: Arc::default(),
        ends_sentence: true,
        origin: Arc::new(Origin { engine: "test".into(), model: None }),
        speaker: None,
    }
}

/// Segments of two seconds each from running time zero, numbered from 100.
fn segments(count: u64) -> Vec<(u64, Range<Duration>)> {
    (0..count).map(|n| (100 + n, seconds(2 * n..2 * n + 2))).collect()
}

/// The texts of a segment.
fn said(vtt: &str) -> Vec<&str> {
    let is_said = |line: &str| line.chars().all(|c| c.is_lowercase() || c == ' ');
    vtt.lines().filter(|line| !line.is_empty() && is_said(line)).collect()
}

/// The settled English segments by number.
fn written(subtitles: &Subtitles) -> BTreeMap<u64, String> {
    let settled = subtitles.settled(&Language::english()).expect("English");
    settled.iter().map(|(n, segment)| (*n, text(segment))).collect()
}

/// Numbers of segments, each with its texts.
fn settled(written: &BTreeMap<u64, String>) -> Vec<(u64, Vec<&str>)> {
    written.iter().map(|(n, text)| (*n, said(text))).collect()
}

#[test]
fn a_segment_says_what_is_said_in_its_time() {
    let mut subtitles = Subtitles::default();
    subtitles.follow(&[Language::english()]);
    subtitles.add(&Language::english(), &cue(3, "three"));
    subtitles.settle(&segments(2), Duration::from_secs(8));
    let settled = written(&subtitles);
    assert_eq!(
        settled.get(&101).map(String::as_str),
        Some(
            "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:180000,LOCAL:00:00:02.000\n\n\
             3\n00:00:03.000 --> 00:00:04.000\nthree\n\n"
        )
    );
    let unix = Duration::from_secs(500_000 * 3600);
    let written = presented(&subtitles.settled(&Language::english()).expect("English")[&101], unix);
    assert_eq!(written, "WEBVTT\n\n3\n500000:00:03.000 --> 500000:00:04.000\nthree\n\n");
    assert!(subtitles.settled(&language("fr")).is_none());
}

#[test]
fn a_segment_is_settled_when_nothing_more_is_expected_for_its_time() {
    let mut subtitles = Subtitles::default();
    subtitles.follow(&[Language::english()]);
    subtitles.settle(&segments(3), Duration::from_millis(5900));
    assert_eq!(settled(&written(&subtitles)), []);
    subtitles.settle(&segments(3), Duration::from_secs(6));
    assert_eq!(
        settled(&written(&subtitles)),
        [(100, vec![])],
        "four seconds of silence have passed"
    );
    subtitles.add(&Language::english(), &cue(3, "three"));
    subtitles.add(&Language::english(), &cue(4, "four"));
    subtitles.settle(&segments(3), Duration::from_secs(6));
    assert_eq!(
        settled(&written(&subtitles)),
        [(100, vec![]), (101, vec!["three"])],
        "cues come in order"
    );
    subtitles.settle(&segments(3)[2..], Duration::from_secs(6));
    assert_eq!(settled(&written(&subtitles)), [], "they go with the media");
}

#[test]
fn what_is_settled_never_changes_and_what_comes_later_is_shown_late() {
    let mut subtitles = Subtitles::default();
    subtitles.follow(&[Language::english()]);
    let english = Language::english();
    subtitles.settle(&segments(3), Duration::from_secs(10));
    subtitles.add(&english, &cue(1, "late"));
    subtitles.add(&english, &cue(1, "late"));
    subtitles.add(&english, &Cue { end: Duration::from_secs(7), ..cue(5, "on the border") });
    subtitles.settle(&segments(5), Duration::from_secs(14));
    let expect = [
        (100, vec![]),
        (101, vec![]),
        (102, vec![]),
        (103, vec!["late", "on the border"]),
        (104, vec![]),
    ];
    assert_eq!(settled(&written(&subtitles)), expect);
    let text = &written(&subtitles)[&103];
    assert!(text.contains("00:00:06.000 --> 00:00:07.000\nlate"), "{text}");
    assert!(text.contains("00:00:05.000 --> 00:00:07.000\non the border"), "{text}");
    subtitles.settle(&segments(20), Duration::from_secs(60));
    subtitles.add(&english, &cue(11, "too late"));
    subtitles.settle(&segments(30), Duration::from_secs(90));
    let all = written(&subtitles);
    let all = settled(&all);
    assert!(all.iter().all(|(_, texts)| !texts.contains(&"too late")), "{all:?}");
}

#[test]
fn captions_come_and_go_and_a_detected_language_keeps_its_files() {
    let mut subtitles = Subtitles::default();
    let (und, spanish) = (Language::undetermined(), language("es"));
    let offered = |subtitles: &Subtitles| -> Vec<String> {
        subtitles.offered().map(|o| format!("{} {}", o.name, o.language)).collect()
    };
    assert_eq!(subtitles.hold_back(2), None);
    subtitles.follow(std::slice::from_ref(&und));
    assert_eq!(offered(&subtitles), ["und und"]);
    assert_eq!(subtitles.hold_back(2), Some(Duration::from_secs(7)));
    subtitles.add(&und, &cue(3, "three"));
    subtitles.follow(&[und.clone(), spanish.clone()]);
    assert_eq!(offered(&subtitles), ["und en", "es es"]);
    assert_eq!(subtitles.hold_back(2), Some(Duration::from_secs(10)));
    subtitles.follow(&[und]);
    assert_eq!(offered(&subtitles), ["und en"]);
    assert_eq!(subtitles.hold_back(2), Some(Duration::from_secs(7)));
    assert!(subtitles.settled(&spanish).is_some(), "players that follow it still find it");
}
