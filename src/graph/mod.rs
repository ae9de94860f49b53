//! The plan: the nodes between a source and its consumers.
//!
//! An [`PlanInput`] describes the source and the consumers. A [`Plan`] inserts decoders and encoders only
//! if a consumer cannot take what the source has. [`plan()`] is one pure function.
//!
//! Invariant: never touches GStreamer, the clock or the network.

mod picture;
mod plan;
mod resolve;

pub use picture::{dot, text};
pub use plan::{NodeOutput, Op, Plan, PlanConsumer, PlanInput, PlanLayer, PlanNode, Route, Words};
pub use resolve::plan;
