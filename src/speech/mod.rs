//! Engines that work on speech. No GStreamer.
