//! How strongly noise is suppressed.

/// How strongly noise is suppressed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strength {
    /// Off passes the audio through unchanged, at the same latency.
    pub enabled: bool,
    /// Share of denoised audio in the mix, 0.0-1.0.
    pub mix: f32,
    /// Noise is lowered by at most this much, in dB.
    pub max_attenuation_db: f32,
}

impl Default for Strength {
    /// 12 dB at most: with RNNoise DNSMOS rates it as high as no limit, and it is the only measured
    /// setting that also raises SI-SDR, because a voice that the network misjudges is attenuated, not
    /// lost (`docs/measurements.md`).
    fn default() -> Self {
        Self { enabled: true, mix: 1.0, max_attenuation_db: 12.0 }
    }
}

impl Strength {
    /// The share of denoised audio in the output; the rest is the original.
    ///
    /// What the network removes completely remains at `1 - share` of its amplitude, which turns a
    /// limit in dB into a share.
    pub(super) fn share(self) -> f32 {
        let residue = 10_f32.powf(-self.max_attenuation_db.max(0.0) / 20.0);
        let share = self.mix.clamp(0.0, 1.0) * (1.0 - residue);
        if self.enabled && share.is_finite() { share } else { 0.0 }
    }
}
