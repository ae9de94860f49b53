use super::*;
use crate::media::Codec;
use bytes::Bytes;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn info(codec: Codec, timescale: u32, frame: Option<Duration>) -> TrackInfo {
    TrackInfo {
        codec,
        timescale,
        entry: vec![1],
        mime: String::new(),
        width: 0,
        height: 0,
        fps: 0.0,
        channels: 0,
        frame,
    }
}

fn video() -> Chunker {
    Chunker::new(info(Codec::H264, 90_000, None), ms(400), ms(2000))
}

/// Video at 25 fps with a key frame every `gop`, starting at `from` ms; two frames of reordering.
fn pictures(chunker: &mut Chunker, from: u64, count: u64, gop: u64) -> Vec<Chunk> {
    (0..count)
        .filter_map(|n| {
            let dts = ms(from + n * 40);
            let frame = Frame {
                pts: dts + ms(80),
                dts,
                duration: None,
                key: n % gop == 0,
                data: Bytes::from_static(b"xx"),
            };
            chunker.push(frame)
        })
        .collect()
}

#[test]
fn chunks_are_full_and_segments_begin_at_key_frames() {
    let mut chunker = video();
    let chunks = pictures(&mut chunker, 1000, 151, 50);
    let cuts: Vec<_> = chunks.iter().map(|c| (c.cut, c.key())).collect();
    assert_eq!(cuts.len(), 15);
    assert_eq!(cuts[0], (Cut::Break, true));
    assert_eq!(cuts[5], (Cut::Segment, true));
    assert_eq!(cuts[6], (Cut::Chunk, false));
    assert!(chunks.iter().all(|c| c.duration == 36_000 && c.samples.len() == 10));
    assert!(chunks.windows(2).all(|w| w[0].start + w[0].duration == w[1].start));
    assert!(chunks.iter().flat_map(|c| &c.samples).all(|s| s.composition == 7200));
    assert_eq!(chunks[0].shown_at, ms(1080));
}

#[test]
fn a_long_group_of_pictures_makes_a_long_segment_of_short_chunks() {
    let mut chunker = video();
    let chunks = pictures(&mut chunker, 0, 251, 250);
    assert_eq!(chunks.iter().filter(|c| c.cut != Cut::Chunk).count(), 1);
    assert_eq!(chunks.len(), 25);
    assert_eq!(chunker.segment_age(ms(10_000)), Duration::ZERO, "a new one has just begun");
}

#[test]
fn a_hole_breaks_and_waits_for_a_key_frame() {
    let mut chunker = video();
    pictures(&mut chunker, 0, 5, 50);
    let frame = |at, key| Frame {
        pts: ms(at),
        dts: ms(at),
        duration: None,
        key,
        data: Bytes::from_static(b"x"),
    };
    let before = chunker.push(frame(20_000, false)).expect("what was pending");
    assert_eq!((before.samples.len(), before.duration), (5, 18_000));
    assert!(chunker.push(frame(20_040, false)).is_none());
    assert!(chunker.push(frame(20_080, true)).is_none());
    let after = chunker.finish().expect("the new beginning");
    assert_eq!((after.cut, after.start), (Cut::Break, 1_807_200));
}

#[test]
fn a_picture_lasts_until_the_next_one_and_all_are_kept() {
    let mut chunker = video();
    let frame = |n: u64| {
        let at = ms(n * 5000);
        Frame {
            pts: at,
            dts: at,
            duration: None,
            key: n.is_multiple_of(3),
            data: Bytes::from_static(b"x"),
        }
    };
    let mut chunks: Vec<_> = (0..9).filter_map(|n| chunker.push(frame(n))).collect();
    chunks.extend(chunker.finish());
    let samples: Vec<_> = chunks.iter().flat_map(|c| &c.samples).collect();
    assert_eq!(samples.len(), 9);
    assert!(samples.iter().all(|s| s.duration == 450_000), "{samples:?}");
    let begins: Vec<_> = chunks.iter().map(|c| c.cut).collect();
    let (new, more) = (Cut::Segment, Cut::Chunk);
    assert_eq!(begins, [Cut::Break, more, more, new, more, more, new, more, more]);
}

#[test]
fn standing_and_running_back_timestamps_stay_in_order() {
    let mut chunker = video();
    let mut chunks = Vec::new();
    for n in 0..300_u64 {
        let at = ms(1000 - (n % 7) * 100);
        let data = Bytes::from(vec![0; 1 << 17]);
        chunks.extend(chunker.push(Frame { pts: at, dts: at, duration: None, key: n == 0, data }));
    }
    assert!(chunks.iter().all(|c| c.size() < CHUNK_BYTES_MAX + (1 << 18)), "memory is bounded");
    assert!(chunks.windows(2).all(|w| w[0].start + w[0].duration == w[1].start));
}

/// Pushes AAC frames stamped by `stamp`. Returns the sample durations and the number of drops.
fn sound(count: u64, stamp: impl Fn(u64) -> Duration) -> (Vec<u32>, u64) {
    let frame = Duration::from_nanos(21_333_333);
    let mut chunker = Chunker::new(info(Codec::Aac, 48_000, Some(frame)), ms(400), ms(2000));
    let mut chunks = Vec::new();
    for n in 0..count {
        let at = stamp(n);
        let data = Bytes::from_static(b"a");
        chunks.extend(chunker.push(Frame { pts: at, dts: at, duration: None, key: true, data }));
    }
    let durations = chunks.iter().flat_map(|c| c.samples.iter().map(|s| s.duration)).collect();
    (durations, chunker.dropped())
}

#[test]
fn sound_rounded_to_milliseconds_is_put_on_a_steady_cadence() {
    let (durations, dropped) = sound(500, |n| ms(n * 1024 / 48));
    assert!(durations.iter().all(|d| *d == 1024), "{durations:?}");
    assert_eq!(dropped, 0);
}

#[test]
fn sound_of_another_clock_is_followed_in_small_steps_and_loses_no_frame() {
    for (off_ppm, step_ticks) in [(500_i64, 3), (-500, 3), (50_000, 56), (-50_000, 56)] {
        let stamp = |n: u64| {
            let at_us = n * 1_024_000 / 48;
            let off_us = (at_us * off_ppm.unsigned_abs() / 1_000_000).cast_signed();
            Duration::from_millis(at_us.saturating_add_signed(off_us * off_ppm.signum()) / 1000)
        };
        let (durations, dropped) = sound(28_000, stamp);
        assert_eq!(dropped, 0, "{off_ppm} ppm");
        let step = durations.iter().map(|d| d.abs_diff(1024)).max().unwrap_or_default();
        assert!(step <= step_ticks, "{off_ppm} ppm: a step of {step} ticks");
        let length = durations.iter().map(|d| u64::from(*d)).sum::<u64>();
        let apart = length.abs_diff(u64::try_from(stamp(28_000).as_millis()).expect("small") * 48);
        assert!(apart < 25_000, "{off_ppm} ppm: {apart} ticks apart at the end");
    }
}

#[test]
fn sound_that_pauses_or_repeats_keeps_its_place() {
    let (durations, dropped) = sound(100, |n| ms(n * 1024 / 48 + if n >= 50 { 200 } else { 0 }));
    assert_eq!(durations.iter().filter(|d| **d > 1024).count(), 1, "one gap");
    assert_eq!(dropped, 0);
    let (durations, dropped) = sound(100, |n| ms((n * 1024 / 48).saturating_sub((n / 50) * 200)));
    assert!(durations.iter().all(|d| (960..=1024).contains(d)), "{durations:?}");
    assert!((7..=9).contains(&dropped), "about 200 ms came twice: {dropped}");
}
