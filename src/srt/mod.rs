//! Shared by SRT ingress and egress: a thin safe binding over libsrt, addresses with their options,
//! and the conversion of MPEG-TS from a socket to tracks and from feeds to a socket. Its tables are
//! also read for files here.
//!
//! GStreamer's `srtsrc` accepts one caller at a time and does not report why a caller was refused,
//! so we handle connections; media still passes GStreamer's muxer and demuxer.
//!
//! Invariant: `unsafe` stays within `sys`, `address`, `socket` and `listener`; no other module sees
//! a handle or a pointer of libsrt.

mod address;
mod elementary;
mod error;
#[cfg(test)]
mod fuzz;
mod listener;
mod pcr;
mod program;
mod psi;
mod receive;
mod send;
mod socket;
mod start_codes;
mod sys;
mod target;

pub use error::{Error, Reject};
pub use listener::{ConnectRequest, Listener, ListenerOptions};
pub use program::Taken;
pub use psi::Tables;
pub use receive::{Limits, receive};
pub use send::{SendOutcome, Shape, accepts, send};
pub use socket::{Socket, Stats, Waiter};
pub use target::{Target, TargetError};
