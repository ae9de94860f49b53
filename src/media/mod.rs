//! Shared words: names, codecs, formats, time and secrets.
//!
//! Invariant: depends on no other room and never touches GStreamer.

mod accept;
mod codec;
mod name;
mod secret;
mod time;

pub use accept::{Accept, Accepts};
pub use codec::{AudioDetail, Codec, Format, H264Profile, Kind, VideoDetail};
pub use name::{NameError, StreamName};
pub use secret::Secret;
pub use time::{Mapped, Timeline};
