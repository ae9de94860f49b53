//! Which engine of the order of preference transcribes a stream.
//!
//! The first that works does. A failed engine is tried again after a pause that doubles; meanwhile
//! the next one takes over. If an engine starts slowly, the next is started beside it after a
//! while. A better engine that is available again takes over at a pause of the speaker, never
//! within a word.
//!
//! Invariant: pure. `now` comes from outside.

use std::time::Duration;

use crate::media::Backoff;

/// Pauses before a failed engine is tried again: 2-120 s. An engine that worked for 60 s before it
/// failed starts with the first pause again.
const RETRY_PAUSES: Backoff =
    Backoff::new(Duration::from_secs(2), Duration::from_secs(120), Duration::from_secs(60));

/// After this time the next engine is started beside one that is still starting.
const START_PATIENCE: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Not running; may be started from `at` on.
    Idle {
        at: Duration,
    },
    Starting {
        since: Duration,
    },
    Ready {
        since: Duration,
    },
}

/// The next action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Start this engine, then call [`Lineup::started`] or [`Lineup::failed`].
    Start(usize),
    /// Drop this engine: a better one is ready.
    Drop(usize),
    /// Do nothing.
    Wait,
}

/// The engines of one stream by number, best first.
#[derive(Clone, Debug)]
pub(super) struct Lineup {
    slots: Vec<(State, Backoff)>,
    current: Option<usize>,
}

impl Lineup {
    /// This number of engines, none started.
    pub(super) fn new(engines: usize) -> Self {
        Self {
            slots: vec![(State::Idle { at: Duration::ZERO }, RETRY_PAUSES); engines],
            current: None,
        }
    }

    /// The engine that transcribes the stream.
    pub(super) fn current(&self) -> Option<usize> {
        self.current
    }

    /// The next action. `pause`: there is no speech, so the engine may change.
    pub(super) fn next(&mut self, now: Duration, pause: bool) -> Step {
        let ready = |(state, _): &(State, Backoff)| matches!(state, State::Ready { .. });
        let best = self.slots.iter().position(ready);
        match (best, self.current) {
            (Some(best), None) => self.current = Some(best),
            (Some(best), Some(current)) if best < current && pause => self.current = Some(best),
            _ => {}
        }
        let busy = self.current.unwrap_or(self.slots.len());
        if let Some(worse) = (busy + 1..self.slots.len()).find(|n| ready(&self.slots[*n])) {
            self.slots[worse].0 = State::Idle { at: now };
            return Step::Drop(worse);
        }
        for (n, slot) in self.slots.iter_mut().enumerate().take(busy) {
            match slot.0 {
                State::Idle { at } if now >= at => {
                    slot.0 = State::Starting { since: now };
                    return Step::Start(n);
                }
                State::Starting { since } if now < since + START_PATIENCE => return Step::Wait,
                _ => {}
            }
        }
        Step::Wait
    }

    /// An engine has started.
    pub(super) fn started(&mut self, engine: usize, now: Duration) {
        if let Some(slot) = self.slots.get_mut(engine) {
            slot.0 = State::Ready { since: now };
        }
    }

    /// An engine has failed, at its start or in use. Returns when it may be tried again.
    pub(super) fn failed(&mut self, engine: usize, now: Duration) -> Duration {
        let Some((state, pauses)) = self.slots.get_mut(engine) else { return now };
        let ran = match state {
            State::Ready { since } => now.saturating_sub(*since),
            State::Idle { .. } | State::Starting { .. } => Duration::ZERO,
        };
        let pause = pauses.pause(ran);
        *state = State::Idle { at: now + pause };
        if self.current == Some(engine) {
            self.current = None;
        }
        now + pause
    }

    /// Whether an engine is starting, so that it is too early to report that there is none.
    pub(super) fn is_starting(&self) -> bool {
        self.slots.iter().any(|(s, _)| matches!(s, State::Starting { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_first_hears_when_it_has_started() {
        let mut lineup = Lineup::new(2);
        assert_eq!(lineup.next(s(0), true), Step::Start(0));
        assert_eq!(lineup.next(s(1), true), Step::Wait);
        lineup.started(0, s(1));
        assert_eq!(lineup.next(s(1), true), Step::Wait);
        assert_eq!(lineup.current(), Some(0));
    }

    #[test]
    fn a_slow_start_brings_the_next_and_the_better_one_takes_over_at_a_pause() {
        let mut lineup = Lineup::new(2);
        assert_eq!(lineup.next(s(0), true), Step::Start(0));
        assert_eq!(lineup.next(s(3), true), Step::Start(1));
        lineup.started(1, s(4));
        assert_eq!(lineup.next(s(4), false), Step::Wait);
        assert_eq!(lineup.current(), Some(1));
        lineup.started(0, s(9));
        assert_eq!(lineup.next(s(9), false), Step::Wait);
        assert_eq!(lineup.current(), Some(1), "not within a word");
        assert_eq!(lineup.next(s(10), true), Step::Drop(1));
        assert_eq!(lineup.current(), Some(0));
    }

    #[test]
    fn one_that_dies_is_tried_again_after_pauses_that_double() {
        let mut lineup = Lineup::new(2);
        lineup.next(s(0), true);
        lineup.started(0, s(0));
        lineup.next(s(0), true);
        assert_eq!(lineup.failed(0, s(1)), s(3));
        assert_eq!(lineup.current(), None);
        assert_eq!(lineup.next(s(1), false), Step::Start(1));
        lineup.started(1, s(2));
        assert_eq!(lineup.next(s(2), false), Step::Wait);
        assert_eq!(lineup.next(s(3), false), Step::Start(0));
        assert_eq!(lineup.failed(0, s(4)), s(8));
        assert_eq!(lineup.current(), Some(1));
        assert_eq!(lineup.next(s(7), false), Step::Wait);
        assert_eq!(lineup.next(s(8), false), Step::Start(0));
        lineup.started(0, s(8));
        assert_eq!(lineup.next(s(8), true), Step::Drop(1));
        assert_eq!(lineup.failed(0, s(100)), s(102), "a good run forgives");
    }

    #[test]
    fn without_engines_there_is_nothing_to_do() {
        let mut lineup = Lineup::new(0);
        assert_eq!(lineup.next(s(0), true), Step::Wait);
        assert_eq!((lineup.current(), lineup.is_starting()), (None, false));
    }
}
