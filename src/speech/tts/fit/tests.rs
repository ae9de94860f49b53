use proptest::prelude::*;

use super::*;

const DELAY: f64 = 3.0;

fn s(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn slot(start: f64, end: f64) -> Slot {
    Slot { start: s(start), end: s(end) }
}

/// Phrases as (now, slot, length), and the expected placements: `at x speed`, in seconds.
fn check(phrases: &[(f64, (f64, f64), f64)], expect: &[&str]) -> Counts {
    let mut fitter = Fitter::new(Limits::default());
    let place = |(now, (start, end), length): &(f64, (f64, f64), f64)| match fitter.place(
        s(*now),
        slot(*start, *end),
        s(*length),
        1.0,
        "a phrase",
    ) {
        Placement::Play { at, speed, .. } => format!("{:.2} x{speed:.2}", at.as_secs_f64()),
        Placement::Drop(dropped) => {
            format!("{} dropped, {:.2} late", dropped.text, dropped.late.as_secs_f64())
        }
    };
    assert_eq!(phrases.iter().map(place).collect::<Vec<_>>(), expect);
    fitter.counts()
}

#[test]
fn what_fits_plays_in_its_place_at_its_own_pace() {
    let counts =
        check(&[(2.0, (0.0, 4.0), 3.5), (6.0, (5.0, 8.0), 3.0)], &["3.00 x1.00", "8.00 x1.00"]);
    assert_eq!(counts, Counts { placed: 2, hurried: 0, dropped: 0 });
}

#[test]
fn what_is_longer_is_hurried_and_the_rest_goes_into_the_pause() {
    check(
        &[
            (2.0, (0.0, 4.0), 4.8),  // fits when hurried
            (5.0, (4.0, 6.0), 4.0),  // 3.2 s at the most: 1.2 s into the pause
            (8.0, (9.0, 12.0), 2.0), // the pause has absorbed it
        ],
        &["3.00 x1.20", "7.00 x1.25", "12.00 x1.00"],
    );
}

#[test]
fn a_backlog_is_carried_bounded_and_dropped_with_its_text() {
    // A speaker without pauses whose translation takes 1.5 times as long.
    let phrases: Vec<_> =
        (0..12).map(|n| f64::from(n) * 4.0).map(|t| (t, (t, t + 4.0), 6.0)).collect();
    let mut fitter = Fitter::new(Limits::default());
    let (mut end, mut dropped) = (Duration::ZERO, Vec::new());
    for (n, (now, (from, to), length)) in phrases.into_iter().enumerate() {
        let text = format!("phrase {n}");
        match fitter.place(s(now), slot(from, to), s(length), 1.0, &text) {
            Placement::Play { at, length, speed } => {
                assert!(at >= end && at <= s(from + DELAY + 6.0) && speed <= 1.25);
                end = at + length;
            }
            Placement::Drop(lost) => dropped.push(lost.text),
        }
    }
    let counts = fitter.counts();
    assert_eq!(counts.placed + counts.dropped, 12);
    assert_eq!(counts.dropped as usize, dropped.len());
    assert!(!dropped.is_empty() && dropped.len() <= 3, "{dropped:?}");
}

#[test]
fn what_comes_late_plays_at_once_or_not_at_all() {
    check(&[(8.0, (0.0, 4.0), 3.0)], &["8.00 x1.25"]);
    check(&[(9.5, (0.0, 4.0), 3.0)], &["a phrase dropped, 6.50 late"]);
}

#[test]
fn the_engine_is_asked_to_hurry_first_and_the_limit_holds_for_both() {
    let mut fitter = Fitter::new(Limits::default());
    let text = "x".repeat(66); // 4.4 s at 15 characters a second
    let rate = fitter.rate_for(s(1.0), slot(0.0, 4.0), &text);
    assert!((rate - 1.1).abs() < 0.01, "{rate}");
    // The engine spoke slower than requested: stretching does the rest, 1.25 in all.
    let placed = fitter.place(s(1.0), slot(0.0, 4.0), s(4.8), rate, &text);
    let Placement::Play { speed, .. } = placed else { panic!("{placed:?}") };
    assert!((speed * rate - 1.25).abs() < 0.001, "{speed} {rate}");
    // The fitter has learnt that this voice is slow.
    assert!(fitter.rate_for(s(6.0), slot(6.0, 10.0), &text) > rate);
}

proptest! {
    #[test]
    fn phrases_never_overlap_never_play_in_the_past_and_are_all_accounted_for(
        phrases in prop::collection::vec((0u64..3000, 0u64..4000, 0u64..8000, 0u64..9000), 1..60)
    ) {
        let (mut fitter, mut start, mut now, mut end) =
            (Fitter::new(Limits::default()), Duration::ZERO, Duration::ZERO, Duration::ZERO);
        let ms = Duration::from_millis;
        for (pause, original, length, made_after) in &phrases {
            start += ms(*pause);
            let slot = Slot { start, end: start + ms(*original) };
            start = slot.end;
            now = now.max(slot.end + ms(*made_after));
            match fitter.place(now, slot, ms(*length), 1.0, "text of the phrase") {
                Placement::Play { at, speed, length: fitted } => {
                    prop_assert!(at >= now && at >= end && (1.0..=1.25).contains(&speed));
                    prop_assert!(at <= slot.start + ms(3000) + ms(6000));
                    prop_assert!(fitted.as_secs_f64() * 1.2501 >= ms(*length).as_secs_f64());
                    end = at + fitted;
                }
                Placement::Drop(dropped) => {
                    prop_assert!(dropped.late > ms(6000) && dropped.text == "text of the phrase");
                }
            }
        }
        let counts = fitter.counts();
        prop_assert_eq!(counts.placed + counts.dropped, phrases.len() as u64);
    }
}
