//! The DVR window as players see it, on a real disk.

use std::path::Path;
use std::time::Instant;

use tempfile::TempDir;

use super::*;
use crate::egress::segments::{DvrPlace, Warning};
use crate::media::StreamName;

/// Size of a segment here, in bytes.
const SEGMENT_BYTES: usize = 100_000;

/// Longest wait for the disk.
const DISK_MAX: Duration = Duration::from_secs(20);

fn window(segment_store: &Arc<SegmentStore>, root: &Path, seconds: Option<u64>) {
    let stream: StreamName = "studio-1".parse().expect("a name");
    segment_store.set_dvr(seconds.map(Duration::from_secs), DvrPlace { root, stream: &stream });
}

/// A segment store with a window of 60 s, its folder, and a second to begin with.
fn with_window(settings: Settings) -> (Arc<SegmentStore>, TempDir, u64) {
    let segment_store = segment_store_with(settings);
    let root = tempfile::tempdir().expect("a folder");
    window(&segment_store, root.path(), Some(60));
    (segment_store, root, crate::flow::now().seconds())
}

/// Adds a segment of two seconds with content of its own.
fn put_large(segment_store: &SegmentStore, id: &TrackId, second: u64, cut: Cut) {
    let data = Bytes::from(vec![second as u8; SEGMENT_BYTES]);
    let duration = u64::from(2 * TIMESCALE);
    let sample = Sample { duration: 2 * TIMESCALE, composition: 0, key: true, data };
    let (start, shown_at) = (second * u64::from(TIMESCALE), Duration::from_secs(second));
    segment_store.push(id, &Chunk { start, shown_at, duration, cut, samples: vec![sample] });
}

/// Adds segments to both originals, as slowly as the disk takes them.
async fn put_both(segment_store: &SegmentStore, seconds: std::ops::Range<u64>) {
    for second in seconds.step_by(2) {
        for id in [TrackId::Video, TrackId::Audio] {
            put_large(segment_store, &id, second, Cut::Segment);
        }
        until("the disk takes it", || !segment_store.is_writing()).await;
    }
}

/// Files of all windows, by name.
fn files(root: &Path) -> Vec<String> {
    let folders = std::fs::read_dir(root).into_iter().flatten().flatten();
    let inside = folders.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten());
    let mut names: Vec<String> =
        inside.flatten().map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < DISK_MAX, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_leaves_memory_is_read_from_the_disk_until_it_leaves_the_window() {
    let (segment_store, root, now) = with_window(SETTINGS);
    put_both(&segment_store, now..now + 4).await;
    let first = read(&segment_store, &TrackId::Video).await.media_sequence;
    let in_memory =
        segment_store.segment(&TrackId::Video, first).await.expect("there").bytes().await;
    put_both(&segment_store, now + 4..now + 50).await;

    let video = read(&segment_store, &TrackId::Video).await;
    assert_eq!((video.media_sequence, video.segments.len()), (first, 24), "{video:?}");
    assert!(video.playlist_type.is_none());
    assert!(video.segments.iter().all(|s| s.program_date_time.is_some()));
    // Eight in the live window, three as its grace, and the open one.
    assert!(segment_store.bytes() <= 2 * 12 * (SEGMENT_BYTES + 1000), "{}", segment_store.bytes());
    let on_disk = segment_store.segment(&TrackId::Video, first).await.expect("on the disk");
    assert!(matches!(on_disk, segments::Media::Disk(..)), "{on_disk:?}");
    assert_eq!(on_disk.bytes().await, in_memory);
    let part = segment_store.part(&TrackId::Video, first, 0).await;
    assert_eq!(part.expect_err("parts are for the live edge"), SegmentError::Gone);

    // The window moves on: 60 s, and three segments of grace.
    put_both(&segment_store, now + 50..now + 100).await;
    let moved = read(&segment_store, &TrackId::Video).await;
    assert_eq!(moved.segments.len(), 29, "60 s with the open segment");
    assert!(moved.media_sequence > first);
    let gone = segment_store.segment(&TrackId::Video, first).await;
    assert_eq!(gone.expect_err("it is deleted"), SegmentError::Gone);
    until("old files are deleted", || files(root.path()).len() <= 2 * (30 + 4)).await;
    for sequence in moved.media_sequence..moved.media_sequence + 29 {
        let found = segment_store.segment(&TrackId::Audio, sequence).await.expect("it is listed");
        assert!(found.bytes().await.len() > SEGMENT_BYTES);
    }
    assert_eq!(segment_store.take_dvr_warning(), None);

    window(&segment_store, root.path(), None);
    let live = read(&segment_store, &TrackId::Video).await;
    assert_eq!(live.segments.len(), 8, "the live window stays");
    until("the folder is deleted", || std::fs::read_dir(root.path()).is_ok_and(|d| d.count() == 0))
        .await;
}

#[tokio::test]
async fn a_window_leaves_no_folder_behind() {
    let (segment_store, root, now) = with_window(SETTINGS);
    put_both(&segment_store, now..now + 10).await;
    until("files are written", || files(root.path()).len() == 8).await;
    drop(segment_store);
    until("the folder is deleted", || std::fs::read_dir(root.path()).is_ok_and(|d| d.count() == 0))
        .await;
}

/// A disk that cannot be written costs the window, and nothing of the live playlist.
#[tokio::test]
async fn a_broken_disk_leaves_the_live_window() {
    let segment_store = segment_store_with(SETTINGS);
    let root = tempfile::tempdir().expect("a folder");
    let file = root.path().join("file");
    std::fs::write(&file, "no folder").expect("written");
    window(&segment_store, &file, Some(60));
    let now = crate::flow::now().seconds();
    put_both(&segment_store, now..now + 60).await;
    let warned = || segment_store.take_dvr_warning();
    let mut found = None;
    until("it is told", || {
        found = found.take().or_else(warned);
        found.is_some()
    })
    .await;
    let Some(Warning { message, .. }) = found else { panic!("it was there") };
    assert!(message.contains("cannot be written into"), "{message}");
    put_both(&segment_store, now + 60..now + 80).await;
    let video = read(&segment_store, &TrackId::Video).await;
    assert_eq!(video.segments.len(), 11, "what is in memory, its grace included: {video:?}");
    for sequence in video.media_sequence..video.media_sequence + 11 {
        segment_store.segment(&TrackId::Video, sequence).await.expect("from memory");
    }
    assert!(segment_store.bytes() <= 2 * 12 * (SEGMENT_BYTES + 1000), "{}", segment_store.bytes());
}

#[tokio::test]
async fn a_window_without_room_is_shorter() {
    let (segment_store, root, now) = with_window(Settings { dvr_mib: 3, ..SETTINGS });
    put_both(&segment_store, now..now + 60).await;
    let mut warning = None;
    until("it is told", || {
        warning = warning.take().or_else(|| segment_store.take_dvr_warning());
        warning.is_some()
    })
    .await;
    let message = warning.map(|w| w.message).unwrap_or_default();
    assert!(message.contains("more than the 3 MiB"), "{message}");
    until("files fit", || files(root.path()).len() <= 3 * (1 << 20) / SEGMENT_BYTES).await;
    for id in [TrackId::Video, TrackId::Audio] {
        let list = read(&segment_store, &id).await;
        assert!((12..20).contains(&list.segments.len()), "{} of 30", list.segments.len());
        for (sequence, _) in (list.media_sequence..).zip(&list.segments) {
            segment_store.segment(&id, sequence).await.expect("it is listed");
        }
    }
}

/// Discontinuities keep their numbers, and a rung that begins late is as long as its original, in gaps.
#[tokio::test]
async fn a_rung_that_begins_late_has_the_past_as_gaps() {
    let (segment_store, _root, now) = with_window(SETTINGS);
    let rung = TrackId::Rung(360);
    segment_store.offer_encoded(&[(rung.clone(), None, 500_000)]);
    put_both(&segment_store, now..now + 20).await;
    for id in [TrackId::Video, TrackId::Audio] {
        put_large(&segment_store, &id, now + 30, Cut::Break);
    }
    put_both(&segment_store, now + 32..now + 40).await;
    segment_store.begin_track(&rung, info(Codec::H264));
    put_large(&segment_store, &rung, now + 38, Cut::Break);
    put_both(&segment_store, now + 40..now + 44).await;
    for second in [40, 42] {
        put_large(&segment_store, &rung, now + second, Cut::Segment);
    }
    let (video, rung) =
        (read(&segment_store, &TrackId::Video).await, read(&segment_store, &rung).await);
    let times = |list: &m3u8_rs::MediaPlaylist| -> Vec<_> {
        // Rounding may differ by a millisecond.
        let date = |s: &m3u8_rs::MediaSegment| {
            s.program_date_time.map(|date| (date.timestamp_millis() + 5).div_euclid(10))
        };
        list.segments.iter().map(|s| (date(s), s.discontinuity)).collect()
    };
    assert_eq!(times(&video).len(), 16, "{video:?}");
    assert_eq!(times(&rung), times(&video), "the breaks are at the same places");
    assert_eq!(rung.discontinuity_sequence, video.discontinuity_sequence);
    let gaps: Vec<bool> = rung.segments.iter().map(is_gap).collect();
    assert_eq!(gaps.iter().filter(|gap| **gap).count(), 14, "{gaps:?}");
    assert!(!gaps[14] && !gaps[15], "what was encoded: {gaps:?}");
}

/// A publisher that returns after a pause finds the past where it was, behind a discontinuity. A track that
/// does not return is not offered.
#[tokio::test]
async fn the_past_outlives_a_pause() {
    let (segment_store, _root, now) = with_window(SETTINGS);
    put_both(&segment_store, now..now + 20).await;
    segment_store.pause();
    segment_store.expect(vec![TrackId::Video]);
    put_large(&segment_store, &TrackId::Video, now + 40, Cut::Break);
    put_large(&segment_store, &TrackId::Video, now + 42, Cut::Segment);
    let video = read(&segment_store, &TrackId::Video).await;
    let breaks: Vec<bool> = video.segments.iter().map(|s| s.discontinuity).collect();
    assert_eq!((breaks.len(), breaks.iter().position(|b| *b)), (11, Some(10)), "{video:?}");
    let (first, dates) = (video.media_sequence, video.segments.iter());
    let dates: Vec<_> = dates.filter_map(|s| s.program_date_time).collect();
    assert_eq!((dates[10] - dates[0]).num_seconds(), 40);
    segment_store.segment(&TrackId::Video, first).await.expect("it is listed");
    let master = hls::master(&segment_store, "").await.expect("a playlist").text;
    assert!(master.contains("video.m3u8") && !master.contains("audio.m3u8"), "{master}");
    let mpd = crate::egress::dash::manifest(&segment_store, "").await.expect("a manifest").text;
    assert_eq!(mpd.matches("<Period ").count(), 2, "{mpd}");
    assert!(mpd.contains("timeShiftBufferDepth=\"PT42.000S\""), "{mpd}");

    // Without a window what is from before the pause is no longer live.
    let live = segment_store_with(SETTINGS);
    for second in [0, 2, 4] {
        put(&live, &TrackId::Video, second, Cut::Segment);
    }
    live.pause();
    put(&live, &TrackId::Video, 40, Cut::Break);
    put(&live, &TrackId::Video, 42, Cut::Segment);
    assert_eq!(read(&live, &TrackId::Video).await.segments.len(), 1);
}

#[tokio::test]
async fn captions_go_back_as_far_as_the_media() {
    let (segment_store, root, now) = with_window(SETTINGS);
    let english = Language::english();
    segment_store.follow_captions(std::slice::from_ref(&english));
    // In the past: the captions of a segment are settled as soon as it is complete.
    let begin = now.saturating_sub(55);
    segment_store.add_cue(&english, &cue(begin + 1));
    put_both(&segment_store, begin..begin + 44).await;
    let first = read(&segment_store, &TrackId::Video).await.media_sequence;
    until("captions are on the disk", || {
        files(root.path()).contains(&format!("captions-en.video.{first}.vtt"))
    })
    .await;
    let list = hls::captions(&segment_store, &english, "").await.expect("captions").text;
    assert!(list.contains(&format!("captions-en.{first}.vtt")), "{list}");
    let captions = |sequence| {
        let segment_store = segment_store.clone();
        let english = english.clone();
        async move {
            let found = segment_store.captions_segment(&english, sequence).await.expect("listed");
            let on_disk = matches!(found, segments::Media::Disk(..));
            (on_disk, found.text().await)
        }
    };
    let (on_disk, said) = captions(first).await;
    assert!(on_disk && said.contains(&format!("said at {}", begin + 1)), "{said}");
    let (on_disk, silent) = captions(first + 4).await;
    assert!(!on_disk && silent.starts_with("WEBVTT") && !silent.contains("said"), "{silent}");
}
