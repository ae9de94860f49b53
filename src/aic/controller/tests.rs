use super::*;

fn path(kilobits: f64, loss: f64) -> Measured {
    let patience = Duration::from_millis(60);
    Measured { bandwidth: kilobits * 1000.0, loss, voice: true, patience }
}

/// The choice after this many seconds on this path.
fn after(controller: &mut Controller, measured: Measured, start: Instant, seconds: u64) -> Choice {
    let mut choice = controller.decide(&measured, start);
    for tenth in 0..=seconds * 10 {
        choice = controller.decide(&measured, start + Duration::from_millis(100 * tenth));
    }
    choice
}

fn aic(stages: usize, frames: usize) -> Choice {
    Choice::Aic { stages, frames, redundant: 0 }
}

#[test]
fn the_ladder() {
    let check = |kilobits, expect| {
        let found = after(&mut Controller::new(), path(kilobits, 0.0), Instant::now(), 60);
        assert_eq!(found, expect, "{kilobits} kbit/s");
    };
    check(5.0, aic(14, 3));
    check(f64::NAN, aic(14, 3));
    check(16.0, aic(18, 2));
    check(18.0, aic(33, 2));
    check(22.0, Choice::Opus { bitrate: 9_000, frames: 2 });
    check(30.0, Choice::Opus { bitrate: 12_000, frames: 2 });
    check(60.0, Choice::Opus { bitrate: 20_000, frames: 1 });
    check(80.0, Choice::Opus { bitrate: 32_000, frames: 1 });
    check(600.0, Choice::Opus { bitrate: 128_000, frames: 1 });
}

#[test]
fn down_at_once_and_up_late() {
    let (mut controller, start) = (Controller::new(), Instant::now());
    let opus = Choice::Opus { bitrate: 9_000, frames: 2 };
    assert_eq!(controller.decide(&path(22.0, 0.0), start), opus);
    assert_eq!(controller.decide(&path(9.0, 0.0), start), aic(14, 3));
    assert_eq!(after(&mut controller, path(22.0, 0.0), start, 4), aic(14, 3));
    assert_eq!(after(&mut controller, path(22.0, 0.0), start, 16), opus);
}

#[test]
fn a_path_that_swings_does_not_make_the_codec_swing() {
    let (mut controller, start) = (Controller::new(), Instant::now());
    let choices: Vec<Choice> = (0..200_u32)
        .map(|i| {
            let kilobits = if i % 2 == 0 { 10.5 } else { 14.0 };
            controller.decide(&path(kilobits, 0.0), start + Duration::from_millis(300) * i)
        })
        .collect();
    assert!(choices.iter().all(|c| matches!(c, Choice::Aic { stages: 14, .. })), "{choices:?}");
}

#[test]
fn loss_brings_redundancy() {
    let check = |loss, expect| {
        let choice = Controller::new().decide(&path(18.0, loss), Instant::now());
        let Choice::Aic { redundant, .. } = choice else { panic!("{choice:?}") };
        assert_eq!(redundant, expect, "{loss}");
    };
    check(0.0, 0);
    check(0.03, 1);
    check(0.2, 2);
}

#[test]
fn a_better_rung_comes_before_shorter_packets() {
    let (mut controller, start) = (Controller::new(), Instant::now());
    assert_eq!(controller.decide(&path(12.0, 0.0), start), aic(14, 3));
    let better = after(&mut controller, path(16.0, 0.0), start, 5);
    assert_eq!(better, aic(18, 3));
    assert_eq!(after(&mut controller, path(16.0, 0.0), start, 7), aic(18, 2));
    assert_eq!(controller.decide(&path(14.0, 0.0), start + Duration::from_secs(8)), aic(18, 3));
}

#[test]
fn loss_makes_a_rung_that_repeats_nothing_worse_than_the_one_below() {
    let on = |loss| Controller::new().decide(&path(30.0, loss), Instant::now());
    assert_eq!(on(0.0), Choice::Opus { bitrate: 12_000, frames: 2 });
    assert!(matches!(on(0.1), Choice::Aic { stages: 33, redundant: 2, .. }), "{:?}", on(0.1));
}

#[test]
fn a_voice_on_a_lossy_path_gets_no_more_than_helps() {
    let check = |loss, voice, bitrate| {
        let found =
            Controller::new().decide(&Measured { voice, ..path(600.0, loss) }, Instant::now());
        assert_eq!(found, Choice::Opus { bitrate, frames: 1 }, "{loss}");
    };
    check(0.005, true, 128_000);
    check(0.02, true, 128_000);
    check(0.1, true, 64_000);
    check(0.005, false, 128_000);
    check(0.1, false, 64_000);
    let music = other(600_000.0, Duration::from_millis(60));
    assert_eq!(music, Choice::Opus { bitrate: 128_000, frames: 1 });
}

#[test]
fn music_and_a_failed_engine_get_opus_and_failures_wait_longer_each_time() {
    let (mut controller, start) = (Controller::new(), Instant::now());
    let music = Measured { voice: false, ..path(60.0, 0.0) };
    let sent = Controller::new().decide(&music, start);
    assert_eq!(sent, Choice::Opus { bitrate: 32_000, frames: 1 });
    let mut at = start;
    for wait in [10, 30, 120, 120] {
        controller.engine_failed(at);
        let still = at + Duration::from_secs(wait) - Duration::from_millis(1);
        assert!(matches!(controller.decide(&path(18.0, 0.0), still), Choice::Opus { .. }));
        at += Duration::from_secs(wait);
        assert!(matches!(controller.decide(&path(18.0, 0.0), at), Choice::Aic { .. }));
    }
}
