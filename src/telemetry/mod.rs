//! Logs, metric names, what this machine is doing.

mod flood;
mod host;
mod log;
pub mod names;

pub use flood::LogLimiter;
pub use host::{Disk, Host, disk};
pub use log::{Config, Format, init};
