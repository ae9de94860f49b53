//! What SRT ingress and egress share: a thin safe binding over libsrt, addresses with their
//! options, and how MPEG-TS gets out of a socket into tracks and out of feeds into a socket. Its
//! tables are read here for files too.
//!
//! GStreamer's own `srtsrc` takes one caller at a time and does not tell why a caller was refused,
//! so connections are ours; the media still goes through GStreamer's muxer and demuxer.
//!
//! Invariant: `unsafe` stays within `sys`, `address`, `socket` and `listener`; nothing outside of
//! them sees a handle or a pointer of libsrt.

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
pub use listener::{Knock, Listener, ListenerOptions};
pub use program::Taken;
pub use psi::Tables;
pub use receive::{Limits, receive};
pub use send::{Sent, Shape, accepts, send};
pub use socket::{Socket, Stats, Waiter};
pub use target::{Target, TargetError};
