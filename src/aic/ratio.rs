//! How much smaller the voice becomes: predicted from the settings, and as measured.
//!
//! Both compare with 16-bit samples at 16 kHz (256 kbit/s) and include headers of SRTP over IPv4.
//!
//! These are the values of the header extension (`docs/aic-rtp.md`, section 7): per packet, over
//! everything that is sent in either codec, including silence that is not sent. [`super::predict`]
//! is a different measure: against Opus, per second, over AIC-A and the frames it sends only.

use std::collections::VecDeque;

use super::controller::{Choice, WIRE_OVERHEAD_BYTES};
use super::packet::rate;
use super::send::Settings;

/// Bit rate of the input: 16 kHz, mono, 16 bits.
const RAW_BPS: f64 = 256_000.0;
/// Packets that the achieved ratio covers: about two seconds.
const WINDOW_PACKETS: usize = 100;
/// Weight of each packet in the correction: about the last 50 packets count.
const CORRECTION_SMOOTHING_FACTOR: f64 = 0.02;

/// Follows one stream.
#[derive(Clone, Debug)]
pub struct Ratio {
    /// Bytes on the wire, and the frame at which each packet was sent.
    sent: VecDeque<(usize, u64)>,
    /// Bits actually sent relative to the bits calculated from the settings.
    correction: f64,
    predicted: f64,
}

impl Default for Ratio {
    fn default() -> Self {
        Self { sent: VecDeque::with_capacity(WINDOW_PACKETS), correction: 1.0, predicted: 0.0 }
    }
}

impl Ratio {
    /// A payload of `bytes` bytes was sent when frame `at` of the stream was processed.
    pub fn sent(&mut self, bytes: usize, at: u64, settings: &Settings) {
        let bytes = bytes + WIRE_OVERHEAD_BYTES;
        let choice = Choice::Aic {
            stages: rate(settings.stages),
            frames: settings.frames,
            redundant: settings.redundant,
        };
        let expected = choice.wire();
        if let Some((_, before)) = self.sent.back() {
            // Background and packets of Opus differ from the settings.
            let frames = at.saturating_sub(*before).max(1) as f64;
            let was = (bytes * 8 * 50) as f64 / frames;
            self.correction += CORRECTION_SMOOTHING_FACTOR * (was / expected - self.correction);
        }
        if self.sent.len() == WINDOW_PACKETS {
            self.sent.pop_front();
        }
        self.sent.push_back((bytes, at));
        self.predicted = RAW_BPS / (expected * self.correction.max(1e-3));
    }

    /// Expected ratio of the next seconds.
    pub fn predicted(&self) -> f64 {
        self.predicted
    }

    /// Ratio of the last packets; zero before two of them.
    pub fn achieved(&self) -> f64 {
        let (Some(first), Some(last)) = (self.sent.front(), self.sent.back()) else { return 0.0 };
        let bits: usize = self.sent.iter().skip(1).map(|(bytes, _)| bytes * 8).sum();
        let seconds = (last.1 - first.1) as f64 * 0.02;
        if bits == 0 { 0.0 } else { RAW_BPS * seconds / bits as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_predicted_is_what_comes() {
        let settings = Settings { stages: 18, frames: 3, ..Settings::default() };
        let mut ratio = Ratio::default();
        for packet in 1..200 {
            ratio.sent(25, 3 * packet, &settings);
        }
        // 75 bytes per 60 ms are 10 kbit/s.
        assert!((ratio.achieved() - 25.6).abs() < 0.01, "{}", ratio.achieved());
        assert!((ratio.predicted() / ratio.achieved() - 1.0).abs() < 0.02, "{}", ratio.predicted());
    }
}
