//! The signal processing of the voice codec AIC-A: network, quantiser search and entropy coding.
//!
//! A crate of its own, because cargo optimises dependencies of a debug build one by one: here is all
//! that runs per sample or per code, and it runs at full speed in `make run` too.
//!
//! - [`Model`]: the weights, shared by all streams, and the network for N streams in one pass;
//! - [`Codes`]: the 4-bit codes of a frame of 20 ms;
//! - [`Model::pack`], [`Model::unpack`]: codes of a packet <-> bytes of the range coder;
//! - [`Listener`]: frames of a stream -> sound, also of those that are lost;
//! - [`packet`]: the payload of RTP and of files, [`container`]: the `.aic` file;
//! - [`resample`]: 48 kHz <-> 16 kHz.
//!
//! Invariants: streaming frame by frame equals the whole file; a stream's result does not depend on
//! the streams that share its pass; packets are exact integers on every machine.

mod codes;
mod conceal;
pub mod container;
mod context;
mod kernel;
mod layers;
mod network;
mod pack;
pub mod packet;
mod quantiser;
mod range;
pub mod resample;
#[cfg(feature = "torch")]
pub mod torch;
mod weights;

pub use codes::{Codes, ENTRIES, STAGES_MAX};
pub use conceal::Listener;
pub use network::{DecoderState, EncoderState, Model};
pub use weights::ModelError;

/// Samples per second; there is one channel.
pub const RATE_HZ: u32 = 16_000;

/// Samples of a frame: 20 ms at 16 kHz.
pub const FRAME_SAMPLES: usize = 320;

/// Values that describe a frame between encoder, quantiser and decoder.
pub const LATENT_VALUES: usize = 64;

/// The values of a frame between encoder, quantiser and decoder.
pub type Latent = [f32; LATENT_VALUES];
