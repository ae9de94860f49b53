//! Our own GStreamer elements.
