//! Turns probabilities of speech into an open or closed gate.

use std::time::Duration;

/// When a gate opens and closes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GateConfig {
    /// At or above this probability a frame counts as speech while the gate is closed.
    pub on: f32,
    /// Below this probability a frame counts as silence while the gate is open.
    pub off: f32,
    /// This much speech within the last [`GateConfig::onset_window`] opens the gate.
    pub onset: Duration,
    /// Period that is searched for the onset.
    pub onset_window: Duration,
    /// This much silence closes the gate.
    pub hangover: Duration,
}

impl Default for GateConfig {
    /// Measured with Silero on noises and utterances: see "Captions" in `docs/measurements.md`.
    fn default() -> Self {
        Self {
            on: 0.5,
            off: 0.35,
            onset: Duration::from_millis(96),
            onset_window: Duration::from_millis(160),
            hangover: Duration::from_millis(300),
        }
    }
}

/// A change of the gate by a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Edge {
    /// Speech has begun, `since` before the end of this frame.
    Opened {
        /// Time since the first frame of the onset.
        since: Duration,
    },
    /// Speech has ended, one hang-over ago.
    Closed(SpeechSegment),
}

/// What passed while a gate was open.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SpeechSegment {
    /// Total time of the frames that counted as speech.
    pub speech: Duration,
    /// Time from the onset to now.
    pub lasted: Duration,
    /// Mean probability of the frames that counted as speech, 0-1.
    pub sureness: f32,
}

/// The mean probability required of an utterance, by its amount of speech: shorter ones must be
/// more certain. Of 150 noises none passes with Silero; the least certain of 69 utterances has
/// 0.86.
const SURENESS_BY_SPEECH: [(Duration, f32); 3] = [
    (Duration::from_millis(1000), 0.75),
    (Duration::from_millis(500), 0.85),
    (Duration::from_millis(180), 0.9),
];

impl SpeechSegment {
    /// Whether it is likely enough to be speech to ask an engine.
    pub fn is_speech(&self) -> bool {
        SURENESS_BY_SPEECH
            .iter()
            .any(|(speech, sure)| self.speech >= *speech && self.sureness >= *sure)
    }

    /// Share of speech, 0-1, not counting the hang-over at the end of every utterance.
    pub fn ratio(&self, hangover: Duration) -> f32 {
        let voiced = self.lasted.saturating_sub(hangover).max(self.speech);
        if voiced.is_zero() { 0.0 } else { self.speech.as_secs_f32() / voiced.as_secs_f32() }
    }
}

/// Opens on speech, closes after a pause. Pure: time is the duration of the frames.
#[derive(Clone, Debug)]
pub struct Gate {
    config: GateConfig,
    open: bool,
    /// Frames of the onset window, newest last: duration and probability.
    recent: std::collections::VecDeque<(Duration, f32)>,
    silence: Duration,
    spoken: SpeechSegment,
    sum: f32,
}

impl Gate {
    /// A closed gate.
    pub fn new(config: GateConfig) -> Self {
        Self {
            config,
            open: false,
            recent: std::collections::VecDeque::new(),
            silence: Duration::ZERO,
            spoken: SpeechSegment::default(),
            sum: 0.0,
        }
    }

    /// Whether there is speech, or was within the hang-over.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// What has passed since the gate opened.
    pub fn spoken(&self) -> SpeechSegment {
        self.spoken
    }

    /// Takes the next frame.
    pub fn step(&mut self, probability: f32, frame: Duration) -> Option<Edge> {
        if self.open {
            self.while_open(probability, frame)
        } else {
            self.while_closed(probability, frame)
        }
    }

    /// Closes at once, if the audio is interrupted. Returns what had passed if it was open.
    pub fn close(&mut self) -> Option<SpeechSegment> {
        let spoken = self.open.then_some(self.spoken);
        *self = Self::new(self.config);
        spoken
    }

    fn while_closed(&mut self, probability: f32, frame: Duration) -> Option<Edge> {
        self.recent.push_back((frame, probability));
        let mut length: Duration = self.recent.iter().map(|(d, _)| *d).sum();
        while length > self.config.onset_window.max(frame) {
            length -= self.recent.pop_front().map_or(length, |(d, _)| d);
        }
        let likely = |(_, p): &&(Duration, f32)| *p >= self.config.on;
        let speech: Duration = self.recent.iter().filter(likely).map(|(d, _)| *d).sum();
        if speech < self.config.onset {
            return None;
        }
        let skipped: Duration =
            self.recent.iter().take_while(|f| !likely(f)).map(|(d, _)| *d).sum();
        let since = length - skipped;
        self.open = true;
        self.silence = Duration::ZERO;
        self.sum = self.recent.iter().filter(likely).map(|(d, p)| d.as_secs_f32() * p).sum();
        self.spoken =
            SpeechSegment { speech, lasted: since, sureness: self.sum / speech.as_secs_f32() };
        self.recent.clear();
        Some(Edge::Opened { since })
    }

    fn while_open(&mut self, probability: f32, frame: Duration) -> Option<Edge> {
        self.spoken.lasted += frame;
        if probability < self.config.off {
            self.silence += frame;
        } else {
            self.silence = Duration::ZERO;
            self.spoken.speech += frame;
            self.sum += probability * frame.as_secs_f32();
            self.spoken.sureness = self.sum / self.spoken.speech.as_secs_f32();
        }
        if self.silence < self.config.hangover {
            return None;
        }
        self.close().map(Edge::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Duration = Duration::from_millis(16);

    /// Edges over frames of these probabilities: index of the frame, and whether the gate opened.
    fn edges(gate: &mut Gate, probabilities: impl IntoIterator<Item = f32>) -> Vec<(usize, bool)> {
        let mut found = Vec::new();
        for (n, p) in probabilities.into_iter().enumerate() {
            if let Some(edge) = gate.step(p, FRAME) {
                found.push((n, matches!(edge, Edge::Opened { .. })));
            }
        }
        found
    }

    #[test]
    fn a_click_does_not_open_it_and_speech_does() {
        let mut gate = Gate::new(GateConfig::default());
        let clicks = [0.0, 0.9, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(edges(&mut gate, clicks.repeat(5)), []);
        assert_eq!(edges(&mut gate, [0.9; 10]), [(5, true)]);
        assert!(gate.is_open());
    }

    #[test]
    fn it_stays_open_over_short_pauses_and_closes_after_the_hangover() {
        let mut gate = Gate::new(GateConfig::default());
        let heard = [[0.9; 10], [0.1; 10], [0.5; 10], [0.1; 10], [0.1; 10]].concat();
        assert_eq!(edges(&mut gate, heard), [(5, true), (48, false)]);
    }

    #[test]
    fn it_says_how_much_speech_there_was() {
        let mut gate = Gate::new(GateConfig::default());
        for p in [[0.9; 20], [0.1; 20]].concat() {
            if let Some(Edge::Closed(spoken)) = gate.step(p, FRAME) {
                assert_eq!(spoken.speech, FRAME * 20);
                assert!((spoken.sureness - 0.9).abs() < 0.01, "{spoken:?}");
                assert!(spoken.ratio(GateConfig::default().hangover) > 0.9, "{spoken:?}");
                return;
            }
        }
        panic!("it never closed");
    }

    #[test]
    fn short_utterances_must_be_surer_than_long_ones() {
        let spoken = |ms, sureness| {
            let speech = Duration::from_millis(ms);
            SpeechSegment { speech, lasted: speech, sureness }
        };
        assert!(spoken(3000, 0.8).is_speech() && !spoken(700, 0.8).is_speech());
        assert!(spoken(300, 0.95).is_speech() && !spoken(300, 0.86).is_speech());
        assert!(!spoken(100, 1.0).is_speech());
    }

    #[test]
    fn an_onset_counts_from_its_first_frame() {
        let mut gate = Gate::new(GateConfig::default());
        let edge = [0.0, 0.9, 0.9, 0.1, 0.9, 0.9, 0.9, 0.9].map(|p| gate.step(p, FRAME));
        assert_eq!(edge[6], None, "five frames are too few");
        assert_eq!(edge[7], Some(Edge::Opened { since: FRAME * 7 }), "{edge:?}");
    }
}
