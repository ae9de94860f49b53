//! Logs, metric names, what this machine is doing.

mod host;
mod log;
pub mod names;

pub use host::{Disk, Host, disk};
pub use log::{Config, Format, init};
