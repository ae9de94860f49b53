//! Noise suppression at 48 kHz, in frames of 10 ms: RNNoise, whose weights are in the program, and
//! DeepFilterNet 3 where it is installed.

mod budget;
mod deepfilternet;
mod denoiser;
mod enhancer;
mod frame;
mod libdf;
mod rnnoise;
mod selector;
mod strength;

pub use deepfilternet::{DEEPFILTERNET, Found, locate, missing};
pub use denoiser::Denoiser;
pub use enhancer::{ENHANCER_DELAY_FRAMES, Enhancer};
pub use frame::{FRAME_SAMPLES, Frame, RATE_HZ};
pub use selector::{Engine, Selection, Selector};
pub use strength::Strength;

#[cfg(test)]
mod deepfilternet_tests;
#[cfg(test)]
mod enhancer_tests;
#[cfg(test)]
mod tests;
