//! Our own GStreamer elements: one folder each, `mod.rs` wraps and `imp.rs` behaves.

pub mod denoise;
