use super::*;

use Kind::{Audio, Video};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn us(n: u64) -> Duration {
    Duration::from_micros(n)
}

/// Offset of `at` from `now`, in ms; negative if it is late.
fn ahead_ms(at: Duration, now: Duration) -> f64 {
    (at.as_secs_f64() - now.as_secs_f64()) * 1e3
}

#[test]
fn distances_are_kept_whatever_the_arrival_jitter() {
    let mut timeline = Timeline::default();
    assert_eq!(timeline.map(Video, ms(90_000), ms(500)), ms(500));
    assert_eq!(timeline.map(Audio, ms(90_010), ms(502)), ms(510));
    assert_eq!(timeline.map(Video, ms(90_040), ms(610)), ms(540));
    assert_eq!(timeline.map(Video, ms(90_020), ms(611)), ms(520));
}

#[test]
fn a_stall_makes_a_late_burst_and_no_hole() {
    let mut timeline = Timeline::default();
    // Both tracks: 10 s of media, 8 s of nothing, then the delayed media at once, then 10 s more.
    for n in 0..700_u64 {
        let source = ms(n * 40);
        let arrived = if (250..450).contains(&n) { ms(18_000) } else { source };
        for kind in [Video, Audio] {
            let at = timeline.map(kind, ms(77_000) + source, ms(1000) + arrived);
            let off = ahead_ms(at, ms(1000) + source).abs();
            assert!(off < 1.0, "picture {n} is {off} ms from its place");
        }
    }
}

#[test]
fn a_live_source_whose_first_samples_were_late_is_not_early_for_ever() {
    let mut timeline = Timeline::live();
    let mut last = [Duration::ZERO; 2];
    // What was due in the first 400 ms comes at once, with the first sample.
    for n in 0..200_u64 {
        let source = ms(n * 20);
        let now = ms(5_000) + source.max(ms(400));
        for (kind, last) in [Video, Audio].into_iter().zip(&mut last) {
            let at = timeline.map(kind, ms(30) + source, now);
            let ahead = ahead_ms(at, now);
            assert!(ahead <= 45.0, "sample {n} is {ahead} ms early");
            assert!(n < 21 || ahead > -1.0, "sample {n} is {ahead} ms late");
            assert!(at > *last, "sample {n} is not after the one before it");
            *last = at;
        }
    }
    // Later, what is late is late, and what is early is a clock that drifts.
    assert_eq!(timeline.map(Video, ms(4_030), ms(9_600)), ms(9_000));
    let ahead = ahead_ms(timeline.map(Video, ms(4_130), ms(9_000)), ms(9_000));
    assert!((99.0..101.0).contains(&ahead), "{ahead} ms");
}

/// Decode times of WebRTC are those of arrival, and may advance by more than the presentation times.
#[test]
fn a_track_follows_a_time_base_that_the_other_moves_back_without_a_step() {
    let mut timeline = Timeline::live();
    let mut last = Duration::ZERO;
    // Both are 400 ms late, until the audio comes in time, just before the time base is settled.
    for n in 0..100 {
        let (source, now) = (ms(n * 20), ms(5_400 + n * 20));
        last = timeline.map(Video, source, now);
        timeline.map(Audio, source, now);
    }
    let audio = timeline.map(Audio, ms(2_390), ms(7_390));
    assert_eq!(audio, ms(7_390));
    for n in 100..350 {
        let at = timeline.map(Video, ms(n * 20), ms(5_400 + n * 20));
        assert!(at >= last + ms(18), "sample {n} is at {at:?}, the one before it at {last:?}");
        last = at;
    }
    let apart = last.as_secs_f64() - (audio + ms(349 * 20 - 2_390)).as_secs_f64();
    assert!(apart.abs() < 0.03, "in the end both are on one time base, not {apart} s apart");
}

#[test]
fn a_publisher_begins_after_one_that_ran_ahead() {
    let mut timeline = Timeline::default();
    timeline.begin_after(ms(3_000));
    timeline.begin_after(ms(2_900));
    assert_eq!(timeline.map(Video, ms(70), ms(1_000)), ms(3_001));
    assert_eq!(timeline.map(Audio, ms(75), ms(1_002)), ms(3_006));
    let mut timeline = Timeline::default();
    timeline.begin_after(ms(900));
    assert_eq!(timeline.map(Video, ms(70), ms(1_000)), ms(1_000), "long ago");
}

#[test]
fn a_jump_begins_anew_behind_what_was_and_the_tracks_stay_together() {
    for (from, to) in [(10_000_u64, 99_000_u64), (99_000, 0), (1 << 40, 5)] {
        let mut timeline = Timeline::default();
        timeline.map(Video, ms(from), ms(1_000));
        timeline.map(Audio, ms(from + 5), ms(1_005));
        assert_eq!(timeline.map(Video, ms(to), ms(1_040)), ms(1_040));
        // Audio of the old time base still arrives, then its own jump.
        assert_eq!(timeline.map(Audio, ms(from + 25), ms(1_041)), ms(1_025));
        assert_eq!(timeline.map(Audio, ms(to + 7), ms(1_045)), ms(1_047));
        assert_eq!(timeline.map(Video, ms(to + 40), ms(1_080)), ms(1_080));
    }
}

#[test]
fn a_loop_that_comes_early_continues_where_its_track_was() {
    let mut timeline = Timeline::default();
    timeline.map(Video, ms(0), ms(1_000));
    assert_eq!(timeline.map(Video, ms(2_000), ms(2_500)), ms(3_000));
    assert_eq!(timeline.map(Video, ms(0), ms(2_540)), ms(3_001));
}

#[test]
fn tracks_without_a_common_time_base_have_one_each() {
    let mut timeline = Timeline::default();
    for n in 0..100 {
        let now = ms(1_000 + n * 20);
        assert_eq!(timeline.map(Audio, ms(n * 20), now), now);
        assert_eq!(timeline.map(Video, ms(5_000_000 + n * 20), now), now);
    }
}

#[test]
fn a_source_that_left_out_what_it_could_not_send_goes_on_at_the_clock() {
    let mut timeline = Timeline::default();
    timeline.map(Video, ms(0), ms(1_000));
    assert_eq!(timeline.map(Video, ms(30_000), ms(31_000)), ms(31_000));
    // It is 3 s late, and drops 3 s to catch up.
    assert_eq!(timeline.map(Video, ms(30_040), ms(34_000)), ms(31_040));
    assert_eq!(timeline.map(Video, ms(33_040), ms(34_040)), ms(34_040));
}

#[test]
fn after_a_restart_late_media_follows_what_others_have_sent() {
    let mut timeline = Timeline::default();
    timeline.map(Video, ms(0), ms(1_000));
    timeline.map(Audio, ms(10), ms(1_010));
    timeline.restart();
    assert_eq!(timeline.map(Audio, ms(30), ms(9_000)), ms(9_200));
    assert_eq!(timeline.map(Video, ms(40), ms(9_001)), ms(9_210));
    for n in 2..200 {
        assert_eq!(timeline.map(Video, ms(n * 40), ms(9_001 + n)), ms(9_170 + n * 40));
    }
}

/// A publisher whose clock is off by `off_ppm`, for hours, with jitter and a stall of 3 s every ten
/// minutes. Returns its largest offset in ms after the first 15 minutes, and its largest step
/// beyond that of the source, in microseconds.
fn hours(count: u64, off_ppm: i64) -> (f64, f64) {
    let mut timeline = Timeline::default();
    let (mut furthest, mut step_us) = (0_f64, 0_f64);
    let mut last: [Option<(u64, Duration)>; 2] = [None; 2];
    let true_us = |n: u64| n * 20_000;
    for n in 0..count * 3600 * 50 {
        let sent = true_us(n);
        let source = sent + sent / 1000 * off_ppm.unsigned_abs() / 1000;
        let source = if off_ppm < 0 { 2 * sent - source } else { source };
        let jitter = (n * 7919 % 31) * 1000;
        let into = (sent + 300_000_000) % 600_000_000;
        let stalled = 3_000_000_u64.saturating_sub(into);
        let now = us(10_000_000 + sent + jitter.max(stalled));
        let kind = if n % 2 == 0 { Video } else { Audio };
        let at = timeline.map(kind, us(source), now);
        if let Some((before, placed)) = last[index(kind)] {
            let beyond = at.as_secs_f64() - placed.as_secs_f64() - (source - before) as f64 / 1e6;
            step_us = step_us.max((beyond * 1e6).abs());
        }
        last[index(kind)] = Some((source, at));
        if n > 15 * 60 * 50 {
            furthest = furthest.max(ahead_ms(at, us(10_000_000 + sent)).abs());
        }
    }
    (furthest, step_us)
}

#[test]
fn another_crystal_is_followed_for_hours_in_steps_too_small_to_see_or_hear() {
    for off_ppm in [-500, -100, 0, 100, 500] {
        let (furthest_ms, step_us) = hours(5, off_ppm);
        assert!(furthest_ms < 40.0, "{off_ppm} ppm: {furthest_ms} ms from the clock");
        assert!(step_us <= 1000.0, "{off_ppm} ppm: a step of {step_us} us");
    }
}

#[test]
fn a_clock_that_is_five_percent_off_is_followed_without_a_new_time_base() {
    for off_ppm in [-50_000, 50_000] {
        let (furthest_ms, step_us) = hours(1, off_ppm);
        assert!(furthest_ms < 10_000.0, "{off_ppm} ppm: {furthest_ms} ms from the clock");
        assert!(step_us < 60_000.0, "{off_ppm} ppm: a step of {step_us} us");
    }
}

#[test]
fn timestamps_that_stand_still_fall_behind_by_so_much_and_no_more() {
    let mut timeline = Timeline::default();
    for n in 0..10_000 {
        let now = ms(n * 40);
        let at = timeline.map(Video, ms(5), now);
        assert!(now.saturating_sub(at) < ms(20_040), "{at:?} at {now:?}");
    }
}

proptest::proptest! {
    #[test]
    fn whatever_comes_is_placed_near_the_clock(
        samples in proptest::collection::vec(
            (proptest::bool::ANY, proptest::num::u64::ANY, 0_u64..3_000, 0_u32..64, 0_u8..50),
            1..200,
        )
    ) {
        let mut timeline = Timeline::default();
        let mut now_ms = 100_000;
        for (video, source, passed, shift, restart) in samples {
            now_ms += passed;
            if restart == 0 {
                timeline.restart();
            }
            let source = match shift {
                0 => Duration::MAX,
                _ => Duration::from_nanos(source >> shift),
            };
            let kind = if video { Video } else { Audio };
            let at = timeline.map(kind, source, ms(now_ms));
            let off = ahead_ms(at, ms(now_ms));
            proptest::prop_assert!((-20_001.0..20_202.0).contains(&off), "{off} ms");
        }
    }
}
