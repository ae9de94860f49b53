//! Streams: which nodes run, who is admitted, and what happens after a failure.
//!
//! One task per stream (`stream/`) owns all state of that stream. Other code reaches it through the
//! [`Supervisor`], a cheap handle.
//!
//! Invariant: no media passes through here, only the decision which feeds are joined.

mod admission;
mod command;
mod credentials;
mod edge_watch;
mod edges;
mod elsewhere;
mod error;
mod fault;
mod gate;
mod held;
mod job;
mod launch;
mod options;
mod preset;
mod refusals;
mod shared;
mod snapshot;
mod spec;
mod speech;
mod stream;
mod supervisor;
mod switcher;
mod trunk_encoders;
mod wanted;
mod worker;

pub use crate::egress::OutputKind;
pub use crate::ingress::SourceSpec;
pub(crate) use elsewhere::wish;
pub use error::Error;
pub use options::Options;
pub use preset::{Play, Preset, PresetError, Presets};
pub use refusals::RefusalSnapshot;
pub use snapshot::{
    ConsumerSnapshot, CueFeedSnapshot, Event, FeedSnapshot, LastError, LayerSnapshot, NodeSnapshot,
    NodeState, OutputSnapshot, RefusedRung, SourceSnapshot, StreamSnapshot, StreamState,
};
pub use spec::{Access, Conflict, OutputSpec, StreamSpec};
pub use speech::Speech;
pub use supervisor::Supervisor;
pub use wanted::Wanted;

#[cfg(test)]
mod tests;
