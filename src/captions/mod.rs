//! How cues are written: WebVTT, SubRip, JSON, and CEA-608/708 caption data for video.
//!
//! Invariant: pure. Times in, bytes out; no clock, no GStreamer, no files.
