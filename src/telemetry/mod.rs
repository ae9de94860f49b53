//! Logs, metric names, figures of this machine and limits of the process.
//!
//! Invariant: any room may use it; it uses none but `media`, and no secret passes through it.

pub mod descriptors;
pub mod exit;
mod flood;
mod host;
mod log;
pub mod malloc;
pub mod names;

pub use flood::LogLimiter;
pub use host::{Disk, Host, disk, process_usage};
pub use log::{Config, Format, init};
