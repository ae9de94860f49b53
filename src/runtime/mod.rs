//! Streams and their supervision.
