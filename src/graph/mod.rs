//! The plan: what stands between a source and its consumers.
//!
//! An [`Ask`] says what flows and what is wanted; a [`Plan`] is as resolved: decoders and encoders
//! inserted only where a consumer cannot take what is there. [`plan()`] is one pure function.
//!
//! Invariant: never touches GStreamer, the clock or the network.

mod picture;
mod plan;
mod resolve;

pub use picture::{dot, text};
pub use plan::{Ask, Fills, Op, Plan, PlanNode, Route, Want, Words};
pub use resolve::plan;
