//! Shared by SRT ingress and egress: a thin safe binding over libsrt, addresses with their options,
//! and the conversion of MPEG-TS from a socket to tracks and from feeds to a socket.
//!
//! GStreamer's `srtsrc` accepts one caller at a time and does not report why a caller was refused,
//! so we handle connections; media still passes GStreamer's muxer and demuxer.
//!
//! Invariant: `unsafe` stays within `sys`, `address`, `socket` and `listener`; no other module sees
//! a handle or a pointer of libsrt.

mod address;
mod error;
#[cfg(test)]
mod fuzz;
mod listener;
mod receive;
mod send;
mod socket;
mod sys;
mod target;

pub use error::{Error, Reject};
pub use listener::{ConnectRequest, Listener, ListenerOptions};
pub use receive::receive;
pub use send::{SendOutcome, Shape, accepts, send};
pub use socket::{Socket, Stats, Waiter};
pub use target::{Target, TargetError};
