//! Choice among two programmes with several tracks.

use super::*;
use crate::mpegts::psi::tests::{pat, pmt};

/// Programme 1: H.264, teletext, AAC in English and German, SMPTE 302M; programme 2: H.265, MP2.
fn tables() -> Tables {
    let mut tables = Tables::default();
    tables.push(&pat(0, &[(1, 0x1000), (2, 0x1001)]));
    tables.push(&pmt(
        0x1000,
        1,
        &[
            (0x1b, 256, b""),
            (6, 260, b"\x56\x05eng\x08\0"),
            (0x0f, 257, b"\x0a\x04eng\0"),
            (0x0f, 258, b"\x0a\x04ger\0"),
            (6, 259, b"\x05\x04BSSD"),
        ],
    ));
    tables.push(&pmt(0x1001, 2, &[(0x24, 512, b""), (3, 513, b"")]));
    tables
}

fn check(wish: &str, program: u16, pids: &[u16], notes: &[&str]) {
    let taken = Taken::choose(&tables(), &serde_json::from_str(wish).expect("a wish"));
    let found = taken.tracks.iter().flatten().map(|t| t.pid).collect::<Vec<_>>();
    assert_eq!((taken.program, found.as_slice()), (Some(program), pids), "{wish}");
    for note in notes {
        assert!(taken.notes.iter().any(|n| n.contains(note)), "{wish}: {:#?}", taken.notes);
    }
}

#[test]
fn the_first_programme_and_its_first_tracks_are_taken_and_the_rest_is_named() {
    let others = [
        "PID 258 (0x102), AAC, language ger is ignored: the audio track is PID 257",
        "PID 259 (0x103), SMPTE 302M is ignored",
        "PID 260 (0x104), teletext, language eng is ignored: no such media is taken",
        "programme 2 is ignored (PID 512 (0x200), H.265; PID 513 (0x201), MPEG audio)",
    ];
    check("{}", 1, &[256, 257], &others);
}

#[test]
fn a_wish_decides_by_programme_pid_and_language() {
    check(r#"{"program":2}"#, 2, &[512, 513], &["programme 1 is ignored"]);
    check(r#"{"audio_language":"de"}"#, 1, &[256, 258], &["PID 257 (0x101)"]);
    check(
        r#"{"audio_pid":259,"audio_language":"de"}"#,
        1,
        &[256, 259],
        &["the audio track is PID 259"],
    );
    check(r#"{"audio_language":"fr"}"#, 1, &[256, 257], &["no sound in `fr`: PID 257"]);
}

#[test]
fn what_is_asked_for_and_not_there_is_said() {
    let expect =
        ["there is no audio with PID 300 in programme 1", "another audio track is asked for"];
    check(r#"{"audio_pid":300}"#, 1, &[256], &expect);
    check(r#"{"program":9}"#, 9, &[], &["programme 9 is not in what it sends, but 1, 2"]);
}

#[test]
fn pads_are_known_by_their_pid() {
    let taken = Taken::choose(&tables(), &TrackChoice::default());
    let audio = taken.of_pad("audio_0_00101");
    assert_eq!(audio.as_deref(), Some("PID 257 (0x101), AAC, language eng"));
    assert_eq!(taken.of_pad("audio_0_00102"), None);
    let nothing_known = Taken::default().of_pad("audio_0_00102");
    assert_eq!(nothing_known.as_deref(), Some("track `audio_0_00102`"));
}
