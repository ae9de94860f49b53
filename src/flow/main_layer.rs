//! Chooses which layer of a publisher's video is the stream's video.

use std::time::Duration;

/// A layer is silent when it has sent nothing for this long while another one went on.
const SILENT_AFTER: Duration = Duration::from_millis(500);

/// Least frames that another layer has sent meanwhile: of a screen that stands still, each layer sends
/// a frame a second.
const SILENT_FRAMES_MIN: u32 = 8;

/// How long a better layer must have come before the video moves to it.
const STEADY_AFTER: Duration = Duration::from_millis(500);

/// The same for a layer that has been silent before: a thin line stops and starts it.
const STEADY_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// One layer, as far as the choice needs it.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Pixels of its picture.
    pixels: u64,
    /// When it last sent a frame; `None` before the first.
    last: Option<Duration>,
    /// Since when it sends without a silence.
    since: Duration,
    /// Frames of other layers since its last one, the most of one layer.
    missed_frames: u32,
    has_been_silent: bool,
}

impl Seen {
    fn is_silent(&self, now: Duration) -> bool {
        let passed = self.last.is_none_or(|last| now.saturating_sub(last) >= SILENT_AFTER);
        passed && (self.last.is_none() || self.missed_frames >= SILENT_FRAMES_MIN)
    }

    fn is_steady(&self, now: Duration) -> bool {
        let needed = if self.has_been_silent { STEADY_AGAIN_AFTER } else { STEADY_AFTER };
        !self.is_silent(now) && now.saturating_sub(self.since) >= needed
    }
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// It is a frame of the stream's video.
    pub(super) passes: bool,
    /// This layer is needed: it shall send a key frame.
    pub(super) ask: Option<usize>,
}

/// The choice among the layers of one publisher: the one with the largest picture that comes. It moves
/// at a key frame. Pure: the time is an argument, the running time of any clock.
#[derive(Debug, Default)]
pub(super) struct MainLayer {
    layers: Vec<Seen>,
    playing: Option<usize>,
    /// Frames of each layer since the last frame of each other: row `n` counts those since layer `n`'s.
    counts: Vec<Vec<u32>>,
}

impl MainLayer {
    /// Adds a layer; the first has index 0.
    pub(super) fn add(&mut self) -> usize {
        self.layers.push(Seen::default());
        self.counts.iter_mut().for_each(|row| row.push(0));
        self.counts.push(vec![0; self.layers.len()]);
        self.layers.len() - 1
    }

    /// The layer that is the stream's video; `None` before the first key frame.
    pub(super) fn playing(&self) -> Option<usize> {
        self.playing
    }

    /// Whether a layer comes.
    pub(super) fn comes(&self, layer: usize, now: Duration) -> bool {
        self.layers.get(layer).is_some_and(|seen| !seen.is_silent(now))
    }

    /// Takes note of a frame of a layer with a picture of this many pixels.
    pub(super) fn frame(
        &mut self,
        layer: usize,
        is_key: bool,
        pixels: u64,
        now: Duration,
    ) -> Verdict {
        self.note(layer, pixels, now);
        let wanted = self.wanted(now);
        if is_key && wanted == Some(layer) {
            self.playing = wanted;
        }
        let passes = self.playing == Some(layer);
        let ask = wanted.filter(|wanted| self.playing != Some(*wanted));
        Verdict { passes, ask }
    }

    fn note(&mut self, layer: usize, pixels: u64, now: Duration) {
        let Some(seen) = self.layers.get_mut(layer) else { return };
        if seen.is_silent(now) {
            seen.has_been_silent = seen.last.is_some();
            seen.since = now;
        }
        (seen.pixels, seen.last, seen.missed_frames) = (pixels, Some(now), 0);
        self.counts[layer].fill(0);
        for (n, other) in self.layers.iter_mut().enumerate().filter(|(n, _)| *n != layer) {
            let missed = &mut self.counts[n][layer];
            *missed = missed.saturating_add(1);
            other.missed_frames = other.missed_frames.max(*missed);
        }
    }

    /// The layer that the video should be: the one that plays, unless it is silent or a better one is
    /// steady.
    fn wanted(&self, now: Duration) -> Option<usize> {
        let best = |fits: &dyn Fn(&Seen) -> bool| {
            let fitting = self.layers.iter().enumerate().filter(|(_, seen)| fits(seen));
            fitting.max_by_key(|(_, seen)| seen.pixels).map(|(n, _)| n)
        };
        let playing = self.playing.and_then(|n| Some((n, self.layers.get(n)?)));
        let Some((n, playing)) = playing.filter(|(_, seen)| !seen.is_silent(now)) else {
            return best(&|seen| !seen.is_silent(now)).or(self.playing);
        };
        best(&|seen| seen.pixels > playing.pixels && seen.is_steady(now)).or(Some(n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [u64; 3] = [320 * 180, 640 * 360, 1280 * 720];

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Layers that send 30 frames a second while `comes` says so, each with a key frame when it is asked
    /// for one. Returns when the video moved to which layer, in ms.
    fn walk(seconds: u64, comes: impl Fn(usize, u64) -> bool) -> Vec<(u64, usize)> {
        let (mut main, mut moves, mut asked) = (MainLayer::default(), Vec::new(), [true; 3]);
        for _ in SIZES {
            main.add();
        }
        for frame in 0..30 * seconds {
            let ms = frame * 1000 / 30;
            for layer in (0..3).filter(|layer| comes(*layer, ms)) {
                let is_key = std::mem::take(&mut asked[layer]);
                let before = main.playing();
                let verdict = main.frame(layer, is_key, SIZES[layer], at(ms));
                if let Some(ask) = verdict.ask {
                    asked[ask] = true;
                }
                if main.playing() != before {
                    assert!(is_key && verdict.passes, "it moves at a key frame");
                    moves.push((ms, layer));
                }
            }
        }
        moves
    }

    #[test]
    fn the_video_moves_up_as_layers_come() {
        let moves = walk(4, |layer, ms| ms >= 1000 * layer as u64);
        assert_eq!(moves, [(0, 0), (1500, 1), (2500, 2)]);
    }

    #[test]
    fn a_layer_that_stops_is_replaced_and_must_be_steady_to_return() {
        let stopped = |layer, ms| layer < 2 || !(2000..4000).contains(&ms);
        let moves = walk(12, stopped);
        assert_eq!(moves[..2], [(0, 0), (500, 2)], "the largest that comes");
        assert!(matches!(moves[2], (2466..=2550, 1)), "{moves:?}");
        assert!(matches!(moves[3], (9000..=9050, 2)), "{moves:?}");
        assert_eq!(moves.len(), 4);
    }

    #[test]
    fn a_screen_that_stands_still_keeps_its_layer() {
        // A frame a second of each layer, one after the other.
        let mut main = MainLayer::default();
        for _ in SIZES {
            main.add();
        }
        for ms in (0..2000).step_by(33) {
            for (layer, pixels) in SIZES.into_iter().enumerate() {
                main.frame(layer, true, pixels, at(ms));
            }
        }
        for second in 2..30 {
            for (layer, pixels) in SIZES.into_iter().enumerate() {
                let verdict = main.frame(layer, false, pixels, at(second * 1000));
                assert_eq!(verdict, Verdict { passes: layer == 2, ask: None }, "{second}");
            }
        }
        assert!(main.comes(2, at(30_000)));
    }

    #[test]
    fn the_only_layer_left_plays_even_while_it_is_late() {
        let mut main = MainLayer::default();
        main.add();
        assert!(main.frame(0, true, SIZES[0], at(0)).passes);
        assert!(main.frame(0, false, SIZES[0], at(9000)).passes, "after a silence of all");
    }
}
