//! Other appliances: which of them has a stream that this one lacks, and what load they have.
//!
//! An edge asks its origins, which its configuration names; both ends share one token. `client` calls
//! one origin, `directory` asks all of them once for all viewers that wait, `message` and
//! `events` are what they answer. The streams that an edge then has are made by `runtime`.
//!
//! Invariant: no address is called but those of the configuration, and every answer of another
//! appliance is bounded in size and time.

mod client;
mod config;
mod directory;
mod events;
mod message;

pub use config::Config;
pub use directory::{Found, Lookup, Origins};
pub use events::Events;
pub use message::{ApplianceLoad, StreamAccess};
