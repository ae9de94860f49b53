//! MPEG transport streams (ISO/IEC 13818-1): their tables, the pace of their clock references, and
//! their way from a connection to tracks. For SRT and RIST; files use the tables.
//!
//! Invariant: no byte from outside is trusted; every table is bounded and checked by its CRC.

mod demux;
mod elementary;
#[cfg(test)]
mod fuzz;
mod pcr;
mod program;
mod psi;
mod start_codes;

pub use demux::{BATCH_BYTES_MAX, Connection, Limits, ReadEnd, demux};
pub use program::Taken;
pub use psi::Tables;
