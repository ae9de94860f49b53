//! Feeds and nodes: how media moves between pipelines.
//!
//! A [`Node`] is one GStreamer pipeline on the shared clock. A [`Feed`] is a typed fan-out point
//! between nodes: one [`Writer`] at a time puts buffers in, any number of consumers take them out.
//! Timestamps on a feed are running time of the shared clock, so they mean the same in every node.
//!
//! Invariant: knows pipelines and buffers, but no protocol, no codec library and no stream.

mod branch;
mod caps;
mod clock;
mod connections;
pub mod containers;
mod cues;
pub mod decoding;
mod error;
mod feed;
pub mod files;
mod framing;
mod gate;
mod gop;
mod intake;
mod main_layer;
mod node;
mod publisher_layers;
mod source_report;
mod steps;
mod task;
mod tracks;

pub use caps::format_of;
pub use clock::{
    follow_wall_clock, is_settled, known_steps, now, restore_steps, start_clock, wall_clock,
    written_at,
};
pub use connections::{ConnectionPermit, Connections, Crowded};
pub use cues::{CaptionFeeds, CaptionFeedsReader, CueFeed, CueReader, CueStats, is_repeated};
pub use error::{Blame, Error};
pub use feed::{Feed, FeedStats, Join, Link, LinkStats, Writer};
pub use framing::Framing;
pub use gate::{
    AccessRequest, Action, Admission, Gate, Qualities, Refusal, RefusalKind, Subscription,
};
pub use gop::RAW_AUDIO_KEPT;
pub use intake::{DRAIN_MAX, Intake};
pub use node::{Node, NodeEvent};
pub use publisher_layers::{PublisherLayer, PublisherLayers};
pub use source_report::SourceReport;
pub use steps::{Step, Steps};
pub use task::{Inputs, Status, Task};
pub use tracks::{Tracks, kind_of};
