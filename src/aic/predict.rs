//! How much AIC-A saves: predicted before sending, and as measured.
//!
//! Pure. Both are ratios of rates on the wire, headers included, to WebRTC's wideband default for
//! the same frames: Opus at 20 kbit/s in packets of 20 ms. Frames that discontinuous transmission
//! leaves out count for neither. ([`super::ratio`] is the ratio that packets state.)

use super::controller::{Choice, WIRE_OVERHEAD_BYTES};

/// The Opus setting of the comparison.
const OPUS: Choice = Choice::Opus { bitrate: 20_000, frames: 1 };

/// Weight of the newest second in the running mean: about the last five seconds count.
const SMOOTHING_FACTOR: f64 = 0.2;

/// Fewest frames of a comparison; fewer are not significant.
const FRAMES_MIN: u64 = 10;

/// What was sent since the last observation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SentFrames {
    /// Frames of 20 ms that were sent for the first time.
    pub frames: u64,
    /// Packets that carried them.
    pub packets: u64,
    /// Bytes of these packets behind the RTP header.
    pub bytes: u64,
}

impl SentFrames {
    /// Bits on the wire.
    pub fn wire(self) -> f64 {
        ((self.bytes + self.packets * WIRE_OVERHEAD_BYTES as u64) * 8) as f64
    }

    /// Bits on the wire of the same frames in Opus.
    pub fn in_opus(self) -> f64 {
        OPUS.wire() * 0.02 * self.frames as f64
    }
}

/// Predicts the ratio to Opus's bandwidth and learns from observations.
#[derive(Clone, Debug, Default)]
pub struct Predictor {
    /// Factor for what the calculation leaves out: short packets at the edges of speech.
    correction: Option<f64>,
    actual: Option<f64>,
    predicted: Option<f64>,
    /// Mean relative error of the predictions.
    error: Option<f64>,
}

impl Predictor {
    /// A predictor without observations.
    pub fn new() -> Self {
        Self::default()
    }

    /// The ratio of a choice, before it is sent: 0.25 is a quarter of Opus.
    pub fn predict(&mut self, choice: Choice) -> f64 {
        let predicted = choice.wire() / OPUS.wire() * self.correction.unwrap_or(1.0);
        self.predicted = Some(predicted);
        predicted
    }

    /// Observes what was sent with the choice that was predicted last.
    pub fn observe(&mut self, choice: Choice, sent: SentFrames) {
        if sent.frames < FRAMES_MIN {
            return;
        }
        let actual = sent.wire() / sent.in_opus();
        self.actual = Some(mix(self.actual, actual));
        if let Some(predicted) = self.predicted {
            self.error = Some(mix(self.error, (predicted - actual).abs() / actual));
        }
        let sums = choice.wire() / OPUS.wire();
        // Limits the effect of a single odd second.
        self.correction = Some(mix(self.correction, (actual / sums).clamp(0.5, 2.0)));
    }

    /// The newest prediction.
    pub fn predicted(&self) -> Option<f64> {
        self.predicted
    }

    /// The measured ratio, smoothed over some seconds.
    pub fn actual(&self) -> Option<f64> {
        self.actual
    }

    /// Mean relative error of the predictions; 0.1 is ten percent.
    pub fn error(&self) -> Option<f64> {
        self.error
    }
}

fn mix(before: Option<f64>, now: f64) -> f64 {
    before.map_or(now, |before| before + SMOOTHING_FACTOR * (now - before))
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: Choice = Choice::Aic { stages: 18, frames: 3, redundant: 0 };

    #[test]
    fn what_is_sent_as_predicted_is_a_quarter_of_opus() {
        let mut predictor = Predictor::new();
        let predicted = predictor.predict(THREE);
        assert!((predicted - 0.245).abs() < 0.005, "{predicted}");
        // Three frames in each packet of 23 or 24 bytes.
        predictor.observe(THREE, SentFrames { frames: 48, packets: 16, bytes: 16 * 24 - 8 });
        let actual = predictor.actual().expect("seen");
        assert!((actual - predicted).abs() < 0.005, "{actual}");
        assert!(predictor.error().is_some_and(|error| error < 0.02), "{predictor:?}");
    }

    #[test]
    fn it_learns_what_sums_leave_out() {
        let mut predictor = Predictor::new();
        // Speech in short bursts: half of the packets carry only one frame.
        let sent = SentFrames { frames: 40, packets: 20, bytes: 20 * 18 };
        let first = {
            predictor.predict(THREE);
            predictor.observe(THREE, sent);
            predictor.error().expect("seen")
        };
        for _ in 0..30 {
            predictor.predict(THREE);
            predictor.observe(THREE, sent);
        }
        let predicted = predictor.predict(THREE);
        let actual = sent.wire() / sent.in_opus();
        assert!(first > 0.1, "{first}");
        assert!((predicted / actual - 1.0).abs() < 0.01, "{predicted} {actual}");
    }

    #[test]
    fn silence_says_nothing() {
        let mut predictor = Predictor::new();
        predictor.predict(THREE);
        predictor.observe(THREE, SentFrames { frames: 2, packets: 2, bytes: 20 });
        assert_eq!(predictor.actual(), None);
        assert_eq!(SentFrames::default().wire(), 0.0);
    }
}
