//! Other appliances: which of them has a stream that this one lacks, and what load they have.
//!
//! An edge asks its origins, which its configuration names or which it knows by Redis; all share one
//! token. `client` calls one appliance, `directory` asks all that may have a stream once for all viewers
//! that wait, and `rule` decides between their answers; `message` and `events` are what they answer. The
//! streams that an edge then has are made by `runtime`.
//!
//! With Redis each appliance tells of itself in a `record`. The task of `registry` exchanges records by
//! `redis_link`; `members` is what it knows of the others. With these records `balance` decides who serves a
//! client by WebRTC; a `pass` is the token that the client takes there.
//!
//! Invariant: no address is called but those of the configuration and those of records by a holder of the
//! token, and every answer of another appliance or of Redis is bounded in size and time.

mod balance;
mod client;
mod config;
mod directory;
mod events;
mod members;
mod message;
mod pass;
mod record;
mod redis_link;
mod registry;
mod rule;

pub use balance::{Holding, Wish};
pub use config::Config;
pub use directory::{Appliance, Origins};
pub use events::Events;
pub use message::{ApplianceLoad, StreamAccess};
pub use record::{ApplianceId, Told, ToldStream};
pub use registry::{RedisState, Registration};
pub use rule::{Found, Lookup};
