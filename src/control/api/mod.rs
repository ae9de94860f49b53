//! The HTTP API, a file per resource.

mod error;
pub mod hls;
pub mod recordings;
pub mod webrtc;

pub use error::{Code, Error, Failures, Problem};
