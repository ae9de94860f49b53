mod dvr;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::egress::hls;
use crate::egress::segments::fmp4::{Chunk, Cut, Sample, TrackInfo};
use crate::egress::segments::{self, SegmentError, SegmentStore, Settings, TrackId};
use crate::media::{Codec, Cue, Language};

const SETTINGS: Settings =
    Settings { segment_s: 2, part_ms: 0, segments: 8, memory_mib: 4, dvr_mib: 64 };

/// Ticks per second of every track here.
const TIMESCALE: u32 = 1000;

fn spanish() -> TrackId {
    TrackId::Dub("es".parse().expect("a language"))
}

fn info(codec: Codec) -> TrackInfo {
    TrackInfo {
        codec,
        timescale: TIMESCALE,
        entry: vec![1],
        mime: codec.to_string(),
        width: 0,
        height: 0,
        fps: 0.0,
        channels: 2,
        frame: None,
    }
}

/// An empty segment store for video, audio and Spanish audio.
fn segment_store() -> Arc<SegmentStore> {
    segment_store_with(SETTINGS)
}

fn segment_store_with(settings: Settings) -> Arc<SegmentStore> {
    crate::init().expect("GStreamer starts");
    let segment_store = SegmentStore::new(settings);
    segment_store.expect(vec![TrackId::Video, TrackId::Audio]);
    segment_store.expect_dubs(vec!["es".parse().expect("a language")]);
    segment_store.begin_track(&TrackId::Video, info(Codec::H264));
    segment_store.begin_track(&TrackId::Audio, info(Codec::Aac));
    segment_store.begin_track(&spanish(), info(Codec::Aac));
    segment_store
}

/// Adds a segment of two seconds to a track, starting at this second.
fn put(segment_store: &SegmentStore, id: &TrackId, second: u64, cut: Cut) {
    let data = Bytes::from_static(b"x");
    let duration = u64::from(2 * TIMESCALE);
    let sample = Sample { duration: 2 * TIMESCALE, composition: 0, key: true, data };
    let (start, shown_at) = (second * u64::from(TIMESCALE), Duration::from_secs(second));
    segment_store.push(id, &Chunk { start, shown_at, duration, cut, samples: vec![sample] });
}

/// The playlist of a track, read by an independent parser. Its last segment is still open.
async fn read(segment_store: &SegmentStore, id: &TrackId) -> m3u8_rs::MediaPlaylist {
    let text = hls::playlist(segment_store, id, "", None, false).await.expect("a playlist").text;
    match m3u8_rs::parse_playlist_res(text.as_bytes()) {
        Ok(m3u8_rs::Playlist::MediaPlaylist(playlist)) => playlist,
        other => panic!("not a media playlist: {other:?}\n{text}"),
    }
}

fn is_gap(segment: &m3u8_rs::MediaSegment) -> bool {
    segment.unknown_tags.iter().any(|tag| tag.tag == "X-GAP")
}

#[tokio::test]
async fn what_happens_to_a_language_leaves_no_trace_in_the_originals() {
    let segment_store = segment_store();
    for second in (0..20).step_by(2) {
        put(&segment_store, &TrackId::Video, second, Cut::Segment);
        put(&segment_store, &TrackId::Audio, second, Cut::Segment);
        match second {
            // The track stops and returns after five seconds.
            6 | 8 => {}
            10 => put(&segment_store, &spanish(), 11, Cut::Break),
            late => put(&segment_store, &spanish(), late + u64::from(late > 10), Cut::Segment),
        }
    }
    for id in [TrackId::Video, TrackId::Audio] {
        let original = read(&segment_store, &id).await;
        assert!(original.segments.iter().all(|s| !s.discontinuity), "{original:?}");
        assert_eq!((original.segments.len(), original.discontinuity_sequence), (8, 0));
    }
    let dub = read(&segment_store, &spanish()).await;
    assert!(dub.segments.iter().all(|s| !s.discontinuity), "{dub:?}");
    let shape: Vec<_> = dub.segments.iter().map(|s| (is_gap(s), s.duration)).collect();
    let (gap, sound) = ((true, 2.0), (false, 2.0));
    assert_eq!(shape, [sound, gap, gap, (true, 1.0), sound, sound, sound, sound], "{dub:?}");
    let dates: Vec<_> = dub.segments.iter().filter_map(|s| s.program_date_time).collect();
    let far = dates[7] - dates[0];
    assert_eq!(far.num_milliseconds(), 13_000, "the time of what follows is right");
    // A request for the gap returns an error.
    let gap = segment_store.segment(&spanish(), dub.media_sequence + 1).await;
    assert_eq!(gap.expect_err("nothing is in it"), SegmentError::Gone);
}

#[tokio::test]
async fn all_tracks_have_the_discontinuities_of_the_originals() {
    let segment_store = segment_store();
    for second in [0, 2, 4] {
        put(&segment_store, &TrackId::Video, second, Cut::Segment);
    }
    put(&segment_store, &TrackId::Video, 20, Cut::Break);
    put(&segment_store, &TrackId::Video, 22, Cut::Segment);
    // A language that is some seconds late does not break before its own time is reached.
    for (second, cut) in [(2, Cut::Break), (4, Cut::Segment), (20, Cut::Break), (22, Cut::Segment)]
    {
        put(&segment_store, &spanish(), second, cut);
    }
    let breaks = |playlist: &m3u8_rs::MediaPlaylist| -> Vec<bool> {
        playlist.segments.iter().map(|s| s.discontinuity).collect()
    };
    let video = read(&segment_store, &TrackId::Video).await;
    assert_eq!(breaks(&video), [false, false, false, true]);
    let dub = read(&segment_store, &spanish()).await;
    assert_eq!(breaks(&dub), [false, false, true], "{dub:?}");
    assert_eq!((video.discontinuity_sequence, dub.discontinuity_sequence), (0, 0));
    // A track that starts after all of that counts the breaks that it missed.
    put(&segment_store, &TrackId::Audio, 22, Cut::Break);
    put(&segment_store, &TrackId::Audio, 24, Cut::Segment);
    let audio = read(&segment_store, &TrackId::Audio).await;
    assert_eq!((audio.discontinuity_sequence, breaks(&audio)), (1, vec![false]));
}

#[tokio::test]
async fn languages_are_offered_before_they_are_there_and_no_more_when_they_are_gone() {
    let segment_store = segment_store();
    for second in [0, 2] {
        put(&segment_store, &TrackId::Video, second, Cut::Segment);
        put(&segment_store, &TrackId::Audio, second, Cut::Segment);
    }
    let master = hls::master(&segment_store, "").await;
    let master = master.expect("it waits for the originals only").text;
    assert!(
        master.contains("LANGUAGE=\"es\",DEFAULT=NO,AUTOSELECT=YES,URI=\"audio-es"),
        "{master}"
    );
    let spanish = spanish();
    let asked = hls::playlist(&segment_store, &spanish, "", None, false);
    let (playlist, ()) = tokio::join!(asked, async {
        put(&segment_store, &spanish, 0, Cut::Break);
        put(&segment_store, &spanish, 2, Cut::Segment);
    });
    assert!(playlist.expect("it was waited for").text.contains("audio-es."));

    segment_store.expect_dubs(Vec::new());
    assert!(!hls::master(&segment_store, "").await.expect("still there").text.contains("audio-es"));
    let gone = hls::playlist(&segment_store, &spanish, "", None, false).await;
    assert_eq!(gone.expect_err("it is gone"), SegmentError::Unknown);
}

fn cue(at: u64) -> Cue {
    Cue {
        id: at,
        language: Language::english(),
        stage: crate::media::Stage::Committed,
        start: Duration::from_secs(at),
        end: Duration::from_secs(at + 1),
        text: format!("said at {at}"),
        words: Arc::default(),
        ends_sentence: true,
        origin: Arc::new(crate::media::Origin { engine: "test".into(), model: None }),
        speaker: None,
    }
}

/// Video with current times, so that its segments have ended after four seconds.
#[tokio::test]
async fn captions_go_along_with_the_pictures() {
    let segment_store = segment_store();
    let now = crate::flow::now().seconds() + 1;
    let english = Language::english();
    segment_store.follow_captions(std::slice::from_ref(&english));
    for n in 0..3 {
        put(&segment_store, &TrackId::Video, now + 2 * n, Cut::Segment);
    }
    let early = segment_store.captions_segment(&english, 0).await;
    assert_eq!(early.expect_err("nothing is settled"), SegmentError::Unknown);
    segment_store.add_cue(&english, &cue(now + 1));
    segment_store.add_cue(&english, &cue(now + 3));
    put(&segment_store, &TrackId::Video, now + 20, Cut::Break);
    put(&segment_store, &TrackId::Video, now + 22, Cut::Segment);
    segment_store.add_cue(&english, &cue(now + 22));
    put(&segment_store, &TrackId::Video, now + 24, Cut::Segment);
    let text = hls::captions(&segment_store, &english, "?token=t").await.expect("captions").text;
    let Ok(m3u8_rs::Playlist::MediaPlaylist(captions)) =
        m3u8_rs::parse_playlist_res(text.as_bytes())
    else {
        panic!("not a media playlist: {text}");
    };
    let video = read(&segment_store, &TrackId::Video).await;
    let same = |s: &m3u8_rs::MediaSegment| (s.duration, s.discontinuity, s.program_date_time);
    let (left, right) = (captions.segments.iter().map(same), video.segments.iter().map(same));
    let listed = captions.segments.len();
    assert_eq!(listed, 4, "the last one may still get some: {text}");
    assert!(left.eq(right.take(listed)), "{text}");
    assert_eq!(captions.media_sequence, video.media_sequence);
    let first = captions.media_sequence;
    assert_eq!(captions.segments[0].uri, format!("captions-en.{first}.vtt?token=t"));
    let said = async |sequence| {
        let captions = segment_store.captions_segment(&english, sequence).await;
        captions.expect("a segment").text().await
    };
    assert!(said(first).await.contains(&format!("said at {}", now + 1)));
    assert!(said(first + 1).await.contains(&format!("said at {}", now + 3)));
    assert!(!said(first + 2).await.contains("said"));
}

#[tokio::test]
async fn pictures_as_h264_are_listed_at_once_and_wanted_when_somebody_plays_them() {
    let segment_store = segment_store();
    segment_store.begin_track(&TrackId::Video, info(Codec::H265));
    for second in [0, 2, 4] {
        put(&segment_store, &TrackId::Video, second, Cut::Segment);
        put(&segment_store, &TrackId::Audio, second, Cut::Segment);
    }
    let listed = |master: &str| master.contains("video-h264.m3u8");
    assert!(
        !listed(&hls::master(&segment_store, "").await.expect("a playlist").text),
        "nobody makes them"
    );
    let missing = hls::playlist(&segment_store, &TrackId::H264, "", None, false).await;
    assert_eq!(missing, Err(SegmentError::Unknown));

    segment_store.offer_encoded(&[(TrackId::H264, None, 800_000)]);
    let master = hls::master(&segment_store, "").await.expect("a playlist").text;
    assert!(listed(&master) && master.contains("BANDWIDTH=1040"), "{master}");
    assert!(segment_store.wanted_encoded().is_empty(), "listed is not played");
    let (playlist, ()) =
        tokio::join!(hls::playlist(&segment_store, &TrackId::H264, "", None, false), async {
            assert_eq!(segment_store.wanted_encoded(), [(TrackId::H264, None)]);
            segment_store.begin_track(&TrackId::H264, info(Codec::H264));
            put(&segment_store, &TrackId::H264, 2, Cut::Break);
            put(&segment_store, &TrackId::H264, 4, Cut::Segment);
        });
    let playlist = playlist.expect("made meanwhile").text;
    assert!(playlist.contains("video-h264."), "{playlist}");
    let original = read(&segment_store, &TrackId::Video).await;
    assert!(original.segments.iter().all(|s| !s.discontinuity), "no trace of it: {original:?}");

    segment_store.offer_encoded(&[]);
    assert!(
        !listed(&hls::master(&segment_store, "").await.expect("a playlist").text),
        "the originals are H.264 now"
    );
}
