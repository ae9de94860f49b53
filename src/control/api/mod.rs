//! The HTTP API, a file per resource.

mod error;

pub use error::{Code, Error, Failures, Problem};
