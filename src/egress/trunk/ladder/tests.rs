use super::*;

const ENCODED: VideoNeeds = VideoNeeds { wanted: 1_500_000.0, encoded: true };
const PASSED: VideoNeeds = VideoNeeds { wanted: 800_000.0, encoded: false };

fn path(kilobits: f64) -> Path {
    let patience = Duration::from_millis(60);
    Path { bandwidth: kilobits * 1000.0, loss: 0.0, voice: true, speech: true, patience }
}

/// The decision after `seconds`, with two calls per second.
fn after(ladder: &mut Ladder, kilobits: f64, start: Instant, seconds: u64) -> Decision {
    let at = |half: u64| start + Duration::from_millis(500 * half);
    let looks = 0..=seconds * 2;
    looks.map(|half| ladder.decide(&path(kilobits), at(half))).last().expect("one look")
}

#[test]
fn sound_comes_first_and_pictures_get_the_rest() {
    let check = |kilobits: f64, codec: &str, level: Level| {
        let found = after(&mut Ladder::new(Some(ENCODED)), kilobits, Instant::now(), 60);
        let audio = format!("{:?}", found.audio());
        assert!(audio.starts_with(codec), "{kilobits} kbit/s: {audio}");
        assert_eq!(found.level, level, "{kilobits} kbit/s");
        let sum = found.audio().wire() + if level == Level::Off { 0.0 } else { found.video };
        let fits = sum <= kilobits * 1000.0 || level == Level::Off;
        assert!(fits, "{kilobits} kbit/s: {sum}");
    };
    check(12.0, "Aic { stages: 14", Level::Off);
    check(60.0, "Aic { stages: 33", Level::Stills);
    check(300.0, "Opus { bitrate: 12000, frames: 2", Level::Half);
    check(550.0, "Opus { bitrate: 20000", Level::Full);
    check(2000.0, "Opus", Level::Full);
}

#[test]
fn sound_has_what_pictures_leave_and_what_its_codec_needs() {
    let start = Instant::now();
    let mut passed = Ladder::new(Some(PASSED));
    assert_eq!(
        after(&mut passed, 300.0, start, 14).voice,
        Choice::Opus { bitrate: 32_000, frames: 1 }
    );
    let music = Path { speech: false, ..path(300.0) };
    let decision = Ladder::new(Some(ENCODED)).decide(&music, start);
    assert_eq!(decision.audio(), Choice::Opus { bitrate: 20_000, frames: 1 });
    assert!(decision.audio().wire() + decision.video <= 300_000.0, "{decision:?}");
}

#[test]
fn pictures_that_cannot_be_smaller_stop_after_a_burst_and_are_tried_again() {
    let (mut ladder, start) = (Ladder::new(Some(PASSED)), Instant::now());
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    assert_eq!(after(&mut ladder, 2000.0, start, 10).level, Level::Full);
    assert_eq!(ladder.decide(&path(300.0), at(11)).level, Level::Full, "a burst");
    assert_eq!(ladder.decide(&path(300.0), at(14)).level, Level::Off);
    assert_eq!(after(&mut ladder, 300.0, at(15), 13).level, Level::Off);
    // A low estimate during little traffic does not rule out more bandwidth.
    assert_eq!(ladder.decide(&path(300.0), at(29)).level, Level::Full, "tried again");
    assert_eq!(ladder.decide(&path(300.0), at(30)).level, Level::Full, "for a moment");
    assert_eq!(after(&mut ladder, 300.0, at(31), 20).level, Level::Off);
    assert_eq!(ladder.decide(&path(2000.0), at(52)).level, Level::Off, "not at once");
    assert_eq!(after(&mut ladder, 2000.0, at(53), 6).level, Level::Full);
    assert_eq!(after(&mut ladder, 30.0, at(60), 300).level, Level::Off, "hopeless");
}

#[test]
fn down_at_once_and_up_late() {
    let (mut ladder, start) = (Ladder::new(Some(ENCODED)), Instant::now());
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    assert_eq!(ladder.decide(&path(2000.0), start).level, Level::Full);
    assert_eq!(ladder.decide(&path(60.0), at(1)).level, Level::Stills);
    assert_eq!(ladder.decide(&path(2000.0), at(2)).level, Level::Stills);
    assert_eq!(ladder.decide(&path(2000.0), at(8)).level, Level::Full);
}

#[test]
fn without_pictures_voice_has_it_all() {
    let found = after(&mut Ladder::new(None), 60.0, Instant::now(), 30);
    assert_eq!((found.level, found.video), (Level::Off, 0.0));
    assert_eq!(found.audio(), Choice::Opus { bitrate: 20_000, frames: 1 });
}
