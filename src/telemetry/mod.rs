//! Logs, metric names, what this machine is doing and what it gives the process.

pub mod descriptors;
pub mod exit;
mod flood;
mod host;
mod log;
pub mod malloc;
pub mod names;

pub use flood::LogLimiter;
pub use host::{Disk, Host, disk};
pub use log::{Config, Format, init};
