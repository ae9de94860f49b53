//! Preset to plan: what stands between a source and its consumers. Pure.
//!
//! Invariant: never touches GStreamer, the clock or the network.
