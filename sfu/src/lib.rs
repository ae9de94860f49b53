//! Fan-out to WebRTC viewers: one packet is made once and sent to many.
//!
//! A [`Source`] takes the RTP packets of one feed. [`Engine`] runs shards: threads with one UDP
//! socket each, on which any number of viewers share a port. A session is one viewer: str0m does
//! its ICE, DTLS, RTCP and data channels. The media of streams without a ladder goes past str0m, with the
//! keys of its handshake: [`sender`] encrypts it. With a ladder str0m sends it too, because its estimate
//! of the line has to see every packet.
//!
//! Invariant: sessions, numbering, pacing and the table of addresses do no input or output and take
//! the time as an argument; every queue is bounded.

mod address;
mod channel;
mod command;
mod connection;
mod delivery;
mod demux;
mod engine;
mod entry;
mod error;
mod figures;
mod first_reports;
mod group;
mod history;
mod id;
mod keys;
mod outbox;
mod pacer;
mod packet;
mod post;
mod reports;
mod sender;
mod session;
mod setup;
mod shard;
mod socket;
mod source;
mod srtp;
mod tcp;
mod terms;
#[cfg(test)]
mod tests;
mod texts;
mod track;

pub use channel::{Channel, ChannelEvent};
pub use command::Begin;
pub use connection::{Change, Connection};
pub use delivery::Delivery;
pub use engine::{Engine, Settings};
pub use error::Error;
pub use packet::Packet;
pub use source::Source;
pub use terms::{CongestionTerms, Credentials, LocalEnd, LocalTrack, Terms, TrackTerms};
