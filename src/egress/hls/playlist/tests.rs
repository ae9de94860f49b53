use chrono::{DateTime, Utc};

use super::*;
use crate::egress::segments::index::{SegmentIndex, Standing};
use crate::egress::segments::{LiveEdge, Part, TrackId};

fn view(playlist: &SegmentIndex, window: usize, low_latency: bool) -> TrackView {
    let part_target = low_latency.then(|| Duration::from_millis(400));
    let (list, others) = (playlist.list(window), Vec::new());
    TrackView { list, target_s: 2, part_target, hold_back: None, others, can_skip: false }
}

/// The playlist of the track with this name.
fn written(view: &TrackView, name: &str) -> String {
    text(view, name, "?token=t", false)
}

fn date(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + second, 0).expect("valid")
}

const PART: Part = Part { duration: Duration::from_millis(400), independent: false };

fn segment(playlist: &mut SegmentIndex, init: u64, discontinuity: bool) -> u64 {
    let sequence = playlist.begin_segment((Duration::ZERO, date(0)), init, discontinuity);
    for part in 0..5 {
        playlist.add_part(Part { independent: part == 0, ..PART });
    }
    sequence
}

fn read(text: &str) -> m3u8_rs::MediaPlaylist {
    match m3u8_rs::parse_playlist_res(text.as_bytes()) {
        Ok(m3u8_rs::Playlist::MediaPlaylist(playlist)) => playlist,
        other => panic!("not a media playlist: {other:?}\n{text}"),
    }
}

#[test]
fn an_independent_reader_agrees() {
    let mut playlist = SegmentIndex::new(100);
    for _ in 0..3 {
        segment(&mut playlist, 0, false);
    }
    segment(&mut playlist, 1, true);
    playlist.end();
    let read = read(&written(&view(&playlist, 8, false), "video"));
    assert_eq!((read.media_sequence, read.target_duration, read.end_list), (100, 2, true));
    assert_eq!(read.segments.len(), 4);
    assert!(read.segments.iter().all(|s| (s.duration - 2.0).abs() < 0.001));
    assert!(read.segments.iter().all(|s| s.program_date_time.is_some()));
    let discontinuities: Vec<_> = read.segments.iter().map(|s| s.discontinuity).collect();
    assert_eq!(discontinuities, [false, false, false, true]);
    let maps: Vec<_> =
        read.segments.iter().filter_map(|s| s.map.as_ref().map(|m| m.uri.as_str())).collect();
    assert_eq!(maps, ["video.init0.mp4?token=t", "video.init1.mp4?token=t"]);
    assert_eq!(read.segments[3].uri, "video.103.m4s?token=t");
}

#[test]
fn the_window_moves_and_counts_what_is_gone() {
    let mut playlist = SegmentIndex::new(0);
    for n in 0..20 {
        segment(&mut playlist, n / 5, n > 0 && n % 5 == 0);
        playlist.close_segment();
        playlist.trim(4, 2);
    }
    let read = read(&written(&view(&playlist, 4, false), "audio"));
    assert_eq!(read.media_sequence, 16);
    assert_eq!(read.segments.len(), 4);
    assert_eq!(read.discontinuity_sequence, 3, "at 5, 10 and 15");
    assert_eq!(playlist.complete(), 7, "three target durations of grace");
    assert_eq!(playlist.standing(12, None), Standing::Gone);
    assert_eq!(playlist.standing(13, None), Standing::Here);
    assert_eq!(playlist.standing(19, None), Standing::Here);
    assert_eq!(playlist.standing(20, None), Standing::Soon);
    assert_eq!(playlist.standing(22, None), Standing::Unknown);
}

/// Players align tracks and playlists of different age by these numbers (RFC 8216, 6.2.1).
#[test]
fn a_segment_keeps_its_discontinuity_number_while_the_window_moves() {
    let mut playlist = SegmentIndex::new(0);
    let mut numbers = std::collections::BTreeMap::new();
    for n in 0..20 {
        segment(&mut playlist, n / 5, n > 0 && n % 5 == 0);
        playlist.close_segment();
        playlist.trim(4, 2);
        let read = read(&written(&view(&playlist, 4, false), "audio"));
        let mut number = read.discontinuity_sequence;
        for (sequence, segment) in (read.media_sequence..).zip(&read.segments) {
            number += u64::from(segment.discontinuity);
            assert_eq!(*numbers.entry(sequence).or_insert(number), number, "{sequence}");
        }
    }
    assert_eq!((numbers[&0], numbers[&4], numbers[&5], numbers[&19]), (0, 0, 1, 3));
}

#[test]
fn low_latency_lists_parts_hints_and_reports() {
    let mut playlist = SegmentIndex::new(7);
    for _ in 0..6 {
        segment(&mut playlist, 0, false);
    }
    playlist.begin_segment((Duration::from_secs(12), date(12)), 0, false);
    playlist.add_part(Part { independent: true, ..PART });
    let others = vec![LiveEdge { id: TrackId::Audio, sequence: 13, part: 0 }];
    let text = written(&TrackView { others, ..view(&playlist, 8, true) }, "video");
    for expected in [
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.200\n",
        "#EXT-X-PART-INF:PART-TARGET=0.400\n",
        "#EXT-X-PART:DURATION=0.40000,URI=\"video.13.0.m4s?token=t\",INDEPENDENT=YES\n",
        "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"video.13.1.m4s?token=t\"\n",
        "#EXT-X-RENDITION-REPORT:URI=\"audio.m3u8?token=t\",LAST-MSN=13,LAST-PART=0\n",
    ] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
    assert!(!text.contains("video.8.0.m4s"), "parts far from the edge are not listed\n{text}");
    assert!(!text.contains("video.13.m4s"), "the open segment is not listed as a whole");
    assert_eq!(playlist.standing(13, Some(0)), Standing::Here);
    assert_eq!(playlist.standing(13, Some(1)), Standing::Soon);
    assert_eq!(playlist.standing(13, None), Standing::Soon);
    assert_eq!(read(&text).segments.len(), 6);
}

/// A player with an older playlist needs the end of a long one alone (rfc8216bis 6.2.5.1).
#[test]
fn a_long_playlist_is_shortened_for_those_who_ask() {
    let mut playlist = SegmentIndex::new(100);
    for n in 0..40_u64 {
        segment(&mut playlist, n / 10, n > 0 && n % 10 == 0);
    }
    playlist.close_segment();
    let view = TrackView { can_skip: true, ..view(&playlist, 40, true) };
    let (whole, end) = (text(&view, "video", "", false), text(&view, "video", "", true));
    assert!(whole.contains("CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.0,PART-HOLD-BACK"), "{whole}");
    assert!(!whole.contains("EXT-X-SKIP"), "{whole}");
    assert!(end.contains("#EXT-X-MEDIA-SEQUENCE:100\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n"), "{end}");
    assert!(end.contains("#EXT-X-SKIP:SKIPPED-SEGMENTS=34\n"), "six of two seconds stay: {end}");
    let listed = |text: &str| -> Vec<String> {
        let files = text.lines().filter(|l| l.ends_with(".m4s") && !l.starts_with('#'));
        files.map(str::to_owned).collect()
    };
    assert_eq!(listed(&end), listed(&whole)[34..]);
    assert!(end.contains("#EXT-X-MAP:URI=\"video.init3.mp4\"\n"), "{end}");
    // What does not reach back further than the boundary is whole.
    let short = TrackView { list: playlist.list(6), ..view };
    assert_eq!(text(&short, "video", "", true), text(&short, "video", "", false));
    let never = TrackView { list: playlist.list(40), can_skip: false, ..short };
    assert!(!text(&never, "video", "", true).contains("SKIP"));
}

/// The first segment after those that are skipped may have a discontinuity.
#[test]
fn a_discontinuity_at_the_boundary_is_not_lost() {
    let mut playlist = SegmentIndex::new(0);
    for n in 0..10 {
        segment(&mut playlist, u64::from(n >= 4), n == 4);
    }
    playlist.close_segment();
    let view = TrackView { can_skip: true, ..view(&playlist, 10, false) };
    let end = text(&view, "video", "", true);
    let expect = "SKIPPED-SEGMENTS=4\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP";
    assert!(end.contains(expect), "{end}");
}

#[test]
fn players_of_captions_stay_behind() {
    let mut playlist = SegmentIndex::new(0);
    for _ in 0..3 {
        segment(&mut playlist, 0, false);
    }
    let check = |low_latency, hold_back: Option<u64>, expect: &str| {
        let hold_back = hold_back.map(Duration::from_secs);
        let text = written(&TrackView { hold_back, ..view(&playlist, 8, low_latency) }, "video");
        let control = text.lines().find_map(|l| l.strip_prefix("#EXT-X-SERVER-CONTROL:"));
        assert_eq!(control.unwrap_or_default(), expect);
    };
    check(false, None, "");
    check(false, Some(10), "HOLD-BACK=10.000");
    check(false, Some(4), "HOLD-BACK=6.000");
    check(true, None, "CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.200");
    check(true, Some(7), "CAN-BLOCK-RELOAD=YES,HOLD-BACK=7.000,PART-HOLD-BACK=7.000");
}
