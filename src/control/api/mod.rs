//! The HTTP API, a file per resource.

mod error;
pub mod hls;
pub mod recordings;

pub use error::{Code, Error, Failures, Problem};
