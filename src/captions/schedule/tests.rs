//! The order in which pieces are displayed, for any order of frames.

use proptest::prelude::*;

use super::*;

/// Numbers of the pieces in a frame.
type Numbers = Vec<u32>;

impl Piece for Numbers {
    fn absorb(&mut self, earlier: Self) -> bool {
        self.splice(0..0, earlier);
        true
    }
}

const STEP: Duration = Duration::from_millis(40);

/// Sends frames and returns each with its pieces, in the order of presentation.
fn shown(schedule: &mut Schedule<Numbers>, frames: &[Frame]) -> Vec<(Duration, Numbers)> {
    let mut next = 0;
    let mut carried: Vec<(Duration, Numbers)> = frames
        .iter()
        .map(|frame| {
            let piece = schedule.take(*frame, |_| {
                next += 1;
                vec![next]
            });
            (frame.pts, piece.unwrap_or_default())
        })
        .collect();
    carried.sort_by_key(|(pts, _)| *pts);
    carried
}

/// Frames at these places of the presentation order, in decoding order, with decoding times `delay`
/// frames early; places are not negative.
fn frames(places: &[u32], delay: Option<u32>) -> Vec<Frame> {
    let start = Duration::from_secs(10);
    let frame = |(n, place): (usize, &u32)| Frame {
        pts: start + STEP * *place,
        dts: delay.map(|delay| start + STEP * n as u32 - STEP * delay),
        duration: Some(STEP),
    };
    places.iter().enumerate().map(frame).collect()
}

/// A decoding order with runs of this many frames between reference frames.
fn order(runs: &[usize], pyramid: bool) -> Vec<u32> {
    fn pyramids(from: u32, to: u32, into: &mut Vec<u32>) {
        if to - from > 1 {
            let middle = (from + to) / 2;
            into.push(middle);
            pyramids(from, middle, into);
            pyramids(middle, to, into);
        }
    }
    let (mut places, mut last) = (vec![0], 0);
    for run in runs {
        let next = last + *run as u32 + 1;
        places.push(next);
        if pyramid {
            pyramids(last, next, &mut places);
        } else {
            places.extend(last + 1..next);
        }
        last = next;
    }
    places
}

fn numbers(carried: &[(Duration, Numbers)]) -> Numbers {
    carried.iter().flat_map(|(_, numbers)| numbers.iter().copied()).collect()
}

#[test]
fn frames_in_order_carry_one_piece_each() {
    let mut schedule = Schedule::default();
    let carried = shown(&mut schedule, &frames(&[0, 1, 2, 3, 4, 5], Some(0)));
    assert_eq!(numbers(&carried), [1, 2, 3, 4, 5, 6]);
    assert_eq!(schedule.stats(), ScheduleStats::default());
}

#[test]
fn reordered_frames_carry_pieces_in_the_order_of_presentation() {
    for delay in [Some(1), None] {
        let mut schedule = Schedule::default();
        let places = order(&[2; 30], false);
        let carried = shown(&mut schedule, &frames(&places, delay));
        let all = numbers(&carried);
        assert!(all.is_sorted(), "{all:?}");
        let empty: Vec<usize> = (0..carried.len()).filter(|n| carried[*n].1.is_empty()).collect();
        assert!(empty.iter().all(|n| *n < 12), "only what came first has none: {empty:?}");
        assert_eq!(all.len() as u32, *all.last().expect("some"), "nothing is lost");
        assert_eq!(schedule.stats().lost, 0);
    }
}

#[test]
fn missing_frames_lose_nothing_without_reordering() {
    let mut schedule = Schedule::default();
    let carried = shown(&mut schedule, &frames(&[0, 1, 2, 5, 6, 9, 10, 20], None));
    assert_eq!(numbers(&carried), [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn a_missing_frame_hands_its_piece_to_the_next_one() {
    let mut schedule = Schedule::default();
    let mut all = frames(&order(&[3; 12], false), Some(1));
    // The first of the three frames of the last run.
    let gone = all.len() - 3;
    all.remove(gone);
    let carried = shown(&mut schedule, &all);
    let sent = numbers(&carried);
    assert!(sent.is_sorted(), "{sent:?}");
    assert_eq!(carried[carried.len() - 3].1.len(), 2, "{carried:?}");
    assert_eq!(schedule.stats().lost, 0);
}

#[test]
fn jumps_are_survived_in_both_directions() {
    let mut schedule = Schedule::default();
    let mut all = frames(&order(&[2; 6], false), Some(1));
    for frame in &mut all[10..] {
        frame.pts += Duration::from_secs(3600);
        frame.dts = None;
    }
    shown(&mut schedule, &all);
    let back = shown(&mut schedule, &frames(&[0, 1, 2, 3], None));
    assert!(back.iter().all(|(_, numbers)| numbers.len() == 1), "{back:?}");
    assert_eq!(schedule.stats().jumps, 2);
}

proptest! {
    #[test]
    fn nothing_is_ever_shown_out_of_order(
        runs in proptest::collection::vec(0..8_usize, 1..40),
        pyramid: bool,
        with_dts: bool,
        jitter in proptest::collection::vec(0..12_u64, 200),
        dropped in proptest::collection::vec(0..20_u8, 200),
    ) {
        let places = order(&runs, pyramid);
        let mut all = frames(&places, with_dts.then_some(4));
        for (n, frame) in all.iter_mut().enumerate() {
            frame.pts += Duration::from_millis(jitter[places[n] as usize % jitter.len()]);
        }
        let mut n = 0;
        all.retain(|_| {
            n += 1;
            dropped[n % dropped.len()] > 0
        });
        let mut schedule = Schedule::default();
        let mut made = 0;
        let mut times = Vec::new();
        let mut carried: Vec<(Duration, Numbers)> = Vec::new();
        for frame in &all {
            let piece = schedule.take(*frame, |slot| {
                made += 1;
                times.push(slot.at);
                vec![made]
            });
            carried.push((frame.pts, piece.unwrap_or_default()));
        }
        carried.sort_by_key(|(pts, _)| *pts);
        let sent = numbers(&carried);
        prop_assert!(sent.is_sorted(), "{:?}", carried);
        prop_assert!(times.is_sorted(), "slots are made in the order of presentation");
        let held: usize = schedule.slots.iter().flat_map(|(_, piece)| piece).map(Vec::len).sum();
        let missing = made as usize - sent.len() - held;
        prop_assert!((missing > 0) == (schedule.stats().lost > 0), "{} missing", missing);
        prop_assert!(schedule.slots.len() <= REORDERED_FRAMES_MAX + 1);
    }

    #[test]
    fn arbitrary_times_do_no_harm(
        times in proptest::collection::vec((0..100_000_u64, proptest::option::of(0..100_000_u64)), 0..300),
    ) {
        let mut schedule = Schedule::default();
        for (pts, dts) in times {
            let ms = Duration::from_millis;
            let frame = Frame { pts: ms(pts), dts: dts.map(ms), duration: None };
            schedule.take(frame, |_| vec![1]);
            prop_assert!(schedule.slots.len() <= REORDERED_FRAMES_MAX + 1);
        }
    }
}
