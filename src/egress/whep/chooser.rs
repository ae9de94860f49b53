//! Chooses the quality that a viewer's line carries.

use std::time::{Duration, Instant};

use crate::media::{Ladder, Rung};

/// What a quality needs of the line, as a multiple of its bit rate: pictures are not all of one size,
/// and lost packets are sent again.
const NEED_FACTOR: f64 = 1.15;

/// What sound needs beside it, in kbit/s.
const SOUND_KBPS: f64 = 130.0;

/// How much more than it needs the line must carry before a better quality is tried.
const UP_FACTOR: f64 = 1.1;

/// How long the line must carry less before the quality is lowered: estimates dip for a moment.
const DOWN_AFTER: Duration = Duration::from_millis(300);

/// How long the line must carry more before a better quality is tried, at first and at most.
const UP_AFTER: Duration = Duration::from_millis(1500);
const UP_AFTER_MAX: Duration = Duration::from_secs(48);

/// A better quality that is given up within this time was a mistake.
const MISTAKE_MAX: Duration = Duration::from_secs(10);

/// Bit rate up to which a viewer begins, in kbit/s: before anything is known of its line.
const START_KBPS: u32 = 1000;

/// Assumed bit rate of a source that is not measured yet, in kbit/s.
const SOURCE_KBPS: u32 = 3000;

/// The choice for one viewer. Pure: the time is an argument.
#[derive(Debug)]
pub(super) struct Chooser {
    tight_since: Option<Instant>,
    roomy_since: Option<Instant>,
    /// When a better quality was last tried.
    raised: Option<Instant>,
    up_after: Duration,
}

impl Default for Chooser {
    fn default() -> Self {
        Self { tight_since: None, roomy_since: None, raised: None, up_after: UP_AFTER }
    }
}

/// What a quality needs of the line, in kbit/s; `None` is the source.
pub(super) fn need_kbps(ladder: &Ladder, rung: Option<Rung>) -> f64 {
    let source = if ladder.source_kbps == 0 { SOURCE_KBPS } else { ladder.source_kbps };
    let kbps = rung.map_or(source, |rung| rung.kbps.unwrap_or(source));
    f64::from(kbps) * NEED_FACTOR + SOUND_KBPS
}

/// The quality to begin with, and the estimate to begin with in kbit/s.
pub(super) fn start(ladder: &Ladder) -> (Option<Rung>, u32) {
    let fits = |rung: &&Rung| rung.kbps.is_some_and(|kbps| kbps <= START_KBPS);
    let rung = ladder.rungs.iter().find(fits).or(ladder.rungs.last()).copied();
    (rung, START_KBPS.max(need_kbps(ladder, rung) as u32))
}

impl Chooser {
    /// The quality for a line that carries `estimate_kbps`, if it is another than `playing`.
    pub(super) fn decide(
        &mut self,
        now: Instant,
        ladder: &Ladder,
        playing: Option<Rung>,
        estimate_kbps: f64,
    ) -> Option<Option<Rung>> {
        let need = need_kbps(ladder, playing);
        let better = self.fitting(ladder, estimate_kbps / UP_FACTOR);
        let raises = need_kbps(ladder, better) > need;
        let held = |since: &mut Option<Instant>, holds: bool| {
            *since = since.filter(|_| holds).or(holds.then_some(now));
            since.map(|since| now.saturating_duration_since(since))
        };
        let tight = held(&mut self.tight_since, estimate_kbps < need);
        let roomy = held(&mut self.roomy_since, raises);
        if tight.is_some_and(|time| time >= DOWN_AFTER) {
            let lower = self.fitting(ladder, estimate_kbps);
            if need_kbps(ladder, lower) >= need {
                return None;
            }
            let mistake = self.raised.take().is_some_and(|at| now < at + MISTAKE_MAX);
            self.up_after = if mistake { (self.up_after * 2).min(UP_AFTER_MAX) } else { UP_AFTER };
            (self.tight_since, self.roomy_since) = (None, None);
            return Some(lower);
        }
        if roomy.is_some_and(|time| time >= self.up_after) {
            self.raised = Some(now);
            (self.tight_since, self.roomy_since) = (None, None);
            return Some(better);
        }
        None
    }

    /// The best quality that needs no more than this; else the one that needs least.
    fn fitting(&self, ladder: &Ladder, kbps: f64) -> Option<Rung> {
        let all = || std::iter::once(None).chain(ladder.rungs.iter().copied().map(Some));
        let fits = |rung: &Option<Rung>| need_kbps(ladder, *rung) <= kbps;
        let least = || all().min_by(|a, b| need_kbps(ladder, *a).total_cmp(&need_kbps(ladder, *b)));
        all().find(fits).or_else(least).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder() -> Ladder {
        let rung = |height, kbps| Rung { height, kbps: Some(kbps) };
        Ladder { source_kbps: 2500, rungs: vec![rung(480, 900), rung(240, 250)] }
    }

    /// The changes over a line that carries what `line` says at each tenth of a second.
    fn walk(line: impl Fn(u64) -> f64, tenths: u64) -> Vec<(u64, String)> {
        let (start, ladder) = (Instant::now(), ladder());
        let (mut chooser, mut playing) = (Chooser::default(), super::start(&ladder).0);
        let mut changes = Vec::new();
        for tenth in 0..tenths {
            let now = start + Duration::from_millis(100 * tenth);
            if let Some(next) = chooser.decide(now, &ladder, playing, line(tenth)) {
                playing = next;
                let name = playing.map_or("source".into(), |rung| rung.to_string());
                changes.push((tenth, name));
            }
        }
        changes
    }

    #[test]
    fn a_viewer_begins_low_and_follows_its_line() {
        let (rung, kbps) = super::start(&ladder());
        assert_eq!((rung.map(|r| r.height), kbps), (Some(480), 1165));
        let named = |list: &[(u64, &str)]| -> Vec<(u64, String)> {
            list.iter().map(|(at, name)| (*at, (*name).to_owned())).collect()
        };
        assert_eq!(walk(|_| 9000.0, 100), named(&[(15, "source")]));
        assert_eq!(walk(|_| 600.0, 100), named(&[(3, "240p")]));
        assert_eq!(walk(|_| 1200.0, 100), named(&[]));
        assert_eq!(walk(|t| if t == 5 { 100.0 } else { 1200.0 }, 100), named(&[]), "a dip");
        let good_again = |t| if t < 50 { 500.0 } else { 9000.0 };
        assert_eq!(walk(good_again, 100), named(&[(3, "240p"), (65, "source")]));
        assert_eq!(walk(|_| 10.0, 100), named(&[(3, "240p")]), "the least there is");
    }

    #[test]
    fn what_was_a_mistake_is_tried_again_later_and_later() {
        // Sounds well for some seconds and breaks down as soon as it is used.
        let changes = walk(|t| if t % 40 < 35 { 9000.0 } else { 1200.0 }, 1200);
        let ups = changes.iter().filter(|(_, name)| name == "source").count();
        assert!(ups <= 2, "{changes:?}");
    }
}
