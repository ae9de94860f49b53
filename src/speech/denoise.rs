//! Noise suppression by RNNoise.
