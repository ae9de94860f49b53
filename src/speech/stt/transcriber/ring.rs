//! Audio that waits for the transcriber's thread: bounded, the oldest is dropped first.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::media::IgnorePoison;
use crate::speech::vad::SPEECH_RATE_HZ;

/// How often the thread wakes for its other work.
const WAKE_INTERVAL: Duration = Duration::from_millis(100);

/// With `wait`, the most samples taken at a time, so that decoding stays regular.
const PORTION_SAMPLES_MAX: usize = SPEECH_RATE_HZ / 5;

/// Audio and its running time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) at: Duration,
    pub(super) samples: Vec<f32>,
}

/// The result of a look into the ring.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Taken {
    pub(super) pieces: Vec<Piece>,
    /// Whether the audio has ended and none is left.
    pub(super) ended: bool,
    /// Whether the captions were closed.
    pub(super) closed: bool,
}

#[derive(Debug, Default)]
struct Inside {
    pieces: VecDeque<Piece>,
    samples: usize,
    ended: bool,
    closed: bool,
    failed: bool,
}

#[derive(Debug)]
pub(super) struct Ring {
    inside: Mutex<Inside>,
    filled: Condvar,
    emptied: Condvar,
    samples_max: usize,
    wait: bool,
}

impl Ring {
    pub(super) fn new(longest: Duration, wait: bool) -> Self {
        Self {
            inside: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            samples_max: (longest.as_secs_f64() * SPEECH_RATE_HZ as f64) as usize,
            wait,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().ignore_poison()
    }

    /// Adds audio; returns how many older samples were dropped.
    pub(super) fn push(&self, at: Duration, samples: &[f32]) -> usize {
        let mut inside = self.lock();
        while self.wait && inside.samples >= self.samples_max && !inside.closed {
            inside = self.emptied.wait(inside).ignore_poison();
        }
        if inside.closed || samples.is_empty() {
            return 0;
        }
        inside.samples += samples.len();
        inside.pieces.push_back(Piece { at, samples: samples.to_vec() });
        let mut skipped = 0;
        while !self.wait && inside.samples > self.samples_max && inside.pieces.len() > 1 {
            let gone = inside.pieces.pop_front().map_or(0, |p| p.samples.len());
            inside.samples -= gone;
            skipped += gone;
        }
        self.filled.notify_one();
        skipped
    }

    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.filled.notify_one();
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
        self.emptied.notify_all();
    }

    /// The thread that takes the audio has died.
    pub(super) fn fail(&self) {
        self.lock().failed = true;
        self.close();
    }

    pub(super) fn has_failed(&self) -> bool {
        self.lock().failed
    }

    /// Duration of the waiting audio.
    pub(super) fn waiting(&self) -> Duration {
        Duration::from_secs_f64(self.lock().samples as f64 / SPEECH_RATE_HZ as f64)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    pub(super) fn is_ended(&self) -> bool {
        self.lock().ended
    }

    /// What has come, after at most one tick. Without `hungry` it only waits and takes nothing.
    pub(super) fn take(&self, hungry: bool) -> Taken {
        let mut inside = self.lock();
        let idle = |i: &mut Inside| !i.closed && (!hungry || (i.pieces.is_empty() && !i.ended));
        if idle(&mut inside) {
            let waited = self.filled.wait_timeout(inside, WAKE_INTERVAL);
            inside = waited.ignore_poison().0;
        }
        let mut taken = Taken { closed: inside.closed, ..Taken::default() };
        let mut samples = 0;
        while hungry && !(self.wait && samples >= PORTION_SAMPLES_MAX) {
            let Some(piece) = inside.pieces.pop_front() else { break };
            samples += piece.samples.len();
            taken.pieces.push(piece);
        }
        inside.samples -= samples;
        taken.ended = hungry && inside.ended && inside.pieces.is_empty();
        self.emptied.notify_all();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn the_oldest_goes_when_it_is_full() {
        let ring = Ring::new(at(2), false);
        assert_eq!(ring.push(at(0), &[0.0; SPEECH_RATE_HZ]), 0);
        assert_eq!(ring.push(at(1), &[0.0; SPEECH_RATE_HZ]), 0);
        assert_eq!(ring.push(at(2), &[0.0; SPEECH_RATE_HZ]), SPEECH_RATE_HZ);
        assert_eq!(ring.waiting(), at(2));
        let taken = ring.take(true);
        assert_eq!(taken.pieces.iter().map(|p| p.at).collect::<Vec<_>>(), [at(1), at(2)]);
        assert!(!taken.ended);
        ring.end();
        assert!(ring.take(true).ended);
    }

    #[test]
    fn with_wait_nothing_is_lost() {
        let ring = std::sync::Arc::new(Ring::new(at(1), true));
        let from = std::sync::Arc::clone(&ring);
        let pusher = std::thread::spawn(move || {
            for second in 0..5 {
                assert_eq!(from.push(at(second), &[0.0; SPEECH_RATE_HZ]), 0);
            }
            from.end();
        });
        let mut seconds = Vec::new();
        loop {
            let taken = ring.take(true);
            seconds.extend(taken.pieces.iter().map(|p| p.at.as_secs()));
            if taken.ended {
                break;
            }
        }
        pusher.join().expect("no panic");
        assert_eq!(seconds, [0, 1, 2, 3, 4]);
    }
}
